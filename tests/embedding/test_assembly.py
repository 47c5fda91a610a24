from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd

from napari_dynaclr import Job
from napari_dynaclr.core.shards import read_shard, write_shard
from napari_dynaclr.core.tables import TRACK_COLUMNS
from napari_dynaclr.embedding import FrameEmbedding, _save
from napari_dynaclr.embedding.assembly import assemble

CELLS, TIMES, DIMENSIONS = 20_000, 40, 512


def table(cells, times):
    tracks = pd.DataFrame(0, index=range(cells), columns=TRACK_COLUMNS)
    tracks["id"], tracks["t"] = np.arange(cells), np.arange(cells) % times
    return tracks


def test_memory_does_not_grow_with_the_cells(dataset, tmp_path):
    folder = tmp_path / "parts"
    tracks = table(CELLS, TIMES)
    values = np.arange(CELLS, dtype=np.float32)[:, np.newaxis] + np.arange(DIMENSIONS)
    for t in range(TIMES):
        rows = np.flatnonzero(tracks["t"] == t)
        none = np.zeros(len(rows), bool)
        frame = FrameEmbedding(rows, values[rows], none, -values[rows, :16], none)
        _save(folder / f"{t:06d}.npz", frame)
    columns = pd.DataFrame({"description": "x"}, index=[f"e{i}" for i in range(DIMENSIONS)])
    tracemalloc.start()
    shard = assemble(folder, tracks, dataset.fovs[0], dataset, columns, Job())
    write_shard(tmp_path / "a.zarr", shard)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < values.nbytes / 2, f"{peak / 1e6:.0f} MB for {values.nbytes / 1e6:.0f} MB"
    read = read_shard(tmp_path / "a.zarr")
    np.testing.assert_array_equal(read.X, values)
    np.testing.assert_array_equal(read.obsm["X_projections"], -values[:, :16])


def test_no_cells_are_no_error(dataset, tmp_path):
    columns = pd.DataFrame({"description": "x"}, index=["e0", "e1"])
    shard = assemble(tmp_path, table(0, 1), dataset.fovs[0], dataset, columns, Job())
    assert shard.shape == (0, 2)
    assert "at_border" in shard.obs
