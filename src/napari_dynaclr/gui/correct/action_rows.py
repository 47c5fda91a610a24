"""The corrections as buttons, each beside a line that says what it would do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QLabel, QPushButton, QSizePolicy, QWidget
from superqt import QElidingLabel

from napari_dynaclr.gui.correcting import KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_dynaclr.session.plans import Plan

ADD = "add"

TITLES = {
    "cut": ("Cut", "End the track before cell A; the rest becomes a track of its own."),
    "link": ("Link", "Let the track of the earlier cell go on at the later one."),
    "swap": ("Swap", "Let two tracks change places from the later of both time points on."),
    "merge": ("Merge", "Make one track of the end of one and the beginning of another."),
    "divide": ("Divide", "A divides; B is a daughter. Or A and B are the daughters."),
    "undivide": ("Undo division", "Take the division that A's track ends or begins with away."),
    "delete_node": ("Delete cell", "Cell A is none, at this time point."),
    "delete_track": ("Delete track", "Cell A is none, at no time point of its track."),
}
"""Name and purpose of each of :data:`~napari_dynaclr.session.plans.ACTIONS`."""


class ActionRows(QWidget):
    """A button for each correction, and what it would do to the chosen cells.

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
        self.effects: dict[str, QLabel] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        for i, (name, (title, tip)) in enumerate(TITLES.items()):
            button, effect = _button(title, KEYS[name]), QElidingLabel()
            button.setToolTip(tip)
            button.clicked.connect(partial(self.acted.emit, name))
            grid.addWidget(button, i, 0)
            grid.addWidget(effect, i, 1)
            self.buttons[name], self.effects[name] = button, effect
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
        self.radius.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        grid.addWidget(self.add, len(TITLES), 0)
        grid.addWidget(self.radius, len(TITLES), 1)

    def show_plans(self, plans: Mapping[str, Plan], reason: str) -> None:
        """Say what each correction would do now.

        Parameters
        ----------
        plans
            By action.
        reason
            Why nothing can be corrected now, "" if it can.
        """
        for name, (_, tip) in TITLES.items():
            plan = plans[name]
            possible = plan.possible and not reason
            button, effect = self.buttons[name], self.effects[name]
            button.setEnabled(possible)
            button.setToolTip(
                f"{tip}\n{plan.text if possible else 'Not now: ' + (reason or plan.text)}"
            )
            effect.setText(plan.text if not reason else "")
            effect.setToolTip(effect.text())
            effect.setEnabled(possible)
        self.add.setEnabled(not reason)
        self.add.setToolTip(
            reason
            or f"Add a cell that was missed: at the mouse ({KEYS[ADD]}), or where you click next."
        )
        self.radius.setEnabled(not reason)


def _button(title: str, key: str) -> QPushButton:
    button = QPushButton(f"{title}  ({key})")
    button.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
    return button
