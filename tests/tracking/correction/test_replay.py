from __future__ import annotations

import json

import numpy as np
import pytest
from boxes import FOV, boxes, node

from napari_dynaclr import correct, segment, track
from napari_dynaclr.core.registry import parse
from napari_dynaclr.tracking.correction.corrector import Corrector
from napari_dynaclr.tracking.correction.journal import Corrections
from napari_dynaclr.tracking.correction.replay import replay


@pytest.fixture
def tracked_again(movie, make_plate):
    """Return a function that segments anew, with labels that a function changes, and tracks."""

    def again(change=lambda labels: labels, name="again.zarr"):
        labels = change(boxes())
        path = make_plate(name, {FOV: labels[:, None]})
        segment(movie, parse("segment", "import", {"path": str(path)}))
        track(movie, parse("track", "masks", {}))
        return Corrector(movie, FOV)

    return again


def renumbered(labels):
    """The same cells with other labels, so that all ids are others."""
    return np.where(labels > 0, 11 - labels, 0).astype(labels.dtype)


def other(track):
    return 11 - track


def test_what_was_corrected_is_done_again_to_the_cells_at_its_places(movie, tracked_again):
    first = Corrector(movie, FOV, by="ada")
    first.cut(node(3, 1))
    first.delete_track(node(2, 2))
    first.link(node(1, 1), node(2, 4), replace=True)
    (new,) = first.add(1, 0, 30, 50, 3.0).ids
    first.accept("jump", node(4, 3))
    first.delete_node(new)
    expected = first.tracks
    second = tracked_again(renumbered)
    assert len(second.waiting) == 6
    done, left_out = replay(movie, second)
    assert (len(done), left_out) == (6, [])
    assert not second.waiting
    now = second.tracks

    # Tracks have other numbers, but the same cells are linked to the same cells.
    def links(tracks):
        places = tracks.set_index("id")[["t", "y", "x"]]
        pairs = tracks.loc[tracks["parent_id"] >= 0, ["id", "parent_id"]].to_numpy()
        return {(tuple(places.loc[a]), tuple(places.loc[b])) for a, b in pairs}

    assert links(now) == links(expected)
    assert sorted(map(tuple, now[["t", "y", "x"]].to_numpy())) == sorted(
        map(tuple, expected[["t", "y", "x"]].to_numpy())
    )
    assert [one.correction.kind for one in second.corrections if one.correction.kind] == ["jump"]
    assert all(one.correction.replays for one in second.corrections)
    assert replay(movie, second) == ([], []), "once is enough"


def test_what_finds_no_cell_is_named_a_line_each(movie, tracked_again):
    first = Corrector(movie, FOV)
    first.cut(node(3, 1))
    first.delete_track(node(2, 2))
    first.cut(node(4, 3))

    def without_the_first(labels):
        return renumbered(np.where(labels == 1, 0, labels))

    second = tracked_again(without_the_first)
    done, left_out = replay(movie, second)
    assert len(done) == 2
    assert left_out == ["cut track 1 at t=3: no cell is at its place at t=3 any more."]
    assert len(second.waiting) == 1, "it waits for tracks that have such a cell"


def test_links_that_the_new_tracks_have_right_are_left_alone(movie, tracked_again):
    first = Corrector(movie, FOV)
    first.swap(node(3, 1), node(3, 2))
    first.cut(node(2, 3))

    def put_right(labels):
        """The futures of 1 and 2 exchanged, and 3 another cell before t=2."""
        result = labels.copy()
        result[3:][labels[3:] == 1] = 2
        result[3:][labels[3:] == 2] = 1
        result[:2][labels[:2] == 3] = 7
        return renumbered(result)

    second = tracked_again(put_right)
    before = second.tracks
    done, left_out = replay(movie, second)
    assert not done
    assert left_out[0].endswith("track 2 at t=3: it is linked otherwise now.")
    assert left_out[1] == "cut track 3 at t=2: it is linked otherwise now."
    assert second.tracks.equals(before)


def test_what_was_undone_on_tracks_in_between_does_not_come_back(movie, tracked_again):
    Corrector(movie, FOV).cut(node(3, 1))
    second = tracked_again(renumbered)
    replay(movie, second)
    assert len(second.corrections) == 1
    second.undo()
    assert not second.waiting
    third = tracked_again(lambda labels: np.where(labels > 0, labels + 20, 0), "third.zarr")
    assert not third.waiting


def test_the_command_repeats_and_writes_and_notes_what_is_left_out(movie, tracked_again):
    first = Corrector(movie, FOV)
    first.delete_track(node(2, 2))
    first.cut(node(3, 1))
    tracked_again(lambda labels: renumbered(np.where(labels == 1, 0, labels)))
    table = correct(movie, parse("correct", "replay", {}))
    assert table["action"].tolist() == ["delete_track"]
    assert other(2) not in set(movie.workspace.tracks(movie.fovs[0])["track_id"])
    assert len(Corrections(movie.workspace.corrections).ever(FOV, Corrector(movie, FOV).key)) == 1


def test_a_track_that_has_become_another_is_not_deleted(movie, tracked_again):
    """The cell at the place goes on as a healthy one now: its track is not what was deleted."""
    first = Corrector(movie, FOV)
    first.delete_track(node(2, 4))

    def futures_exchanged(labels):
        result = labels.copy()
        result[4:][labels[4:] == 4] = 2
        result[4:][labels[4:] == 2] = 4
        return renumbered(result)

    second = tracked_again(futures_exchanged)
    before = second.tracks
    done, left_out = replay(movie, second)
    assert not done
    assert left_out == [
        "delete track track 4 at t=2: its track is another now, of 4 time points instead of 4."
    ]
    assert second.tracks.equals(before)
    assert second.waiting


def test_fragments_and_divisions_that_are_others_now_are_left_alone(movie, tracked_again):
    first = Corrector(movie, FOV)
    first.cut(node(4, 2))
    first.merge(node(0, 2), node(5, 2))
    first.divide(node(1, 1), node(2, 1), node(2, 4))
    first.undivide(node(1, 1))
    expected = len(first.corrections)

    def otherwise(labels):
        """Track 2 ends at t=2, another goes on; track 4 begins a frame earlier."""
        result = labels.copy()
        result[3:][labels[3:] == 2] = 8
        result[1, 0, 27:33, 28:34] = 4
        return renumbered(result)

    second = tracked_again(otherwise)
    before = second.tracks
    done, left_out = replay(movie, second)
    assert [one.action.correction.action for one in done] == ["cut"]
    assert left_out[0].endswith("the tracks end and begin elsewhere now.")
    assert left_out[1].endswith("it is linked otherwise now.")
    assert "does not divide" in left_out[2] or "divides otherwise" in left_out[2]
    assert len(left_out) == 3
    assert set(second.tracks["id"]) == set(before["id"])
    third = tracked_again(renumbered, "third.zarr")
    done, left_out = replay(movie, third)
    assert (len(done), left_out) == (expected, []), "where they are as they were, they are repeated"


def test_actions_of_a_journal_without_what_they_reached_are_read(movie, tracked_again):
    Corrector(movie, FOV).delete_track(node(2, 2))
    path = movie.workspace.corrections
    entry = json.loads(path.read_text())
    assert [one["t"] for one in entry["correction"].pop("reached")] == [0, 5]
    assert entry["correction"].pop("size") == 6
    path.write_text(json.dumps(entry) + "\n")
    done, left_out = replay(movie, tracked_again(renumbered))
    assert (len(done), left_out) == (1, [])
