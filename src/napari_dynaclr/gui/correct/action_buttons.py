"""The corrections as buttons, and what each would do to the chosen cells."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_dynaclr.gui.correcting import KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_dynaclr.session.plans import Plan

ADD = "add"

TITLES = {
    "cut": ("Cut", "End the track before cell A; the rest becomes a track of its own."),
    "link": ("Link", "A and B are the same cell: let the earlier one go on as the later one."),
    "swap": ("Swap", "Let two tracks change places from the later of both time points on."),
    "merge": ("Merge", "Make one track of the end of one and the beginning of another."),
    "divide": ("Divide", "The earlier cell divides, the later is a daughter; or both are."),
    "undivide": ("Undivide", "Take the division away that A's track ends or begins with."),
    "delete_node": ("Delete cell", "A is no cell at this time point."),
    "delete_track": ("Delete track", "A is no cell at any time point of its track."),
}
"""Name and purpose of each of :data:`~napari_dynaclr.session.plans.ACTIONS`."""

_COLUMNS = 2


class ActionButtons(QWidget):
    """A button for each correction, and lines that say what those that are possible would do.

    Parameters
    ----------
    parent
        Its parent in Qt.
    """

    acted = Signal(str)
    """A correction was asked for."""
    adding = Signal(bool)
    """The next click is to add a cell, or not any more."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(3)
        for i, (name, (title, tip)) in enumerate(TITLES.items()):
            button = self.buttons[name] = _button(title, KEYS[name])
            button.setToolTip(tip)
            button.clicked.connect(partial(self.acted.emit, name))
            grid.addWidget(button, i // _COLUMNS, i % _COLUMNS)
        self.add = self.buttons[ADD] = _button("Add cell", KEYS[ADD])
        self.add.setCheckable(True)
        self.add.toggled.connect(self.adding)
        self.radius = QDoubleSpinBox()
        self.radius.setRange(0.1, 1000.0)
        self.radius.setDecimals(1)
        self.radius.setPrefix("radius ")
        self.radius.setSuffix(" um")
        self.radius.setKeyboardTracking(False)
        self.radius.setAccessibleName("Radius of an added cell")
        self.radius.setToolTip("Of the disc that is drawn for a cell that was missed.")
        last = len(TITLES) // _COLUMNS
        grid.addWidget(self.add, last, 0)
        grid.addWidget(self.radius, last, 1)
        for column in range(_COLUMNS):
            grid.setColumnStretch(column, 1)
        self.effects = QLabel()
        self.effects.setWordWrap(True)
        self.effects.setTextFormat(Qt.TextFormat.RichText)
        self.effects.setAlignment(Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(grid)
        layout.addWidget(self.effects)

    def show_plans(self, plans: Mapping[str, Plan], reason: str) -> None:
        """Say what each correction would do now.

        Parameters
        ----------
        plans
            By action.
        reason
            Why nothing can be corrected now, "" if it can.
        """
        lines = []
        for name, (title, tip) in TITLES.items():
            plan = plans[name]
            possible = plan.possible and not reason
            self.buttons[name].setEnabled(possible)
            why_not = f"Not now: {reason or plan.text}"
            self.buttons[name].setToolTip(f"{tip}\n{plan.text if possible else why_not}")
            if possible:
                lines.append(f"<b>{title}</b>: {escape(plan.text, quote=False)}")
        nothing = "Nothing can be corrected now: " + reason if reason else ""
        self.effects.setText("<br>".join(lines) or escape(nothing, quote=False))
        self.add.setEnabled(not reason)
        self.add.setToolTip(
            f"Not now: {reason}"
            if reason
            else f"Add a cell that was missed: at the mouse ({KEYS[ADD]}), or where you click next."
        )
        self.radius.setEnabled(not reason)


def _button(title: str, key: str) -> QPushButton:
    button = QPushButton(f"{title} ({key})")
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return button
