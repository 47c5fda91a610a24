"""The queue of suspicious places in the tracks, as a list to walk through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_dynaclr.gui.correcting import KEYS

if TYPE_CHECKING:
    from napari_dynaclr.session.suspicion import Queue, Suspect

_HEIGHT = 130
"""Of the list, in pixels: five places."""


class SuspectsPanel(QWidget):
    """Lists the places that are worth a look, and says which one is looked at.

    Parameters
    ----------
    parent
        Its parent in Qt.
    """

    stepped = Signal(int)
    """The next place is wanted (1), or the one before (-1)."""
    chosen = Signal(int)
    """A place is wanted, by its position."""
    accepted = Signal()
    """The place that is looked at is right."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._queue: Queue | None = None
        self.heading = QLabel()
        self.heading.setTextFormat(Qt.TextFormat.PlainText)
        self.previous_button, self.next_button = QToolButton(), QToolButton()
        for button, text, tip, step in (
            (self.previous_button, "◀", f"Previous suspicious place ({KEYS['previous']})", -1),
            (self.next_button, "▶", f"Next suspicious place ({KEYS['next']})", 1),
        ):
            button.setText(text)
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.clicked.connect(lambda _=False, step=step: self.stepped.emit(step))
        self.right = QPushButton(f"Looks right  ({KEYS['accept']})")
        self.right.setToolTip("This place is right: do not show it again.")
        self.right.clicked.connect(self.accepted)
        self.list = QListWidget()
        self.list.setUniformItemSizes(True)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setFixedHeight(_HEIGHT)
        self.list.setAccessibleName("Suspicious places")
        # The keys of the list would be taken for its search otherwise.
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.itemClicked.connect(lambda item: self.chosen.emit(self.list.row(item)))
        self.why = QLabel()
        self.why.setWordWrap(True)
        self.why.setTextFormat(Qt.TextFormat.PlainText)
        top = QHBoxLayout()
        top.setSpacing(4)
        top.addWidget(self.heading, 1)
        top.addWidget(self.previous_button)
        top.addWidget(self.next_button)
        below = QHBoxLayout()
        below.setSpacing(6)
        below.addWidget(self.why, 1)
        below.addWidget(self.right)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self.list)
        layout.addLayout(below)

    def show_queue(self, queue: Queue, state: str) -> None:
        """Show a queue.

        Parameters
        ----------
        queue
            The places.
        state
            What to say where there are none.
        """
        if self._queue is None or queue.places is not self._queue.places:
            self.list.clear()
            for place in queue.places:
                item = QListWidgetItem(_line(place))
                item.setToolTip(f"{place.kind}, t={place.t}, score {place.score:.2f}\n{place.why}")
                self.list.addItem(item)
        self._queue, count = queue, len(queue.places)
        current = queue.current
        self.list.setCurrentRow(queue.position if current is not None else -1)
        if current is not None:
            self.heading.setText(f"{queue.position + 1} of {_places(queue.total)}")
        else:
            self.heading.setText(_places(queue.total) if count else state)
        self.list.setVisible(count > 0)
        self.why.setText(current.why if current is not None else "")
        self.why.setVisible(current is not None)
        self.right.setVisible(current is not None)
        for button in (self.previous_button, self.next_button):
            button.setVisible(count > 0)
        self.next_button.setEnabled(queue.position < count - 1)
        self.previous_button.setEnabled(queue.position > 0)


def _line(place: Suspect) -> str:
    return f"{place.score:.2f}   t={place.t}   {place.why}"


def _places(count: int) -> str:
    return f"{count:,} suspicious place{'s' * (count != 1)}"
