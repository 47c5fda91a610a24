from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr import open_dataset
from napari_dynaclr.core.errors import StorageError
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.journal import Journal
from napari_dynaclr.core.tasks import TASKS, find_task
from napari_dynaclr.session import Scope, Session
from napari_dynaclr.session.cells import Cells, load_cells
from napari_dynaclr.session.colours import ColourBy, Kind
from napari_dynaclr.session.marks import read_marks
from napari_dynaclr.session.painting import paint

EVENTS = (
    "dataset_changed", "fov_changed", "frame_changed", "results_changed", "cells_changed",
    "selection_changed", "colour_changed", "marks_changed", "task_changed", "focus_requested",
    "said", "failed",
)  # fmt: skip


def some_cells(fovs=("A/1/0", "B/1/0"), tracks=3, times=4):
    """The same tracks in each FOV; ids are unique in a FOV only."""
    fov, track, t = np.meshgrid(
        np.arange(len(fovs)), np.arange(1, tracks + 1), np.arange(times), indexing="ij"
    )
    fov, track, t = fov.ravel(), track.ravel(), t.ravel()
    return Cells(
        fovs=tuple(fovs),
        fov=fov.astype(np.int32),
        track=track.astype(np.int64),
        t=t.astype(np.int64),
        id=(1000 * t + track).astype(np.int64),
        parent=np.full(len(t), -1, np.int64),
        position=np.stack([0 * t, 20.0 * track, 10.0 * t], 1).astype(np.float32),
        keys=dict.fromkeys(fovs, "key"),
    )


class Log(list):
    """The events of a session, in order."""

    def __init__(self, session):
        super().__init__()
        for name in EVENTS:
            getattr(session, name).connect(self._listener(name))

    def _listener(self, name):
        def heard(*what):
            self.append((name, *what) if what else name)

        return heard

    def take(self):
        found = self[:]
        self.clear()
        return found


@pytest.fixture
def session(dataset):
    made = Session()
    made.open(dataset)
    made.show(dataset["B/1/0"])
    made.set_cells(some_cells())
    return made


@pytest.fixture
def log(session):
    return Log(session)


# -- selection ----------------------------------------------------------------


def test_selected_rows_are_ascending_and_each_once(session):
    session.select([7, 3, 7, 0])
    assert session.selection.tolist() == [0, 3, 7]


@given(st.lists(st.tuples(st.lists(st.integers(0, 23)), st.sampled_from(
    ["replace", "add", "remove", "toggle"])), max_size=8))  # fmt: skip
@settings(deadline=None)
def test_ways_of_selecting_are_those_of_sets(steps):
    session = Session()
    session.set_cells(some_cells())
    log, expected = Log(session), set()
    for rows, how in steps:
        before = expected
        expected = {
            "replace": set(rows),
            "add": expected | set(rows),
            "remove": expected - set(rows),
            "toggle": expected ^ set(rows),
        }[how]
        session.select(rows, how)
        assert session.selection.tolist() == sorted(expected)
        assert log.take() == (["selection_changed"] if expected != before else [])


def test_a_million_cells_are_selected_within_a_frame(benchmark_clock):
    session = Session()
    session.set_cells(some_cells(fovs=("A/1/0",), tracks=10_000, times=100).index())
    half = np.arange(0, 1_000_000, 2)
    for how in ("replace", "add", "remove", "toggle"):
        assert benchmark_clock(lambda how=how: session.select(half, how)) < 0.05
    assert session.selection.tolist() == half.tolist()


@pytest.fixture
def benchmark_clock():
    """Return a function that times another: the best of three, as others compute here too."""
    import time

    def measure(work):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return min(times)

    return measure


def test_a_selection_of_one_track_has_a_track(session):
    assert session.selected_track is None
    session.select([4, 6])
    assert session.selected_track == ("A/1/0", 2)
    session.select([4, 8])
    assert session.selected_track is None, "two tracks"
    session.select([4, 16])
    assert session.selected_track is None, "the same number in two FOVs"
    session.select([16])
    assert session.selected_track == ("B/1/0", 2)


def test_selected_cells_stay_selected_among_other_cells(session, log):
    session.select([1, 13, 23])
    log.take()
    one = some_cells(fovs=("B/1/0",), tracks=2)
    session.set_cells(one)
    assert log.take() == ["cells_changed", "selection_changed"]
    assert session.selection.tolist() == [1], "track 1, t=1 of B/1/0; track 3 is gone"
    session.set_cells(some_cells(fovs=("B/1/1",)))
    assert session.selection.tolist() == []
    log.take()
    session.set_cells(some_cells())
    assert log.take() == ["cells_changed"], "nothing was selected, nothing is"


def test_focus_selects_and_asks_to_be_shown(session, log):
    session.focus(14)
    assert log.take() == ["selection_changed", ("focus_requested", "B/1/0", 2001)]
    session.focus(14)
    assert log.take() == [("focus_requested", "B/1/0", 2001)]
    for nowhere in (-1, 24):
        session.focus(nowhere)
    assert log.take() == []


def test_cells_are_named_for_a_person(session):
    assert session.describe(14) == "track 1, t=2"
    assert session.describe(2) == "FOV A/1/0, track 1, t=2"
    session.show(None)
    assert session.describe(14) == "FOV B/1/0, track 1, t=2"


# -- what is on screen --------------------------------------------------------


def test_the_cells_here_are_those_of_the_fov_and_frame(session):
    session.set_frame(2)
    assert session.here().tolist() == [14, 18, 22]
    session.set_frame(77)
    assert session.here().tolist() == []
    session.show(None)
    assert session.here().tolist() == []


def test_scopes_name_fovs(session, dataset):
    assert session.fovs_in(Scope.FOV) == ["B/1/0"]
    assert session.fovs_in(Scope.WELL) == ["B/1/0", "B/1/1"]
    assert session.fovs_in(Scope.PLATE) == ["A/1/0", "A/1/1", "B/1/0", "B/1/1"]
    session.show(None)
    assert session.fovs_in(Scope.FOV) == session.fovs_in(Scope.WELL) == []
    assert session.fovs_in(Scope.PLATE) == dataset.fov_names
    assert [Session().fovs_in(scope) for scope in Scope] == [[], [], []]


def test_a_well_is_not_another_whose_name_begins_the_same(make_plate):
    image = np.zeros((1, 1, 1, 4, 4), np.uint16)
    plate = open_dataset(make_plate("p.zarr", dict.fromkeys(("A/1/0", "A/10/0", "A/1/1"), image)))
    session = Session()
    session.open(plate)
    session.show(plate["A/1/0"])
    assert session.fovs_in(Scope.WELL) == ["A/1/0", "A/1/1"]


def test_a_point_means_the_nearest_cell_of_the_frame(session):
    session.set_frame(1)
    y, x = session.cells.position[17, 1:]
    reach = 5 * session.fov.scale[1]
    assert session.cell_at((0, y + 2, x), 0, reach) == 17
    assert session.cell_at((0, y + 9, x), 0, reach) == -1
    track = int(session.cells.track[17])
    assert session.cell_at((0, y + 9, x), track, reach) == 17, "the label decides"
    assert session.cell_at((0, y + 2, x), 999, reach) == -1, "a label of no cell"
    session.set_frame(9)
    assert session.cell_at((0, y, x), 0, reach) == -1
    session.show(None)
    assert session.cell_at((0, y, x), 0, reach) == -1


# -- events -------------------------------------------------------------------


def test_what_changes_nothing_says_nothing(session, log, dataset):
    session.set_frame(session.frame)
    session.show(session.fov)
    session.select([])
    session.set_task(session.task.name)
    session.set_task("no such task")
    session.set_state("")
    session.annotate([], "infected")
    assert log.take() == []
    assert not dataset.workspace.journal.exists()


def test_each_change_is_told_once(session, log, dataset):
    session.set_frame(3)
    session.show(dataset["A/1/0"])
    session.set_task("death")
    session.set_state("dead")
    session.set_palette(ColourBy(Kind.TRACK), None)
    session.annotate([0], "dead")
    session.say("done")
    assert log.take() == [
        "frame_changed", "fov_changed", "task_changed", "task_changed", "colour_changed",
        "marks_changed", ("said", "track 1, t=0: dead (and 3 that follow)"), ("said", "done"),
    ]  # fmt: skip


# -- tasks and states ---------------------------------------------------------


def test_another_task_has_no_active_state(session):
    session.set_state("infected")
    session.set_task("death")
    assert (session.task.name, session.state) == ("death", "")


def test_edited_tasks_keep_what_is_still_there(session, log):
    session.set_task("death")
    session.set_state("dead")
    own = replace(find_task("own"), states=find_task("division").states)
    session.set_tasks([own, *TASKS[::-1]])
    assert (session.task.name, session.state) == ("death", "dead")
    less = replace(session.task, states=session.task.states[:1])
    session.set_tasks([own, less])
    assert (session.task, session.state) == (less, "")
    session.set_state("unknown")
    session.set_tasks([own, less])
    assert session.state == "unknown", "it can be said in every task"
    log.take()
    session.set_tasks([own])
    assert (session.task, session.tasks) == (own, (own,))
    assert log.take() == ["task_changed"]


# -- annotation ---------------------------------------------------------------


def test_annotating_names_the_cell_or_their_number(session, log, dataset):
    session.set_task("division")
    log.take()
    session.annotate([14], "mitosis")
    session.annotate(np.array([0, 1, 23]), "interphase")
    session.annotator.undo()
    said = [what for name, what in (e for e in log if isinstance(e, tuple)) if name == "said"]
    assert said == [
        "track 1, t=2: mitosis",
        "3 cells: interphase",
        "undo: division, 2 FOVs: 3 cells: interphase",
    ]
    assert session.marks.counts("division") == {"mitosis": 1}
    assert len(Journal(dataset.workspace.journal).states()) == 1


def test_without_a_dataset_nothing_is_annotated():
    session = Session()
    session.set_cells(some_cells())
    session.annotate([0], "infected")
    assert list(session.marks.of("infection")) == []


def test_marks_come_with_the_cells_they_were_read_with(processed):
    session = Session()
    session.open(processed)
    session.set_cells(load_cells(processed, "features", Job()), read_marks(processed))
    counts = session.marks.counts("infection")
    assert set(counts) == {"infected", "uninfected"}
    session.set_cells(Cells())
    assert session.marks.counts("infection") == counts, "other cells, the same marks"


# -- another dataset ----------------------------------------------------------


@pytest.fixture
def other(make_plate):
    image = np.zeros((2, 1, 1, 8, 8), np.uint16)
    return open_dataset(make_plate("other.zarr", {"C/3/0": image}))


def test_another_dataset_leaves_nothing_of_the_first(session, dataset, other, log):
    session.set_frame(3)
    session.select([1, 2])
    session.set_task("death")
    session.annotate([0], "dead")
    well = ColourBy(Kind.WELL)
    session.set_palette(well, paint(dataset, session.cells, well, TASKS, session.marks))
    log.take()
    session.open(other)
    assert session.dataset is other
    assert session.fov is None
    assert session.frame == 0
    assert len(session.cells) == len(session.selection) == 0
    assert session.palette is None
    assert session.marks.tasks == []
    events = log.take()
    for name in ("dataset_changed", "fov_changed", "cells_changed", "selection_changed"):
        assert events.count(name) == 1, name


def test_none_can_be_open(session, log):
    session.open(None)
    assert (session.dataset, session.fov, session.annotator) == (None, None, None)
    assert session.fovs_in(Scope.PLATE) == []
    assert session.tasks == TASKS
    session.annotate([], "infected")


def test_tasks_are_those_of_the_dataset(session, other):
    own = replace(find_task("own"), states=find_task("division").states)
    session.set_task("death")
    session.set_state("dead")
    session.open(other, (own,))
    assert (session.tasks, session.task, session.state) == ((own,), own, "")
    session.open(None)
    assert (session.task, session.state) == (TASKS[0], "")


def test_the_annotator_stays_who_they_are(session, other):
    session.annotator.name = "Zoë"
    session.open(other)
    assert session.annotator.name == "Zoë"


def test_late_clicks_of_the_first_are_recorded_and_show_nowhere(dataset, other):
    asked = []
    session = Session(execute=lambda *work: asked.append(work))
    session.open(dataset)
    session.set_cells(some_cells())
    session.annotate([0], "infected")
    session.annotate([4], "infected")
    session.open(other)
    log = Log(session)
    for work, done, _ in asked:  # grows: the second click follows the first
        done(work())
    assert len(asked) == 2
    assert log.take() == []
    assert session.marks.tasks == []
    assert len(Journal(dataset.workspace.journal)._done) == 2
    assert not other.workspace.journal.exists()


def test_a_late_click_that_cannot_be_recorded_is_told_all_the_same(dataset, other):
    asked = []
    session = Session(execute=lambda *work: asked.append(work))
    session.open(dataset)
    session.set_cells(some_cells())
    session.annotate([0], "infected")
    session.open(other)
    log = Log(session)
    error = StorageError("the disk is full")
    asked[0][2](error)
    assert log.take() == [("failed", error)]
