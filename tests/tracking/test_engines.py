"""What holds for the linkers of our own, whatever the cells do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracking.moving import FLAT, linked, links, moving, true_links

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.tracking import assignment, flow, laptrack

ENGINES = {
    "assignment": (assignment, assignment.AssignmentParams),
    "flow": (flow, flow.FlowParams),
}
engine = pytest.mark.parametrize("name", ENGINES)
shapes = {
    "count": st.integers(1, 25),
    "frames": st.integers(1, 12),
    "step": st.floats(0, 8),
    "divide": st.floats(0, 0.3),
    "missed": st.floats(0, 0.6),
    "seed": st.integers(0, 2**31),
    "depth": st.booleans(),
}


def run(name, nodes, job=None, scale=FLAT, **values):
    module, params = ENGINES[name]
    return linked(module, nodes, params(**values), scale, job)


def f1(found, truth):
    return 2 * len(found & truth) / (len(found) + len(truth))


@engine
@given(shape=st.fixed_dictionaries(shapes), gap=st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_every_cell_is_in_one_track_within_the_limits(name, shape, gap):
    nodes = moving(**shape)
    tracks = run(name, nodes, max_distance=6, max_gap=gap, max_division_distance=8)
    pd.testing.assert_frame_equal(tracks[list(nodes)], nodes)
    assert not tracks.duplicated(["track_id", "t"]).any()
    assert set(tracks["track_id"]) == set(range(1, tracks["track_id"].nunique() + 1))
    parents = tracks.groupby("track_id")["parent_track_id"].agg(["first", "nunique"])
    assert (parents["nunique"] == 1).all()
    families = parents.loc[parents["first"] > 0, "first"].value_counts()
    assert (families == 2).all()
    span = tracks.groupby("track_id")["t"].agg(["min", "max"])
    place = tracks[["z", "y", "x"]].to_numpy()
    track = tracks["track_id"].to_numpy()
    for one, other in links(tracks):
        lag = tracks.loc[other, "t"] - tracks.loc[one, "t"]
        far = np.linalg.norm(place[one] - place[other])
        if track[one] == track[other]:
            assert 1 <= lag <= gap + 1
            assert far <= 6 * lag**0.5 + 1e-9
        else:
            assert lag == 1
            assert far <= 8 + 1e-9
            assert span.loc[track[one], "max"] < span.loc[track[other], "min"]


@engine
@given(seed=st.integers(0, 2**31))
@settings(max_examples=8, deadline=None)
def test_the_order_of_the_rows_changes_nothing(name, seed):
    nodes = moving(20, 8, step=3, missed=0.1, divide=0.05, seed=seed)
    again = nodes.sample(frac=1, random_state=seed + 1)
    tracks, other = run(name, nodes), run(name, again).set_index(again.index).sort_index()
    pd.testing.assert_frame_equal(tracks, other)


@engine
def test_cells_that_are_well_apart_keep_their_tracks(name):
    nodes = moving(60, 15, step=1.0, divide=0.03, missed=0.02)
    assert f1(links(run(name, nodes)), true_links(nodes)) > 0.98


def test_flow_loses_fewer_cells_that_are_missed():
    nodes = moving(100, 12, step=2, missed=0.1)
    truth = true_links(nodes)
    by_flow, by_assignment = (f1(links(run(name, nodes)), truth) for name in ("flow", "assignment"))
    assert by_flow > by_assignment + 0.005


def test_the_assignment_is_as_good_as_laptracks():
    nodes = moving(150, 8, step=3, missed=0.03)
    truth = true_links(nodes)
    other = linked(laptrack, nodes, laptrack.LapTrackParams(max_distance=15))
    assert f1(links(run("assignment", nodes)), truth) > f1(links(other), truth) - 0.01


def test_windows_do_not_show():
    nodes = moving(30, 30, step=1.5, missed=0.05)
    whole = links(run("flow", nodes, window=100))
    assert f1(links(run("flow", nodes, window=8, overlap=3)), whole) > 0.995


@engine
@pytest.mark.parametrize("depth", [False, True])
def test_pixels_of_any_size_give_the_same(name, depth):
    nodes = moving(27, 6, step=2, depth=depth)
    scale = (3.0, 0.5, 0.25)
    small = nodes.assign(**{a: nodes[a] / f for a, f in zip("zyx", scale, strict=True)})
    assert links(run(name, small, scale=scale)) == links(run(name, nodes))


@engine
def test_a_label_that_stands_twice_is_refused(name):
    nodes = moving(5, 3, missed=0)
    nodes.loc[nodes.index[nodes["t"] == 1], "label"] = 7
    with pytest.raises(InvalidInput, match="Label 7 stands more than once at time point 1"):
        run(name, nodes)


@engine
def test_a_cell_without_a_position_is_refused(name):
    nodes = moving(5, 3, missed=0)
    nodes.loc[3, "x"] = np.nan
    with pytest.raises(InvalidInput, match="has no position"):
        run(name, nodes)


@engine
@pytest.mark.parametrize(("empty", "whole"), [(2, True), (3, False)])
def test_empty_frames_are_a_gap(name, empty, whole):
    nodes = moving(9, 12, step=0.5, divide=0, missed=0)
    nodes = nodes[~nodes["t"].isin(range(5, 5 + empty))].reset_index(drop=True)
    assert run(name, nodes)["track_id"].nunique() == (9 if whole else 18)


@engine
@pytest.mark.parametrize("empty", [3, 4, 5, 8, 10])
def test_gaps_as_long_as_asked_for_are_closed(name, empty):
    nodes = moving(9, 24, step=0.5, divide=0, missed=0)
    nodes = nodes[~nodes["t"].isin(range(7, 7 + empty))].reset_index(drop=True)
    assert run(name, nodes, max_gap=10)["track_id"].nunique() == 9
    assert run(name, nodes, max_gap=empty - 1)["track_id"].nunique() == 18


@engine
@pytest.mark.parametrize("t", [0, 4])
def test_one_frame_gives_every_cell_its_track(name, t):
    nodes = moving(6, 1, missed=0).assign(t=t)
    tracks = run(name, nodes)
    assert sorted(tracks["track_id"]) == [1, 2, 3, 4, 5, 6]
    assert (tracks["parent_track_id"] == -1).all()


@engine
def test_a_step_too_short_for_the_cells_is_said(name):
    nodes, job = moving(40, 6, step=4), Job()
    run(name, nodes, job, max_distance=1.0)
    (note,) = job.notes
    assert "of the cells have another within the largest step (1 um)" in note
    assert "Raise max_distance" in note
    enough = Job()
    run(name, nodes, enough, max_distance=15)
    assert enough.notes == []


def test_a_solver_without_time_is_said():
    nodes, job = moving(60, 8, step=1), Job()
    found = links(run("flow", nodes, job, time_limit=1e-9))
    (note,) = job.notes
    assert "groups of cells took longer than 1e-09 s" in note
    assert "Raise time_limit, or lower max_distance." in note
    assert f1(found, true_links(nodes)) > 0.9
