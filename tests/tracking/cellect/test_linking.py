"""Links: the best together, divisions, cells that are lost for a while."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.tracking.cellect.lineages import joined, number_tracks
from napari_dynaclr.tracking.cellect.linking import LinkSettings, link_cells
from napari_dynaclr.tracking.cellect.reconnect import reconnected


def tracks_of(frames, inter, **settings):
    links = list(link_cells(enumerate(frames), inter, LinkSettings(**settings)))
    counts = np.array([len(one) for one in frames])
    return number_tracks(counts, links)


def test_cells_are_told_by_their_looks_where_they_swap_places(make_cells, alike):
    frames = [make_cells([[0, 0], [6, 0]], [1, 2]), make_cells([[0, 0], [6, 0]], [2, 1])]
    found = tracks_of(frames, alike)
    assert found.track_id.tolist() == [1, 2, 2, 1]
    assert (found.reliability[2:] > 0.9).all()
    assert np.isnan(found.reliability[:2]).all()


def test_a_cell_that_loses_its_best_candidate_gets_its_next_best(make_cells, alike):
    first = make_cells([[0, 0], [0, 5]], [1.0, 1.05])
    second = make_cells([[0, 0], [0, 5]], [1.04, 1.12])
    # Both are most like the first; only one can have it.
    found = tracks_of([first, second], alike)
    assert found.track_id.tolist() == [1, 2, 1, 2]


def test_a_cell_that_divides_has_two_daughters_with_tracks_of_their_own(make_cells, alike):
    frames = [
        make_cells([[20, 20], [50, 50]], [1, 2], dividing=[0]),
        make_cells([[16, 20], [24, 20], [50, 50]], [1, 1, 2]),
        make_cells([[14, 20], [26, 20], [50, 50]], [0.98, 1.02, 2]),
    ]
    found = tracks_of(frames, alike)
    mother, other, one, two, same = found.track_id[:5]
    assert len({mother, other, one, two}) == 4
    assert same == other
    assert found.parent_track_id[2:4].tolist() == [mother, mother]
    assert found.parent_track_id[[0, 1, 4]].tolist() == [-1, -1, -1]


@pytest.mark.parametrize("dividing", [[0], []])
def test_only_what_is_likely_to_divide_does(make_cells, alike, dividing):
    frames = [make_cells([[20, 20]], [1], dividing), make_cells([[16, 20], [24, 20]], [1, 1])]
    found = tracks_of(frames, alike)
    assert (found.parent_track_id > 0).sum() == (2 if dividing else 0)
    none = tracks_of(frames, alike, least_division=np.inf)
    assert (none.parent_track_id > 0).sum() == 0


def test_no_cell_has_two_parents_or_three_children(make_cells, alike):
    draw = np.random.default_rng(0)
    frames = [
        make_cells(draw.uniform(0, 60, (40, 2)), draw.choice(6, 40), dividing=range(0, 40, 3))
        for _ in range(5)
    ]
    found = tracks_of(frames, alike, longest_gap=2)
    linked = found.before[found.before >= 0]
    assert np.bincount(linked).max() == 2
    assert len(linked) > 50


@pytest.mark.parametrize(("gap", "tracks"), [(0, 2), (1, 2), (2, 1)])
def test_a_lost_cell_is_found_again_within_the_gap(make_cells, alike, gap, tracks):
    seen = make_cells([[5, 5]], [1])
    none = make_cells(np.zeros((0, 2)), [])
    found = tracks_of([seen, none, none, seen], alike, longest_gap=gap)
    assert len(set(found.track_id)) == tracks


def test_links_over_gaps_are_for_what_has_no_other(make_cells, alike):
    one = make_cells([[5, 5]], [1])
    two = make_cells([[5, 5], [9, 5]], [1, 1])
    found = tracks_of([one, one, two], alike, longest_gap=1)
    # The second cell of the last frame must not be linked to the first frame's.
    assert found.before.tolist() == [-1, 0, 1, -1]


def test_nothing_moves_further_than_allowed(make_cells, alike):
    frames = [make_cells([[0, 0]], [1]), make_cells([[0, 20]], [1])]
    assert tracks_of(frames, alike, furthest=25.0).before.tolist() == [-1, 0]
    assert tracks_of(frames, alike, furthest=15.0).before.tolist() == [-1, -1]


def test_what_is_unlike_is_not_linked(make_cells, alike):
    frames = [make_cells([[0, 0]], [1]), make_cells([[0, 0]], [3])]
    assert tracks_of(frames, alike).before.tolist() == [-1, -1]


def test_frames_without_cells_are_no_trouble(make_cells, alike):
    none = make_cells(np.zeros((0, 2)), [])
    assert len(tracks_of([none, none], alike).track_id) == 0


def test_fragments_are_rejoined_by_looks_and_place():
    ends = np.array([[3, 0, 10, 10], [3, 0, 40, 40], [9, 0, 10, 10]], float)
    starts = np.array([[8, 0, 11, 10], [8, 0, 41, 40], [8, 0, 10, 11], [60, 0, 10, 10]], float)
    looks_end = np.array([[1, 0], [0, 1], [1, 0]], float)
    looks_start = np.array([[0, 1], [0, 1], [1, 0.1], [1, 0]], float)
    one, other, how = reconnected(ends, looks_end, starts, looks_start, window=20, furthest=10)
    # The first goes on as what looks like it, not as what is as near; the last starts too late.
    assert dict(zip(one.tolist(), other.tolist(), strict=True)) == {0: 2, 1: 1}
    assert (how > 0.5).all()


def test_joined_fragments_are_one_track(make_cells, alike):
    seen, none = make_cells([[5, 5]], [1]), make_cells(np.zeros((0, 2)), [])
    apart = tracks_of([seen, seen, none, seen, seen], alike)
    assert apart.track_id.tolist() == [1, 1, 2, 2]
    one = joined(apart, np.array([1]), np.array([2]), np.array([0.7]))
    assert one.track_id.tolist() == [1, 1, 1, 1]
    assert one.reliability[2] == 0.7
