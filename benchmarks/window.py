"""How long the window stands still: a FOV with a million track nodes, in a real viewer.

    xvfb-run -a -s "-screen 0 1400x900x24" .venv/bin/python benchmarks/window.py [NODES]

A timer ticks every 2 ms; what it is late by is how long the GUI thread was busy. Drawing is
included: without a GPU, that is software's. napari's own Tracks layer over the same million
nodes is measured in the same run, as the peer.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from iohub.ngff import open_ome_zarr

FRAMES, SIDE = 500, 512


def make(folder: Path, nodes: int) -> Path:
    """Write a FOV with so many nodes, tracked, embedded and mapped."""
    from napari_dynaclr.core.dataset import open_dataset
    from napari_dynaclr.core.plate_writer import FovWriter
    from napari_dynaclr.core.shards import write_shard
    from napari_dynaclr.core.tables import validate_tracks

    generator = np.random.default_rng(0)
    folder.mkdir()
    path = folder / "plate.zarr"
    with open_ome_zarr(path, layout="hcs", mode="w-", channel_names=["Nuclei"]) as plate:
        image = plate.create_position("A", "1", "0").create_zeros(
            "0", (FRAMES, 1, 1, SIDE, SIDE), np.uint16, chunks=(1, 1, 1, SIDE, SIDE)
        )
        for frame in range(FRAMES):
            image[frame] = generator.integers(0, 1000, (1, 1, SIDE, SIDE), np.uint16)
    dataset = open_dataset(path)
    fov = dataset.fovs[0]
    per_frame = nodes // FRAMES
    track = np.repeat(np.arange(1, per_frame + 1), FRAMES)
    t = np.tile(np.arange(FRAMES), per_frame)
    start = generator.uniform(10, SIDE - 10, (per_frame, 2)).repeat(FRAMES, axis=0)
    place = np.clip(start + generator.normal(0, 3, start.shape), 0, SIDE - 1)
    parent = np.where((track % 10 == 0) & (track > 1), track - 1, -1)
    tracks = validate_tracks(
        pd.DataFrame(
            {"track_id": track, "t": t, "y": place[:, 0], "x": place[:, 1],
             "parent_track_id": parent}
        )
    )  # fmt: skip
    dataset.workspace.prepare(["Nuclei"])
    writer = FovWriter(dataset.workspace, "tracks", fov, "made", ["labels"])
    labels = np.zeros((1, 1, SIDE, SIDE), np.uint32)
    for frame in range(FRAMES):
        writer.write(frame, labels)
    writer.publish({"tracks.csv": tracks})
    vectors = generator.normal(size=(len(tracks), 8)).astype(np.float32)
    shard = ad.AnnData(
        vectors,
        obs=tracks.assign(fov_name=fov.name).set_index(tracks["id"].astype(str).rename(None)),
        var=pd.DataFrame(index=[f"feature {i}" for i in range(8)]),
        obsm={
            "X_phate": vectors[:, :2],
            "predicted_infection_proba": generator.dirichlet([1, 1], len(tracks)),
        },
        uns={"predicted_infection_classes": np.array(["infected", "uninfected"])},
    )
    write_shard(dataset.workspace.shard("features", fov), shard)
    dataset.workspace.mark_complete("embeddings.features", fov, "made", {"tracks": "made"})
    return path


def main(nodes: int) -> None:
    """Measure, and print one line an action."""
    import napari
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    from napari_dynaclr.gui.steps.stage_widgets import EmbedAndProjectWidget
    from napari_dynaclr.gui.workbench import workbench
    from napari_dynaclr.session.colours import ColourBy, Kind

    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder) / "large", nodes)
        viewer = napari.Viewer()
        bench = workbench(viewer)
        viewer.window.add_dock_widget(EmbedAndProjectWidget(viewer))
        session = bench.session
        gaps: list[float] = []
        last = [time.perf_counter()]

        def tick() -> None:
            now = time.perf_counter()
            gaps.append(now - last[0])
            last[0] = now

        timer = QTimer()
        timer.timeout.connect(tick)
        timer.start(2)

        def spin(seconds: float) -> None:
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                QApplication.processEvents()

        def measure(name: str, action, until=lambda: True, settle: float = 1.0) -> None:
            spin(0.3)
            gaps.clear()
            last[0] = start = time.perf_counter()
            action()
            while not until():
                QApplication.processEvents()
            took = time.perf_counter() - start
            spin(settle)
            top = sorted(gaps, reverse=True)[:4]
            print(
                f"{name:34} done after {took:6.2f} s, longest standstills "
                + ", ".join(f"{1000 * gap:.0f}" for gap in top) + " ms", flush=True,
            )  # fmt: skip

        spin(1)
        small = make(Path(folder) / "small", FRAMES)
        measure(
            "the first FOV of a session",
            lambda: bench.open(small),
            lambda: bool(session.palette),
            3,
        )
        session.palette = None
        measure(
            f"open a FOV of {nodes} nodes",
            lambda: bench.open(path),
            lambda: session.palette is not None,
            2,
        )
        measure("next time point", lambda: viewer.dims.set_current_step(0, 100))
        measure("next time point, again", lambda: viewer.dims.set_current_step(0, 101))
        for kind, name in ((Kind.PREDICTION, "infection"), (Kind.FEATURE, "feature 3")):
            session.palette = None
            measure(
                f"colour by {kind.value}",
                lambda kind=kind, name=name: bench.colour(ColourBy(kind, name)),
                lambda: session.palette is not None,
            )
        measure("select one cell", lambda: session.select([5000]))
        measure("select half of the cells", lambda: session.select(np.arange(0, nodes, 2)))
        measure("click a cell", lambda: bench.mouse._clicked((101, 0, 256, 256), set()))
        measure("jump to a cell", lambda: session.focus(nodes // 2))
        row = session.here()[:1]
        measure(
            "annotate",
            lambda: session.annotate(row, "infected"),
            lambda: not session.annotator.busy,
            3,
        )
        for layer in list(viewer.layers):
            viewer.layers.remove(layer)
        data = np.column_stack(
            [session.cells.track, session.cells.t, session.cells.position]
        ).astype(float)
        measure("peer: napari's Tracks of them all", lambda: viewer.add_tracks(data), settle=5)
        bench.close()
        viewer.close()


if __name__ == "__main__":
    main(int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000)
