from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from boxes import COUNT, FOV, begin, boxes, node

from napari_dynaclr import Job, annotate, classify, embed, project, track
from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingInput
from napari_dynaclr.core.fov import Fov
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.shards import nodes, read_shard
from napari_dynaclr.core.tables import read_tracks
from napari_dynaclr.session.cells import load_cells
from napari_dynaclr.session.plate import plate_status
from napari_dynaclr.tracking.correction.corrector import Corrector


def movie_of(folder):
    return np.stack([f[0] for _, f in Fov(folder, FOV).frames(["labels"], allow_empty=True)])


def files_of(folder):
    return {f.relative_to(folder): f for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.fixture
def home(movie):
    return movie.workspace.path


def test_written_tracks_are_what_was_seen(movie, home):
    fov = movie.fovs[0]
    engine, before = movie.workspace.tracks(fov), movie_of(home / "tracks.zarr" / FOV)
    corrector = Corrector(movie, FOV)
    corrector.cut(node(3, 1))
    corrector.delete_track(node(2, 2))
    corrector.add(1, 0, 30, 50, 3.0)
    seen = np.stack([corrector.labels(t) for t in range(COUNT)])
    assert corrector.write()
    pd.testing.assert_frame_equal(movie.workspace.tracks(fov), corrector.tracks)
    np.testing.assert_array_equal(movie_of(home / "tracks.zarr" / FOV), seen)
    for row in corrector.tracks.itertuples():
        place = np.argwhere(seen[row.t] == row.track_id).mean(axis=0)
        np.testing.assert_allclose([row.z, row.y, row.x], place, atol=1e-6)
    # What the method made is kept.
    kept = home / "linked.zarr" / FOV
    pd.testing.assert_frame_equal(read_tracks(kept / "tracks.csv"), engine)
    np.testing.assert_array_equal(movie_of(kept), before)
    assert not corrector.write(), "nothing more to write"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_frames_without_a_change_share_their_pixels_with_what_is_kept(make_plate, version):
    dataset = begin(make_plate, boxes(), version=version)
    home, corrector = dataset.workspace.path, Corrector(dataset, FOV)
    original = movie_of(home / "tracks.zarr" / FOV)
    corrector.cut(node(4, 1))
    corrector.write()
    linked, tracks = (files_of(home / name / FOV) for name in ("linked.zarr", "tracks.zarr"))
    same = {name for name in tracks if name in linked and tracks[name].samefile(linked[name])}
    chunks = [name for name in tracks if name.parts[0] == "0" and name.name[0] not in ".z"]
    assert len(chunks) == COUNT
    assert len(same) == 4
    assert same < set(chunks), "metadata are files of their own"
    np.testing.assert_array_equal(movie_of(home / "linked.zarr" / FOV), original)
    corrector.undo()
    corrector.delete_track(node(0, 2))
    corrector.write()
    np.testing.assert_array_equal(movie_of(home / "linked.zarr" / FOV), original)
    np.testing.assert_array_equal(
        movie_of(home / "tracks.zarr" / FOV), np.where(original == 2, 0, original)
    )


def test_what_was_undone_is_taken_back_from_disk_too(movie, home):
    fov = movie.fovs[0]
    table, pixels = movie.workspace.tracks(fov), movie_of(home / "tracks.zarr" / FOV)
    corrector = Corrector(movie, FOV)
    corrector.swap(node(2, 1), node(2, 2))
    corrector.delete_node(node(4, 3))
    corrector.write()
    assert not movie.workspace.tracks(fov).equals(table)
    corrector.undo()
    corrector.undo()
    corrector.write()
    pd.testing.assert_frame_equal(movie.workspace.tracks(fov), table)
    np.testing.assert_array_equal(movie_of(home / "tracks.zarr" / FOV), pixels)


def test_until_it_is_written_what_needs_the_tracks_names_correct(movie):
    fov, corrector = movie.fovs[0], Corrector(movie, FOV)
    corrector.cut(node(2, 1))
    for refused in (lambda: movie.workspace.tracks(fov), lambda: embed(movie)):
        with pytest.raises(
            MissingInput, match="not in the tracks for FOV A/1/0 yet: run 'correct'"
        ):
            refused()
    assert corrector.behind
    corrector.undo()
    assert not corrector.behind, "as they were: there is nothing to write"
    assert len(movie.workspace.tracks(fov))
    corrector.redo()
    corrector.write()
    assert not corrector.behind
    assert len(movie.workspace.tracks(fov))


def test_tracking_again_with_the_same_settings_loses_nothing(movie):
    corrector = Corrector(movie, FOV)
    corrector.delete_track(node(2, 1))
    with pytest.raises(MissingInput, match="run 'correct' first"):
        track(movie, parse("track", "masks", {}))
    corrector.write()
    table = track(movie, parse("track", "masks", {}))
    assert 1 not in set(table["track_id"])


def test_tracking_with_others_replaces_and_with_the_first_again_has_the_corrections(movie):
    fov, corrector = movie.fovs[0], Corrector(movie, FOV)
    key = movie.workspace.key("tracks", fov)
    corrector.delete_track(node(2, 1))
    corrector.write()
    expected = movie.workspace.tracks(fov)
    other = track(movie, parse("track", "laptrack", {}))
    assert movie.workspace.key("tracks", fov) != key
    assert node(2, 1) in set(other["id"]), "the corrections are of other tracks"
    assert not movie.workspace.behind(fov)
    later = Corrector(movie, FOV)
    assert [one.correction.action for one in later.waiting] == ["delete_track"]
    later.cut(node(3, 2))
    later.write()
    # Tracked as at first: those tracks had been corrected, and lack it now.
    with pytest.raises(MissingInput, match="run 'correct' first"):
        track(movie, parse("track", "masks", {}))
    assert movie.workspace.key("tracks", fov) == key
    assert Corrector(movie, FOV).write()
    pd.testing.assert_frame_equal(movie.workspace.tracks(fov), expected)


def test_embeddings_go_along_by_node(embedded):
    fov = embedded.fovs[0]
    shard = embedded.workspace.shard("features", fov)
    key = embedded.workspace.key("embeddings.features", fov)
    vectors = dict(zip(nodes(read_shard(shard))["id"], read_shard(shard).X, strict=True))
    corrector = Corrector(embedded, FOV)
    corrector.cut(node(3, 1))
    corrector.delete_node(node(2, 2))
    corrector.write()
    data, tracks = read_shard(shard), embedded.workspace.tracks(fov)
    assert embedded.workspace.key("embeddings.features", fov) == key
    assert not embedded.workspace.outdated("embeddings.features", fov)
    columns = ["id", "t", "track_id", "parent_track_id", "parent_id"]
    held = nodes(data)
    np.testing.assert_array_equal(held[columns], tracks[columns])
    for row, one in enumerate(held["id"]):
        np.testing.assert_array_equal(data.X[row], vectors[one])
    assert plate_status(embedded)[FOV] >= {"tracked", "embedded"}


def test_an_added_cell_has_no_embedding_until_embed_runs_again(embedded):
    fov, notes = embedded.fovs[0], []
    workspace = embedded.workspace
    project(embedded, parse("project", "pca", {"components": 2}))
    corrector = Corrector(embedded, FOV)
    (new,) = corrector.add(1, 0, 30, 50, 3.0).ids
    corrector.write(noting(notes))
    assert any(
        "1 added cell has no embedding 'features' yet: run 'embed' again" in n for n in notes
    )
    cells = load_cells(embedded, "features", Job())
    known = ~np.isnan(cells.maps["pca"][:, 0])
    assert cells.id[~known].tolist() == [new], "all others are on the map still"
    assert workspace.edited("embeddings.features", fov)
    embed(embedded)
    assert not workspace.edited("embeddings.features", fov)
    assert new in set(nodes(workspace.embedding("features", fov))["id"])
    # Taken back, its vector goes; given back, it is made again.
    corrector.undo()
    corrector.write()
    assert new not in set(nodes(workspace.embedding("features", fov))["id"])
    embed(embedded)
    np.testing.assert_array_equal(
        nodes(workspace.embedding("features", fov))["id"], workspace.tracks(fov)["id"]
    )


def noting(notes):
    job = Job()
    job.note = notes.append
    return job


def test_annotations_and_predictions_stay_with_their_cells(embedded, tmp_path):
    workspace, fov = embedded.workspace, embedded.fovs[0]
    table = workspace.tracks(fov)
    states = table.assign(
        fov_name=FOV, state=np.where(table["track_id"] < 3, "infected", "uninfected")
    )
    states[["fov_name", "t", "y", "x", "state"]].to_csv(tmp_path / "clicks.csv", index=False)
    annotate(embedded, parse("annotate", "points", {"path": str(tmp_path / "clicks.csv")}))
    predicted = classify(embedded, parse("classify", "linear", {"folds": 2}))
    before = current_annotations(embedded).set_index("id")
    corrector = Corrector(embedded, FOV)
    corrector.cut(node(3, 1))
    corrector.delete_node(node(2, 2))
    corrector.write()
    now = workspace.tracks(fov).set_index("id")
    after = current_annotations(embedded).set_index("id")
    assert set(after.index) == set(before.index) - {node(2, 2)}
    assert (after["infection_state"] == before.loc[after.index, "infection_state"]).all()
    assert (after["track_id"] == now.loc[after.index, "track_id"]).all()
    csv = pd.read_csv(workspace.annotations_csv).set_index("id")
    assert (csv["track_id"] == after.loc[csv.index, "track_id"]).all()
    new = pd.read_csv(workspace.predictions("infection")).set_index("id")
    old = predicted.set_index("id")
    assert set(new.index) == set(now.index)
    assert (new["track_id"] == now.loc[new.index, "track_id"]).all()
    np.testing.assert_allclose(new["confidence"], old.loc[new.index, "confidence"], rtol=1e-6)
    held = nodes(workspace.embedding("features", fov)).set_index("id")
    assert (held["predicted_infection"] == new.loc[held.index, "predicted_infection"]).all()
    corrector.undo()
    assert len(current_annotations(embedded)) == len(after), "also while it waits to be written"
    corrector.write()
    assert set(current_annotations(embedded)["id"]) == set(before.index)


def test_an_embedding_under_way_begins_anew(embedded):
    """What an interrupted run left is in the order of a table that is another now."""
    fov, workspace = embedded.fovs[0], embedded.workspace
    left = workspace.partial("embeddings.other", fov, "key")
    corrector = Corrector(embedded, FOV)
    corrector.cut(node(3, 1))
    with (
        workspace.claim("embeddings.other", fov),
        pytest.raises(InvalidInput, match="Another process is working"),
    ):
        corrector.write()
    assert left.exists()
    assert corrector.behind
    corrector.write()
    assert not left.exists()


def test_cancelled_it_leaves_everything_as_it_was(movie, home):
    before = {name: f.read_bytes() for name, f in files_of(home / "tracks.zarr").items()}
    corrector = Corrector(movie, FOV)
    corrector.cut(node(1, 1))
    job = Job(lambda progress: job.cancel() if progress.text.startswith("correct") else None)
    with pytest.raises(Cancelled):
        corrector.write(job)
    assert {name: f.read_bytes() for name, f in files_of(home / "tracks.zarr").items()} == before
    assert corrector.behind
    assert corrector.write()


def test_where_all_cells_are_deleted_the_table_is_empty(movie):
    corrector = Corrector(movie, FOV)
    for one in range(1, 5):
        corrector.delete_track(node(2, one))
    corrector.write()
    assert movie.workspace.tracks(movie.fovs[0]).empty
    assert Corrector(movie, FOV).tracks.empty


def test_kept_tracks_that_were_deleted_are_asked_for(movie, home):
    corrector = Corrector(movie, FOV)
    corrector.cut(node(2, 1))
    corrector.write()
    shutil.rmtree(home / "linked.zarr")
    with pytest.raises(MissingInput, match=r"uncorrected tracks .* run 'track' first"):
        Corrector(movie, FOV)
    with pytest.raises(MissingInput, match="run 'correct' first"):
        track(movie, parse("track", "masks", {}))
    Corrector(movie, FOV).write()
    assert movie.workspace.tracks(movie.fovs[0])["track_id"].max() == 5


def test_the_ledger_says_which_corrections_are_in(movie, home):
    corrector = Corrector(movie, FOV)
    corrector.cut(node(2, 1))
    corrector.write()
    entry = json.loads((home / "progress" / "tracks" / "A_1_0.json").read_text())
    assert entry["key"] == corrector.key
    assert entry["corrections"]
    assert entry["inputs"] == {"segmentation": movie.workspace.key("segmentation", movie.fovs[0])}
