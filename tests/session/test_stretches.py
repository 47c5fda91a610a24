from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from effort import calls

from napari_dynaclr.session.cells import Cells
from napari_dynaclr.session.marks import Given, Marks
from napari_dynaclr.session.stretches import Stops, Tally, between, from_here_on, whole_tracks


def make(tracks, frames, fovs=("A/1/0", "A/1/1")):
    """Cells of some tracks over some frames in each FOV."""
    fov, track, t = (
        one.ravel()
        for one in np.meshgrid(
            np.arange(len(fovs)), np.arange(1, tracks + 1), np.arange(frames), indexing="ij"
        )
    )
    return Cells(
        fovs=tuple(fovs),
        fov=fov.astype(np.int32),
        track=track,
        t=t,
        id=np.tile(np.arange(tracks * frames) + 1, len(fovs)),
        parent=np.full(len(t), -1),
        position=np.zeros((len(t), 3), np.float32),
    ).index()


def naive(cells, rows, onward):
    starts = {}
    for row in rows:
        key = (cells.fov[row], cells.track[row])
        starts[key] = min(starts.get(key, row), row)
    return [
        i
        for i in range(len(cells))
        if (key := (cells.fov[i], cells.track[i])) in starts and (not onward or i >= starts[key])
    ]


@pytest.mark.parametrize("rows", [[], [0], [7], [3, 5, 11], [23], [1, 12, 13, 22]])
def test_stretches_are_those_found_the_plain_way(rows):
    cells = make(tracks=3, frames=4)
    rows = np.array(rows, np.intp)
    assert whole_tracks(cells, rows).tolist() == naive(cells, rows, onward=False)
    assert from_here_on(cells, rows).tolist() == naive(cells, rows, onward=True)


def test_no_cells_have_no_stretches():
    assert len(whole_tracks(Cells(), np.zeros(0, np.intp))) == 0
    assert len(from_here_on(Cells(), np.zeros(0, np.intp))) == 0


def family():
    """Mother 5 (t 0-4) has the daughters 2 (t 5-7) and 9 (t 5-6); 2 has 7 (t 8-9); 3 is alone."""
    lives = {2: (5, 8, 5), 3: (0, 10, -1), 5: (0, 5, -1), 7: (8, 10, 2), 9: (5, 7, 5)}
    one = [(k, t, p) for k, (first, end, p) in lives.items() for t in range(first, end)]
    track, t, parent = np.tile(np.array(one), (2, 1)).T
    fov = np.repeat(np.arange(2, dtype=np.int32), len(one))
    return Cells(
        fovs=("A/1/0", "A/1/1"), fov=fov, track=track, t=t, parent=parent,
        id=1_000_000 * (t + 1) + track, position=np.zeros((len(t), 3), np.float32),
    ).index()  # fmt: skip


def row_of(cells, track, t, fov=0):
    return int(cells.find(cells.fovs[fov], [1_000_000 * (t + 1) + track])[0])


@pytest.mark.parametrize("fov", [0, 1])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("one", "other", "path"),
    [
        ((3, 2), (3, 4), [(3, 2), (3, 3), (3, 4)]),
        ((3, 2), (3, 3), [(3, 2), (3, 3)]),
        ((5, 3), (7, 8), [(5, 3), (5, 4), (2, 5), (2, 6), (2, 7), (7, 8)]),
        ((5, 4), (9, 6), [(5, 4), (9, 5), (9, 6)]),
    ],
)
def test_between_two_cells_of_a_line_is_every_cell_from_one_to_the_other(
    one, other, path, turned, fov
):
    cells = family()
    rows = np.array([row_of(cells, *place, fov) for place in (one, other)])
    expected = sorted(row_of(cells, *place, fov) for place in path)
    assert between(cells, rows[::-1] if turned else rows).tolist() == expected


def test_between_sisters_strangers_and_other_numbers_of_cells_is_nothing():
    cells = family()
    for one, other in (((2, 5), (9, 5)), ((2, 5), (9, 6)), ((3, 0), (5, 2)), ((7, 9), (3, 9))):
        rows = np.array([row_of(cells, *one), row_of(cells, *other)])
        assert len(between(cells, rows)) == 0
    here, there = row_of(cells, 3, 1), row_of(cells, 3, 4, fov=1)
    for rows in ([here, there], [here], [], [here, here + 1, here + 2]):
        assert len(between(cells, np.array(rows, np.intp))) == 0


def test_tracks_that_descend_from_each_other_have_nothing_between_them():
    cells = family()
    circle = replace(cells, parent=np.where(cells.track == 5, 7, cells.parent)).index()
    rows = np.array([row_of(circle, 3, 0), row_of(circle, 7, 9)])
    assert len(between(circle, rows)) == 0


def test_cells_are_stretched_all_at_once():
    def effort(tracks):
        cells = make(tracks=tracks, frames=50)
        rows = np.arange(0, len(cells), 7)
        return calls(lambda: whole_tracks(cells, rows)) + calls(lambda: from_here_on(cells, rows))

    assert effort(2000) < 1.5 * effort(20) + 50


def test_a_tally_keeps_looked_at_and_carried_apart():
    marks = Marks()
    for node in range(1200):
        marks.put("A/1/0", node, "infection", Given("infected", node >= 40))
    marks.put("A/1/1", 1, "infection", Given("uninfected", False))
    marks.put("A/1/1", 1, "death", Given("dead", False))
    tally = Tally.of(marks, "infection")
    assert tally.text("infected") == "40 (+1,160)"
    assert tally.text("uninfected") == "1"
    assert tally.text("unknown") == "0"


def test_stops_go_by_fov_then_time_and_leave_out_what_was_carried():
    cells = make(tracks=2, frames=5, fovs=("A/1/0",))  # ids 1-5 and 6-10, both t 0-4
    marks = Marks()
    for fov, node in (("A/1/0", 4), ("A/1/0", 6), ("A/1/0", 1), ("B/1/0", 77)):
        marks.put(fov, node, "infection", Given("infected", False))
    marks.put("A/1/0", 5, "infection", Given("infected", True))
    stops = Stops.of(marks, "infection", cells, ["A/1/0", "A/2/0", "B/1/0"])
    visited, here = [], ("A/1/0", 0, -1)
    times = {1: 0, 6: 0, 4: 3, 77: 0}
    while (found := stops.step(here, 1)) is not None:
        visited.append(found)
        here = (found[0], times[found[1]], found[1])
    assert visited == [("A/1/0", 1), ("A/1/0", 6), ("A/1/0", 4), ("B/1/0", 77)]
    assert stops.step(("A/1/0", 3, 4), -1) == ("A/1/0", 6)
    assert stops.step(("A/1/0", 0, 1), -1) is None
    assert stops.step(("A/2/0", 3, -1), 1) == ("B/1/0", 77)
    assert stops.step(("A/2/0", 3, -1), -1) == ("A/1/0", 4)


def test_no_marks_have_no_stops():
    assert Stops.of(Marks(), "infection", Cells(), []).step(("A/1/0", 0, -1), 1) is None
