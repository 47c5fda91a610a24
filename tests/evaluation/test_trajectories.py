from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from napari_dynaclr import Job, params, project
from napari_dynaclr.core.errors import MissingInput
from napari_dynaclr.core.shards import vectors
from napari_dynaclr.evaluation.trajectories import CELL_COLUMNS, read_trajectories


def test_cells_come_by_track_and_time_and_know_their_mothers_over_all_fovs(processed):
    cells = read_trajectories(processed, "features", False, Job())
    assert list(cells.cells) == CELL_COLUMNS
    expected = 0
    families = set()
    for fov in processed.fovs:
        tracks = processed.workspace.tracks(fov)
        expected += (tracks.groupby("track_id")["t"].diff() == 1).sum()
        mothers = tracks[tracks["parent_track_id"] >= 0].groupby("track_id").first()
        families |= {(fov.name, t, y) for t, y in mothers[["t", "y"]].itertuples(index=False)}
    before, after = cells.adjacent()
    assert len(before) == expected
    table = cells.cells
    assert (table["track"].iloc[before].to_numpy() == table["track"].iloc[after].to_numpy()).all()
    assert (table["t"].iloc[after].to_numpy() - table["t"].iloc[before].to_numpy() == 1).all()
    born = table[table["parent"] >= 0].groupby("track").first()
    scale = processed.fovs[0].scale[1]
    assert {
        (fov, t, round(y / scale, 6))
        for fov, t, y in born[["fov_name", "t", "y"]].itertuples(index=False)
    } == {(fov, t, round(y, 6)) for fov, t, y in families}
    home = table.groupby("track")["fov_name"].first()
    assert (home.loc[born["parent"]].to_numpy() == born["fov_name"].to_numpy()).all()
    rows = cells.frames[("B/1/0", 3)]
    assert set(table["t"].iloc[rows]) == {3}
    assert set(table["fov_name"].iloc[rows]) == {"B/1/0"}
    assert sum(map(len, cells.frames.values())) == len(table) == len(cells.vectors)


def test_vectors_and_maps_stay_with_their_cells(processed):
    cells = read_trajectories(processed, "features", False, Job())
    fov = processed.fovs[1]
    shard = processed.workspace.embedding("features", fov)
    first = shard.obs.iloc[7]
    place = (first["t"], first["y"] * fov.scale[1], first["x"] * fov.scale[2])
    table = cells.cells[cells.cells["fov_name"] == fov.name]
    (row,) = table.index[np.isclose(table[["t", "y", "x"]].to_numpy(float), place).all(axis=1)]
    np.testing.assert_array_equal(cells.vectors[row], vectors(shard)[7])
    name, points = cells.map()
    assert name == "pca"
    np.testing.assert_array_equal(points[row], shard.obsm["X_pca"][7, :2])


def test_maps_of_several_runs_are_no_map(processed):
    project(processed.select(["A/1/0"]), params("project", "pca", components=3))
    cells = read_trajectories(processed, "features", True, Job())
    assert cells.maps == {}
    name, points = cells.map()
    assert name == "pca"
    expected = PCA(2, random_state=0).fit_transform(cells.vectors)
    np.testing.assert_allclose(points, expected, atol=1e-4)
    with pytest.raises(MissingInput, match="No map 'pca' of these FOVs together found"):
        cells.map("pca")
