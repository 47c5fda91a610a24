from __future__ import annotations

import errno
import gc
import logging
import os
import threading
import weakref
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import NotificationSeverity, notification_manager

from napari_dynaclr import open_dataset, params, segment
from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.journal import Journal
from napari_dynaclr.core.registry import find_method
from napari_dynaclr.gui import workbench as module
from napari_dynaclr.gui.runner import RunState
from napari_dynaclr.gui.workbench import Workbench, workbench
from napari_dynaclr.session import Scope
from napari_dynaclr.session.colours import ColourBy, Kind
from napari_dynaclr.session.plate import plate_status

LONG = 30_000


@pytest.fixture
def empty_bench(qtbot, idle):
    """A workbench whose viewer has no window: what Qt draws is not what is tested here."""
    made = Workbench(ViewerModel())
    yield made
    idle(made)
    made.close()


@pytest.fixture
def told():
    """Return a function that gives the notifications since the test began."""
    before = len(notification_manager.records)

    def messages():
        return [(str(one.severity), one.message) for one in notification_manager.records][before:]

    return messages


class Deck:
    """Work that lies on the table until the test plays it, in any order."""

    def __init__(self, bench, monkeypatch):
        self.cards = []
        monkeypatch.setattr(bench.runner, "start", self._start)

    def _start(self, title, work, done=None, failed=None, lane="read"):
        self.cards.append(SimpleNamespace(title=title, work=work, done=done, failed=failed))
        return SimpleNamespace(cancel=lambda: None)

    def play(self, title, which=0):
        """Do the first card of a title (or another), and hand in its result."""
        found = [card for card in self.cards if card.title.startswith(title)]
        card = found[which]
        self.cards.remove(card)
        result = card.work(Job())
        if card.done is not None:
            card.done(result)

    def titles(self):
        return [card.title for card in self.cards]


@pytest.fixture
def other(make_plate):
    """A second, small dataset."""
    image = np.random.default_rng(0).integers(0, 99, (3, 1, 1, 32, 32)).astype(np.uint16)
    return make_plate("other.zarr", {"C/3/0": image, "C/3/1": image})


def names(viewer):
    return [layer.name for layer in viewer.layers]


def our_threads():
    return {one for one in threading.enumerate() if one.name.startswith("dynaclr-")}


# -- opening ------------------------------------------------------------------


def test_what_is_not_there_is_told_once_and_what_is_open_stays(
    fresh_bench, told, idle, tmp_path, make_plate
):
    session = fresh_bench.session
    before = (session.dataset, session.fov, names(fresh_bench.viewer))
    for bad in (tmp_path / "nothing.zarr", tmp_path, make_plate("empty.zarr", {})):
        fresh_bench.open(bad)
        idle(fresh_bench)
        ((severity, message),) = told()
        assert severity == "error"
        assert str(bad) in message
        assert "\n" not in message
        assert (session.dataset, session.fov, names(fresh_bench.viewer)) == before
        notification_manager.records.pop()
    fresh_bench.step_fov(-1)
    idle(fresh_bench)
    assert session.fov.name == "A/1/1", "it goes on working"


def test_an_unknown_fov_is_told_and_the_dataset_is_open(empty_bench, dataset, told, idle):
    empty_bench.open(dataset.root, fov="Z/9/9", workspace=dataset.workspace.path)
    idle(empty_bench)
    ((_, message),) = told()
    assert "no FOV 'Z/9/9'" in message
    assert empty_bench.session.dataset is not None
    assert empty_bench.session.fov is None
    empty_bench.show_fov("A/1/0")
    idle(empty_bench)
    assert empty_bench.session.fov.name == "A/1/0"


def test_of_two_opens_in_a_row_the_second_wins(
    fresh_bench, dataset, other, monkeypatch, idle, tmp_path
):
    deck, session = Deck(fresh_bench, monkeypatch), fresh_bench.session
    fresh_bench.open(dataset.root, workspace=tmp_path / "a")
    fresh_bench.open(other, workspace=tmp_path / "b")
    deck.play("open", 1)
    assert session.dataset.root == other
    deck.play("open", 0)
    assert session.dataset.root == other, "the first comes late and concerns nobody"
    deck.play("open C/3/0")
    assert session.fov.name == "C/3/0"
    assert names(fresh_bench.viewer) == ["Nuclei"]
    monkeypatch.undo()
    idle(fresh_bench)


def test_of_several_fovs_the_last_asked_for_is_shown(fresh_bench, monkeypatch):
    deck, session = Deck(fresh_bench, monkeypatch), fresh_bench.session
    for name in ("A/1/0", "A/1/1", "B/1/1"):
        fresh_bench.show_fov(name)
    for name in ("B/1/1", "A/1/0", "A/1/1"):
        deck.play(f"open {name}")
        assert session.fov.name == "B/1/1"
    assert fresh_bench.layers.scene.fov.name == "B/1/1"


def test_of_several_readings_of_cells_the_last_is_shown(bench, monkeypatch):
    deck, session = Deck(bench, monkeypatch), bench.session
    bench.set_scope(Scope.PLATE)
    bench.set_scope(Scope.WELL)
    deck.play("read cells", 1)
    assert session.cells.fovs == ("B/1/0", "B/1/1")
    deck.play("read cells", 0)
    assert session.cells.fovs == ("B/1/0", "B/1/1")


def test_of_several_colours_the_last_is_shown(bench, monkeypatch):
    deck, session = Deck(bench, monkeypatch), bench.session
    bench.colour(ColourBy(Kind.WELL))
    bench.colour(ColourBy(Kind.PREDICTION, "infection"))
    deck.play("colour", 1)
    deck.play("colour", 0)
    assert session.colour_by.kind is Kind.PREDICTION
    assert session.palette.legend.title == "prediction (infection)"
    bench.colour(ColourBy(Kind.TRACK))
    cells = session.cells
    session.set_cells(type(cells)())
    deck.play("colour")
    assert session.palette is None, "it was of other cells"


def test_what_was_asked_of_a_closed_dataset_comes_to_nothing(bench, monkeypatch):
    deck, session = Deck(bench, monkeypatch), bench.session
    bench.show_fov("A/1/0")
    bench.load_cells()
    bench.colour(ColourBy(Kind.WELL))
    bench.close_dataset()
    for title in ("open", "read cells", "colour"):
        deck.play(title)
    assert (session.dataset, session.fov, session.palette) == (None, None, None)
    assert len(session.cells) == 0
    assert names(bench.viewer) == []
    bench.load_cells()
    bench.show_fov("A/1/0")
    assert deck.titles() == []


def test_another_dataset_leaves_no_layer_and_no_cell_of_the_first(bench, other, idle, tmp_path):
    bench.session.select([0, 1])
    bench.open(other, workspace=tmp_path / "other.dynaclr")
    idle(bench)
    assert names(bench.viewer) == ["Nuclei"]
    assert len(bench.session.cells) == 0
    assert bench.session.marks.tasks == []
    assert bench.embeddings == []
    assert bench.features == []


def test_tracks_that_cannot_be_read_leave_no_cells_of_another_fov(bench, told, idle):
    workspace, session = bench.session.dataset.workspace, bench.session
    workspace.tracks_csv(session.dataset["B/1/1"]).write_text("not,a,table\n1\n")
    bench.show_fov("B/1/1")
    idle(bench)
    assert len(told()) == 1
    assert session.fov.name == "B/1/1"
    assert len(session.cells) == 0
    assert "tracks" not in names(bench.viewer)
    bench.show_fov("B/1/0")
    idle(bench)
    assert len(session.here()) > 0


def test_a_click_while_cells_are_read_is_not_lost(bench, monkeypatch, idle, qtbot):
    session = bench.session
    session.set_task("death")
    with monkeypatch.context() as patch:
        deck = Deck(bench, patch)
        bench.load_cells()
        (card,) = deck.cards
        read = card.work(Job())
    row = int(session.here()[0])
    session.annotate([row], "dead")
    qtbot.waitUntil(lambda: session.marks.counts("death").total() > 0)
    expected = session.marks.counts("death")
    card.done(read)
    assert session.marks.counts("death") == expected
    idle(bench)
    bench.load_cells()
    idle(bench)
    assert session.marks.counts("death") == expected


# -- stepping and going -------------------------------------------------------


def test_stepping_ends_at_the_ends(fresh_bench, idle):
    said = []
    fresh_bench.session.said.connect(said.append)
    for step, name, status in (
        (1, "B/1/1", "FOV B/1/1 (4 of 4)"),
        (1, "B/1/1", "this is the last FOV"),
        (-1, "B/1/0", "FOV B/1/0 (3 of 4)"),
        (-1, "A/1/1", "FOV A/1/1 (2 of 4)"),
        (-1, "A/1/0", "FOV A/1/0 (1 of 4)"),
        (-1, "A/1/0", "this is the first FOV"),
    ):
        fresh_bench.step_fov(step)
        assert fresh_bench.viewer.status == status
        idle(fresh_bench)
        assert fresh_bench.session.fov.name == name


def test_without_a_dataset_nothing_happens(empty_bench, idle, told):
    empty_bench.step_fov(1)
    empty_bench.show_fov("A/1/0")
    empty_bench.load_cells()
    empty_bench.set_scope(Scope.PLATE)
    empty_bench.colour(ColourBy(Kind.TRACK))
    empty_bench.go_to("A/1/0", 1)
    idle(empty_bench)
    assert told() == []
    assert empty_bench.row_under_cursor() == -1
    assert empty_bench.run_stage("segment", params("segment"), ["A/1/0"]) is None
    assert told() == [("error", "No dataset is open: open one first.")]


def test_going_to_a_cell_shows_its_fov_its_time_and_itself(bench, idle, qtbot):
    session, viewer = bench.session, bench.viewer
    bench.set_scope(Scope.PLATE)
    idle(bench)
    row = int(session.cells.at("A/1/1", 7)[0])
    node = int(session.cells.id[row])
    bench.go_to("A/1/1", node)
    qtbot.waitUntil(lambda: session.fov.name == "A/1/1", timeout=LONG)
    idle(bench)
    assert session.frame == 7
    assert viewer.dims.point[0] == 7
    assert session.selection.tolist() == [row]
    session.focus(int(session.cells.at("A/1/1", 2)[1]))
    qtbot.waitUntil(lambda: session.frame == 2, timeout=LONG)
    assert session.fov.name == "A/1/1"


def test_the_camera_moves_only_to_what_is_out_of_view(bench):
    session, camera = bench.session, bench.viewer.scene.camera
    bench.viewer.reset_view()
    row = int(session.here()[0])
    before = camera.center
    session.focus(row)
    assert camera.center == before
    camera.zoom, camera.center = 20.0, (0.0, -1000.0, -1000.0)
    session.focus(row)
    there = (session.cells.position[row] * session.fov.scale)[1:]
    half = np.array(bench.viewer.canvas.size) / 2 / camera.zoom
    away = np.abs(there - np.array(camera.center[1:]))
    assert (away < half).all(), "in view"
    assert (away > half / 2).all(), "and no further than it takes"


def test_going_to_a_cell_that_is_no_more_changes_nothing(bench, idle, told):
    session = bench.session
    session.select([3])
    bench.go_to("B/1/0", 123_456)
    bench.go_to("B/1/0", -1)
    idle(bench)
    assert session.selection.tolist() == [3]
    bench.go_to("Z/9/9", 1)
    idle(bench)
    assert len(told()) == 1
    assert session.fov.name == "B/1/0"


def test_without_any_layer_one_can_still_go_to_a_cell(bench):
    session = bench.session
    bench.viewer.layers.clear()
    row = int(session.cells.at("B/1/0", 5)[0])
    session.focus(row)
    assert session.frame == 5
    assert session.selection.tolist() == [row]


# -- stages -------------------------------------------------------------------


def test_results_grow_on_screen_and_the_whole_takes_their_place(fresh_bench, idle, qtbot):
    parts, growing = [], []
    run = fresh_bench.run_stage("segment", params("segment"), ["B/1/0", "B/1/1"])

    def look(part):
        parts.append((part.fov_name, part.t))
        growing.append("segmentation (running)" in names(fresh_bench.viewer))

    run.made.connect(look)
    assert fresh_bench.runner.stage is run
    qtbot.waitUntil(lambda: run.is_over, timeout=LONG)
    idle(fresh_bench)
    assert run.state is RunState.FINISHED
    assert parts == [(name, t) for name in ("B/1/0", "B/1/1") for t in range(10)]
    assert any(growing), "while it is being made"
    assert "segmentation (running)" not in names(fresh_bench.viewer)
    assert "cells" in names(fresh_bench.viewer)
    assert fresh_bench.runner.stage is None


def test_what_was_cancelled_goes_on_where_it_stopped(fresh_bench, idle, qtbot, told):
    workspace, everywhere = fresh_bench.session.dataset.workspace, fresh_bench.session.dataset
    run = fresh_bench.run_stage("segment", params("segment"), everywhere.fov_names)
    run.made.connect(lambda part: run.cancel() if part.fov_name == "A/1/1" else None)
    qtbot.waitUntil(lambda: run.is_over, timeout=LONG)
    idle(fresh_bench)
    assert run.state is RunState.CANCELLED
    assert told() == [], "cancelled is not failed"
    done = {name for name, steps in plate_status(everywhere).items() if steps}
    assert "A/1/0" in done
    assert len(done) < 4
    assert names(fresh_bench.viewer) == ["Phase", "Nuclei", "Membrane", "Sensor"]
    first = workspace.labels("segmentation", everywhere["A/1/0"]).path.stat().st_mtime_ns
    again, parts = [], []
    run = fresh_bench.run_stage("segment", params("segment"), everywhere.fov_names, again.append)
    run.made.connect(lambda part: parts.append((part.fov_name, part.t)))
    qtbot.waitUntil(lambda: run.is_over, timeout=LONG)
    idle(fresh_bench)
    assert run.state is RunState.FINISHED
    assert len(again) == 1
    assert {name for name, _ in parts} == set(everywhere.fov_names) - done, "only the rest"
    assert len(set(parts)) == len(parts)
    assert workspace.labels("segmentation", everywhere["A/1/0"]).path.stat().st_mtime_ns == first
    assert all("segmented" in steps for steps in plate_status(everywhere).values())


def test_one_stage_at_a_time_is_told(fresh_bench, idle, told):
    run = fresh_bench.run_stage("segment", params("segment"), ["B/1/0"])
    assert fresh_bench.run_stage("track", params("track"), ["B/1/0"]) is None
    assert told() == [("error", "'segment' is running: wait or cancel.")]
    run.cancel()
    idle(fresh_bench)


def test_a_missing_input_offers_its_cure(fresh_bench, idle, told, qtbot):
    run = fresh_bench.run_stage("track", params("track"), ["B/1/0"])
    qtbot.waitUntil(lambda: run.is_over, timeout=LONG)
    idle(fresh_bench)
    assert run.state is RunState.FAILED
    assert fresh_bench.runner.stage is None
    assert told() == [("error", "No segmented cells found for FOV B/1/0: run 'segment' first.")]
    ((text, cure),) = notification_manager.records[-1].actions
    assert text == "Run 'segment' now"
    cure(None)
    cured = fresh_bench.runner.stage
    assert cured.title == "segment"
    qtbot.waitUntil(lambda: cured.is_over, timeout=LONG)
    idle(fresh_bench)
    status = plate_status(fresh_bench.session.dataset)
    assert [name for name, steps in status.items() if steps] == ["B/1/0"]


def test_notes_of_a_stage_are_said(fresh_bench, idle, monkeypatch, qtbot):
    def verb(_dataset, _params, job):
        job.note("3 cells were left out, for empty_frames=skip.")
        return 1

    monkeypatch.setattr(type(find_method("segment")), "verb", lambda _self: verb)
    found = []
    run = fresh_bench.run_stage("segment", params("segment"), ["B/1/0"], found.append)
    qtbot.waitUntil(lambda: run.is_over)
    assert fresh_bench.viewer.status == "3 cells were left out, for 'Empty frames' = skip."
    assert found == [1]
    idle(fresh_bench)


def test_a_stage_of_a_dataset_that_is_closed_shows_nothing_in_the_next(
    bench, other, idle, monkeypatch, qtbot, tmp_path
):
    go, found, events = threading.Event(), [], []
    monkeypatch.setattr(type(find_method("segment")), "verb", lambda _self: lambda *_: go.wait(10))
    run = bench.run_stage("segment", params("segment"), ["B/1/0"], found.append)
    bench.open(other, workspace=tmp_path / "other.dynaclr")
    qtbot.waitUntil(
        lambda: bench.session.fov is not None and bench.session.fov.name == "C/3/0", timeout=LONG
    )
    bench.session.results_changed.connect(events.append)
    shown = names(bench.viewer)
    go.set()
    qtbot.waitUntil(lambda: run.is_over)
    idle(bench)
    assert run.state is RunState.FINISHED
    assert events == []
    assert bench.session.fov.name == "C/3/0"
    assert names(bench.viewer) == shown


# -- two viewers, and closing -------------------------------------------------


def test_two_viewers_do_not_disturb_each_other(
    bench, other, make_napari_viewer, idle, qtbot, tmp_path, told
):
    second = workbench(make_napari_viewer(show=True))
    assert second is not bench
    assert workbench(second.viewer) is second
    second.open(other, workspace=tmp_path / "other.dynaclr")
    qtbot.waitUntil(lambda: second.session.fov is not None, timeout=LONG)
    idle(second)
    layers = names(bench.viewer)
    events = []
    for name in ("dataset_changed", "fov_changed", "cells_changed", "frame_changed"):
        getattr(bench.session, name).connect(lambda name=name: events.append(name))
    run = second.run_stage("segment", params("segment", channel="Nuclei"), ["C/3/0", "C/3/1"])
    assert bench.runner.stage is None
    qtbot.waitUntil(lambda: run.is_over, timeout=LONG)
    second.viewer.dims.set_point(0, 2)
    second.step_fov(1)
    idle(second)
    assert second.session.fov.name == "C/3/1"
    assert events == []
    assert names(bench.viewer) == layers
    second.viewer.close()
    qtbot.waitUntil(lambda: second._closed)
    bench.viewer.dims.set_point(0, 5)
    assert bench.session.frame == 5
    bench.session.annotate([int(bench.session.here()[0])], "infected")
    qtbot.waitUntil(lambda: not bench.session.annotator.busy)
    assert not (tmp_path / "other.dynaclr" / "annotations.jsonl").exists()
    assert told() == []


def test_closing_in_the_middle_of_a_job_stops_it_and_leaves_nothing_half_done(
    dataset, make_napari_viewer, idle, qtbot
):
    threads = our_threads()
    viewer = make_napari_viewer(show=True)
    bench = workbench(viewer)
    bench.open(dataset.root, workspace=dataset.workspace.path)
    qtbot.waitUntil(lambda: bench.session.fov is not None, timeout=LONG)
    idle(bench)
    run = bench.run_stage("segment", params("segment"), dataset.fov_names)
    with qtbot.waitSignal(run.made, timeout=LONG):
        pass
    viewer.close()
    qtbot.waitUntil(lambda: bench._closed)
    qtbot.waitUntil(lambda: our_threads() <= threads, timeout=LONG)
    assert viewer not in module._WORKBENCHES
    done = {name for name, steps in plate_status(dataset).items() if steps}
    assert len(done) < 4
    plate = dataset.workspace.plate("segmentation")
    assert {name for name in dataset.fov_names if (plate / name).exists()} == done
    segment(dataset)  # by anyone, without a word about locks or damage
    assert all("segmented" in steps for steps in plate_status(dataset).values())


def test_a_closed_workbench_is_let_go_of(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    known = weakref.ref(workbench(viewer).session)
    viewer.close()
    del viewer

    def gone():
        gc.collect()
        return known() is None

    qtbot.waitUntil(gone, timeout=LONG)


# -- annotations.csv ----------------------------------------------------------


def table(bench):
    return pd.read_csv(bench.session.dataset.workspace.annotations_csv, keep_default_na=False)


def given(found, session, row, column="cell_death_state"):
    """What a table says of a cell."""
    if column not in found:
        return ""
    here = found[(found["fov_name"] == session.cells.name(row))]
    return "".join(here.loc[here["id"] == session.cells.id[row], column])


def test_the_table_is_written_once_clicking_pauses(bench, qtbot, idle, monkeypatch):
    session, written = bench.session, []
    original = module.write_annotations
    monkeypatch.setattr(
        module, "write_annotations", lambda data: written.append(1) or original(data)
    )
    bench._table_timer.setInterval(150)
    session.set_task("death")
    rows = [int(row) for row in session.here()[:4]]
    for row in rows:
        session.annotate([row], "dead")
    qtbot.waitUntil(lambda: bool(written), timeout=5000)
    idle(bench)
    assert len(written) == 1, "once, not after every click"
    assert {given(table(bench), session, row) for row in rows} == {"dead"}
    session.annotator.undo()
    qtbot.waitUntil(lambda: len(written) == 2, timeout=5000)
    idle(bench)
    assert given(table(bench), session, rows[-1]) == ""
    assert given(table(bench), session, rows[0]) == "dead"


@pytest.mark.parametrize("how", ["window", "dataset", "other"])
def test_the_last_clicks_are_kept_and_in_the_table_however_one_leaves(
    bench, qtbot, idle, how, other, tmp_path, monkeypatch
):
    """Three clicks faster than the disk, then away."""
    session, dataset, cells = bench.session, bench.session.dataset, bench.session.cells
    slow = os.fsync

    def fsync(number):
        threading.Event().wait(0.03)
        slow(number)

    monkeypatch.setattr(os, "fsync", fsync)
    session.set_task("death")
    rows = [int(row) for row in session.here()[:3]]
    for row in rows:
        session.annotate([row], "dead")
    assert session.annotator.busy
    if how == "window":
        bench.close()
        nodes = {mark.id for mark, _ in Journal(dataset.workspace.journal).states().values()
                 if mark.task == "death" and not mark.carried}  # fmt: skip
        assert nodes == {int(cells.id[row]) for row in rows}, "on disk when the window is gone"
    elif how == "dataset":
        bench.close_dataset()
    else:
        bench.open(other, workspace=tmp_path / "other.dynaclr")
    idle(bench)
    found = pd.read_csv(dataset.workspace.annotations_csv, keep_default_na=False)
    looked = found[found["cell_death_state"] == "dead"]
    assert {int(cells.id[row]) for row in rows} <= set(looked["id"])
    assert len(current_annotations(dataset)) == len(found)


def test_without_a_click_no_table_is_written(fresh_bench, idle):
    workspace = fresh_bench.session.dataset.workspace
    fresh_bench.close()
    idle(fresh_bench)
    assert not workspace.annotations_csv.exists()
    assert not workspace.path.exists(), "looking writes nothing"


def test_a_click_that_cannot_be_recorded_is_told_once_and_the_next_works(
    bench, qtbot, idle, told, monkeypatch
):
    session = bench.session
    session.set_task("death")
    row = int(session.here()[0])

    def refuse(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        session.annotate([row], "dead")
        qtbot.waitUntil(lambda: not session.annotator.busy)
    ((severity, message),) = told()
    assert severity == "error"
    assert "the disk is full" in message
    assert session.marks.counts("death").total() == 0
    session.annotate([row], "dead")
    qtbot.waitUntil(lambda: not session.annotator.busy)
    assert session.marks.counts("death").total() > 0
    assert len(told()) == 1
    idle(bench)


# -- telling ------------------------------------------------------------------


def test_what_the_user_can_mend_is_one_line(empty_bench, told):
    empty_bench.explain(InvalidInput("no such FOV: choose another."))
    empty_bench.explain(OSError("the disk is gone"))
    assert told() == [
        ("error", "no such FOV: choose another."), ("error", "the disk is gone"),
    ]  # fmt: skip
    assert all(not one.actions for one in list(notification_manager.records)[-2:])


def test_a_mistake_of_ours_is_one_line_and_the_rest_is_in_the_log(empty_bench, told, caplog, idle):
    def work(_job):
        raise KeyError("what\never")

    with caplog.at_level(logging.ERROR, "napari"):
        empty_bench.runner.start("work", work)
        idle(empty_bench)
    ((severity, message),) = told()
    assert severity == "error"
    assert "\n" not in message
    assert "KeyError" in message
    assert "Help > Show logs" in message
    notification = notification_manager.records[-1]
    assert not hasattr(notification, "exception"), "napari would offer a traceback"
    (record,) = caplog.records
    assert record.name.startswith("napari."), "or Help > Show logs would not have it"
    assert "in work" in caplog.text


def test_a_missing_input_names_its_stage(empty_bench, told):
    empty_bench.explain(MissingInput("tracks", "track", "A/1/0"))
    assert told() == [("error", "No tracks found for FOV A/1/0: run 'track' first.")]
    assert notification_manager.records[-1].severity is NotificationSeverity.ERROR
    assert [text for text, _ in notification_manager.records[-1].actions] == ["Run 'track' now"]


def test_reopened_everything_is_still_there(bench, processed, make_napari_viewer, idle, qtbot):
    session = bench.session
    session.set_task("death")
    session.annotate([int(session.here()[0])], "dead")
    idle(bench)
    counts = session.marks.counts("death")
    second = workbench(make_napari_viewer(show=True))
    second.open(processed.root, fov="B/1/0", workspace=processed.workspace.path)
    qtbot.waitUntil(lambda: len(second.session.cells) > 0, timeout=LONG)
    idle(second)
    assert second.session.marks.counts("death") == counts
    assert names(second.viewer) == names(bench.viewer)
    assert list(second.session.cells.maps) == list(session.cells.maps)
    assert open_dataset(processed.root, processed.workspace.path).fov_names
