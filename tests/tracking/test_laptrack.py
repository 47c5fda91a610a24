from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr.core.job import Job
from napari_dynaclr.tracking.laptrack import LapTrackParams, link
from napari_dynaclr.tracking.movie import Movie

FLAT = (1.0, 1.0, 1.0)


def nodes(*paths):
    """Nodes of cells, each a mapping of time point to (y, x) or (z, y, x)."""
    rows = []
    for cell, path in enumerate(paths):
        for t, place in path.items():
            z, y, x = (0.0, *place) if len(place) == 2 else place
            rows.append({"t": t, "z": z, "y": y, "x": x, "area": 10, "cell": cell})
    table = pd.DataFrame(rows).sort_values(["t", "cell"], ignore_index=True)
    table["label"] = table.groupby("t").cumcount() + 1
    return table


def walk(start, step, times):
    return {t: (start[0] + step[0] * t, start[1] + step[1] * t) for t in times}


def run(table, scale=FLAT, **values):
    movie = Movie(SimpleNamespace(scale=scale), table, Path())
    linked = link(movie, LapTrackParams(**values), Job()).nodes
    assert linked["track_id"].min() >= 1
    pd.testing.assert_frame_equal(linked[list(table)], table)
    return linked


def tracks_of(linked):
    """Track ids of each cell, in order of time."""
    return [part["track_id"].tolist() for _, part in linked.groupby("cell")]


def test_parallel_cells_keep_their_tracks():
    linked = run(nodes(*(walk((20 * i, 5), (1.0, 3.0), range(8)) for i in range(5))))
    tracks = tracks_of(linked)
    assert all(len(set(track)) == 1 for track in tracks)
    assert sorted(track[0] for track in tracks) == [1, 2, 3, 4, 5]
    assert (linked["parent_track_id"] == -1).all()


@pytest.mark.parametrize(
    ("missed", "max_gap", "whole"), [(2, 2, True), (3, 2, False), (1, 0, False)]
)
def test_a_gap_is_closed_up_to_the_longest_allowed(missed, max_gap, whole):
    times = [t for t in range(10) if not 4 <= t < 4 + missed]
    bystander = walk((80, 0), (0, 1.0), range(10))
    linked = run(
        nodes(walk((10, 10), (0, 1.0), times), bystander),
        max_gap=max_gap,
        max_division_distance=0,
    )
    gapped, other = tracks_of(linked)
    assert (len(set(gapped)) == 1) is whole
    assert len(set(other)) == 1


def test_a_division_gives_two_daughters_with_the_mother_as_parent():
    mother = walk((50, 50), (0.0, 1.0), range(5))
    one = {t: (50 - 3 * (t - 4), 54) for t in range(5, 10)}
    other = {t: (50 + 3 * (t - 4), 54) for t in range(5, 10)}
    linked = run(nodes(mother, one, other, walk((90, 0), (0, 1.0), range(10))))
    first, second, third, bystander = tracks_of(linked)
    assert [len(set(track)) for track in (first, second, third, bystander)] == [1, 1, 1, 1]
    assert len({first[0], second[0], third[0], bystander[0]}) == 4
    parents = linked.groupby("track_id")["parent_track_id"].first()
    assert parents[second[0]] == parents[third[0]] == first[0]
    assert parents[first[0]] == parents[bystander[0]] == -1


def test_divisions_are_not_sought_at_distance_zero():
    mother = walk((50, 50), (0.0, 0.0), range(5))
    daughters = [dict.fromkeys(range(5, 8), (50 + sign * 3, 50)) for sign in (-1, 1)]
    linked = run(nodes(mother, *daughters), max_division_distance=0)
    assert (linked["parent_track_id"] == -1).all()


@pytest.mark.parametrize(("missed", "whole"), [(2, True), (3, False)])
def test_frames_without_any_cell_count_as_a_gap(missed, whole):
    times = [t for t in range(9) if not 3 <= t < 3 + missed]
    cells = [walk((20 * i, 5), (0, 1.0), times) for i in range(3)]
    tracks = tracks_of(run(nodes(*cells), max_division_distance=0))
    assert all((len(set(track)) == 1) is whole for track in tracks)
    assert len(set(np.concatenate(tracks))) == (3 if whole else 6)


def test_leading_empty_frames_are_no_trouble():
    (track,) = tracks_of(run(nodes(walk((5, 5), (0, 1.0), range(6, 9)))))
    assert track == [1, 1, 1]


@pytest.mark.parametrize("count", [1, 4])
def test_a_single_frame_gives_each_cell_its_track(count):
    linked = run(nodes(*({0: (20.0 * i, 5.0)} for i in range(count))))
    assert sorted(linked["track_id"]) == list(range(1, count + 1))
    assert (linked["parent_track_id"] == -1).all()


def test_one_cell_is_one_track():
    assert tracks_of(run(nodes(walk((5, 5), (2, 1), range(4))))) == [[1, 1, 1, 1]]


@pytest.mark.parametrize(("step", "whole"), [(9.5, True), (10.5, False)])
def test_the_largest_step_is_in_um_along_every_axis(step, whole):
    for axis, scale in enumerate([(4.0, 0.5, 0.5), (2.0, 0.25, 0.5), (2.0, 0.5, 0.25)]):
        place = np.zeros(3)
        place[axis] = step / scale[axis]
        table = nodes({0: (0.0, 0.0, 0.0), 1: tuple(place)})
        linked = run(table, scale, max_distance=10, max_division_distance=0)
        assert (linked["track_id"].nunique() == 1) is whole
