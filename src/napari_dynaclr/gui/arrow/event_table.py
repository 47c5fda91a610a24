"""Likely events as a table: which is judged how, its rank, when, its score and its cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEIGHT = 190
"""Of the table, in pixels: seven events."""


class Line(NamedTuple):
    """What is shown of an event, a text for each column."""

    judged: str
    rank: str
    field: str
    time: str
    score: str
    chance: str
    cell: str


_TITLES = Line("", "rank", "FOV", "time", "score", "chance", "cell")
_TIPS = Line(
    "✓ a division, ✗ none, empty where you have not said",
    "Its place among all that are listed, the likeliest first: the number beside its circle",
    "Field of view",
    "Time point of the earlier of the two frames that were compared",
    "How much tells the order of time there; to be compared among events of the same network",
    "Of this event and all above it, how many are expected to have no direction in time: by what "
    "is found in the movie played backwards, and one more. Where it rises, stop looking",
    "Track of the cell that it lies on; empty where there is none near it",
)
_FIELD, _CHANCE = _TITLES.index("FOV"), _TITLES.index("chance")


class EventTable(QTreeWidget):
    """Lists events, a row each; a click chooses one.

    Parameters
    ----------
    parent
        Its parent in Qt.
    """

    chosen = Signal(int)
    """The user wants to see an event; its row."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setColumnCount(len(_TITLES))
        self.setHeaderLabels(list(_TITLES))
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setFixedHeight(_HEIGHT)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # The keys of the list would be taken for its search otherwise.
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("Likely events")
        titles, header = self.headerItem(), self.header()
        for column, tip in enumerate(_TIPS):
            if titles is not None:
                titles.setToolTip(column, tip)
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setStretchLastSection(True)
            header.setSectionsClickable(False)
        self.itemClicked.connect(lambda item: self.chosen.emit(self.indexOfTopLevelItem(item)))

    def set_tips(self, tips: Sequence[str]) -> None:
        """Make as many rows as there are events.

        Parameters
        ----------
        tips
            What is said of each under the mouse.
        """
        self.clear()
        for tip in tips:
            item = QTreeWidgetItem()
            for column in range(len(_TITLES)):
                item.setToolTip(column, tip)
            self.addTopLevelItem(item)

    def set_lines(self, lines: Sequence[Line], *, several: bool) -> None:
        """Fill the rows.

        Parameters
        ----------
        lines
            What is shown of each event.
        several
            Whether they are of several FOVs, so that it is to be said of which.
        """
        self.setColumnHidden(_FIELD, not several)
        self.setColumnHidden(_CHANCE, not any(line.chance for line in lines))
        for row, line in enumerate(lines):
            item = self.topLevelItem(row)
            for column, text in enumerate(line):
                if item is not None and item.text(column) != text:
                    item.setText(column, text)

    @property
    def lines(self) -> list[Line]:
        """What is shown of each event."""
        items = [self.topLevelItem(row) for row in range(self.topLevelItemCount())]
        return [
            Line(*(item.text(column) for column in range(len(_TITLES))))
            for item in items
            if item is not None
        ]

    @property
    def current(self) -> int:
        """Row of the event that is looked at, -1 for none."""
        item = self.currentItem()
        return -1 if item is None else self.indexOfTopLevelItem(item)

    def look_at(self, row: int) -> None:
        """Mark the event that is looked at, and bring it into view; -1 for none."""
        item = self.topLevelItem(row) if row >= 0 else None
        if item is None:
            self.clearSelection()
            self.setCurrentItem(None)
        else:
            self.setCurrentItem(item)
            self.scrollToItem(item)
