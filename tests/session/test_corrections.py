from __future__ import annotations

from collections import deque

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr.core.errors import DynaclrError
from napari_dynaclr.core.job import Job
from napari_dynaclr.session import Session
from napari_dynaclr.session.cells import load_cells
from napari_dynaclr.session.desk import write_corrections
from napari_dynaclr.session.marks import read_marks
from napari_dynaclr.session.suspicion import Queue

FOV = "B/1/0"


class Later:
    """An executor that does the work when told to, like a busy disk."""

    def __init__(self):
        self.asked = deque()

    def __call__(self, work, done, failed):
        self.asked.append((work, done, failed))

    def work(self):
        """Do the oldest piece of work; what is returned tells the session."""
        work, done, failed = self.asked.popleft()
        try:
            result = work()
        except DynaclrError as error:
            return lambda error=error: failed(error)
        return lambda: done(result)

    def go(self):
        while self.asked:
            self.work()()


def looking_at(dataset, execute=None, fov=FOV):
    """A session that looks at a FOV of a dataset, its cells read from the disk."""
    session = Session(execute) if execute is not None else Session()
    session.open(dataset)
    session.show(dataset[fov])
    session.set_cells(load_cells(dataset, "features", Job()), read_marks(dataset))
    session.corrections.set_active(True)
    return session


@pytest.fixture
def session(processed):
    return looking_at(processed)


def heard(signal):
    lines = []
    signal.connect(lines.append)
    return lines


def table(session, fov=FOV):
    """What a view shows of a FOV, in a form that can be compared."""
    cells, rows = session.cells, session.cells.rows_of(fov)
    return pd.DataFrame(
        {
            "id": cells.id[rows],
            "track": cells.track[rows],
            "parent": cells.parent[rows],
            "t": cells.t[rows],
            "pca": cells.maps["pca"][rows, 0] if "pca" in cells.maps else 0,
        }
    ).sort_values("id", ignore_index=True)


def node(session, track, t):
    rows = session.cells.of_track(FOV, track)
    return int(session.cells.id[rows[session.cells.t[rows] == t][0]])


def track_of(session, node):
    return int(session.cells.track[session.corrections.row_of(node)])


def long_tracks(session, t):
    """Tracks without relatives that are there at a time point, the one before and the next."""
    cells = session.cells
    found = []
    for track in np.unique(cells.track[cells.rows_of(FOV)]):
        times = set(cells.t[cells.of_track(FOV, track)].tolist())
        alone = not cells.daughters(FOV, track) and cells.parent_of(FOV, track) < 0
        if alone and {t - 1, t, t + 1} <= times:
            found.append(int(track))
    return found


def pair_for(session, action):
    """Two cells, or one, to which an action can be done."""
    one, two = long_tracks(session, 4)[:2]
    if action in ("link", "divide"):
        return node(session, one, 4), node(session, two, 5)
    if action == "merge":
        corrections = session.corrections
        for track, t in ((one, 5), (two, 5)):
            corrections.choose(node(session, track, t))
            corrections.act("cut")
        return node(session, one, 4), int(session.cells.id[corrections.row_of(corrections.a)])
    if action == "undivide":
        corrections = session.corrections
        corrections.choose(node(session, one, 4), node(session, two, 5))
        corrections.act("divide")
        return node(session, one, 4), None
    return node(session, one, 4), node(session, two, 4)


@pytest.mark.parametrize(
    "action",
    ["cut", "link", "swap", "merge", "divide", "undivide", "delete_node", "delete_track"],
)
def test_every_action_does_what_was_said_and_is_taken_back_exactly(session, action):
    corrections, said = session.corrections, heard(session.said)
    a, b = pair_for(session, action)
    corrections.choose(a, b)
    before = table(session)
    plan = corrections.plans()[action]
    assert plan.possible
    corrections.act(action)
    assert said[-1] == plan.text
    after = table(session)
    assert not after.equals(before)
    assert corrections.shown.undo.startswith(action.replace("_", " "))
    corrections.undo()
    pd.testing.assert_frame_equal(table(session), before)
    assert said[-1].startswith("undo: ")
    corrections.redo()
    pd.testing.assert_frame_equal(table(session), after)


def test_a_cut_shows_at_once_and_what_is_selected_is_the_same_cell(session, processed):
    [track] = long_tracks(session, 4)[:1]
    chosen = node(session, track, 4)
    session.corrections.choose(chosen)
    session.corrections.act("cut")
    assert track_of(session, chosen) != track
    assert track_of(session, node(session, track, 3)) == track
    assert [int(session.cells.id[row]) for row in session.selection] == [chosen]
    assert session.corrections.a == chosen
    assert processed.workspace.corrections.read_text().count("\n") == 1
    assert session.palette is not None
    assert len(session.palette.index) == len(session.cells)


def test_annotations_and_map_stay_on_their_cells(session):
    marked = [(name, one) for name, one, _ in session.marks.of("infection") if name == FOV]
    a, b = pair_for(session, "swap")
    before = {one: session.marks.get(FOV, one, "infection") for _, one in marked}
    maps = table(session).set_index("id")["pca"]
    session.corrections.choose(a, b)
    session.corrections.act("swap")
    assert marked
    assert {one: session.marks.get(FOV, one, "infection") for _, one in marked} == before
    pd.testing.assert_series_equal(table(session).set_index("id")["pca"], maps)


def test_a_deleted_cell_is_neither_chosen_nor_selected(session):
    [track] = long_tracks(session, 4)[:1]
    chosen = node(session, track, 4)
    session.corrections.choose(chosen)
    session.corrections.act("delete_node")
    assert session.corrections.a is None
    assert len(session.selection) == 0
    assert session.corrections.row_of(chosen) == -1
    session.corrections.undo()
    assert session.corrections.row_of(chosen) >= 0


def test_an_added_cell_is_chosen_and_can_be_linked(session, processed):
    [track] = long_tracks(session, 4)[:1]
    old = node(session, track, 4)
    session.corrections.choose(old)
    labels = np.asarray(processed.workspace.labels("tracks", processed[FOV]).image("labels")[5])
    place = tuple(float(i) for i in np.argwhere(labels == 0)[1000])
    session.corrections.set_radius(1.0)
    session.corrections.add(5, place)
    new = session.corrections.a
    assert session.corrections.b == old
    assert new not in (None, old)
    row = session.corrections.row_of(new)
    assert session.cells.t[row] == 5
    assert np.isnan(session.cells.maps["pca"][row]).all()
    session.corrections.act("link")
    assert track_of(session, new) == track


def test_what_cannot_be_done_says_why_and_changes_nothing(session, processed):
    said, before = heard(session.said), table(session)
    session.corrections.act("cut")
    assert said[-1] == "click a cell first"
    labels = np.asarray(processed.workspace.labels("tracks", processed[FOV]).image("labels")[5])
    session.corrections.add(5, tuple(float(i) for i in np.argwhere(labels > 0)[0]))
    assert "already" in said[-1]
    session.corrections.undo()
    assert "no correction" in said[-1]
    pd.testing.assert_frame_equal(table(session), before)
    assert not processed.workspace.corrections.exists()


def test_clicks_while_the_disk_is_busy_are_done_in_order(processed):
    later = Later()
    session = looking_at(processed, later)
    later.go()  # it looks what was corrected before
    one, two = long_tracks(session, 4)[:2]
    session.corrections.choose(node(session, one, 4))
    session.corrections.act("cut")
    session.corrections.choose(node(session, two, 4))
    session.corrections.act("cut")
    assert session.corrections.busy
    assert len(later.asked) == 1
    assert not processed.workspace.corrections.exists()
    show = later.work()
    # On disk before it is shown.
    assert processed.workspace.corrections.read_text().count("\n") == 1
    assert track_of(session, node(session, one, 4)) == one
    show()
    later.go()
    assert processed.workspace.corrections.read_text().count("\n") == 2
    assert not session.corrections.busy
    for track in (one, two):
        assert max(session.cells.t[session.cells.of_track(FOV, track)]) == 3


def test_cells_that_are_read_meanwhile_are_brought_up_to_date(processed):
    later = Later()
    session = looking_at(processed, later)
    [track] = long_tracks(session, 4)[:1]
    old = load_cells(processed, "features", Job())
    session.corrections.choose(node(session, track, 4))
    session.corrections.act("cut")
    show = later.work()
    session.set_cells(old)  # read before the cut was on disk
    show()
    later.go()
    assert max(session.cells.t[session.cells.of_track(FOV, track)]) == 3
    session.set_cells(load_cells(processed, "", Job()))
    later.go()
    assert max(session.cells.t[session.cells.of_track(FOV, track)]) == 3
    assert not session.cells.behind


def test_what_was_not_written_is_there_after_a_restart(session, processed):
    a, b = pair_for(session, "swap")
    session.corrections.choose(a, b)
    session.corrections.act("swap")
    wanted = table(session)
    assert session.corrections.shown.behind
    again = looking_at(processed)
    pd.testing.assert_frame_equal(table(again), wanted)
    assert again.corrections.shown.behind
    again.corrections.undo()
    assert not again.corrections.shown.behind


def test_written_tracks_are_what_was_shown(session, processed):
    for action in ("cut", "swap", "delete_node"):
        session.corrections.choose(*pair_for(session, action))
        session.corrections.act(action)
    wanted = table(session)
    write_corrections(processed, [FOV], Job())
    assert not processed.workspace.behind(processed[FOV])
    again = looking_at(processed)
    pd.testing.assert_frame_equal(table(again), wanted)
    assert not again.corrections.shown.behind
    before = session.corrections.shown
    session.corrections.refresh()
    after = session.corrections.shown
    assert "tracks.zarr" in str(before.labels.path)
    assert "linked.zarr" in str(after.labels.path)  # what changes() are changes of
    assert after.changes.times == before.changes.times
    session.corrections.undo()
    assert session.corrections.shown.behind
    assert len(table(session)) == len(wanted) + 1


def test_another_fov_begins_with_nothing_chosen(session, processed):
    session.corrections.choose(node(session, long_tracks(session, 4)[0], 4))
    session.corrections.act("cut")
    wanted = table(session)
    session.show(processed["A/1/0"])
    assert (session.corrections.a, session.corrections.b) == (None, None)
    assert session.corrections.shown.fov_name == "A/1/0"
    assert session.corrections.shown.undo == ""
    pd.testing.assert_frame_equal(table(session), wanted)  # its cells are shown as well
    session.show(processed[FOV])
    assert session.corrections.shown.undo.startswith("cut")
    pd.testing.assert_frame_equal(table(session), wanted)


def test_clicks_choose_a_then_b_and_a_selection_is_a(session):
    corrections = session.corrections
    rows = session.cells.at(FOV, 4)[:3]
    ids = [int(session.cells.id[row]) for row in rows]
    corrections.pick(rows[0], second=True)
    assert (corrections.a, corrections.b) == (ids[0], None)
    corrections.pick(rows[1], second=True)
    assert (corrections.a, corrections.b) == (ids[0], ids[1])
    assert sorted(session.selection) == sorted(rows[:2])
    corrections.pick(rows[1], second=True)  # once more: not any more
    assert (corrections.a, corrections.b) == (ids[0], None)
    session.select([rows[2]])
    assert (corrections.a, corrections.b) == (ids[2], None)
    session.select([])
    assert corrections.a is None


def test_choosing_a_state_ends_correcting_and_the_other_way_round(session):
    session.set_state("infected")
    assert not session.corrections.active
    session.corrections.set_active(True)
    assert session.state == ""


def suspects(*ids):
    return pd.DataFrame(
        {
            "kind": "jump", "id": ids, "other_id": -1, "t": 1, "why": "far",
            "score": np.linspace(1, 0.5, len(ids)),
        }
    )  # fmt: skip


def test_the_queue_stays_at_its_place():
    queue = Queue().renewed(suspects(10, 20, 30))
    assert queue.current is None
    queue = queue.at(1)
    assert queue.current.id == 20
    assert queue.renewed(suspects(5, 10, 20, 30)).current.id == 20
    assert queue.renewed(suspects(10, 30)).current.id == 30  # the next one has taken its turn
    assert queue.renewed(suspects(10)).current.id == 10
    assert queue.renewed(suspects(10)[:0]).current is None
