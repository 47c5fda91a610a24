"""The dock Profiles: wells as points, how they are made, and how well they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSplitter, QVBoxLayout, QWidget

from napari_dynaclr.gui.profiles.outcome_panel import OutcomePanel
from napari_dynaclr.gui.profiles.profile_map import ProfileMapPanel
from napari_dynaclr.gui.scroll import Scroll
from napari_dynaclr.gui.section import Section
from napari_dynaclr.gui.steps.step_widget import StepPanel
from napari_dynaclr.session import Scope

if TYPE_CHECKING:
    from napari import Viewer


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
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 6)
        column.addWidget(self.step)
        section = Section("What the profiles tell", self.outcome)
        section.setContentsMargins(6, 0, 6, 0)
        column.addWidget(section)
        column.addStretch(1)
        self.halves = QSplitter(Qt.Orientation.Vertical)
        self.halves.addWidget(self.map)
        self.halves.addWidget(Scroll(content))
        self.halves.setStretchFactor(0, 3)
        self.halves.setStretchFactor(1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.halves)


class ProfilePanel(StepPanel):
    """Profiles wells; all of them at once, unless the user says otherwise."""

    # Wells are compared with each other: of one, there is nothing to see.
    first_scope = Scope.PLATE
