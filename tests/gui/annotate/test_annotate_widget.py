from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_dynaclr import params
from napari_dynaclr.core.journal import Journal, default_annotator
from napari_dynaclr.core.taskbook import read_tasks
from napari_dynaclr.core.tasks import TASKS
from napari_dynaclr.gui.annotate.annotate_widget import AnnotateWidget
from napari_dynaclr.gui.annotate.task_editor import TaskEditor
from napari_dynaclr.gui.map.map_widget import MapPanel
from napari_dynaclr.gui.settings import recall
from napari_dynaclr.session import Scope
from napari_dynaclr.session.marks import Given

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def open_dataset_in(bench, processed, qtbot):
    bench.open(processed.root, "B/1/0", processed.workspace.path)
    session = bench.session
    qtbot.waitUntil(lambda: len(session.cells) > 0 and session.palette is not None, timeout=20000)


@pytest.fixture
def widget(bench, qtbot):
    return docked(bench, qtbot)


def docked(bench, qtbot):
    widget = AnnotateWidget(bench.viewer)
    bench.viewer.window.add_dock_widget(widget, name="Annotate", area="right")
    window = bench.viewer.window._qt_window
    window.activateWindow()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is window and widget.isVisible())
    return widget


@pytest.fixture
def canvas(bench, monkeypatch):
    """The canvas, with the mouse beside it: where it is must not depend on the screen."""
    monkeypatch.setattr(bench, "row_under_cursor", lambda: -1)
    monkeypatch.setattr(bench.viewer, "mouse_over_canvas", False)
    return bench.viewer.window._qt_viewer.canvas.native


def settle(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.session.annotator.busy, timeout=10000)


def fresh(session, count=1):
    """Rows of cells on screen that have no state yet."""
    rows = [
        row
        for row in session.here()
        if session.marks.get("B/1/0", int(session.cells.id[row]), "infection") is None
    ]
    return np.array(rows[:count])


def state_of(session, row):
    given = session.marks.get(
        session.cells.name(row), int(session.cells.id[row]), session.task.name
    )
    return given.state if given else ""


def journal(bench):
    return Journal(bench.session.dataset.workspace.journal)


# -- both ways ------------------------------------------------------------


def test_without_a_dataset_it_says_what_to_do(empty_bench, qtbot, processed):
    widget = docked(empty_bench, qtbot)
    form = widget.form
    assert "Open a dataset" in form.said.text()
    assert not form.states.isEnabled()
    assert not form.review.fill_button.isEnabled()
    assert not any(shortcut.isEnabled() for shortcut in widget._shortcuts)
    open_dataset_in(empty_bench, processed, qtbot)
    assert form.said.text() == ""
    assert form.states.isEnabled()
    assert form.review.fill_button.isEnabled()
    empty_bench.close_dataset()
    assert not form.states.isEnabled()


def test_the_session_shows_in_the_widget(widget, bench, qtbot):
    session, form = bench.session, widget.form
    assert [form.task.itemText(i) for i in range(form.task.count())] == [t.name for t in TASKS]
    assert [b.state.name for b in form.states.buttons] == ["uninfected", "infected", "unknown"]
    assert form.select_only.isChecked()
    session.set_state("infected")
    assert [b.isChecked() for b in form.states.buttons] == [False, True, False]
    assert not form.select_only.isChecked()
    session.set_task("division")
    assert form.task.currentText() == "division"
    assert [b.state.name for b in form.states.buttons] == ["interphase", "mitosis", "unknown"]
    assert not any(b.isChecked() for b in form.states.buttons)
    assert not form.carry.isChecked()
    assert not form.inherit.isEnabled()
    session.select(session.here()[:3])
    assert form.selected.text() == "3 cells selected"
    session.say("hello")
    assert form.said.text() == "hello"


def test_the_widget_changes_the_session(widget, bench, qtbot):
    session, form = bench.session, widget.form
    form.states.buttons[1].click()
    assert session.state == "infected"
    form.states.buttons[1].click()  # once more: off again
    assert session.state == ""
    form.states.buttons[0].click()
    form.select_only.click()
    assert session.state == ""
    assert form.select_only.isChecked()
    form.select_only.click()
    assert form.select_only.isChecked()
    form.task.textActivated.emit("death")
    assert session.task.name == "death"
    form.reach.setValue(3.5)
    assert bench.radius == 3.5


def test_counts_follow_what_is_annotated(widget, bench, qtbot):
    session, button = bench.session, widget.form.states.buttons[1]
    qtbot.waitUntil(lambda: button.count == "20")  # the clicks of the fixture, over the plate
    rows = fresh(session, 2)
    session.annotate(rows, "infected")
    settle(qtbot, widget)
    qtbot.waitUntil(lambda: button.count.startswith("22"))
    carried = [g.carried for *_, g in session.marks.of("infection")].count(True)
    assert button.count == (f"22 (+{carried})" if carried else "22")


# -- keys -----------------------------------------------------------------


def test_keys_annotate_whatever_layer_is_active(widget, bench, canvas, qtbot):
    points = bench.viewer.add_points(np.array([[0, 0, 5, 5], [0, 0, 9, 9]], float))
    points.selected_data = {0, 1}
    bench.viewer.layers.selection.active = points
    session = bench.session
    row = fresh(session)[0]
    session.select([row])
    qtbot.keyClick(canvas, "1")  # deletes points, in napari
    settle(qtbot, widget)
    assert state_of(session, row) == "uninfected"
    assert len(points.data) == 2
    qtbot.keyClick(bench.viewer.window._qt_window, "2")
    settle(qtbot, widget)
    assert state_of(session, row) == "infected"
    qtbot.keyClick(widget.form.task, "0")  # the focus is on another control of the dock
    settle(qtbot, widget)
    assert state_of(session, row) == "unknown"
    assert len(journal(bench)._done) == 4


def test_the_cell_under_the_mouse_comes_before_the_selection(
    widget, bench, canvas, qtbot, monkeypatch
):
    session = bench.session
    pointed, *selected = fresh(session, 3)
    session.select(selected)
    monkeypatch.setattr(bench, "row_under_cursor", lambda: int(pointed))
    qtbot.keyClick(canvas, "2")
    settle(qtbot, widget)
    assert [state_of(session, row) for row in (pointed, *selected)] == ["infected", "", ""]
    monkeypatch.setattr(bench, "row_under_cursor", lambda: -1)
    qtbot.keyClick(canvas, "1")
    settle(qtbot, widget)
    assert [state_of(session, row) for row in selected] == ["uninfected"] * 2


def test_a_key_with_nothing_to_label_says_so(widget, bench, canvas, qtbot):
    qtbot.keyClick(canvas, "2")
    assert "point at a cell" in widget.form.said.text()
    assert len(journal(bench)._done) == 1  # the import of the fixture


def test_a_key_beside_all_cells_leaves_the_selection_alone(
    widget, bench, canvas, qtbot, monkeypatch
):
    session = bench.session
    rows = fresh(session, 3)
    session.select(rows)
    bench.radius = 2.5
    monkeypatch.setattr(bench.viewer, "mouse_over_canvas", True)
    qtbot.keyClick(canvas, "2")
    assert widget.form.said.text() == "no cell within 2.5 um of the mouse"
    assert not session.annotator.busy
    assert [state_of(session, row) for row in rows] == [""] * 3
    assert len(journal(bench)._done) == 1


def test_typing_a_name_annotates_nothing(widget, bench, canvas, qtbot):
    session = bench.session
    row = fresh(session)[0]
    session.select([row])
    name = widget.form.annotator
    name.clear()
    name.setFocus()
    qtbot.keyClicks(name, "kq2ada1")
    qtbot.keyClick(name, "Z", CTRL)
    qtbot.keyClicks(name, "kq2ada1")
    editor = widget.form.reach.lineEdit()
    editor.selectAll()
    qtbot.keyClicks(editor, "12")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    assert name.text() == "kq2ada1"
    assert bench.radius == 12
    assert state_of(session, row) == ""
    assert len(journal(bench)._done) == 1


def test_undo_and_redo_by_key_and_button(widget, bench, canvas, qtbot):
    session = bench.session
    row = fresh(session)[0]
    session.annotate([row], "infected")
    settle(qtbot, widget)
    qtbot.keyClick(canvas, "Z", CTRL)
    settle(qtbot, widget)
    assert state_of(session, row) == ""
    assert widget.form.said.text().startswith("undo")
    qtbot.keyClick(canvas, "Z", CTRL | SHIFT)
    settle(qtbot, widget)
    assert state_of(session, row) == "infected"
    widget.form.undo.click()
    settle(qtbot, widget)
    assert state_of(session, row) == ""
    widget.form.redo.click()
    settle(qtbot, widget)
    assert state_of(session, row) == "infected"


def test_undo_is_for_the_strokes_of_a_layer_that_is_painted_on(widget, bench, canvas, qtbot):
    session = bench.session
    labels = bench.viewer.add_labels(np.zeros((10, 1, 192, 192), np.uint8))
    bench.viewer.layers.selection.active = labels
    labels.mode = "paint"
    labels.paint((0, 0, 50, 50), 3)
    assert labels.data.any()
    row = fresh(session)[0]
    session.annotate([row], "infected")
    settle(qtbot, widget)
    qtbot.keyClick(canvas, "Z", CTRL)
    assert not labels.data.any()
    assert state_of(session, row) == "infected"
    qtbot.keyClick(canvas, "Z", CTRL | SHIFT)
    assert labels.data.any()
    labels.mode = "pan_zoom"
    qtbot.keyClick(canvas, "Z", CTRL)
    settle(qtbot, widget)
    assert state_of(session, row) == ""


def test_escape_is_taken_only_while_a_state_is_active(widget, bench, canvas, qtbot):
    [escape] = [one for one in widget._shortcuts if one.key().toString() == "Esc"]
    assert not escape.isEnabled()  # napari's tools need it too
    bench.session.set_state("infected")
    assert escape.isEnabled()
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert bench.session.state == ""


def test_keys_of_ones_own_come_before_ours(widget, bench, canvas, qtbot):
    session = bench.session
    states = (*TASKS[0].states[:1], replace(TASKS[0].states[1], key="k"))
    session.set_tasks([replace(TASKS[0], states=states), *TASKS[1:]])
    keys = [key.upper() for key, _, _ in widget.key_actions()]
    assert len(keys) == len(set(keys))
    row = fresh(session)[0]
    session.select([row])
    qtbot.keyClick(canvas, "K")
    settle(qtbot, widget)
    assert state_of(session, row) == "infected"


def test_next_and_previous_annotation(widget, bench, canvas, qtbot):
    session = bench.session
    bench.set_scope(Scope.PLATE)
    qtbot.waitUntil(lambda: len(session.cells.fovs) == 4, timeout=20000)
    given = sorted(
        (session.dataset.fov_names.index(name), int(session.cells.t[row]), node, name)
        for name, node, _ in session.marks.of("infection")
        for row in session.cells.find(name, [node])
    )
    start = next(i for i, one in enumerate(given) if one[3] == "B/1/0")
    bench.viewer.dims.set_current_step(0, 0)
    visited = []
    for _ in range(2):
        qtbot.keyClick(canvas, "K")
        qtbot.waitUntil(lambda: not bench.runner.is_busy, timeout=20000)
        visited.append(int(session.cells.id[session.selection[0]]))
    assert visited == [one[2] for one in given[start : start + 2]]
    assert session.frame == given[start + 1][1]
    qtbot.keyClick(canvas, "J")
    qtbot.waitUntil(lambda: not bench.runner.is_busy, timeout=20000)
    qtbot.keyClick(canvas, "J")  # back into the FOV before
    qtbot.waitUntil(lambda: session.fov.name == given[start - 1][3], timeout=20000)
    qtbot.waitUntil(lambda: session.cells.id[session.selection].tolist() == [given[start - 1][2]])
    widget._stops = None
    session.annotate(np.arange(len(session.cells)), "")
    settle(qtbot, widget)
    widget.form.next.click()
    assert widget.form.said.text() == "no annotation of infection after this one"


# -- selection ------------------------------------------------------------


def test_a_selection_is_stretched_and_labelled(widget, bench, qtbot):
    session, form = bench.session, widget.form
    assert not form.label.isEnabled()
    track = int(np.bincount(session.cells.track).argmax())
    rows = session.cells.of_track("B/1/0", track)
    session.select(rows[4:5])
    form.onward.click()
    assert session.selection.tolist() == rows[4:].tolist()
    form.track.click()
    assert session.selection.tolist() == rows.tolist()
    assert form.selected.text() == f"{len(rows)} cells selected"
    actions = {action.text(): action for action in form.label_menu.actions()}
    assert list(actions) == ["uninfected", "infected", "unknown"]
    actions["infected"].trigger()
    settle(qtbot, widget)
    assert {state_of(session, row) for row in rows} == {"infected"}
    form.clear.click()
    settle(qtbot, widget)
    assert {state_of(session, row) for row in rows} == {""}


def test_the_cells_between_two_of_a_track_are_selected(widget, bench, qtbot):
    session, form = bench.session, widget.form
    track = int(np.bincount(session.cells.track).argmax())
    rows = session.cells.of_track("B/1/0", track)
    assert not form.between.isEnabled()
    session.select(rows[[1]])
    assert not form.between.isEnabled()
    other = int(np.flatnonzero(session.cells.track != track)[0])
    session.select([rows[1], other])
    assert not form.between.isEnabled()
    session.select(rows[[1, 5]])
    form.between.click()
    assert session.selection.tolist() == rows[1:6].tolist()
    assert not form.between.isEnabled()


# -- tasks and settings ---------------------------------------------------


def test_options_are_written_to_disk(widget, bench, qtbot):
    session, form = bench.session, widget.form
    form.carry.click()
    qtbot.waitUntil(lambda: not session.task.carry_forward)
    assert not session.task.inherit
    assert not form.inherit.isEnabled()
    assert read_tasks(session.dataset.workspace) == session.tasks
    form.carry.click()
    qtbot.waitUntil(lambda: session.task.carry_forward)
    form.inherit.click()
    qtbot.waitUntil(lambda: session.task.inherit)
    assert read_tasks(session.dataset.workspace)[0].inherit


def test_options_that_cannot_be_written_spring_back(widget, bench, qtbot, monkeypatch):
    from napari_dynaclr.core.errors import StorageError
    from napari_dynaclr.gui import annotating

    told = []
    monkeypatch.setattr(bench, "explain", told.append)

    def full(*_):
        raise StorageError("the disk is full")

    monkeypatch.setattr(annotating, "write_tasks", full)
    widget.form.carry.click()
    qtbot.waitUntil(lambda: len(told) == 1)
    assert widget.form.carry.isChecked()
    assert bench.session.task.carry_forward


def test_tasks_are_edited(widget, bench, qtbot):
    editor = widget.edit_tasks()
    assert isinstance(editor, TaskEditor)
    assert editor.name.text() == "infection"
    editor.states.add().name.setText("dying")
    editor.save.click()
    session = bench.session
    qtbot.waitUntil(lambda: len(session.task.states) == 3)
    assert read_tasks(session.dataset.workspace)[0].state_names[-1] == "dying"
    assert [b.state.name for b in widget.form.states.buttons][-2:] == ["dying", "unknown"]
    assert "3" in [key for key, _, _ in widget.key_actions()]


def test_the_annotator_is_named_and_remembered(widget, bench, qtbot):
    name = widget.form.annotator
    assert name.text() == default_annotator()
    name.setText("Ada")
    name.editingFinished.emit()
    assert bench.session.annotator.name == recall("annotator") == "Ada"
    bench.session.annotate(fresh(bench.session), "infected")
    settle(qtbot, widget)
    assert journal(bench)._done[-1].annotator == "Ada"
    name.setText("  ")
    name.editingFinished.emit()
    assert name.text() == bench.session.annotator.name == default_annotator()


# -- review ---------------------------------------------------------------


def fill(widget, bench, qtbot, by="uncertain"):
    review = widget.form.review
    review.by.setCurrentIndex(review.by.findData(by))
    review.fill_button.click()
    assert not review.fill_button.isEnabled()
    qtbot.waitUntil(review.fill_button.isEnabled, timeout=20000)
    return review


def test_the_queue_is_filled_walked_and_labelled(widget, bench, canvas, qtbot):
    session = bench.session
    review = fill(widget, bench, qtbot)
    patches = review.patches
    assert len(patches) > 3
    assert {patch.fov_name for patch in patches} == {"B/1/0"}
    qtbot.keyClick(canvas, "Q")
    qtbot.waitUntil(lambda: session.cells.id[session.selection].tolist() == [patches[0].id])
    assert session.frame == patches[0].place.t
    assert review.heading.text().startswith(f"1 of {len(patches)}: ")
    review.gallery.list.setFocus()
    qtbot.keyClick(review.gallery.list, "2")
    settle(qtbot, widget)
    assert session.marks.get("B/1/0", patches[0].id, "infection") == Given("infected", False)
    assert review.gallery.current == 1  # the gallery moves on, the image stays
    assert session.cells.id[session.selection].tolist() == [patches[0].id]
    qtbot.keyClick(review.gallery.list, "1")
    settle(qtbot, widget)
    assert session.marks.get("B/1/0", patches[1].id, "infection") == Given("uninfected", False)
    assert len(journal(bench)._done) == 3  # once each, not by the shortcut as well


@pytest.mark.parametrize("by", ["cluster", "disagreement"])
def test_other_queues(widget, bench, qtbot, by):
    if by == "disagreement":
        session = bench.session
        row = fresh(session)[0]
        prediction = session.cells.predictions["infection"]
        said = prediction.states[prediction.codes[row]]
        other = next(name for name in session.task.state_names if name != said)
        session.annotate([row], other)
        settle(qtbot, widget)
    review = fill(widget, bench, qtbot, by)
    assert review.patches
    if by == "disagreement":
        found = session.cells.find("B/1/0", [patch.id for patch in review.patches])
        assert session.cells.track[row] in session.cells.track[found]  # one of each track


def test_a_queue_of_another_fov_is_labelled_without_going_there(widget, bench, qtbot):
    session = bench.session
    review = fill(widget, bench, qtbot)
    bench.show_fov("A/1/0")
    qtbot.waitUntil(lambda: session.cells.fovs == ("A/1/0",), timeout=20000)
    review.gallery.go(0)
    qtbot.keyClick(review.gallery.list, "2")
    node = review.patches[0].id
    qtbot.waitUntil(lambda: session.marks.get("B/1/0", node, "infection") is not None)
    assert session.fov.name == "A/1/0"
    assert widget.form.said.text().startswith("FOV B/1/0, track")


def track_anew(bench, qtbot, name):
    """Track a FOV with other settings, while the window looks at another."""
    run = bench.run_stage("track", params("track", max_distance=4.0), [name])
    with qtbot.waitSignal(run.ended, timeout=20000):
        pass


def test_a_queue_is_dropped_when_its_cells_are_no_more(widget, bench, qtbot):
    review = fill(widget, bench, qtbot)
    assert review.patches
    track_anew(bench, qtbot, "A/1/0")
    qtbot.waitUntil(lambda: not bench.runner.is_busy, timeout=20000)
    assert review.patches, "those of another FOV stay"
    track_anew(bench, qtbot, "B/1/0")
    qtbot.waitUntil(lambda: review.patches == [], timeout=20000)
    assert "fill it again" in bench.session.last_said


def test_a_queue_is_dropped_also_while_the_widget_is_hidden(widget, bench, qtbot):
    review = fill(widget, bench, qtbot)
    widget.parentWidget().hide()
    run = bench.run_stage("segment", params("segment", sensitivity=1.3), ["B/1/0"])
    with qtbot.waitSignal(run.ended, timeout=20000):
        pass
    qtbot.waitUntil(lambda: not bench.runner.is_busy, timeout=20000)
    widget.parentWidget().show()
    qtbot.waitUntil(lambda: review.patches == [], timeout=20000)


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_cell_of_older_tracks_is_not_labelled(widget, bench, qtbot, is_shown):
    """The same id may be of another cell now."""
    session = bench.session
    review = fill(widget, bench, qtbot)
    patch = replace(review.patches[0], made_on="older")
    if not is_shown:
        bench.show_fov("A/1/0")
        qtbot.waitUntil(lambda: session.cells.fovs == ("A/1/0",), timeout=20000)
    review.gallery.labelled.emit(patch, "infected")
    qtbot.waitUntil(lambda: "this cell is no more" in widget.form.said.text(), timeout=10000)
    assert len(journal(bench)._done) == 1
    review.gallery.labelled.emit(review.patches[0], "infected")
    qtbot.waitUntil(lambda: len(journal(bench)._done) == 2, timeout=10000)


def test_an_empty_queue_says_so(widget, bench, canvas, qtbot):
    qtbot.keyClick(canvas, "Q")
    assert "fill it first" in widget.form.said.text()
    bench.session.set_task("death")
    told = []
    bench.explain = told.append
    bench.runner.failed.disconnect()
    bench.runner.failed.connect(lambda _title, error: told.append(error))
    fill(widget, bench, qtbot)
    assert "predictions of 'death'" in str(told[0])


# -- tables ---------------------------------------------------------------


def test_tables_are_exported_and_imported(widget, bench, qtbot, tmp_path, monkeypatch):
    session, form = bench.session, widget.form
    row = fresh(session)[0]
    node = int(session.cells.id[row])
    session.annotate([row], "infected")
    target = tmp_path / "out.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    actions = [action for action in form.tables_menu.actions() if action.text()]
    actions[2].trigger()
    qtbot.waitUntil(lambda: form.said.text().startswith("exported"), timeout=10000)
    table = pd.read_csv(target)
    given = table[(table["fov_name"] == "B/1/0") & (table["id"] == node)]
    assert given["infection_state"].tolist() == ["infected"]
    table.loc[given.index, "infection_state"] = "uninfected"
    table.loc[given.index, "mood_state"] = "happy"
    table.to_csv(target, index=False)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(target), ""))
    actions[0].trigger()
    qtbot.waitUntil(lambda: form.said.text().startswith("imported"), timeout=20000)
    qtbot.waitUntil(
        lambda: state_of(session, session.cells.find("B/1/0", [node])[0]) == "uninfected"
    )
    qtbot.waitUntil(lambda: "mood" in [task.name for task in session.tasks])
    assert form.task.findText("mood") >= 0


def test_points_without_a_fov_are_of_the_one_on_screen(widget, bench, qtbot, tmp_path, monkeypatch):
    session = bench.session
    row = fresh(session)[0]
    _, y, x = session.cells.position[row]
    points = tmp_path / "points.csv"
    pd.DataFrame({"t": [session.frame], "y": [y], "x": [x]}).to_csv(points, index=False)
    session.set_state("infected")
    node = int(session.cells.id[row])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(points), ""))
    widget._import("points")
    qtbot.waitUntil(
        lambda: session.marks.get("B/1/0", node, "infection") == Given("infected", False),
        timeout=20000,
    )


# -- coming and going -----------------------------------------------------


def test_hidden_it_listens_to_nothing_and_gives_the_keys_back(widget, bench, canvas, qtbot):
    points = bench.viewer.add_points(np.array([[0, 0, 5, 5]], float))
    session = bench.session
    row = fresh(session)[0]
    session.select([row])
    heard = len(session.task_changed)
    widget.parentWidget().hide()
    assert len(session.task_changed) < heard
    session.say("unheard")
    assert widget.form.said.text() != "unheard"
    points.selected_data = {0}
    bench.viewer.layers.selection.active = points
    qtbot.keyClick(canvas, "2")
    assert state_of(session, row) == ""
    session.set_state("infected")
    widget.parentWidget().show()
    assert widget.form.states.buttons[1].isChecked()
    assert widget.form.selected.text() == "1 cell selected"
    qtbot.keyClick(canvas, "2")
    settle(qtbot, widget)
    assert state_of(session, row) == "infected"


@pytest.fixture
def behind(widget, bench, qtbot):
    """The dock, tabbed, with another one in front of it."""
    dock = widget.parentWidget()
    front = bench.viewer.window.add_dock_widget(MapPanel(bench.viewer), name="Map", area="right")
    bench.viewer.window._qt_window.tabifyDockWidget(dock, front)
    with qtbot.waitSignal(dock.visibilityChanged, check_params_cb=lambda on: not on):
        front.show()
        front.raise_()
    assert not dock.isHidden()
    assert dock.toggleViewAction().isChecked()
    assert dock.visibleRegion().isEmpty()
    return dock, front.widget()


def test_behind_another_tab_it_keeps_the_keys_and_the_state(behind, widget, bench, canvas, qtbot):
    session, plot = bench.session, behind[1].cloud.canvas
    session.set_state("infected")
    row = fresh(session)[0]
    session.select([row])
    qtbot.wait(50)
    assert session.state == "infected"
    plot.setFocus()
    qtbot.keyClick(plot, "2")
    settle(qtbot, widget)
    assert state_of(session, row) == "infected"
    qtbot.keyClick(plot, "Z", CTRL)
    settle(qtbot, widget)
    assert state_of(session, row) == ""
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert session.state == ""


@pytest.mark.parametrize("how", ["close", "hide behind", "action", "remove"])
def test_put_away_it_leaves_no_state_active(widget, bench, canvas, qtbot, how, request):
    session, dock = bench.session, widget.parentWidget()
    if how == "hide behind":
        request.getfixturevalue("behind")
    session.set_state("infected")
    {
        "close": dock.close,
        "hide behind": dock.close,
        "action": dock.toggleViewAction().trigger,
        "remove": lambda: bench.viewer.window.remove_dock_widget(widget),
    }[how]()
    if how == "remove":
        widget.deleteLater()
    qtbot.waitUntil(lambda: session.state == "")
    row = fresh(session)[0]
    session.select([row])
    qtbot.keyClick(canvas, "2")
    assert state_of(session, row) == ""


def test_a_minimised_window_keeps_the_state(widget, bench, qtbot):
    window = bench.viewer.window._qt_window
    bench.session.set_state("infected")
    window.showMinimized()
    qtbot.wait(50)
    window.showNormal()
    qtbot.wait(50)
    assert bench.session.state == "infected"


def test_a_floating_dock_keeps_the_keys(widget, bench, canvas, qtbot):
    session = bench.session
    row = fresh(session)[0]
    session.select([row])
    session.set_state("infected")
    dock = widget.parentWidget()
    dock.setFloating(True)
    qtbot.wait(50)
    assert session.state == "infected"
    dock.activateWindow()
    qtbot.wait(50)
    qtbot.keyClick(widget.form.task, "2")
    settle(qtbot, widget)
    assert state_of(session, row) == "infected"
    bench.viewer.window._qt_window.activateWindow()
    qtbot.wait(50)
    qtbot.keyClick(canvas, "1")
    settle(qtbot, widget)
    assert state_of(session, row) == "uninfected"


def test_opened_again_it_is_as_it_was_and_nothing_is_left_behind(widget, bench, canvas, qtbot):
    session = bench.session
    review = fill(widget, bench, qtbot)
    ids = [patch.id for patch in review.patches]
    before = set(QApplication.topLevelWidgets())
    bench.viewer.window.remove_dock_widget(widget)
    widget.deleteLater()
    again = docked(bench, qtbot)
    assert [patch.id for patch in again.form.review.patches] == ids
    row = fresh(session)[0]
    session.select([row])
    qtbot.keyClick(canvas, "2")  # a shortcut that was left would make it ambiguous
    settle(qtbot, again)
    assert state_of(session, row) == "infected"
    editor = again.edit_tasks()
    editor.reject()
    qtbot.wait(50)
    new = set(QApplication.topLevelWidgets()) - before
    assert [one for one in new if type(one).__module__.startswith("napari_dynaclr")] == []
