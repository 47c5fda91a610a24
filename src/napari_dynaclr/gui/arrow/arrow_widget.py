"""The dock Time arrow: look for events, see what the network sees, and judge what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_dynaclr.gui.arrow.events_panel import EventsPanel
from napari_dynaclr.gui.arrow.maps_panel import MapsPanel
from napari_dynaclr.gui.scroll import Scroll
from napari_dynaclr.gui.section import Section
from napari_dynaclr.gui.steps.step_widget import StepPanel

if TYPE_CHECKING:
    from napari import Viewer

_ABOUT = """Finds divisions, deaths and other things that happen one way only. It needs neither
cells nor labels."""


class TimeArrowWidget(QWidget):
    """Finds likely events by the arrow of time, and shows what tells it.

    Parameters
    ----------
    napari_viewer
        The viewer; napari knows by this name that it must give it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.step = StepPanel(napari_viewer, "find")
        self.maps = MapsPanel(napari_viewer, self.step)
        self.events = EventsPanel(napari_viewer)
        about = QLabel(_ABOUT.replace("\n", " "))
        about.setWordWrap(True)
        about.setContentsMargins(6, 4, 6, 0)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 6)
        column.addWidget(about)
        column.addWidget(self.step)
        for title, panel in (("This frame", self.maps), ("Likely events", self.events)):
            section = Section(title, panel)
            section.setContentsMargins(6, 0, 6, 0)
            column.addWidget(section)
        column.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(Scroll(content))
