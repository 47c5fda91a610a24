from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Tracks

from napari_dynaclr.gui.layers.tracks import TAIL, TrackWindow, take_over, window
from napari_dynaclr.session.cells import Cells


def make_cells(tracks):
    """Cells of one FOV from {track: (parent, time points)}."""
    rows = [(track, t, parent) for track, (parent, times) in sorted(tracks.items()) for t in times]
    track, t, parent = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return Cells(
        fovs=("A/1/0",),
        fov=np.zeros(len(rows), np.int32),
        track=track,
        t=t,
        id=np.arange(len(rows), dtype=np.int64) + 100,
        parent=parent,
        position=np.stack([0 * t, t * 2.0, track * 3.0], axis=1).astype(np.float32),
    )


FAMILY = {1: (-1, range(0, 5)), 2: (1, range(5, 10)), 3: (1, range(5, 10)), 7: (-1, range(3, 8))}


class TestWindow:
    def test_all_time_points_where_they_fit(self):
        assert window(np.array([5, 5, 5]), 1, limit=15) == (0, 3)

    @pytest.mark.parametrize("t", [0, 30, 99])
    def test_never_more_than_the_limit_and_always_the_one_on_screen(self, t):
        counts = np.full(100, 10)
        start, stop = window(counts, t, limit=200)
        assert start <= t < stop
        assert counts[start:stop].sum() <= 200

    def test_a_tail_first_then_what_comes_next(self):
        start, stop = window(np.full(1000, 10), 500, limit=1000)
        assert 500 - start == TAIL
        assert stop - 500 == 100 - TAIL

    def test_a_crowded_frame_is_built_whatever_it_takes(self):
        assert window(np.array([5, 500, 5]), 1, limit=50) == (1, 2)

    def test_a_crowd_before_leaves_room_for_what_comes(self):
        start, stop = window(np.array([900, 50, 10, 10, 10]), 1, limit=100)
        assert (start, stop) == (1, 5)

    def test_time_points_without_cells(self):
        assert window(np.zeros(4, int), 2) == (0, 4)


def test_vertices_are_the_cells_in_space_and_time():
    cells = make_cells(FAMILY)
    layer, rows = TrackWindow(cells, "A/1/0", 10).build(0, name="tracks")
    assert rows.tolist() == list(range(len(cells)))
    np.testing.assert_array_equal(layer.data[:, 0], cells.track)
    np.testing.assert_array_equal(layer.data[:, 1], cells.t)
    np.testing.assert_allclose(layer.data[:, 2:], cells.position)
    assert list(layer.features["track_id"]) == cells.track.tolist()


def test_daughters_are_joined_to_their_mother():
    layer, _ = TrackWindow(make_cells(FAMILY), "A/1/0", 10).build(0)
    assert {child: list(parents) for child, parents in layer.graph.items()} == {2: [1], 3: [1]}


def test_a_mother_outside_the_window_is_left_out(monkeypatch):
    import napari_dynaclr.gui.layers.tracks as module

    monkeypatch.setattr(module, "VERTICES", 6)
    monkeypatch.setattr(module, "window", lambda counts, t, limit=6: window(counts, t, limit))
    made = TrackWindow(make_cells(FAMILY), "A/1/0", 10)
    layer, _ = made.build(8)
    assert layer.data[:, 1].min() > 4
    assert dict(layer.graph) == {}


def test_a_parent_that_is_not_there_is_left_out():
    layer, _ = TrackWindow(make_cells({4: (9, range(3))}), "A/1/0", 3).build(0)
    assert dict(layer.graph) == {}


def test_it_covers_the_time_that_it_was_built_for(monkeypatch):
    import napari_dynaclr.gui.layers.tracks as module

    monkeypatch.setattr(module, "window", lambda counts, t, limit=40: window(counts, t, limit))
    cells = make_cells({i: (-1, range(50)) for i in range(1, 3)})
    made = TrackWindow(cells, "A/1/0", 50)
    assert not made.covers(0)
    made.build(25)
    assert made.covers(25)
    assert made.covers(made.stop - 1)
    assert not made.covers(made.stop)
    assert not made.covers(0)


def test_a_fov_of_other_cells_has_no_tracks():
    made = TrackWindow(make_cells(FAMILY), "A/1/0", 10)
    assert made.graph(np.zeros(0, np.intp)) == {}


def test_a_layer_takes_over_what_was_built_and_keeps_what_the_user_set(qapp):
    cells = make_cells(FAMILY)
    layer = Tracks(np.array([[1, 0, 0, 0, 0], [1, 1, 0, 1, 1.0]]), tail_length=3, tail_width=9)
    told = []
    layer.events.data.connect(lambda _event: told.append("data"))
    built, _ = TrackWindow(cells, "A/1/0", 10).build(0, tail_length=TAIL)
    take_over(layer, built)
    np.testing.assert_array_equal(layer.data, built.data)
    assert dict(layer.graph) == dict(built.graph)
    assert len(layer.track_colors) == len(cells)
    assert (layer.tail_length, layer.tail_width) == (3, 9)
    assert told


def test_it_takes_over_also_where_napari_has_changed_inside(qapp):
    class Other:
        data, graph = None, None

    built, _ = TrackWindow(make_cells(FAMILY), "A/1/0", 10).build(0)
    other = Other()
    take_over(other, built)
    assert other.data is built.data
    assert other.graph == built.graph
