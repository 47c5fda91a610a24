from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.core.tables import node_id
from napari_dynaclr.session.cells import Cells
from napari_dynaclr.session.plans import ACTIONS, plans

FOV = "A/1/0"
# Track 1 divides into 2 and 3 after t=2; 4 ends at t=3; 5 begins at t=5; 6 is there all along.
FAMILY = {1: (0, 2, -1), 2: (3, 6, 1), 3: (3, 6, 1), 4: (0, 3, -1), 5: (5, 6, -1), 6: (0, 6, -1)}


@pytest.fixture(scope="module")
def cells():
    track, t, parent = np.array(
        [
            (track, t, parent)
            for track, (first, last, parent) in FAMILY.items()
            for t in range(first, last + 1)
        ]
    ).T
    return Cells(
        fovs=(FOV,),
        fov=np.zeros(len(t), np.int32),
        track=track,
        t=t,
        id=np.asarray(node_id(t, track)),
        parent=parent,
        position=np.zeros((len(t), 3), np.float32),
        keys={FOV: "key"},
    )


def node(track, t):
    return int(node_id(t, track))


def plan(cells, action, a=None, b=None):
    return plans(cells, FOV, a, b)[action]


def test_without_a_cell_nothing_can_be_done(cells):
    found = plans(cells, FOV, None, None)
    assert tuple(found) == ACTIONS
    assert not any(one.possible for one in found.values())
    assert {one.text for one in found.values()} == {"click a cell first"}


def test_a_cell_that_is_gone_is_none(cells):
    assert not plan(cells, "cut", node(9, 0)).possible


def test_one_cell_is_not_enough_for_two(cells):
    for action in ("link", "swap", "merge", "divide"):
        assert plan(cells, action, node(6, 3)).text == "Shift+click a second cell first"


def test_cut(cells):
    found = plan(cells, "cut", node(6, 3))
    assert found.nodes == (node(6, 3),)
    assert found.text == "track 6 ends before t=3; the rest becomes a track of its own"
    assert plan(cells, "cut", node(2, 3)).text == (
        "track 2 is no longer a daughter of track 1, which goes on as what is 3 now"
    )
    assert plan(cells, "cut", node(2, 3)).possible
    assert plan(cells, "cut", node(6, 0)).text == "track 6 begins here: there is no link to cut"
    assert not plan(cells, "cut", node(6, 0)).possible


def test_link_and_merge_take_the_earlier_cell_first_whichever_was_chosen_first(cells):
    for a, b in ((node(4, 3), node(5, 5)), (node(5, 5), node(4, 3))):
        for action in ("link", "merge"):
            assert plan(cells, action, a, b).nodes == (node(4, 3), node(5, 5))
    assert "a gap of 1 time point" in plan(cells, "merge", node(4, 3), node(5, 5)).text


def test_what_cannot_be_linked(cells):
    assert "the same time point" in plan(cells, "link", node(4, 3), node(6, 3)).text
    assert "the same track" in plan(cells, "link", node(6, 2), node(6, 3)).text


def test_link_says_what_it_cuts(cells):
    assert plan(cells, "link", node(4, 3), node(5, 5)).text == (
        "track 4 goes on at t=5 as what is track 5 now"
    )
    assert "6 now, which ends before that" in plan(cells, "link", node(4, 3), node(6, 5)).text
    assert "becomes a track of its own" in plan(cells, "link", node(4, 1), node(5, 5)).text
    assert "its daughters become" in plan(cells, "link", node(1, 2), node(5, 5)).text


def test_fragments_are_merged_wherever_they_are_clicked(cells):
    assert plan(cells, "merge", node(5, 6), node(4, 0)).possible


def test_what_cannot_be_merged(cells):
    assert "6 ends" in plan(cells, "merge", node(6, 0), node(5, 5)).text
    assert "1 divides" in plan(cells, "merge", node(1, 0), node(5, 5)).text
    assert "begins before" in plan(cells, "merge", node(4, 0), node(3, 5)).text


def test_swap_is_at_the_later_time_of_both(cells):
    found = plan(cells, "swap", node(6, 1), node(4, 2))
    assert found.nodes == (node(6, 2), node(4, 2))
    assert found.text == "from t=2 on, tracks 6 and 4 change places"
    assert plan(cells, "swap", node(4, 1), node(6, 5)).text == "track 4 has no cell at t=5"
    assert not plan(cells, "swap", node(4, 0), node(6, 0)).possible
    assert not plan(cells, "swap", node(2, 3), node(3, 3)).possible
    assert plan(cells, "swap", node(2, 4), node(3, 4)).possible


def test_a_mother_and_a_daughter(cells):
    found = plan(cells, "divide", node(6, 4), node(5, 5))
    assert found.nodes == (node(6, 4), node(6, 5), node(5, 5))
    assert plan(cells, "divide", node(5, 5), node(6, 4)).nodes == found.nodes
    assert "link it to the other daughter" in plan(cells, "divide", node(4, 3), node(5, 5)).text
    assert "two daughters" in plan(cells, "divide", node(1, 2), node(5, 5)).text


def test_two_daughters_of_one_mother(cells):
    found = plan(cells, "divide", node(5, 5), node(6, 5))
    assert found.nodes == (node(6, 4), node(5, 5), node(6, 5))
    assert "cut one of them" in plan(cells, "divide", node(2, 5), node(6, 5)).text
    assert "neither" in plan(cells, "divide", node(4, 0), node(6, 0)).text


def test_a_division_is_undone_from_the_mother_or_a_daughter(cells):
    for chosen in (node(1, 0), node(2, 5), node(3, 3)):
        found = plan(cells, "undivide", chosen)
        assert found.nodes == (node(1, 2),)
        assert found.text == "track 1 ends undivided; 2 and 3 have no mother"
    assert not plan(cells, "undivide", node(6, 3)).possible


def test_deleting_says_how_much_goes(cells):
    assert plan(cells, "delete_track", node(6, 3)).text == "track 6 goes, all 7 cells"
    assert plan(cells, "delete_node", node(6, 6)).text == "the cell of track 6 at t=6 goes"
    assert "over the gap" in plan(cells, "delete_node", node(6, 3)).text
