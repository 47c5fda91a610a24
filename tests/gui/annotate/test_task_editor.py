from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_dynaclr.core.tasks import TASKS, State, Task
from napari_dynaclr.gui.annotate.state_rows import ColourButton
from napari_dynaclr.gui.annotate.task_editor import TaskEditor


@pytest.fixture
def editor(qtbot):
    widget = TaskEditor(TASKS, {"infection": {"infected": 40, "unknown": 2}})
    qtbot.addWidget(widget)
    widget.show()
    return widget


def saved(qtbot, editor):
    with qtbot.waitSignal(editor.saved) as found:
        editor.save.click()
    return found.args[0]


def test_untouched_tasks_come_back_as_they_were(qtbot, editor):
    assert [editor.list.item(i).text() for i in range(editor.list.count())] == [
        task.name for task in TASKS
    ]
    assert saved(qtbot, editor) == TASKS
    assert not editor.isVisible()


def test_choosing_a_task_shows_it_and_changes_nothing(qtbot, editor):
    for row in (3, 0, 2, 1):
        editor.list.setCurrentRow(row)
        assert editor.name.text() == TASKS[row].name
        assert editor.states.states == TASKS[row].states
        assert editor.carry.isChecked() == TASKS[row].carry_forward
    assert editor.tasks == TASKS


def test_a_task_of_ones_own_is_made_by_keyboard(qtbot, editor):
    editor.add.click()
    qtbot.keyClicks(editor.name, "syncytium")  # the proposed name is selected: typing replaces it
    editor.states.rows[0].name.setText("single")
    editor.states.rows[1].name.setText("fused")
    editor.add_state.click()
    row = editor.states.rows[2]
    qtbot.keyClicks(row.name, "dying")
    editor.carry.click()
    editor.inherit.click()
    task = saved(qtbot, editor)[-1]
    assert task == Task(
        "syncytium",
        "syncytium_state",
        (
            State("single", "#0072B2", "1"),
            State("fused", "#D55E00", "2"),
            State("dying", "#009E73", "3"),
        ),
        carry_forward=True,
        inherit=True,
    )


def test_what_is_wrong_is_said_at_once_and_cannot_be_saved(qtbot, editor):
    editor.states.rows[1].key.setText("1")
    assert "two states have the key '1'" in editor.problem.text()
    assert editor.problem.isVisible()
    assert not editor.save.isEnabled()
    editor.states.rows[1].key.setText("i")
    assert not editor.problem.isVisible()
    assert saved(qtbot, editor)[0].states[1].key == "i"


def test_a_task_needs_two_states_and_there_must_be_a_task(editor):
    editor.states.rows[0].buttons[0].click()
    assert "needs two states" in editor.problem.text()
    for _ in TASKS:
        editor.remove.click()
    assert editor.tasks == ()
    assert "There is no task" in editor.problem.text()
    assert not editor.remove.isEnabled()
    assert not editor.name.isEnabled()
    editor.add.click()
    assert editor.save.isEnabled()


def test_tasks_and_states_are_moved(qtbot, editor):
    editor.show_task("death")
    editor.up.click()
    editor.up.click()
    editor.states.rows[1].buttons[-1].click()
    assert not editor.states.rows[0].buttons[-1].isEnabled()
    assert not editor.states.rows[1].buttons[1].isEnabled()
    tasks = saved(qtbot, editor)
    assert [task.name for task in tasks] == ["infection", "death", "division", "organelle"]
    assert tasks[1].state_names == ("dead", "alive")


def test_annotations_about_to_lose_their_name_are_told_of(editor):
    assert not editor.note.isVisible()
    editor.states.rows[1].name.setText("sick")
    assert "40 x infection: infected" in editor.note.text()
    assert "unknown" not in editor.note.text()
    editor.name.setText("virus")
    editor.name.textEdited.emit("virus")
    assert "2 x infection: unknown" in editor.note.text()
    assert editor.save.isEnabled()  # told, not forbidden


def test_no_inheritance_without_carrying_forward(editor):
    assert editor.inherit.isEnabled()
    editor.carry.click()
    assert not editor.inherit.isEnabled()
    assert (editor.tasks[0].carry_forward, editor.tasks[0].inherit) == (False, False)


def test_cancel_saves_nothing(qtbot, editor):
    editor.add.click()
    with qtbot.assertNotEmitted(editor.saved):
        qtbot.keyClick(editor, Qt.Key.Key_Escape)
    assert not editor.isVisible()


def test_a_colour_is_chosen(qtbot, monkeypatch):
    from qtpy.QtGui import QColor
    from qtpy.QtWidgets import QColorDialog

    button = ColourButton("#0072B2")
    qtbot.addWidget(button)
    monkeypatch.setattr(QColorDialog, "getColor", lambda *_: QColor())
    with qtbot.assertNotEmitted(button.changed):
        button.click()
    monkeypatch.setattr(QColorDialog, "getColor", lambda *_: QColor("#123456"))
    with qtbot.waitSignal(button.changed):
        button.click()
    assert button.colour == "#123456"
