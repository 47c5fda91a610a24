"""The states of a task as rows that can be edited: colour, name and key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QColorDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_dynaclr.core.tasks import PALETTE, State

if TYPE_CHECKING:
    from collections.abc import Sequence


class ColourButton(QPushButton):
    """Shows a colour, and lets the user choose another.

    Parameters
    ----------
    colour
        As "#rrggbb".
    parent
        Its parent in Qt.
    """

    changed = Signal()
    """The user chose another colour."""

    def __init__(self, colour: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedSize(34, 24)
        self.setToolTip("Choose a colour.")
        self.setAccessibleName("Colour")
        self.set_colour(colour)
        self.clicked.connect(self.choose)

    def set_colour(self, colour: str) -> None:
        """Show another colour."""
        self.colour = colour
        self.setStyleSheet(
            f"QPushButton {{ background: {colour}; border: 2px solid transparent; "
            "border-radius: 3px; } QPushButton:focus { border-color: palette(window-text); }"
        )

    def choose(self) -> None:
        """Ask the user for another colour."""
        chosen = QColorDialog.getColor(QColor(self.colour), self, "Colour of the state")
        if chosen.isValid():
            self.set_colour(chosen.name())
            self.changed.emit()


class StateRow(QWidget):
    """One state: colour, name, key, and buttons to move and remove it.

    Parameters
    ----------
    state
        The state.
    parent
        Its parent in Qt.
    """

    changed = Signal()
    """The user has changed the state."""
    asked = Signal(int)
    """The user wants the row moved: -1 up, 1 down, 0 away."""

    def __init__(self, state: State, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.colour = ColourButton(state.colour)
        self.name = QLineEdit(state.name)
        self.name.setPlaceholderText("name")
        self.name.setToolTip("Name of the state, as in tables.")
        self.key = QLineEdit(state.key)
        self.key.setMaxLength(1)
        self.key.setFixedWidth(34)
        self.key.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.key.setPlaceholderText("key")
        self.key.setToolTip("The key that gives this state to the cell under the mouse.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.colour)
        row.addWidget(self.name, 1)
        row.addWidget(self.key)
        self.buttons: dict[int, QToolButton] = {}
        for step, text, tip in ((-1, "↑", "Move up"), (1, "↓", "Move down"), (0, "✕", "Remove")):
            button = tool(text, tip)
            button.clicked.connect(lambda _on, step=step: self.asked.emit(step))
            self.buttons[step] = button
            row.addWidget(button)
        self.colour.changed.connect(self.changed)
        self.name.textChanged.connect(self.changed)
        self.key.textChanged.connect(self.changed)

    @property
    def state(self) -> State:
        """The state as it is written here."""
        return State(self.name.text(), self.colour.colour, self.key.text())


class StateRows(QWidget):
    """All states of a task.

    Parameters
    ----------
    parent
        Its parent in Qt.
    """

    changed = Signal()
    """The user has changed the states."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[StateRow] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self._layout.addStretch(1)

    @property
    def states(self) -> tuple[State, ...]:
        """The states as they are written here."""
        return tuple(row.state for row in self.rows)

    def set_states(self, states: Sequence[State]) -> None:
        """Show other states."""
        while self.rows:
            self._drop(self.rows[0])
        for state in states:
            self._insert(state)
        self._enable()

    def add(self) -> StateRow:
        """Add a state with a free colour and key; its name is to be written."""
        colours = {state.colour.upper() for state in self.states}
        keys = {state.key for state in self.states}
        count = len(self.rows)
        free = (one for one in PALETTE if one.upper() not in colours)
        colour = next(free, PALETTE[count % len(PALETTE)])
        row = self._insert(State("", colour, next((k for k in "123456789" if k not in keys), "")))
        self._enable()
        self.changed.emit()
        return row

    def _insert(self, state: State) -> StateRow:
        row = StateRow(state, self)
        row.changed.connect(self.changed)
        row.asked.connect(lambda step, row=row: self._asked(row, step))
        self._layout.insertWidget(len(self.rows), row)
        self.rows.append(row)
        return row

    def _drop(self, row: StateRow) -> None:
        self.rows.remove(row)
        self._layout.removeWidget(row)
        row.hide()
        row.deleteLater()

    def _asked(self, row: StateRow, step: int) -> None:
        if step == 0:
            self._drop(row)
        else:
            place = self.rows.index(row) + step
            if not 0 <= place < len(self.rows):
                return
            self.rows.remove(row)
            self.rows.insert(place, row)
            self._layout.removeWidget(row)
            self._layout.insertWidget(place, row)
        self._enable()
        self.changed.emit()

    def _enable(self) -> None:
        last = len(self.rows) - 1
        for i, row in enumerate(self.rows):
            row.buttons[-1].setEnabled(i > 0)
            row.buttons[1].setEnabled(i < last)


def tool(text: str, tip: str) -> QToolButton:
    """Return a small button with a sign on it."""
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    button.setFixedSize(24, 24)
    return button
