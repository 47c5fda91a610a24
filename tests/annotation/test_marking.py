from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from effort import calls
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr.annotation.marking import marks
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.journal import Journal
from napari_dynaclr.core.tables import node_id, validate_tracks
from napari_dynaclr.core.tasks import find_task

INFECTION = find_task("infection")  # carried forward and inherited
DEATH = find_task("death")  # carried forward only
DIVISION = find_task("division")  # neither

# Mother 5 (t 0-4) has the daughters 2 (t 5-7) and 9 (t 5-6); 2 has 7 (t 8-9); 3 is a stranger.
FAMILY = {5: (0, 4, -1), 2: (5, 7, 5), 9: (5, 6, 5), 7: (8, 9, 2), 3: (0, 9, -1)}


def tracks_of(family):
    rows = [
        (track, t, parent)
        for track, (first, last, parent) in family.items()
        for t in range(first, last + 1)
    ]
    table = pd.DataFrame(rows, columns=["track_id", "t", "parent_track_id"])
    table["y"], table["x"] = 1.5 * table["track_id"], 2.0 * table["t"]
    table["id"] = node_id(table["t"], table["track_id"])
    return validate_tracks(table)


TRACKS = tracks_of(FAMILY)


def node(track, t):
    return node_id(t, track)


def given_to(found):
    return {(mark.track_id, mark.t) for mark in found}


def whole(*tracks, after=0):
    return {
        (track, t)
        for track in tracks
        for t in range(FAMILY[track][0], FAMILY[track][1] + 1)
        if t >= after
    }


def test_a_mark_is_for_the_cell_alone_unless_the_task_is_carried_forward():
    (mark,) = marks(TRACKS, "A/1/0", [node(5, 2)], DIVISION, "mitosis", "key")
    assert vars(mark) == {
        "fov_name": "A/1/0", "id": node(5, 2), "track_id": 5, "t": 2, "z": 0.0, "y": 7.5, "x": 4.0,
        "task": "division", "state": "mitosis", "made_on": "key", "carried": False,
    }  # fmt: skip
    assert [type(value) for value in vars(mark).values()] == [
        str, int, int, int, float, float, float, str, str, str, bool,
    ]  # fmt: skip


def test_it_is_carried_to_the_end_of_the_track_and_no_further_without_inheritance():
    found = marks(TRACKS, "A/1/0", [node(5, 2)], DEATH, "dead", "key")
    assert [(m.track_id, m.t, m.carried) for m in found] == [
        (5, 2, False), (5, 3, True), (5, 4, True),
    ]  # fmt: skip


def test_daughters_and_their_daughters_inherit():
    found = marks(TRACKS, "A/1/0", [node(5, 3)], INFECTION, "infected", "key")
    assert given_to(found) == whole(5, 2, 9, 7, after=3)
    assert [m.t for m in found if not m.carried] == [3]


def test_a_line_stops_at_its_own_explicit_mark_only():
    found = marks(
        TRACKS,
        "A/1/0",
        [node(5, 3)],
        INFECTION,
        "infected",
        "key",
        explicit={node(2, 6): "x"},
    )
    assert given_to(found) == {(5, 3), (5, 4), (2, 5)} | whole(9)
    at_birth = marks(
        TRACKS,
        "A/1/0",
        [node(5, 3)],
        INFECTION,
        "infected",
        "key",
        explicit={node(2, 5): "x"},
    )
    assert given_to(at_birth) == {(5, 3), (5, 4)} | whole(9), "7 descends from 2"
    other = {node(5, 3): "uninfected"}
    before = marks(TRACKS, "A/1/0", [node(5, 1)], INFECTION, "infected", "key", explicit=other)
    assert given_to(before) == {(5, 1), (5, 2)}


def test_an_explicit_mark_that_is_made_anew_is_no_stop_for_itself():
    found = marks(TRACKS, "A/1/0", [node(7, 8)], INFECTION, "x", "k", explicit={node(7, 8): "y"})
    assert given_to(found) == whole(7)


def test_a_lasso_marks_each_cell_once_and_what_follows_from_all():
    ids = [node(9, 6), node(5, 4), node(3, 9), node(9, 6)]
    found = marks(TRACKS, "A/1/0", ids, INFECTION, "infected", "key")
    assert [m.id for m in found[:3]] == [node(9, 6), node(5, 4), node(3, 9)]
    assert [m.carried for m in found[:3]] == [False] * 3
    assert all(m.carried for m in found[3:])
    assert given_to(found) == {(5, 4), (3, 9)} | whole(2, 7, 9)
    assert len(found) == len(given_to(found))


def test_nothing_chosen_is_nothing_marked_and_a_stranger_is_refused():
    assert marks(TRACKS, "A/1/0", [], INFECTION, "infected", "key") == []
    with pytest.raises(InvalidInput, match=r"tracks of FOV A/1/0 have no cell with the id 42"):
        marks(TRACKS, "A/1/0", [42], INFECTION, "infected", "key")


def test_the_order_of_the_table_does_not_matter():
    shuffled = TRACKS.sample(frac=1, random_state=0)
    args = ("A/1/0", [node(9, 6), node(5, 1)], INFECTION, "infected", "key")
    assert marks(shuffled, *args) == marks(TRACKS, *args)


def test_tracks_that_descend_from_each_other_are_survived():
    circle = TRACKS[TRACKS["track_id"].isin([5, 2, 9])].copy()
    circle.loc[circle["track_id"] == 5, "parent_track_id"] = 9
    circle.loc[circle["track_id"] == 9, "parent_track_id"] = 2
    found = marks(circle, "A/1/0", [node(2, 7)], INFECTION, "infected", "key")
    assert given_to(found) == whole(2, 5, 9)
    cleared = marks(circle, "A/1/0", [node(2, 7)], INFECTION, "", "k", explicit={node(9, 6): "x"})
    assert given_to(cleared) == {(2, 7), (9, 5)}


# -- against a model ---------------------------------------------------------------


@st.composite
def families(draw):
    family, ends = {}, [(-1, -1)]
    numbers = draw(st.permutations(range(1, 9)))
    for track in numbers[: draw(st.integers(1, 8))]:
        parent, last = draw(st.sampled_from(ends))
        first = draw(st.integers(0, 3)) if parent < 0 else last + 1
        family[track] = (first, first + draw(st.integers(0, 4)), parent)
        ends.append((track, family[track][1]))
    return family


def model(family, tracks, ids, task, explicit):
    """Walk down from each marked node, cell by cell."""
    nodes = {(row.track_id, row.t): row.id for row in tracks.itertuples()}
    found = set(ids)

    def walk(track, t):
        if (track, t) in nodes:
            if nodes[track, t] in {*explicit, *ids}:
                return
            found.add(nodes[track, t])
            walk(track, t + 1)
        elif task.inherit:
            for daughter, (first, _, parent) in family.items():
                if parent == track:
                    walk(daughter, first)

    for (track, t), one in nodes.items():
        if one in ids and task.carry_forward:
            walk(track, t + 1)
    return found


def held_before(family, tracks, task, explicit, track, t):
    """Walk up from a cell to the first that is marked explicitly."""
    nodes = {(row.track_id, row.t): row.id for row in tracks.itertuples()}
    while (track, t) in nodes:
        if nodes[track, t] in explicit:
            return explicit[nodes[track, t]]
        first, _, parent = family[track]
        if t == first:
            if not task.inherit or parent < 0:
                return ""
            track, t = parent, family[parent][1]
        else:
            t -= 1
    return ""


TASKS = st.builds(
    lambda carry, inherit: replace(DIVISION, carry_forward=carry, inherit=inherit),
    st.booleans(),
    st.booleans(),
)


@given(data=st.data(), family=families(), task=TASKS)
@settings(max_examples=150, deadline=None)
def test_marks_are_those_of_a_walk_through_the_lineage(data, family, task):
    tracks = tracks_of(family)
    some = st.lists(st.sampled_from(tracks["id"].tolist()), max_size=5)
    ids, explicit = data.draw(some.filter(bool)), data.draw(some)
    known = dict.fromkeys(explicit, "x")
    found = marks(tracks, "A/1/0", ids, task, "s", "k", explicit=known)
    assert {mark.id for mark in found} == model(family, tracks, ids, task, explicit)
    assert [m.id for m in found if not m.carried] == list(dict.fromkeys(ids))
    assert len({mark.id for mark in found}) == len(found)
    known = {one: str(one) for one in explicit}
    cleared = marks(tracks, "A/1/0", ids, task, "", "k", explicit=known)
    assert [mark.id for mark in cleared] == [mark.id for mark in found]
    left = {one: state for one, state in known.items() if one not in ids}
    for mark in cleared:
        above = held_before(family, tracks, task, left, mark.track_id, mark.t)
        assert mark.state == (above if mark.carried else "")


@given(data=st.data(), family=families())
@settings(max_examples=40, deadline=None)
def test_actions_are_idempotent_and_undo_restores(data, family, tmp_path_factory):
    journal = Journal(tmp_path_factory.mktemp("journal") / "annotations.jsonl")
    tracks = tracks_of(family)
    some = st.lists(st.sampled_from(tracks["id"].tolist()), min_size=1, max_size=3)

    def act(ids, state):
        states = journal.states().values()
        explicit = {mark.id: mark.state for mark, _ in states if not mark.carried}
        journal.add(marks(tracks, "A/1/0", ids, INFECTION, state, "key", explicit=explicit))

    def now():
        return {place[1]: (m.state, m.carried) for place, (m, _) in journal.states().items()}

    for _ in range(data.draw(st.integers(1, 4))):
        before = now()
        ids, state = data.draw(some), data.draw(st.sampled_from(["infected", "uninfected", ""]))
        act(ids, state)
        after = now()
        for one in ids:
            assert after.get(one) == ((state, False) if state else None)
        changed = {one for one in {*before, *after} if before.get(one) != after.get(one)}
        looked_at = {one for one, (_, carried) in before.items() if not carried}
        assert not (changed & looked_at) - set(ids), "what someone looked at stays"
        journal.undo()
        assert now() == before
        journal.redo()
        assert now() == after
        if state:
            act(ids, state)
            assert now() == after


def test_clearing_takes_away_what_was_carried_from_it():
    given_ = marks(TRACKS, "A/1/0", [node(5, 1)], INFECTION, "infected", "key")
    known = {node(5, 1): "infected", node(2, 6): "uninfected"}
    cleared = marks(TRACKS, "A/1/0", [node(5, 1)], INFECTION, "", "key", explicit=known)
    assert {m.state for m in cleared} == {""}
    kept = given_to(given_) - given_to(cleared)
    assert kept == {(2, 6), (2, 7)} | whole(7), "2 was marked again at t=6"


def held(found):
    return {(m.track_id, m.t): m.state for m in found if m.carried}


def test_after_a_mark_that_is_cleared_the_one_before_holds_again():
    known = {node(3, 2): "infected", node(3, 5): "uninfected", node(3, 8): "unknown"}
    cleared = marks(TRACKS, "A/1/0", [node(3, 5)], INFECTION, "", "key", explicit=known)
    assert [(m.t, m.state) for m in cleared if not m.carried] == [(5, "")]
    assert held(cleared) == {(3, 6): "infected", (3, 7): "infected"}
    both = marks(TRACKS, "A/1/0", [node(3, 2), node(3, 5)], INFECTION, "", "key", explicit=known)
    assert held(both) == dict.fromkeys([(3, 3), (3, 4), (3, 6), (3, 7)], "")


def test_what_holds_again_is_inherited_where_the_task_says_so():
    known = {node(5, 1): "infected", node(2, 5): "uninfected", node(9, 6): "unknown"}
    args = (TRACKS, "A/1/0", [node(2, 5)])
    cleared = marks(*args, INFECTION, "", "key", explicit=known)
    assert held(cleared) == dict.fromkeys([(2, 6), (2, 7), (7, 8), (7, 9)], "infected")
    cleared = marks(*args, DEATH, "", "key", explicit=known)
    assert held(cleared) == {(2, 6): "", (2, 7): ""}, "the mother's is not inherited"


# -- size --------------------------------------------------------------------------


def big(count, length):
    track = np.repeat(np.arange(1, count + 1), length)
    t = np.tile(np.arange(length), count)
    parent = np.where(track % 3 == 0, track // 3, -1)
    place = np.zeros(len(t))
    return pd.DataFrame(
        {"track_id": track, "t": t, "id": node_id(t, track), "parent_track_id": parent,
         "parent_id": -1, "z": place, "y": place, "x": place}
    )  # fmt: skip


def test_the_work_of_marking_grows_no_faster_than_the_cells_that_are_marked():
    def effort(count):
        tracks = big(count, 20)
        ids = tracks["id"].to_numpy()[::2]
        explicit = dict.fromkeys(tracks["id"].tolist()[1::4], "x")
        return calls(lambda: marks(tracks, "A", ids, INFECTION, "", "k", explicit=explicit))

    assert effort(1000) < 12 * effort(100)


def test_the_work_of_a_click_does_not_grow_with_the_tracks():
    def effort(count):
        tracks = big(count, 50)
        ids = tracks["id"].to_numpy()[[len(tracks) // 2]]
        return calls(lambda: marks(tracks, "A", ids, INFECTION, "s", "k"))

    assert effort(10_000) < 1.5 * effort(100) + 100
