"""Dock widgets made of steps: segment and track, embed and project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSplitter, QTabWidget, QVBoxLayout, QWidget

from napari_dynaclr.gui.map.map_widget import MapPanel
from napari_dynaclr.gui.scroll import Scroll
from napari_dynaclr.gui.steps.step_widget import StepPanel
from napari_dynaclr.gui.steps.track_panel import TrackPanel

if TYPE_CHECKING:
    from napari import Viewer

_PANELS: dict[str, type[StepPanel]] = {"track": TrackPanel}
"""Of those stages whose panel has something of its own."""


class SegmentAndTrackWidget(QWidget):
    """Find the cells, then link them over time.

    Parameters
    ----------
    napari_viewer
        The viewer; napari knows by this name that it must give it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.steps = Steps(napari_viewer, {"1  Segment": "segment", "2  Track": "track"})
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.steps)

    def show_stage(self, stage: str) -> None:
        """Bring the panel of a stage to the front."""
        self.steps.show_stage(stage)


class EmbedAndProjectWidget(QWidget):
    """Embed the cells, map the embedding, and look at the map.

    Parameters
    ----------
    napari_viewer
        The viewer; napari knows by this name that it must give it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.steps = Steps(napari_viewer, {"1  Embed": "embed", "2  Project": "project"})
        self.map = MapPanel(napari_viewer)
        self.halves = QSplitter(Qt.Orientation.Vertical)
        self.halves.addWidget(self.map)
        self.halves.addWidget(self.steps)
        self.halves.setStretchFactor(0, 3)
        self.halves.setStretchFactor(1, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.halves)

    def show_stage(self, stage: str) -> None:
        """Bring the panel of a stage to the front, also if the map has all the room."""
        self.steps.show_stage(stage)
        if not self.halves.sizes()[1]:
            self.halves.setSizes([3, 2])


class Steps(QTabWidget):
    """A tab per stage; they scroll where the window is low.

    Parameters
    ----------
    viewer
        The viewer.
    stages
        Stage by title of its tab.
    """

    def __init__(self, viewer: Viewer, stages: dict[str, str]) -> None:
        super().__init__()
        self.panels = {
            stage: _PANELS.get(stage, StepPanel)(viewer, stage) for stage in stages.values()
        }
        for title, stage in stages.items():
            self.addTab(Scroll(self.panels[stage]), title)

    def show_stage(self, stage: str) -> None:
        """Bring the panel of a stage to the front."""
        self.setCurrentIndex(list(self.panels).index(stage))
