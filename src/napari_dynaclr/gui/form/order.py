"""Editor of several texts whose order matters, such as the channels that a network sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_dynaclr.gui.form.fields import Editor, TextsEditor, WheelGuard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QKeyEvent, QMouseEvent

_MOST = 6
"""Rows that are seen at once."""

_HIGH = 22
"""Pixels of a row."""

_STYLE = f"""
QListWidget {{ background: transparent; }}
QListWidget::item {{ height: {_HIGH}px; }}
QListWidget::indicator {{
    width: 11px; height: 11px; border: 1px solid #808080; border-radius: 2px;
}}
QListWidget::indicator:checked {{ background: #5b7fe0; border-color: #5b7fe0; }}
"""
"""napari says nothing of ticks in lists: Qt's own are black on black, or cannot be told apart."""

_NAME = Qt.ItemDataRole.UserRole

_MOVES = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}


class OrderEditor(Editor):
    """Texts that are ticked, and dragged into their order; typed while none are known.

    Parameters
    ----------
    left_out
        What it means that none is ticked.
    """

    tall = True

    def __init__(self, left_out: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value: tuple[str, ...] = ()
        self._choices: tuple[str, ...] = ()
        self._texts = TextsEditor(left_out)
        self._list = _Rows()
        self._list.installEventFilter(WheelGuard(self._list))
        self._buttons = {-1: QPushButton("▲"), 1: QPushButton("▼")}
        self._note = QLabel(f"none ticked: {left_out}" if left_out else "none ticked")
        self._note.setWordWrap(True)
        beside, column = QHBoxLayout(), QVBoxLayout()
        beside.addWidget(self._list, 1)
        beside.addLayout(column)
        for step, button in self._buttons.items():
            where = "up" if step < 0 else "down"
            button.setToolTip(f"Move {where} (Alt+{where.title()}); or drag the row.")
            button.setAccessibleName(f"Move {where}")
            button.setFixedWidth(24)
            button.clicked.connect(lambda _=False, step=step: self._list.move_by(step))
            column.addWidget(button)
        column.addStretch(1)
        self._row.addWidget(self._texts)
        self._row.addLayout(beside)
        self._row.addWidget(self._note)
        self._texts.edited.connect(self.edited)
        self._list.itemChanged.connect(self._edit)
        self._list.moved.connect(self._edit)
        self._list.currentRowChanged.connect(self._enable)
        self._show()

    def value(self) -> tuple[str, ...]:
        """Return the ticked texts in their order, or those that were set."""
        return self._value if self._choices else self._texts.value()

    def set_value(self, value: Sequence[str]) -> None:
        """Tick some texts, new ones too, and put them first, in this order."""
        self._value = tuple(value)
        self._texts.set_value(value)
        self._show()

    def set_choices(self, choices: Sequence[str]) -> None:
        """Take the texts to choose from; none if that is not known."""
        value = self.value()
        self._choices = tuple(choices)
        self.set_value([text for text in value if text in choices] if choices else value)

    def _show(self) -> None:
        known = bool(self._choices)
        wanted = [*dict.fromkeys((*self._value, *self._choices))] if known else []
        now = [name for name, _ in self._list.rows()]
        # Rows that say the same in the order that the user gave them stay where they are.
        if set(now) == set(wanted):
            ticked = set(self._value)
            if [name for name in now if name in ticked] == [*dict.fromkeys(self._value)]:
                wanted = now
        self._list.show_rows(wanted, self._value)
        self._texts.setVisible(not known)
        self._list.setVisible(known)
        for button in self._buttons.values():
            button.setVisible(known and len(wanted) > 1)
        self._note.setVisible(known and not self._value)
        self.setFocusProxy(self._list if known else self._texts)
        self._enable()

    def _edit(self) -> None:
        self._value = tuple(name for name, ticked in self._list.rows() if ticked)
        self._show()
        self.edited.emit()

    def _enable(self) -> None:
        row, last = self._list.currentRow(), self._list.count() - 1
        self._buttons[-1].setEnabled(row > 0)
        self._buttons[1].setEnabled(0 <= row < last)


class _Rows(QListWidget):
    """Rows with a tick and a number, which the mouse drags and Alt with an arrow moves.

    Qt's own dragging draws a ghost and a line; here the row itself moves.
    """

    moved = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._held = -1
        self._dragged = False
        self.setStyleSheet(_STYLE)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def rows(self) -> list[tuple[str, bool]]:
        """Return name and tick of each row."""
        return [
            (str(item.data(_NAME)), item.checkState() is Qt.CheckState.Checked)
            for item in self._items()
        ]

    def show_rows(self, names: Sequence[str], ticked: Sequence[str]) -> None:
        """Show names, the ticked ones numbered from the top; nothing is emitted."""
        self.blockSignals(True)
        if [name for name, _ in self.rows()] != list(names):
            self.clear()
            for name in names:
                item = QListWidgetItem(name)
                item.setData(_NAME, name)
                item.setToolTip(name)
                self.addItem(item)
            self._fit()
        number = 0
        for item, name in zip(self._items(), names, strict=True):
            on = name in ticked
            number += on
            item.setText(f"{number}.  {name}" if on else name)
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
        self.blockSignals(False)

    def _items(self) -> list[QListWidgetItem]:
        found = [self.item(row) for row in range(self.count())]
        return [item for item in found if item is not None]

    def _fit(self) -> None:
        """Be as high as the rows."""
        rows = min(max(self.count(), 1), _MOST)
        self.setFixedHeight(rows * _HIGH + 2 * self.frameWidth() + 6)

    def move_by(self, step: int) -> None:
        """Move the current row up or down."""
        self._move(self.currentRow(), self.currentRow() + step)

    def _move(self, row: int, to: int) -> None:
        if row < 0 or not 0 <= to < self.count() or row == to:
            return
        self.blockSignals(True)
        self.insertItem(to, self.takeItem(row))
        self.setCurrentRow(to)
        self.blockSignals(False)
        self.moved.emit()

    # Names of Qt's virtual methods.

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Move the current row."""
        if event is not None and event.modifiers() & Qt.KeyboardModifier.AltModifier:
            step = _MOVES.get(Qt.Key(event.key()))
            if step is not None:
                self.move_by(step)
                return
        super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Take hold of a row."""
        super().mousePressEvent(event)
        self._dragged = False
        self._held = -1
        if event is not None and event.button() is Qt.MouseButton.LeftButton:
            self._held = self.indexAt(event.pos()).row()

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Move the row that is held to where the mouse is."""
        if event is None or self._held < 0:
            super().mouseMoveEvent(event)
            return
        to = self.indexAt(event.pos()).row()
        if to >= 0 and to != self._held:
            self._move(self._held, to)
            self._held, self._dragged = to, True

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Let go; what was dragged by its tick keeps it as it was."""
        self._held = -1
        if self._dragged:
            self.setState(QAbstractItemView.State.NoState)
        else:
            super().mouseReleaseEvent(event)
