from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from boxes import FOV, begin, boxes, node
from forests import check_forest

from napari_dynaclr import track
from napari_dynaclr.core.errors import InvalidInput, MissingInput, StorageError
from napari_dynaclr.core.registry import parse
from napari_dynaclr.tracking.correction.corrector import Corrector


def tracks_at(corrector, t):
    table = corrector.tracks
    return set(table.loc[table["t"] == t, "track_id"])


def test_every_action_is_on_disk_before_it_returns(movie, monkeypatch):
    corrector = Corrector(movie, FOV)
    path = movie.workspace.corrections
    synced = []
    original = os.fsync

    def fsync(number):
        original(number)
        if path.exists() and os.fstat(number).st_ino == path.stat().st_ino:
            synced.append(path.read_bytes().count(b"\n"))

    monkeypatch.setattr(os, "fsync", fsync)
    steps = [lambda: corrector.cut(node(2, 1)), corrector.undo, corrector.redo]
    for count, step in enumerate(steps, start=1):
        step()
        assert synced == list(range(1, count + 1))


def test_actions_survive_a_restart_and_a_line_cut_short(movie):
    first = Corrector(movie, FOV, by="ada")
    first.cut(node(2, 1))
    first.swap(node(4, 1), node(4, 2))
    kept = first.tracks
    first.delete_track(node(2, 3))
    path = movie.workspace.corrections
    whole = path.read_bytes()
    path.write_bytes(whole[:-25])  # a crash in the middle of the third line
    second = Corrector(movie, FOV)
    pd.testing.assert_frame_equal(second.tracks, kept)
    assert [one.by for one in second.corrections] == ["ada", "ada"]
    assert all(one.date.endswith("+00:00") for one in second.corrections)
    second.delete_track(node(2, 3))
    pd.testing.assert_frame_equal(Corrector(movie, FOV).tracks, second.tracks)
    assert 3 not in set(second.tracks["track_id"])


def test_undo_and_redo_go_back_and_forth_also_after_a_restart(movie):
    corrector = Corrector(movie, FOV)
    states = [corrector.tracks]
    for step in (
        lambda: corrector.cut(node(3, 2)),
        lambda: corrector.add(1, 0, 30, 50, 3.0),
        lambda: corrector.delete_node(node(2, 4)),
        lambda: corrector.merge(node(0, 2), node(5, 2)),
    ):
        step()
        check_forest(corrector.tracks)
        states.append(corrector.tracks)
    for before in states[-2::-1]:
        corrector = Corrector(movie, FOV)
        assert corrector.can_undo
        assert corrector.undo().said.startswith("undo: ")
        pd.testing.assert_frame_equal(corrector.tracks, before)
    assert corrector.undo() is None
    assert not corrector.can_undo
    for after in states[1:]:
        corrector = Corrector(movie, FOV)
        assert corrector.can_redo
        corrector.redo()
        pd.testing.assert_frame_equal(corrector.tracks, after)
    assert corrector.redo() is None


def test_two_windows_see_what_the_other_has_done(movie):
    one, other = Corrector(movie, FOV), Corrector(movie, FOV)
    one.cut(node(2, 1))
    outcome = other.cut(node(3, 2))
    assert {node(2, 1), node(3, 2)} <= set(outcome.ids), "what the other did is among it"
    pd.testing.assert_frame_equal(Corrector(movie, FOV).tracks, other.tracks)
    one.undo()
    pd.testing.assert_frame_equal(one.tracks, Corrector(movie, FOV).tracks)
    assert [a.correction.places[0].id for a in one.corrections] == [node(2, 1)]
    with pytest.raises(InvalidInput, match="nothing before it"):
        other.cut(node(2, 1))
    assert len(other.corrections) == 1


def test_each_fov_is_undone_by_itself(make_plate):
    dataset = begin(make_plate, boxes(), ("A/1/0", "A/1/1"))
    one, other = Corrector(dataset, "A/1/0"), Corrector(dataset, "A/1/1")
    one.cut(node(2, 1))
    other.cut(node(3, 1))
    one.undo()
    assert not one.corrections
    assert len(other.corrections) == 1
    other.cut(node(3, 2))
    assert one.can_redo, "what is done in one FOV takes nothing from another"


def test_what_is_refused_is_neither_done_nor_written(movie):
    corrector = Corrector(movie, FOV)
    before = corrector.tracks
    for refused, line in (
        (lambda: corrector.cut(node(0, 1)), "Track 1 at t=0 has nothing before it"),
        (lambda: corrector.cut(77), "no cell with the id 77"),
        (lambda: corrector.link(node(2, 1), node(2, 2)), "not from t=2 to t=2"),
        (lambda: corrector.link(node(3, 1), node(2, 2)), "not from t=3 to t=2"),
        (lambda: corrector.link(node(1, 1), node(2, 1)), "linked already"),
        (lambda: corrector.link(node(1, 1), node(2, 2)), "goes on to t=2 already"),
        (lambda: corrector.swap(node(1, 1), node(2, 2)), "of t=1 and t=2"),
        (lambda: corrector.swap(node(0, 1), node(0, 2)), "Neither has anything before it"),
        (lambda: corrector.merge(node(0, 1), node(2, 4)), "ends after"),
        (lambda: corrector.divide(node(1, 1), node(2, 2), node(2, 2)), "same cell"),
        (lambda: corrector.divide(node(1, 1), node(2, 2), node(2, 3)), "goes on to t=2 otherwise"),
        (lambda: corrector.undivide(node(1, 1)), "does not divide"),
        (lambda: corrector.add(9, 0, 5, 5, 2), "is outside FOV A/1/0"),
        (lambda: corrector.add(1, 0, -3, 5, 2), "is outside FOV A/1/0"),
        (lambda: corrector.add(1, 0, np.nan, 5, 2), "is outside FOV A/1/0"),
        (lambda: corrector.add(1, 0, 10, 11, 2), "Track 1 is at this place at t=1 already"),
        (lambda: corrector.add(1, 0, 30, 50, 0), "radius of 0 um"),
    ):
        with pytest.raises(InvalidInput, match=line) as caught:
            refused()
        assert "\n" not in str(caught.value)
    pd.testing.assert_frame_equal(corrector.tracks, before)
    assert not movie.workspace.corrections.exists()


def test_where_the_disk_refuses_nothing_is_done(movie, monkeypatch):
    corrector = Corrector(movie, FOV)
    before = corrector.tracks

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_dynaclr.core.action_log._append_whole", full)
    with pytest.raises(StorageError, match="the disk is full"):
        corrector.cut(node(2, 1))
    pd.testing.assert_frame_equal(corrector.tracks, before)
    assert not corrector.corrections


def test_label_images_follow_at_once(movie):
    corrector = Corrector(movie, FOV)
    assert set(np.unique(corrector.labels(4))) == {0, 1, 2, 3, 4}
    outcome = corrector.cut(node(3, 1))
    assert outcome.times == {3, 4, 5}
    assert set(np.unique(corrector.labels(4))) == {0, 2, 3, 4, 5}
    assert corrector.labels(4)[0, 10, 14] == 5
    corrector.delete_node(node(4, 2))
    assert set(np.unique(corrector.labels(4))) == {0, 3, 4, 5}
    corrector.undo()
    assert corrector.labels(4)[0, 10, 34] == 2


def test_an_added_cell_is_a_disc_where_there_is_background(movie):
    corrector = Corrector(movie, FOV)
    table = corrector.tracks
    outcome = corrector.add(1, 0, 10, 17, 4.0)
    (new,) = outcome.ids
    row = corrector.tracks.set_index("id").loc[new]
    labels = corrector.labels(1)[0]
    mine = labels == row["track_id"]
    y, x = np.mgrid[:40, :60]
    assert mine.sum() == row["area"] > 30
    assert (mine == ((np.hypot(y - 10, x - 17) <= 4) & (boxes_at(movie, 1) == 0))).all()
    assert (labels == 1).sum() == (boxes_at(movie, 1) == 1).sum(), "its neighbour is as it was"
    assert new not in set(table["id"])
    corrector.undo()
    corrector.undo()
    again = corrector.add(1, 0, 30, 50, 3.0)
    assert set(again.ids) != {new}, "the id of what was undone is not given again"


def boxes_at(dataset, t):
    ((_, frame),) = dataset.workspace.labels("segmentation", dataset.fovs[0]).frames(
        ["labels"], [t]
    )
    return frame[0, 0]


def test_a_cell_can_be_added_where_one_was_deleted(movie):
    corrector = Corrector(movie, FOV)
    corrector.delete_node(node(2, 1))
    (new,) = corrector.add(2, 0, 10, 12, 3.0).ids
    corrector.link(node(1, 1), new, replace=True)
    table = corrector.tracks.set_index("id")
    assert table.loc[new, "track_id"] == 1
    assert table.loc[new, "parent_id"] == node(1, 1)
    corrector.merge(new, node(3, 1))
    assert list(corrector.tracks.query("track_id == 1")["t"]) == list(range(6))


def test_tracks_made_anew_are_not_corrected_by_what_was_open(movie):
    corrector = Corrector(movie, FOV)
    corrector.cut(node(2, 1))
    track(movie, parse("track", "laptrack", {}))
    with pytest.raises(InvalidInput, match="FOV A/1/0 has been tracked again: open its tracks"):
        corrector.cut(node(3, 1))
    later = Corrector(movie, FOV)
    assert not later.corrections
    assert [one.correction.action for one in later.waiting] == ["cut"]


def test_without_tracks_it_names_the_stage_to_run(dataset):
    with pytest.raises(MissingInput, match="No tracks found for FOV A/1/0: run 'track' first"):
        Corrector(dataset, FOV)


def test_accepted_places_are_in_the_journal_and_change_no_track(movie):
    corrector = Corrector(movie, FOV)
    before = corrector.tracks
    corrector.accept("jump", node(3, 1))
    pd.testing.assert_frame_equal(corrector.tracks, before)
    assert not corrector.behind
    assert Corrector(movie, FOV).corrections[0].correction.kind == "jump"
    corrector.undo()
    assert not corrector.behind
