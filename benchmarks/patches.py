"""Patches of a FOV by time point (ours) and by cell, as VisCy's data module reads them."""

from __future__ import annotations

import shutil
import time

import numpy as np
from common import HOME, plate, show
from iohub.ngff import open_ome_zarr

import napari_dynaclr as nd
from napari_dynaclr.core.patches import iter_patches

SIZE = 64


def main() -> None:
    path = plate(12, 1)
    workspace = HOME / "patches.dynaclr"
    shutil.rmtree(workspace, ignore_errors=True)
    dataset = nd.open_dataset(path, workspace)
    nd.segment(dataset)
    nd.track(dataset)
    fov = dataset.fovs[0]
    tracks = dataset.workspace.tracks(fov)
    half = SIZE // 2
    inner = tracks[["y", "x"]].round().astype(int)
    inside = ((inner >= half) & (inner < 512 - half)).all(axis=1)
    tracks = tracks[inside].reset_index(drop=True)  # the peer drops cells at the border
    rows: list[dict[str, object]] = []
    for _ in range(3):
        start = time.perf_counter()
        ours = sum(len(b.rows) for b in iter_patches(fov, tracks, fov.channels, (1, SIZE, SIZE)))
        our_time = time.perf_counter() - start

        start = time.perf_counter()
        theirs = 0
        with open_ome_zarr(path / fov.name, layout="fov", mode="r") as position:
            array = position["0"]
            for row in tracks.itertuples():
                y, x = round(row.y), round(row.x)
                patch = array.oindex[
                    int(row.t),
                    list(range(4)),
                    slice(0, 1),
                    slice(y - half, y + half),
                    slice(x - half, x + half),
                ]
                theirs += np.asarray(patch).shape == (4, 1, SIZE, SIZE)
        their_time = time.perf_counter() - start
        rows.append(
            {
                "patches": ours,
                "ours, patches/s": ours / our_time,
                "cell by cell, patches/s": theirs / their_time,
                "ratio": their_time / our_time,
            }
        )
    shutil.rmtree(workspace)
    show("Reading patches, 4 x 64 x 64 (three rounds, in turn)", rows)


if __name__ == "__main__":
    main()
