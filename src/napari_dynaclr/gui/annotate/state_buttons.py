"""Buttons for the states of a task: colour, key, name and how many cells have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QAbstractButton, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QPaintEvent

    from napari_dynaclr.core.tasks import State
    from napari_dynaclr.session.stretches import Tally

_HEIGHT = 28
_BAR = 6


class StateButton(QAbstractButton):
    """One state; drawn here, as no style has a button with three texts in it.

    Parameters
    ----------
    state
        The state.
    parent
        Its parent in Qt.
    """

    def __init__(self, state: State, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = state
        self.count = ""
        self.setText(state.name)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        key = f" Key {state.key}: give it to the cell under the mouse." if state.key else ""
        self.setToolTip(f"Click here, then click cells that are '{state.name}'.{key}")

    def set_count(self, count: str) -> None:
        """Show how many cells have the state."""
        if count != self.count:
            self.count = count
            self.setAccessibleDescription(f"{count} cells")
            self.update()

    def sizeHint(self) -> QSize:
        """Room for the texts."""
        metrics = self.fontMetrics()
        width = metrics.horizontalAdvance(self.state.name) + metrics.horizontalAdvance("40 (+1200)")
        return QSize(width + 70, _HEIGHT)

    def minimumSizeHint(self) -> QSize:
        """Room for a name cut short."""
        return QSize(140, _HEIGHT)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw it: filled with the state's colour where clicks give this state."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colour, text = QColor(self.state.colour), self.palette().windowText().color()
        face = self.rect().adjusted(1, 1, -1, -1)
        fill = QColor(text)
        fill.setAlpha(36 if self.underMouse() and self.isEnabled() else 22)
        if self.isChecked():
            fill = colour
            text = readable_on(colour)
        if not self.isEnabled():
            text.setAlpha(110)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(fill)
        painter.drawRoundedRect(face, 3, 3)
        painter.setBrush(colour)
        painter.drawRoundedRect(QRect(face.left(), face.top(), _BAR, face.height()), 3, 3)
        self._draw_texts(painter, face, text)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self.palette().windowText().color(), 1, Qt.PenStyle.DotLine))
            painter.drawRoundedRect(face, 3, 3)

    def _draw_texts(self, painter: QPainter, face: QRect, colour: QColor) -> None:
        metrics = self.fontMetrics()
        faint = QColor(colour)
        faint.setAlpha(110)
        key = QRect(face.left() + _BAR + 6, face.center().y() - 8, 18, 17)
        if self.state.key:
            painter.setPen(QPen(faint, 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(key, 3, 3)
        painter.setPen(colour)
        painter.drawText(key, Qt.AlignmentFlag.AlignCenter, self.state.key.upper())
        middle = Qt.AlignmentFlag.AlignVCenter
        width = metrics.horizontalAdvance(self.count)
        count = QRect(face.right() - 8 - width, face.top(), width + 1, face.height())
        painter.drawText(count, middle | Qt.AlignmentFlag.AlignRight, self.count)
        left = key.right() + 9
        name = QRect(left, face.top(), count.left() - left - 8, face.height())
        short = metrics.elidedText(self.state.name, Qt.TextElideMode.ElideRight, name.width())
        painter.drawText(name, middle | Qt.AlignmentFlag.AlignLeft, short)


class StateButtons(QWidget):
    """The states of a task, one below the other; at most one is chosen.

    Parameters
    ----------
    parent
        Its parent in Qt.
    """

    chosen = Signal(str)
    """The user chose a state; empty: none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: list[StateButton] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)

    def set_states(self, states: Sequence[State]) -> None:
        """Show other states."""
        if [button.state for button in self.buttons] == list(states):
            return
        for button in self.buttons:
            self._layout.removeWidget(button)
            button.hide()
            button.deleteLater()
        self.buttons = [StateButton(state, self) for state in states]
        for button in self.buttons:
            self._layout.addWidget(button)
            button.clicked.connect(lambda on, one=button: self._clicked(one, on))

    def set_active(self, state: str) -> None:
        """Show which state clicks give."""
        for button in self.buttons:
            button.setChecked(button.state.name == state)

    def set_counts(self, tally: Tally) -> None:
        """Show how many cells have each state."""
        for button in self.buttons:
            button.set_count(tally.text(button.state.name))

    def _clicked(self, button: StateButton, on: bool) -> None:
        self.chosen.emit(button.state.name if on else "")


def readable_on(colour: QColor) -> QColor:
    """Return black or white, whichever is read more easily on a colour (WCAG 2.1, 1.4.3)."""

    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    r, g, b = (linear(one) for one in (colour.redF(), colour.greenF(), colour.blueF()))
    luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b
    return QColor("#000000" if luminance > 0.179 else "#ffffff")
