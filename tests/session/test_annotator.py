from __future__ import annotations

import errno
import os
from collections import deque
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from effort import calls
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_dynaclr import open_dataset
from napari_dynaclr.core.errors import InvalidInput, StorageError
from napari_dynaclr.core.journal import Journal, default_annotator
from napari_dynaclr.core.tables import node_id
from napari_dynaclr.core.tasks import find_task
from napari_dynaclr.session.annotator import Annotator
from napari_dynaclr.session.cells import Cells
from napari_dynaclr.session.marks import Given, read_marks

INFECTION = find_task("infection")  # carried forward and inherited
DEATH = find_task("death")  # carried forward only
DIVISION = find_task("division")  # neither

FOVS = ("A/1/0", "B/1/0")
# Mother 2 (t 0-2) has the daughters 3 (t 3-5) and 5 (t 3-4); 3 has 7 (t 6-7); 4 is a stranger.
FAMILY = {2: (0, 2, -1), 3: (3, 5, 2), 4: (0, 7, -1), 5: (3, 4, 2), 7: (6, 7, 3)}


def family():
    """The same family in two FOVs."""
    rows = np.array(
        [
            (fov, track, t, parent)
            for fov in range(len(FOVS))
            for track, (first, last, parent) in FAMILY.items()
            for t in range(first, last + 1)
        ]
    )
    fov, track, t, parent = rows.T
    return Cells(
        fovs=FOVS,
        fov=fov.astype(np.int32),
        track=track,
        t=t,
        id=np.asarray(node_id(t, track)),
        parent=parent,
        position=np.arange(3.0 * len(rows), dtype=np.float32).reshape(-1, 3),
        keys=dict.fromkeys(FOVS, "key"),
    )


CELLS = family()


def row(track, t, fov=0):
    return int(CELLS.find(FOVS[fov], [node_id(t, track)])[0])


def shown(marks):
    return {(fov, node, task): state for task in marks.tasks for fov, node, state in marks.of(task)}


def of_cells(marks, task, fov=0):
    """States by (track, t) of one FOV."""
    return {
        (int(CELLS.track[i]), int(CELLS.t[i])): found.state
        for i in range(len(CELLS))
        if CELLS.fov[i] == fov and (found := marks.get(FOVS[fov], int(CELLS.id[i]), task.name))
    }


def on_disk(dataset):
    """What another process would read: the journal, from its first line."""
    return {
        (fov, node, task): Given(mark.state, mark.carried)
        for (fov, node, task), (mark, _) in Journal(dataset.workspace.journal).states().items()
    }


def lines(dataset):
    file = dataset.workspace.journal
    return file.read_bytes().count(b"\n") if file.exists() else 0


class Later:
    """An executor that does the work when told to, like a busy disk."""

    def __init__(self):
        self.asked = deque()

    def __call__(self, work, done, failed):
        self.asked.append((work, done, failed))

    def work(self):
        """Do the oldest piece of work; what is returned tells the annotator."""
        work, done, failed = self.asked.popleft()
        try:
            result = work()
        except StorageError as error:
            return lambda error=error: failed(error)
        return lambda: done(result)

    def go(self):
        self.work()()


class Ears:
    def __init__(self, annotator):
        self.said, self.failed, self.changed = [], [], 0
        annotator.said.connect(self.said.append)
        annotator.failed.connect(self.failed.append)
        annotator.changed.connect(self._count)

    def _count(self):
        self.changed += 1


@pytest.fixture
def annotator(dataset):
    return Annotator(dataset)


@pytest.fixture
def ears(annotator):
    return Ears(annotator)


# -- what an action does ------------------------------------------------------


def test_a_click_is_shown_said_and_on_disk(dataset, annotator, ears):
    annotator.give(CELLS, np.array([row(2, 1)]), DIVISION, "mitosis", "track 2, t=1")
    place = ("A/1/0", node_id(1, 2), "division")
    assert shown(annotator.marks) == on_disk(dataset) == {place: Given("mitosis", False)}
    assert (ears.said, ears.changed, ears.failed) == (["track 2, t=1: mitosis"], 1, [])
    (mark, _) = Journal(dataset.workspace.journal).states()[place]
    z, y, x = CELLS.position[row(2, 1)]
    assert (mark.track_id, mark.t, mark.z, mark.y, mark.x, mark.made_on) == (2, 1, z, y, x, "key")


def test_negatives_and_doubt_are_states_and_clearing_is_not(dataset, annotator, ears):
    for track, state in ((2, "interphase"), (4, "unknown"), (4, "")):
        annotator.give(CELLS, np.array([row(track, 0)]), DIVISION, state)
    assert of_cells(annotator.marks, DIVISION) == {(2, 0): "interphase"}
    assert on_disk(dataset) == shown(annotator.marks)
    assert lines(dataset) == 3
    assert ears.said == ["1 cell: interphase", "1 cell: unknown", "1 cell: annotation cleared"]


@pytest.mark.parametrize(
    ("task", "further"),
    [
        (DIVISION, []),
        (DEATH, [(2, 2)]),
        (INFECTION, [(2, 2), (3, 3), (3, 4), (3, 5), (5, 3), (5, 4), (7, 6), (7, 7)]),
    ],
)
def test_a_state_goes_on_as_the_task_says(annotator, ears, task, further):
    state = task.state_names[1]
    annotator.give(CELLS, np.array([row(2, 1)]), task, state)
    assert of_cells(annotator.marks, task) == dict.fromkeys([(2, 1), *further], state)
    assert annotator.marks.explicit(task.name, "A/1/0") == {node_id(1, 2): state}
    more = f" (and {len(further)} that follow)" if further else ""
    assert ears.said == [f"1 cell: {state}{more}"]
    assert of_cells(annotator.marks, task, fov=1) == {}, "the other FOV has cells of these ids too"


def test_what_someone_looked_at_is_not_overrun(annotator):
    annotator.give(CELLS, np.array([row(3, 4)]), INFECTION, "uninfected")
    annotator.give(CELLS, np.array([row(2, 2)]), INFECTION, "infected")
    found = of_cells(annotator.marks, INFECTION)
    assert {place for place, state in found.items() if state == "infected"} == {
        (2, 2), (3, 3), (5, 3), (5, 4),
    }  # fmt: skip
    assert {place for place, state in found.items() if state == "uninfected"} == {
        (3, 4), (3, 5), (7, 6), (7, 7),
    }  # fmt: skip


def test_clearing_takes_away_what_followed(annotator, dataset):
    annotator.give(CELLS, np.array([row(2, 0)]), INFECTION, "infected")
    annotator.give(CELLS, np.array([row(3, 4)]), INFECTION, "uninfected")
    annotator.give(CELLS, np.array([row(2, 0)]), INFECTION, "")
    assert set(of_cells(annotator.marks, INFECTION)) == {(3, 4), (3, 5), (7, 6), (7, 7)}
    assert shown(annotator.marks) == on_disk(dataset)


def test_tasks_do_not_touch_each_other(annotator):
    annotator.give(CELLS, np.array([row(4, 0)]), DEATH, "dead")
    before = of_cells(annotator.marks, DEATH)
    annotator.give(CELLS, np.array([row(4, 0)]), INFECTION, "infected")
    annotator.give(CELLS, np.array([row(4, 0)]), INFECTION, "")
    assert of_cells(annotator.marks, DEATH) == before
    assert len(before) == 8


def test_a_lasso_over_fovs_and_a_stretch_of_a_track_are_one_step(annotator, dataset, ears):
    segment = CELLS.of_track("A/1/0", 4)[2:6]
    chosen = np.unique([*segment, row(2, 0), row(5, 3), row(2, 1, fov=1), row(4, 7, fov=1)])
    annotator.give(CELLS, chosen, DIVISION, "mitosis")
    assert lines(dataset) == 1
    assert ears.said == ["8 cells: mitosis"]
    assert len(shown(annotator.marks)) == 8
    assert set(of_cells(annotator.marks, DIVISION, fov=1)) == {(2, 1), (4, 7)}
    annotator.undo()
    assert shown(annotator.marks) == on_disk(dataset) == {}
    annotator.redo()
    assert len(shown(annotator.marks)) == 8
    what = "division, 2 FOVs: 8 cells: mitosis"
    assert ears.said[1:] == [f"undo: {what}", f"redo: {what}"]


def test_undo_names_the_task_and_the_fov(annotator, ears):
    annotator.give(CELLS, np.array([row(4, 3), row(4, 5)]), DEATH, "dead")
    annotator.give(CELLS, np.array([row(2, 1, fov=1)]), DIVISION, "mitosis")
    annotator.give(CELLS, np.array([row(2, 1, fov=1)]), DIVISION, "")
    for _ in range(3):
        annotator.undo()
    assert ears.said[3:] == [
        "undo: division, FOV B/1/0, track 2, t=1: cleared",
        "undo: division, FOV B/1/0, track 2, t=1: mitosis",
        "undo: death, FOV A/1/0: 2 cells: dead",
    ]


def test_only_states_that_are_given_are_said_to_be(annotator):
    heard = []
    annotator.given.connect(lambda: heard.append(True))
    annotator.give(CELLS, np.array([row(4, 3)]), DEATH, "dead")
    annotator.give(CELLS, np.array([row(4, 3)]), DEATH, "")
    annotator.undo()
    annotator.redo()
    assert heard == [True]
    annotator.give(CELLS, np.array([row(4, 3), row(4, 4)]), DEATH, "alive")
    assert heard == [True, True]


def test_after_a_mark_that_is_cleared_the_one_before_holds_again(annotator, dataset, ears):
    annotator.give(CELLS, np.array([row(2, 0)]), INFECTION, "infected")
    annotator.give(CELLS, np.array([row(3, 4)]), INFECTION, "uninfected")
    annotator.give(CELLS, np.array([row(3, 4)]), INFECTION, "")
    found = of_cells(annotator.marks, INFECTION)
    assert set(found.values()) == {"infected"}
    assert (3, 4) not in found
    assert {(3, 5), (7, 6), (7, 7)} <= set(found)
    assert ears.said[-1] == "1 cell: annotation cleared; 3 that follow: infected"
    assert shown(annotator.marks) == on_disk(dataset)
    annotator.undo()
    assert of_cells(annotator.marks, INFECTION)[7, 7] == "uninfected"


def test_marks_are_made_ready_where_the_disk_is_waited_for(dataset):
    """With 200,000 of them it takes a third of a second: not on the thread of the window."""

    def effort(count):
        cells = Cells(
            fovs=("A/1/0",), fov=np.zeros(count, np.int32), track=np.arange(count) + 1,
            t=np.zeros(count, np.int64), id=np.arange(count) + 1_000_001,
            parent=np.full(count, -1), position=np.zeros((count, 3), np.float32),
        ).index()  # fmt: skip
        later = Later()
        annotator = Annotator(dataset, later)
        asked = calls(lambda: annotator.give(cells, np.arange(count), DIVISION, "mitosis"))
        tell = later.work()
        told = calls(tell)
        assert annotator.marks.counts("division").total() == count
        return asked + told

    assert effort(3000) == effort(300)


def test_nothing_chosen_and_nothing_to_undo_write_nothing(annotator, dataset, ears):
    annotator.give(CELLS, np.zeros(0, np.intp), DIVISION, "mitosis")
    annotator.undo()
    annotator.redo()
    assert ears.said == ["nothing to undo", "nothing to redo"]
    assert not dataset.workspace.journal.exists()


def test_who_and_when_are_recorded(annotator, dataset):
    assert annotator.name == default_annotator()
    before = datetime.now(UTC) - timedelta(seconds=1)
    for name in ("Ada", "Zoë Größer"):
        annotator.name = name
        annotator.give(CELLS, np.array([row(4, 0)]), DIVISION, "mitosis")
    actions = Journal(dataset.workspace.journal)._done
    assert [action.annotator for action in actions] == ["Ada", "Zoë Größer"]
    for action in actions:
        date = datetime.fromisoformat(action.date)
        assert date.utcoffset() == timedelta(0)
        assert before <= date <= datetime.now(UTC)


def test_who_clicked_is_who_was_there_at_the_click(dataset):
    later = Later()
    annotator = Annotator(dataset, later)
    annotator.name = "Ada"
    annotator.give(CELLS, np.array([row(4, 0)]), DIVISION, "mitosis")
    annotator.give(CELLS, np.array([row(4, 1)]), DIVISION, "mitosis")
    annotator.name = "Bob"
    later.go()
    later.go()
    assert [a.annotator for a in Journal(dataset.workspace.journal)._done] == ["Ada", "Ada"]


# -- in any order, against a model --------------------------------------------


class Model:
    """Annotations the plain way: actions are replayed from the first."""

    def __init__(self):
        self.done, self.undone = [], []

    def states(self):
        found = {}
        for action in self.done:
            for place, given_ in action.items():
                found.pop(place, None)
                if given_.state:
                    found[place] = given_
        return found

    def give(self, rows, task, state):
        now = self.states()
        action = {}
        for name in FOVS:
            here = {int(CELLS.id[i]) for i in rows if CELLS.name(i) == name}
            looked = {n: g.state for (f, n, t), g in now.items() if (f, t) == (name, task.name)
                      and not g.carried}  # fmt: skip
            action |= {(name, n, task.name): Given(state, False) for n in here}
            for node in self.follow(here, set(looked), task) if task.carry_forward else ():
                again = "" if state else self.before(node, here, looked, task)
                action[name, node, task.name] = Given(state or again, True)
        self.done.append(action)
        self.undone.clear()

    def follow(self, here, looked, task):
        found = set()

        def walk(track, t):
            first, last, _ = FAMILY[track]
            if first <= t <= last:
                node = int(node_id(t, track))
                if node not in here | looked:
                    found.add(node)
                    walk(track, t + 1)
            elif task.inherit:
                for daughter, (birth, _, parent) in FAMILY.items():
                    if parent == track:
                        walk(daughter, birth)

        for track, (first, last, _) in FAMILY.items():
            for t in range(first, last + 1):
                if int(node_id(t, track)) in here:
                    walk(track, t + 1)
        return found

    def before(self, node, here, looked, task):
        """State of the last cell before a node that someone looked at."""
        i = CELLS.find(FOVS[0], [node])[0]
        track, t = int(CELLS.track[i]), int(CELLS.t[i])
        while True:
            first, _, parent = FAMILY[track]
            node = int(node_id(t, track))
            if node in looked and node not in here:
                return looked[node]
            if t == first and (parent < 0 or not task.inherit):
                return ""
            track, t = (track, t - 1) if t > first else (parent, FAMILY[parent][1])

    def undo(self):
        if self.done:
            self.undone.append(self.done.pop())

    def redo(self):
        if self.undone:
            self.done.append(self.undone.pop())


gifts = st.sampled_from([INFECTION, DEATH, DIVISION]).flatmap(
    lambda task: st.tuples(
        st.lists(st.integers(0, len(CELLS) - 1), min_size=1, max_size=4, unique=True),
        st.just(task),
        st.sampled_from([*task.state_names, "unknown", ""]),
    )
)


@given(
    actions=st.lists(st.one_of(gifts, st.sampled_from(["undo", "undo", "redo"])), max_size=12),
    patience=st.integers(1, 3),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_done_screen_disk_and_model_agree(actions, patience, plate, tmp_path_factory):
    dataset = open_dataset(plate, tmp_path_factory.mktemp("any") / "plate.dynaclr")
    later, model = Later(), Model()
    annotator = Annotator(dataset, later)
    for i, action in enumerate(actions, start=1):
        if isinstance(action, str):
            getattr(annotator, action)()
            getattr(model, action)()
        else:
            annotator.give(CELLS, np.array(action[0]), *action[1:])
            model.give(*action)
        if i % patience:
            continue  # a person who is faster than the disk
        while later.asked:
            later.go()
        assert shown(annotator.marks) == on_disk(dataset) == model.states()
    while later.asked:
        later.go()
    assert shown(annotator.marks) == on_disk(dataset) == model.states()
    assert shown(read_marks(dataset)) == model.states()
    assert annotator.marks.counts("infection").total() == len(
        [1 for _, _, task in model.states() if task == "infection"]
    )


# -- one after the other ------------------------------------------------------


def test_an_action_is_on_disk_before_the_next_begins(dataset):
    later = Later()
    annotator = Annotator(dataset, later)
    ears = Ears(annotator)
    for i in range(3):
        annotator.give(CELLS, np.array([row(4, i)]), DIVISION, "mitosis")
    annotator.undo()
    for done in range(4):
        assert annotator.busy
        assert len(later.asked) == 1, "the next one waits"
        assert lines(dataset) == done
        tell = later.work()
        assert lines(dataset) == done + 1
        assert ears.changed == done, "shown once it is known to be on disk"
        tell()
        assert shown(annotator.marks) == on_disk(dataset)
    assert not annotator.busy
    assert len(shown(annotator.marks)) == 2


def test_a_view_that_fails_does_not_hold_up_the_next_click(dataset):
    later = Later()
    annotator = Annotator(dataset, later)
    annotator.said.connect(lambda _: 1 / 0)
    for i in range(2):
        annotator.give(CELLS, np.array([row(4, i)]), DIVISION, "mitosis")
    for _ in range(2):
        with pytest.raises(Exception, match="division by zero"):
            later.go()
    assert lines(dataset) == 2
    assert not annotator.busy


def test_clicks_while_marks_are_read_are_not_lost(dataset):
    later = Later()
    annotator = Annotator(dataset, later)
    annotator.give(CELLS, np.array([row(4, 0)]), DIVISION, "mitosis")
    later.go()
    read = read_marks(dataset)
    annotator.give(CELLS, np.array([row(4, 1)]), DIVISION, "interphase")
    later.go()
    annotator.undo()
    later.go()
    annotator.give(CELLS, np.array([row(2, 0)]), DEATH, "dead")
    later.go()
    annotator.load(read)
    assert shown(annotator.marks) == on_disk(dataset)
    assert of_cells(annotator.marks, DIVISION) == {(4, 0): "mitosis"}
    assert len(of_cells(annotator.marks, DEATH)) == 3
    annotator.give(CELLS, np.array([row(2, 0)]), DEATH, "")
    later.go()
    annotator.load(read_marks(dataset))
    assert shown(annotator.marks) == on_disk(dataset)
    assert of_cells(annotator.marks, DEATH) == {}


def test_marks_of_another_process_come_with_the_next_reading(dataset, annotator):
    annotator.give(CELLS, np.array([row(4, 0)]), DIVISION, "mitosis")
    other = Annotator(dataset)
    other.give(CELLS, np.array([row(4, 1)]), DIVISION, "interphase")
    annotator.give(CELLS, np.array([row(4, 2)]), DIVISION, "mitosis")
    assert lines(dataset) == 3
    annotator.load(read_marks(dataset))
    assert of_cells(annotator.marks, DIVISION) == {
        (4, 0): "mitosis", (4, 1): "interphase", (4, 2): "mitosis",
    }  # fmt: skip


# -- when the disk refuses ----------------------------------------------------


def refuse(monkeypatch, number):
    def fsync(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_what_could_not_be_written_is_told_and_not_shown(
    dataset, annotator, ears, monkeypatch, number, cure
):
    annotator.give(CELLS, np.array([row(4, 0)]), INFECTION, "infected")
    before, marks = dataset.workspace.journal.read_bytes(), shown(annotator.marks)
    with monkeypatch.context() as patch:
        refuse(patch, number)
        annotator.give(CELLS, np.array([row(2, 0)]), INFECTION, "infected")
        annotator.undo()
    assert [cure in str(error) for error in ears.failed] == [True, True]
    assert all(isinstance(error, StorageError) for error in ears.failed)
    assert not any("\n" in str(error) for error in ears.failed)
    assert dataset.workspace.journal.read_bytes() == before
    assert shown(annotator.marks) == on_disk(dataset) == marks
    assert not annotator.busy
    annotator.give(CELLS, np.array([row(2, 0)]), INFECTION, "uninfected")
    assert len(shown(annotator.marks)) > len(marks)
    assert shown(annotator.marks) == on_disk(dataset)
    annotator.undo()
    annotator.undo()
    assert shown(annotator.marks) == on_disk(dataset) == {}


def test_a_folder_in_the_place_of_the_journal_is_told(dataset, annotator, ears):
    dataset.workspace.journal.mkdir(parents=True)
    with pytest.raises(OSError):
        annotator.give(CELLS, np.array([row(4, 0)]), DIVISION, "mitosis")
    assert [isinstance(error, OSError) for error in ears.failed] == [True]
    dataset.workspace.journal.rmdir()
    annotator.give(CELLS, np.array([row(4, 0)]), DIVISION, "mitosis")
    assert len(on_disk(dataset)) == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_told(dataset, annotator, ears):
    dataset.workspace.path.mkdir(parents=True)
    dataset.workspace.path.chmod(0o555)
    try:
        annotator.give(CELLS, np.array([row(4, 0)]), DIVISION, "mitosis")
    finally:
        dataset.workspace.path.chmod(0o755)
    assert isinstance(ears.failed[0], StorageError)
    assert shown(annotator.marks) == {}


def test_a_damaged_journal_is_told_at_every_click_and_never_written_to(dataset, annotator, ears):
    file = dataset.workspace.journal
    file.parent.mkdir(parents=True)
    file.write_text("{\n[]\n")
    annotator.give(CELLS, np.array([row(4, 0)]), DIVISION, "mitosis")
    annotator.undo()
    assert [type(error) for error in ears.failed] == [InvalidInput, InvalidInput]
    assert "line 1 is damaged" in str(ears.failed[0])
    assert file.read_text() == "{\n[]\n"
    assert shown(annotator.marks) == {}


def test_what_waits_behind_a_failure_is_given_up_and_told_once(dataset, monkeypatch):
    later = Later()
    annotator = Annotator(dataset, later)
    ears = Ears(annotator)
    for i in range(3):
        annotator.give(CELLS, np.array([row(4, i)]), DIVISION, "mitosis")
    with monkeypatch.context() as patch:
        refuse(patch, errno.ENOSPC)
        later.go()
    assert not later.asked
    assert not annotator.busy
    assert len(ears.failed) == 1
    assert (ears.said, ears.changed) == ([], 0)
    annotator.give(CELLS, np.array([row(4, 0)]), DIVISION, "interphase")
    later.go()
    assert of_cells(annotator.marks, DIVISION) == {(4, 0): "interphase"}
    assert lines(dataset) == 1


def test_a_mistake_of_ours_is_told_as_it_is_and_leaves_nothing_busy(annotator, ears, monkeypatch):
    monkeypatch.setattr(Journal, "add", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        annotator.give(CELLS, np.array([row(4, 0)]), DIVISION, "mitosis")
    assert [type(error) for error in ears.failed] == [ZeroDivisionError]
    assert not annotator.busy
    assert shown(annotator.marks) == {}
