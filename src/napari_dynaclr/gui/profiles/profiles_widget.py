"""The dock Profiles: wells as points, how they are made, and how well they hold."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.compat import isalive
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QSplitter, QTabWidget, QVBoxLayout, QWidget

from napari_dynaclr.gui.profiles.outcome_panel import OutcomePanel
from napari_dynaclr.gui.profiles.profile_map import ProfileMapPanel
from napari_dynaclr.gui.scroll import Scroll
from napari_dynaclr.gui.steps.step_widget import StepPanel
from napari_dynaclr.session import Scope

if TYPE_CHECKING:
    from napari import Viewer
    from qtpy.QtGui import QShowEvent

_MOST = 0.55
"""Part of the dock that the form may take at first; the rest is the map's."""


class ProfilesWidget(QWidget):
    """Profiles fields and wells, maps them, and tests what the profiles tell.

    Parameters
    ----------
    napari_viewer
        The viewer; napari knows by this name that it must give it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.map = ProfileMapPanel(napari_viewer)
        self.step = ProfilePanel(napari_viewer, "profile")
        self.outcome = OutcomePanel(napari_viewer)
        self.tabs = QTabWidget()
        self.tabs.addTab(Scroll(self.step), "1  Profile")
        self.tabs.addTab(Scroll(_padded(self.outcome)), "2  Test")
        self.halves = QSplitter(Qt.Orientation.Vertical)
        self.halves.addWidget(self.map)
        self.halves.addWidget(self.tabs)
        self.halves.setStretchFactor(0, 3)
        self.halves.setStretchFactor(1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.halves)
        self._shared = False

    def showEvent(self, event: QShowEvent | None) -> None:
        """Give the form the room that it needs, at first, so that Run is in sight."""
        super().showEvent(event)
        if not self._shared:
            self._shared = True
            QTimer.singleShot(0, partial(_share, self))  # when the dock has its size

    def show_stage(self, stage: str) -> None:
        """Bring the panel of a stage to the front, also if the map has all the room."""
        self.tabs.setCurrentIndex(0 if stage == "profile" else 1)
        if not self.halves.sizes()[1]:
            self.halves.setSizes([3, 2])


def _share(widget: ProfilesWidget) -> None:
    """Share the height of the dock between map and form."""
    if not isalive(widget):
        return
    room, bar = sum(widget.halves.sizes()), widget.tabs.tabBar()
    wanted = widget.step.sizeHint().height() + (bar.height() if bar is not None else 0) + 8
    below = min(wanted, round(_MOST * room))
    widget.halves.setSizes([room - below, below])


def _padded(panel: QWidget) -> QWidget:
    """Return a panel with some space around it, and at the top of its room."""
    content = QWidget()
    column = QVBoxLayout(content)
    column.setContentsMargins(6, 6, 6, 6)
    column.addWidget(panel)
    column.addStretch(1)
    return content


class ProfilePanel(StepPanel):
    """Profiles wells; all of them at once, unless the user says otherwise."""

    # Wells are compared with each other: of one, there is nothing to see.
    first_scope = Scope.PLATE
