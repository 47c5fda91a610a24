from __future__ import annotations

import numpy as np
import pytest
from effort import calls

from napari_dynaclr.session.cells import Cells, Prediction
from napari_dynaclr.session.lineage import (
    CARRIED,
    annotated,
    lineage_of,
    predicted,
)
from napari_dynaclr.session.marks import Given, Marks

FAMILY = (
    (1, -1, 0, 9),
    (2, 1, 10, 19),
    (3, 1, 10, 14),
    (4, 3, 15, 19),
    (5, 3, 15, 16),
    (9, -1, 3, 8),
)
"""Track, parent, first and last time point: 1 divides into 2 and 3, 3 into 4 and 5."""


def make_cells(tracks=FAMILY, fovs=("A/1/0", "A/1/1")):
    """The same tracks in every FOV."""
    nodes = np.array([(k, p, t) for k, p, a, b in tracks for t in range(a, b + 1)])
    count = len(nodes)
    track, parent, t = np.tile(nodes, (len(fovs), 1)).T
    return Cells(
        fovs=fovs,
        fov=np.repeat(np.arange(len(fovs), dtype=np.int32), count),
        track=track,
        t=t,
        id=np.tile(np.arange(count), len(fovs)),
        parent=parent,
        position=np.zeros((count * len(fovs), 3), np.float32),
    )


def test_each_track_lies_above_its_daughters():
    lineage = lineage_of(make_cells(), "A/1/1", 4)
    assert [lane.track for lane in lineage.lanes] == [1, 2, 3, 4, 5]
    assert [lane.parent for lane in lineage.lanes] == [-1, 0, 0, 2, 2]
    assert (lineage.start, lineage.end) == (0, 19)
    assert lineage.lane_of(3) == 2
    assert lineage.lane_of(9) == -1


def test_rows_are_of_the_fov_that_was_asked_for():
    cells = make_cells()
    lineage = lineage_of(cells, "A/1/1", 9)
    (lane,) = lineage.lanes
    assert (cells.fov[lane.rows] == 1).all()
    assert cells.t[lane.rows].tolist() == [3, 4, 5, 6, 7, 8]


def test_it_agrees_with_the_cells_own_lineage():
    cells = make_cells()
    for track in (1, 2, 5, 9):
        lanes = {lane.track for lane in lineage_of(cells, "A/1/0", track).lanes}
        assert lanes == set(cells.lineage("A/1/0", track))


def test_there_is_none_of_an_unknown_track():
    assert lineage_of(make_cells(), "A/1/0", 77) is None
    assert lineage_of(make_cells(), "C/1/0", 1) is None
    assert lineage_of(Cells(), "A/1/0", 1) is None


@pytest.mark.parametrize("parents", [(2, 1), (7, 7), (1, 2)])
def test_odd_parents_end_somewhere(parents):
    cells = make_cells(((1, parents[0], 0, 3), (2, parents[1], 4, 6)))
    tracks = [lane.track for lane in lineage_of(cells, "A/1/0", 1).lanes]
    assert 1 in tracks
    assert len(tracks) == len(set(tracks))


def test_samples_of_all_lanes_share_time_points():
    lineage = lineage_of(make_cells(), "A/1/0", 1)
    times = {int(t) for lane in lineage.lanes for t in lane.t[lane.sample(5) - lane.rows[0]]}
    assert times == {0, 5, 10, 15}


def test_a_short_track_has_a_sample_nevertheless():
    cells = make_cells(((1, -1, 3, 6),))
    (lane,) = lineage_of(cells, "A/1/0", 1).lanes
    assert cells.t[lane.sample(100)].tolist() == [5]


def test_nearest_row_bridges_gaps():
    cells = make_cells(((1, -1, 0, 2), (1, -1, 8, 9)))
    (lane,) = lineage_of(cells, "A/1/0", 1).lanes
    found = [int(cells.t[lane.row_at(t)]) for t in (-4, 1, 4, 6, 99)]
    assert found == [0, 1, 2, 8, 9]


def test_one_walks_from_mother_to_daughter_and_back():
    cells = make_cells()
    lineage = lineage_of(cells, "A/1/0", 1)
    end = int(cells.of_track("A/1/0", 1)[-1])
    born = lineage.neighbour(cells, end, 1)
    assert (cells.track[born], cells.t[born]) == (2, 10)
    assert lineage.neighbour(cells, born, -1) == end
    first, last = int(cells.of_track("A/1/0", 1)[0]), int(cells.of_track("A/1/0", 4)[-1])
    assert lineage.neighbour(cells, first, -1) == first
    assert lineage.neighbour(cells, last, 1) == last


def test_annotations_tell_clicks_from_what_follows():
    cells, marks = make_cells(), Marks()
    rows = cells.of_track("A/1/0", 1)
    ids = cells.id[rows]
    marks.put("A/1/0", int(ids[2]), "infection", Given("infected", False))
    for node in ids[3:6]:
        marks.put("A/1/0", int(node), "infection", Given("infected", True))
    marks.put("A/1/0", int(ids[8]), "division", Given("mitosis", False))
    lane = lineage_of(cells, "A/1/0", 1).lanes[0]
    said = annotated(cells, lane, marks, "infection")
    assert said.states == ("infected",)
    assert said.codes.tolist() == [-1, -1, 0, 0, 0, 0, -1, -1, -1, -1]
    assert said.strength[2:6].tolist() == [1.0, CARRIED, CARRIED, CARRIED]


def test_predictions_are_as_strong_as_they_are_sure():
    cells = make_cells(((1, -1, 0, 5),), ("A/1/0",))
    probability = np.array(
        [[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [np.nan, np.nan], [0.1, 0.9]], np.float32
    )
    prediction = Prediction(("uninfected", "infected"), probability)
    cells = Cells(**{**vars(cells), "predictions": {"infection": prediction}})
    lane = lineage_of(cells, "A/1/0", 1).lanes[0]
    said = predicted(cells, lane, "infection")
    assert said.codes.tolist() == [0, 0, 1, 1, -1, 1]
    np.testing.assert_allclose(said.strength, [0.9, 0.9, 0.6, 0.9, 0, 0.9])
    assert predicted(cells, lane, "death") is None


def test_a_lineage_among_a_million_nodes_is_laid_out_without_visiting_the_others():
    few, many = among(100), among(10_000)
    for cells in (few, many):  # parents are looked up once for all lineages
        lineage_of(cells, "A/1/0", 10)
    efforts = [calls(lambda c=cells: lineage_of(c, "A/1/0", 50)) for cells in (few, many)]
    assert efforts[1] < 1.5 * efforts[0]
    assert [lane.track for lane in lineage_of(many, "A/1/0", 5000).lanes] == [4999, 5000]


def among(count):
    """Cells of pairs of tracks, mother and daughter, 100 time points each."""
    tracks = np.repeat(np.arange(1, count + 1), 100)
    parent = np.where(tracks % 2, -1, tracks - 1)
    return Cells(
        fovs=("A/1/0",),
        fov=np.zeros(len(tracks), np.int32),
        track=tracks,
        t=np.tile(np.arange(100), count),
        id=np.arange(len(tracks)),
        parent=parent,
        position=np.zeros((len(tracks), 3), np.float32),
    )
