"""Train: a network of one's own, its curves while it learns, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_dynaclr.gui.runner import RunState
from napari_dynaclr.gui.scroll import Scroll
from napari_dynaclr.gui.section import Section
from napari_dynaclr.gui.steps.step_widget import StepPanel
from napari_dynaclr.gui.train.learning_panel import LearningPanel
from napari_dynaclr.session import Scope

if TYPE_CHECKING:
    from napari import Viewer

_CANCEL = """<qt>Stop, without a network. What was learned is kept to go on from: run it again
with the same settings.</qt>"""

_KEEP = """<qt>End after the next batch, and keep what was learned so far as the network. (Cancel
makes no network; after it, running again goes on where it stopped.)</qt>"""


class TrainWidget(QWidget):
    """Trains a network, shows how that goes, and hands it on to the stage that it is for.

    Parameters
    ----------
    napari_viewer
        The viewer; napari knows by this name that it must give it.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.step = TrainPanel(napari_viewer)
        self.learning = LearningPanel(napari_viewer)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 6)
        column.addWidget(self.step)
        section = Section("Training", self.learning)
        section.setContentsMargins(6, 0, 6, 0)
        column.addWidget(section)
        column.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(Scroll(content))


class TrainPanel(StepPanel):
    """Runs a training, which can be ended early in two ways.

    Parameters
    ----------
    viewer
        The viewer.
    parent
        Its parent in Qt.
    """

    # FOVs or wells are held out: of one, nothing would be left to learn from.
    first_scope = Scope.PLATE

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        self.keep_button = QPushButton("Stop and keep")
        self.keep_button.setToolTip(_KEEP)
        super().__init__(viewer, "train", parent)
        self.cancel_button.setToolTip(_CANCEL)
        self.buttons.insertWidget(1, self.keep_button, 2)
        self.keep_button.clicked.connect(self.keep)

    def keep(self) -> None:
        """Ask the training to end, and to keep what it has learned."""
        run = self.bench.runner.stage
        if run is not None and run.title == self.stage:
            run.finish()
        self._enable()

    def _enable(self) -> None:
        super()._enable()
        run = self.bench.runner.stage
        mine = run is not None and run.title == self.stage
        asked = run is not None and (run.is_finishing or run.state is RunState.STOPPING)
        self.keep_button.setEnabled(mine and not asked)
