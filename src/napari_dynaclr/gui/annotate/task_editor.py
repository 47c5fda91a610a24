"""The dialog in which people make up their own tasks and states."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.taskbook import check_tasks
from napari_dynaclr.core.tasks import Task, find_task, new_states
from napari_dynaclr.gui.annotate.state_rows import StateRows, tool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtpy.QtGui import QShowEvent


class TaskEditor(QDialog):
    """Edits a list of tasks; what is wrong with it is said at once.

    Parameters
    ----------
    tasks
        The tasks.
    used
        Number of annotated cells by state, by name of task: annotations keep the names
        that they were given, which is said where one is about to go.
    parent
        Its parent in Qt.
    """

    saved = Signal(object)
    """The user wants these tasks: a tuple of them, checked."""

    def __init__(
        self,
        tasks: Sequence[Task],
        used: Mapping[str, Mapping[str, int]] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Tasks and states")
        self._tasks = list(tasks)
        self._used = used or {}
        self._row = -1
        self._showing = False
        self.list = QListWidget()
        self.list.setAccessibleName("Tasks")
        self.list.setFixedWidth(150)
        self.add, self.remove = tool("+", "Add a task"), tool("✕", "Remove this task")
        self.up, self.down = tool("↑", "Move this task up"), tool("↓", "Move this task down")
        self.name = QLineEdit()
        self.name.setToolTip("Letters, digits, - and _: it names a column of the tables.")
        self.column = QLabel()
        self.carry = QCheckBox("A state holds for the rest of the track")
        self.inherit = QCheckBox("Daughters inherit it")
        self.states = StateRows()
        self.add_state = QPushButton("Add state")
        self.problem, self.note = QLabel(), QLabel()
        for text in (self.problem, self.note):
            text.setWordWrap(True)
        self.buttons = QDialogButtonBox()  # by text: standard ones bring a style's icons along
        self.save = QPushButton("Save")
        self.buttons.addButton(self.save, QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.addButton("Cancel", QDialogButtonBox.ButtonRole.RejectRole)
        self._lay_out()
        self.list.currentRowChanged.connect(self._choose)
        self.add.clicked.connect(self._add)
        self.remove.clicked.connect(self._remove)
        self.up.clicked.connect(lambda: self._move(-1))
        self.down.clicked.connect(lambda: self._move(1))
        self.name.textEdited.connect(self._edited)
        self.carry.clicked.connect(self._edited)
        self.inherit.clicked.connect(self._edited)
        self.states.changed.connect(self._edited)
        self.add_state.clicked.connect(lambda: self.states.add().name.setFocus())
        self.buttons.accepted.connect(self._save)
        self.buttons.rejected.connect(self.reject)
        self._fill(0)

    def _lay_out(self) -> None:
        left = QVBoxLayout()
        left.addWidget(self.list, 1)
        row = QHBoxLayout()
        for button in (self.add, self.remove, self.up, self.down):
            row.addWidget(button)
        row.addStretch(1)
        left.addLayout(row)
        about = QFormLayout()
        about.addRow("Task", self.name)
        about.addRow("Column", self.column)
        about.addRow("", self.carry)
        about.addRow("", self.inherit)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidget(self.states)
        scroll.setMinimumHeight(150)
        right = QVBoxLayout()
        right.addLayout(about)
        right.addWidget(scroll, 1)
        right.addWidget(self.add_state)
        both = QHBoxLayout()
        both.setSpacing(12)
        both.addLayout(left)
        both.addLayout(right, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(both, 1)
        layout.addWidget(self.problem)
        layout.addWidget(self.note)
        layout.addWidget(self.buttons)
        self.resize(560, 420)

    # -- the list ---------------------------------------------------------

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks as they are written here."""
        return tuple(self._tasks)

    def show_task(self, name: str) -> None:
        """Show the task of a name, if there is one."""
        names = [task.name for task in self._tasks]
        if name in names:
            self.list.setCurrentRow(names.index(name))

    def _fill(self, row: int) -> None:
        """Show the list again, with another task chosen."""
        self.list.blockSignals(True)
        self.list.clear()
        self.list.addItems([task.name for task in self._tasks])
        self.list.blockSignals(False)
        self.list.setCurrentRow(row)
        self._choose(self.list.currentRow())

    def _choose(self, row: int) -> None:
        self._row = row
        task = self._tasks[row] if row >= 0 else Task("", "")
        self._showing = True
        self.name.setText(task.name)
        self.carry.setChecked(task.carry_forward)
        self.inherit.setChecked(task.inherit)
        self.states.set_states(task.states)
        self._showing = False
        for part in (self.name, self.carry, self.states, self.add_state, self.remove):
            part.setEnabled(row >= 0)
        self._check()

    def _add(self) -> None:
        names = {task.name for task in self._tasks}
        name = next(one for i in range(1, 1000) if (one := f"task{i}") not in names)
        self._tasks.append(Task(name, find_task(name).column, new_states("no", "yes")))
        self._fill(len(self._tasks) - 1)
        self.name.setFocus()
        self.name.selectAll()

    def _remove(self) -> None:
        if self._row >= 0:
            del self._tasks[self._row]
            self._fill(min(self._row, len(self._tasks) - 1))

    def _move(self, step: int) -> None:
        place = self._row + step
        if self._row >= 0 and 0 <= place < len(self._tasks):
            self._tasks.insert(place, self._tasks.pop(self._row))
            self._fill(place)

    # -- the task ---------------------------------------------------------

    def _edited(self) -> None:
        if self._showing or self._row < 0:
            return
        name, carry = self.name.text().strip(), self.carry.isChecked()
        self._tasks[self._row] = replace(
            self._tasks[self._row],
            name=name,
            column=find_task(name).column,
            states=self.states.states,
            carry_forward=carry,
            inherit=carry and self.inherit.isChecked(),
        )
        item = self.list.item(self._row)
        if item is not None:
            item.setText(name)
        self._check()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Colour what is wrong so that it reads on the theme of now."""
        super().showEvent(event)
        is_dark = self.palette().windowText().color().lightness() > 128
        self.problem.setStyleSheet(f"QLabel {{ color: {'#ff9d66' if is_dark else '#a63c00'}; }}")

    def _check(self) -> None:
        """Say what is wrong, and offer to save only what is right."""
        try:
            check_tasks(self._tasks)
        except InvalidInput as error:
            problem = str(error)
        else:
            problem = ""
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        self.save.setEnabled(not problem)
        lost = self._lost()
        self.note.setText(lost)
        self.note.setVisible(bool(lost))
        shown = self._tasks[self._row] if self._row >= 0 else None
        self.column.setText(shown.column if shown else "")
        self.inherit.setEnabled(shown is not None and shown.carry_forward)
        self.up.setEnabled(self._row > 0)
        self.down.setEnabled(0 <= self._row < len(self._tasks) - 1)

    def _lost(self) -> str:
        """Say which annotations no task here has a name for."""
        states = {task.name: {one.name for one in task.choices} for task in self._tasks}
        lost = [
            f"{count:,} x {task}: {state}"
            for task, counts in self._used.items()
            for state, count in counts.items()
            if state not in states.get(task, ())
        ]
        return f"Annotations keep their names: {', '.join(lost)}." if lost else ""

    def _save(self) -> None:
        self.saved.emit(self.tasks)
        self.accept()
