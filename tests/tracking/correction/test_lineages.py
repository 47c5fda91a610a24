from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from forests import check_forest, random_action, tracks_of
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from napari_dynaclr import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.tables import node_id, read_tracks
from napari_dynaclr.segmentation import segment
from napari_dynaclr.tracking import track
from napari_dynaclr.tracking.correction import actions
from napari_dynaclr.tracking.correction.lineages import Lineages

FAMILY = {1: range(4), 2: range(4, 8), 3: range(4, 6), 4: range(8), 5: (0, 1, 4, 5), 6: range(6, 8)}
BORN = {2: 1, 3: 1}


@pytest.fixture
def family():
    return tracks_of(FAMILY, BORN)


def check_session(tracks, count=50, seed=0):
    """Do so many actions drawn by chance, take them back, and do them again."""
    forest, rng = Lineages(tracks), np.random.default_rng(seed)
    edits, states = [], [forest.tracks]
    while len(edits) < count:
        edit = random_action(forest, rng)
        after = forest.tracks
        if edit is None:
            pd.testing.assert_frame_equal(after, states[-1])
            continue
        check_forest(after)
        edits.append(edit)
        states.append(after)
    for edit, before in zip(reversed(edits), reversed(states[:-1]), strict=True):
        forest.apply(edit.inverse())
        pd.testing.assert_frame_equal(forest.tracks, before)
    pd.testing.assert_frame_equal(forest.tracks, tracks)
    for edit, after in zip(edits, states[1:], strict=True):
        forest.apply(edit)
        pd.testing.assert_frame_equal(forest.tracks, after)


def test_tracks_come_out_as_they_went_in(family):
    forest = Lineages(family)
    pd.testing.assert_frame_equal(forest.tracks, family)
    assert len(forest) == len(family)
    empty = family.iloc[:0]
    assert Lineages(empty).tracks.empty


def test_a_shuffled_table_makes_the_same_forest(family):
    shuffled = family.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(Lineages(shuffled).tracks, family)


def test_the_links_are_those_of_the_table(family):
    forest = Lineages(family)
    for node in family.itertuples():
        row = forest.row(node.id)
        before = forest.before(row)
        assert (forest.value("id", before) if before >= 0 else -1) == node.parent_id
        assert forest.continues(row) == (before >= 0 and node.t != FAMILY[node.track_id][0])
    mother = forest.last(forest.row(node_id(0, 1)))
    born = [forest.value("track_id", row) for row in forest.daughters(mother)]
    assert born == [2, 3]


def test_daughters_that_begin_before_their_mother_ends_are_refused():
    table = tracks_of({1: range(4), 2: range(2, 6)}, {2: 1})
    with pytest.raises(
        InvalidInput, match="Track 2 begins at t=2, before its parent, track 1, has"
    ):
        Lineages(table)


@pytest.mark.parametrize("seed", range(4))
def test_fifty_actions_and_their_undo_leave_the_table_identical(family, seed):
    check_session(family, seed=seed)


def test_a_session_on_the_truth_of_the_simulated_plate(truth):
    tracks = read_tracks(next(truth.rglob("tracks.csv")))
    assert (tracks["parent_track_id"] >= 0).any(), "with divisions"
    check_session(tracks)


@pytest.mark.slow  # real cells have to be measured first
def test_a_session_on_real_cells(t98g, tmp_path):
    dataset = open_dataset(t98g, tmp_path / "t98g.dynaclr")
    masks = t98g.with_name("t98g_masks.zarr")
    segment(dataset, parse("segment", "import", {"path": str(masks)}))
    tracks = track(dataset).drop(columns="fov_name")
    check_session(tracks)


def test_an_edit_names_the_nodes_and_times_that_it_changed(family):
    forest = Lineages(family)
    rng = np.random.default_rng(3)
    for _ in range(120):
        before = forest.tracks.set_index("id")
        edit = random_action(forest, rng)
        if edit is None:
            continue
        after = forest.tracks.set_index("id")
        both = before.index.intersection(after.index)
        changed = (before.loc[both] != after.loc[both]).drop(columns="reliability").any(axis=1)
        gone_or_come = before.index.symmetric_difference(after.index)
        assert {*both[changed], *gone_or_come} <= set(edit.ids)
        moved = both[before.loc[both, "track_id"] != after.loc[both, "track_id"]]
        times = {*pd.concat([before, after])["t"].loc[[*moved, *gone_or_come]]}
        assert times <= edit.times
        some = forest.nodes(edit.ids)
        pd.testing.assert_frame_equal(
            some.set_index("id").sort_index(),
            after.loc[after.index.intersection(edit.ids)].sort_index(),
        )


def test_what_fails_halfway_changes_nothing(family):
    forest = Lineages(family)
    row = forest.row(node_id(2, 4))
    with pytest.raises(ZeroDivisionError), forest.edit() as draft:
        draft.detach(row)
        draft.create(node_id(2, 50), 2, (0, 1, 1), 2.0, 7)
        raise ZeroDivisionError
    pd.testing.assert_frame_equal(forest.tracks, family)
    assert node_id(2, 50) not in forest


def test_nodes_that_are_gone_are_known_still(family):
    forest = Lineages(family)
    node = node_id(3, 4)
    actions.delete_node(forest, node)
    assert node not in forest
    assert node in forest.ids_at(3)
    with pytest.raises(InvalidInput, match=f"no cell with the id {node} in these tracks"):
        forest.row(node)


def test_an_action_takes_no_longer_with_many_nodes():
    """A full turn of an action and its inverse on 200,000 nodes: each within milliseconds."""
    rows = np.arange(200_000)
    t, number = rows % 50, rows // 50 + 1
    tracks = pd.DataFrame(
        {"track_id": number, "t": t, "id": node_id(pd.Series(t), pd.Series(number))}
    )
    tracks = tracks.assign(
        parent_track_id=-1, parent_id=np.where(t > 0, tracks["id"].shift(fill_value=-1), -1),
        z=0.0, y=1.0 * number, x=1.0 * t,
    )  # fmt: skip
    forest = Lineages(tracks)
    began = time.perf_counter()
    for one in range(1, 101):
        edits = [
            actions.cut(forest, node_id(25, one)),
            actions.merge(forest, node_id(3, one), node_id(30, one)),
            actions.swap(forest, node_id(20, one), node_id(20, one + 200)),
            actions.delete_node(forest, node_id(10, one)),
        ]
        for edit in reversed(edits):
            forest.apply(edit.inverse())
    # Generous: one pass over all nodes per action would take a hundred times as long.
    assert (time.perf_counter() - began) / 800 < 0.005
    pd.testing.assert_frame_equal(forest.tracks, tracks[forest.tracks.columns])


class Sessions(RuleBasedStateMachine):
    """Actions, undo and redo in any order; the model is the list of tables there have been."""

    def __init__(self):
        super().__init__()
        self.forest = Lineages(tracks_of(FAMILY, BORN))
        self.states = [self.forest.tracks]
        self.done, self.undone = [], []

    @rule(seed=st.integers(0, 2**32 - 1))
    def act(self, seed):
        edit = random_action(self.forest, np.random.default_rng(seed))
        if edit is not None:
            self.done.append(edit)
            self.undone.clear()
            self.states = [*self.states[: len(self.done)], self.forest.tracks]

    @precondition(lambda self: self.done)
    @rule()
    def undo(self):
        self.undone.append(self.done.pop())
        self.forest.apply(self.undone[-1].inverse())

    @precondition(lambda self: self.undone)
    @rule()
    def redo(self):
        self.done.append(self.undone.pop())
        self.forest.apply(self.done[-1])

    @invariant()
    def valid(self):
        now = self.forest.tracks
        check_forest(now)
        pd.testing.assert_frame_equal(now, self.states[len(self.done)])


TestSessions = Sessions.TestCase
TestSessions.settings = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
