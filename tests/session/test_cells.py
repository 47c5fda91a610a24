from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr import params, project, segment, track
from napari_dynaclr.core.errors import Cancelled
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.shards import read_shard, write_shard
from napari_dynaclr.core.tables import TRACK_COLUMNS, validate_tracks
from napari_dynaclr.session.cells import Cells, Prediction, load_cells

NAMES = ("A/1/0", "A/1/1", "B/2/0")


@st.composite
def some_cells(draw):
    """Cells of up to three FOVs: gaps, ids in any order, parents that may go in circles."""
    fovs = NAMES[: draw(st.integers(0, 3))]
    rows = []
    for i in range(len(fovs)):
        tracks = sorted(draw(st.sets(st.integers(1, 9), max_size=5)))
        for one in tracks:
            parent = draw(st.sampled_from([-1, *tracks, 77]))
            times = sorted(draw(st.sets(st.integers(0, 6), min_size=1, max_size=4)))
            rows += [(i, one, t, parent) for t in times]
    fov, tracks, t, parent = np.array(rows, np.int64).reshape(-1, 4).T
    ids = draw(st.permutations(range(1, len(rows) + 1)))
    return Cells(
        fovs=fovs,
        fov=fov.astype(np.int32),
        track=tracks,
        t=t,
        id=np.array(ids, np.int64),
        parent=parent,
        position=np.arange(3.0 * len(rows), dtype=np.float32).reshape(-1, 3),
    )


def rows_where(cells, name, condition):
    return [i for i in range(len(cells)) if cells.fovs[cells.fov[i]] == name and condition(i)]


everywhere = st.sampled_from([*NAMES, "Z/9/9"])


@given(some_cells(), everywhere, st.integers(-1, 8))
@settings(deadline=None)
def test_rows_are_those_found_the_plain_way(cells, name, number):
    everything = range(len(cells))[cells.rows_of(name)]
    assert list(everything) == rows_where(cells, name, lambda _: True)
    assert list(cells.at(name, number)) == rows_where(cells, name, lambda i: cells.t[i] == number)
    assert list(cells.of_track(name, number)) == rows_where(
        cells, name, lambda i: cells.track[i] == number
    )


@given(some_cells(), everywhere, st.lists(st.integers(-1, 60)))
@settings(deadline=None)
def test_nodes_are_found_by_id_in_their_own_fov_only(cells, name, ids):
    expected = [next(iter(rows_where(cells, name, lambda i: cells.id[i] == n)), -1) for n in ids]  # noqa: B023
    assert cells.find(name, ids).tolist() == expected


@given(some_cells(), everywhere, st.integers(1, 9))
@settings(deadline=None)
def test_lineages_are_those_found_the_plain_way(cells, name, number):
    parent = {
        int(cells.track[i]): int(cells.parent[i]) for i in rows_where(cells, name, lambda _: True)
    }
    daughters = sorted(one for one, above in parent.items() if above == number)
    assert cells.daughters(name, number) == daughters
    assert cells.parent_of(name, number) == parent.get(number, -1)
    root, seen = number, set()
    while root not in seen and parent.get(root, -1) in parent:
        seen.add(root)
        root = parent[root]
    found = cells.lineage(name, number)
    assert len(found) == len(set(found)), "each once"
    reached, todo = set(), [found[0]]
    while todo:
        one = todo.pop()
        reached.add(one)
        todo += [d for d, above in parent.items() if above == one and d not in reached]
    assert set(found) == reached
    assert number in found
    if root not in seen:  # no circle: the founder comes first, every mother before her daughters
        assert found[0] == root
        for one in found[1:]:
            assert found.index(parent[one]) < found.index(one)


@given(some_cells())
@settings(deadline=None)
def test_lookups_built_beforehand_are_the_same(cells):
    built = Cells(**vars(cells)).index()
    for name in cells.fovs:
        for t in range(7):
            assert built.at(name, t).tolist() == cells.at(name, t).tolist()
        assert built.find(name, cells.id).tolist() == cells.find(name, cells.id).tolist()


def test_none_at_all_have_no_rows():
    cells = Cells().index()
    assert len(cells) == 0
    assert len(cells.at("A/1/0", 0)) == len(cells.of_track("A/1/0", 1)) == 0
    assert cells.find("A/1/0", [1, 2]).tolist() == [-1, -1]
    assert cells.daughters("A/1/0", 1) == []
    assert cells.nodes(slice(None)).empty


@given(some_cells())
@settings(deadline=None)
def test_rows_as_a_table_of_nodes(cells):
    table = cells.nodes(slice(None))
    assert list(table) == ["fov_name", *TRACK_COLUMNS]
    assert table["fov_name"].tolist() == [cells.name(i) for i in range(len(cells))]
    np.testing.assert_array_equal(table[["z", "y", "x"]], cells.position)
    some = np.arange(len(cells))[::2]
    pd.testing.assert_frame_equal(
        cells.nodes(some).reset_index(drop=True), table.iloc[some].reset_index(drop=True)
    )


def test_predicted_codes_and_confidence():
    probability = np.array([[0.2, 0.8], [np.nan, np.nan], [0.9, 0.1]], np.float32)
    prediction = Prediction(("uninfected", "infected"), probability)
    assert prediction.codes.tolist() == [1, -1, 0]
    np.testing.assert_array_equal(prediction.confidence, np.float32([0.8, np.nan, 0.9]))


# -- from the disk ----------------------------------------------------------


def load(dataset, embedding="features"):
    return load_cells(dataset, embedding, Job())


def shard_of(dataset, name):
    return dataset.workspace.shard("features", dataset[name])


def rewrite(dataset, name, change):
    shard = read_shard(shard_of(dataset, name))
    changed = change(shard)
    write_shard(shard_of(dataset, name), shard if changed is None else changed)


def test_all_that_was_made_of_a_plate_is_loaded(processed):
    cells = load(processed)
    assert cells.fovs == tuple(processed.fov_names)
    for name in cells.fovs:
        tracks = validate_tracks(processed.workspace.tracks(processed[name]))
        rows = cells.rows_of(name)
        for column in ("track", "t", "id"):
            expected = tracks[column if column != "track" else "track_id"]
            np.testing.assert_array_equal(getattr(cells, column)[rows], expected)
        np.testing.assert_array_equal(cells.parent[rows], tracks["parent_track_id"])
        np.testing.assert_allclose(cells.position[rows], tracks[["z", "y", "x"]], rtol=1e-6)
        shard = read_shard(shard_of(processed, name))
        np.testing.assert_allclose(cells.maps["pca"][rows], shard.obsm["X_pca"][:, :2], rtol=1e-6)
        np.testing.assert_allclose(
            cells.predictions["infection"].probability[rows],
            shard.obsm["predicted_infection_proba"],
            rtol=1e-6,
        )
        codes = cells.predictions["infection"].codes[rows]
        states = np.array(cells.predictions["infection"].states)
        assert states[codes].tolist() == shard.obs["predicted_infection"].tolist()
        assert cells.keys[name] == processed.workspace.key("tracks", processed[name])


def test_only_the_fovs_that_were_selected(processed):
    cells = load(processed.select(["B/1/1", "A/1/0"]))
    assert cells.fovs == ("A/1/0", "B/1/1"), "in the dataset's order"


def test_without_an_embedding_there_are_cells_but_no_maps(processed):
    for embedding in ("", "dynaclr"):
        cells = load(processed, embedding)
        assert len(cells)
        assert cells.maps == {}
        assert cells.predictions == {}


def test_nothing_done_is_no_cells(dataset):
    assert len(load(dataset)) == 0
    assert not dataset.workspace.path.exists(), "looking writes nothing"


def test_fovs_that_were_not_tracked_are_left_out(processed):
    processed.workspace.forget("tracks", processed["A/1/1"])
    assert load(processed).fovs == ("A/1/0", "B/1/0", "B/1/1")


def test_a_fov_that_was_not_embedded_has_no_place_and_no_prediction(processed):
    processed.workspace.forget("embeddings.features", processed["A/1/1"])
    cells = load(processed)
    bare = np.zeros(len(cells), bool)
    bare[cells.rows_of("A/1/1")] = True
    np.testing.assert_array_equal(np.isnan(cells.maps["pca"]).all(axis=1), bare)
    np.testing.assert_array_equal(cells.predictions["infection"].codes < 0, bare)
    np.testing.assert_array_equal(np.isnan(cells.predictions["infection"].confidence), bare)


def test_what_was_made_from_older_tracks_is_left_out(processed):
    one = processed.select(["B/1/0"])
    segment(one, params("segment", sensitivity=1.3))
    assert "B/1/0" not in load(processed).fovs, "its tracks speak of other cells"
    track(one)
    cells = load(processed)
    rows = cells.rows_of("B/1/0")
    assert rows.stop > rows.start
    assert np.isnan(cells.maps["pca"][rows]).all()
    assert (cells.predictions["infection"].codes[rows] == -1).all()
    assert not np.isnan(cells.maps["pca"][cells.rows_of("B/1/1")]).any()


def test_states_of_an_older_classifier_go_under_their_own_names(processed):
    """One FOV was predicted with other states, in another order."""
    expected = load(processed).predictions["infection"]

    def older(shard):
        probability = shard.obsm["predicted_infection_proba"]
        shard.obsm["predicted_infection_proba"] = np.column_stack(
            [np.zeros(len(probability)), probability[:, ::-1]]
        )
        shard.uns["predicted_infection_classes"] = np.array(["dying", *expected.states[::-1]])

    rewrite(processed, "B/1/1", older)
    found = load(processed).predictions["infection"]
    assert found.states == (*expected.states, "dying")
    np.testing.assert_array_equal(found.probability[:, :2], expected.probability)
    assert (found.probability[:, 2] == 0).all()
    np.testing.assert_array_equal(found.codes, expected.codes)


def test_maps_come_by_preference(processed):
    def more(shard):
        shard.obsm["X_umap"] = shard.obsm["X_pca"] + 1
        shard.obsm["X_phate"] = np.column_stack([shard.obsm["X_pca"]] * 2)
        shard.obsm["X_other"] = np.asarray(shard.obsm["X_pca"])[:, :1]

    rewrite(processed, "A/1/0", more)
    cells = load(processed)
    assert list(cells.maps) == ["phate", "umap", "pca", "other"]
    assert {places.shape for places in cells.maps.values()} == {(len(cells), 2)}
    rows = cells.rows_of("A/1/0")
    np.testing.assert_allclose(cells.maps["phate"][rows], cells.maps["pca"][rows])
    assert np.isnan(cells.maps["other"][:, 1]).all()
    assert np.isnan(cells.maps["umap"][rows.stop :]).all()


def test_of_a_cell_that_a_shard_lacks_nothing_is_shown(processed):
    """One that was added by hand, for instance."""
    before = load(processed)
    rewrite(processed, "A/1/0", lambda shard: ad.AnnData(shard.X[:-1], shard.obs[:-1], obsm={
        "X_pca": shard.obsm["X_pca"][:-1]
    }))  # fmt: skip
    cells = load(processed)
    here = cells.rows_of("A/1/0")
    assert np.isnan(cells.maps["pca"][here.stop - 1]).all()
    np.testing.assert_array_equal(
        cells.maps["pca"][: here.stop - 1], before.maps["pca"][: here.stop - 1]
    )
    assert not np.isnan(cells.maps["pca"][cells.rows_of("B/1/0")]).any()


def test_loading_can_be_cancelled(processed):
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        load_cells(processed, "features", job)


def test_maps_of_several_runs_are_told_apart(processed):
    assert load_cells(processed, "features", Job()).mixed == frozenset()
    project(processed.select(["B/1/0"]), params("project", "pca"))
    assert load_cells(processed, "features", Job()).mixed == {"pca"}
    assert load_cells(processed.select(["B/1/0"]), "features", Job()).mixed == frozenset()
    project(processed, params("project", "pca"))
    assert load_cells(processed, "features", Job()).mixed == frozenset()
