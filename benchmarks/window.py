"""How long the window stands still: a FOV with a million track nodes, in a real viewer.

A timer ticks every 2 ms; what it is late by is how long the GUI thread was busy. Drawing is
included: without a graphics card, that is software's. napari's own Tracks layer over the same
nodes is measured in the same run, as the peer.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from common import in_a_window, show
from iohub.ngff import open_ome_zarr

if TYPE_CHECKING:
    from collections.abc import Callable

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


class Watch:
    """Acts in a viewer, and notes how long its window stood still."""

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self.rows: list[dict[str, object]] = []
        self._gaps: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(2)

    def _tick(self) -> None:
        now = time.perf_counter()
        self._gaps.append(now - self._last)
        self._last = now

    def spin(self, seconds: float) -> None:
        """Let the window live."""
        from qtpy.QtWidgets import QApplication

        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            QApplication.processEvents()

    def measure(
        self,
        name: str,
        action: Callable[[], object],
        until: Callable[[], bool] = lambda: True,
        settle: float = 1.0,
    ) -> None:
        """Act, wait until it is done, and for ``settle`` seconds more; keep the figures."""
        from qtpy.QtWidgets import QApplication

        self.spin(0.3)
        self._gaps.clear()
        self._last = start = time.perf_counter()
        action()
        while not until():
            QApplication.processEvents()
        took = time.perf_counter() - start
        self.spin(settle)
        longest = sorted(self._gaps, reverse=True)[:3]
        self.rows.append(
            {
                "action": name,
                "done after, s": took,
                "longest standstills, ms": ", ".join(f"{1000 * gap:.0f}" for gap in longest),
            }
        )


def measure(nodes: int) -> None:
    """Open a FOV of so many nodes and do to it what people do."""
    import napari

    from napari_dynaclr.gui.steps.stage_widgets import EmbedAndProjectWidget
    from napari_dynaclr.gui.workbench import workbench
    from napari_dynaclr.session.colours import ColourBy, Kind

    with tempfile.TemporaryDirectory() as folder:
        path, small = make(Path(folder) / "large", nodes), make(Path(folder) / "small", FRAMES)
        viewer = napari.Viewer()
        bench = workbench(viewer)
        viewer.window.add_dock_widget(EmbedAndProjectWidget(viewer))
        session, watch = bench.session, Watch()
        watch.spin(1)

        def painted() -> bool:
            return session.palette is not None

        def anew(action: Callable[[], object]) -> Callable[[], object]:
            session.palette = None
            return action

        watch.measure("open a small FOV first", lambda: bench.open(small), painted, 3)
        watch.measure("open the large one", anew(lambda: bench.open(path)), painted, 2)
        for t in (100, 101):
            watch.measure("next time point", lambda t=t: viewer.dims.set_current_step(0, t))
        for kind, name in ((Kind.PREDICTION, "infection"), (Kind.FEATURE, "feature 3")):
            colours = ColourBy(kind, name)
            watch.measure(
                f"colour by {kind.value}", anew(lambda c=colours: bench.colour(c)), painted
            )
        watch.measure("select one cell", lambda: session.select([5000]))
        watch.measure("select half of the cells", lambda: session.select(np.arange(0, nodes, 2)))
        watch.measure("jump to a cell", lambda: session.focus(nodes // 2))
        row = session.here()[:1]
        watch.measure(
            "annotate a cell",
            lambda: session.annotate(row, "infected"),
            lambda: not session.annotator.busy,
            3,
        )
        for layer in list(viewer.layers):
            viewer.layers.remove(layer)
        cells = session.cells
        data = np.column_stack([cells.track, cells.t, cells.position]).astype(float)
        watch.measure("napari's own Tracks", lambda: viewer.add_tracks(data), settle=5)
        bench.close()
        viewer.close()
    show(f"A FOV of {nodes} nodes: how long the window stands still", watch.rows)


def main() -> None:
    """Measure with a million nodes, or as many as are asked for."""
    nodes = int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000
    in_a_window(__file__, lambda: measure(nodes))


if __name__ == "__main__":
    main()
