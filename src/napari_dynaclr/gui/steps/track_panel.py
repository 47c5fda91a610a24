"""The panel of tracking, which can ask the data for its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_dynaclr.core.cells import segmented_cells
from napari_dynaclr.core.motion import survey
from napari_dynaclr.gui.steps.step_widget import StepPanel

if TYPE_CHECKING:
    from napari import Viewer

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.motion import Motion

_ASK = "Suggest settings"
_SUGGESTED = ("max_distance", "max_division_distance")
"""What a survey has something to say about."""


class TrackPanel(StepPanel):
    """Links cells, with settings that how they move suggests.

    Parameters
    ----------
    viewer
        The viewer.
    stage
        "track".
    parent
        Its parent in Qt.
    """

    def __init__(self, viewer: Viewer, stage: str = "track", parent: QWidget | None = None) -> None:
        # Before the form is shown for the first time, which looks whether they are of use.
        self.suggest = QPushButton(_ASK)
        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        self.verdict.setTextFormat(Qt.TextFormat.PlainText)
        self.verdict.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.verdict.hide()
        self._asking = False
        super().__init__(viewer, stage, parent)
        self.suggest.clicked.connect(self.ask)

    def _lay_out(self) -> None:
        super()._lay_out()
        line = QHBoxLayout()
        line.addWidget(self.suggest)
        line.addStretch(1)
        layout = self.layout()
        if isinstance(layout, QVBoxLayout):
            place = layout.indexOf(self.form) + 1
            layout.insertLayout(place, line)
            layout.insertWidget(place + 1, self.verdict)

    def ask(self) -> None:
        """Survey how the cells of the FOV on screen move, and fill in the form accordingly."""
        dataset, fov = self.session.dataset, self.session.fov
        if dataset is None or fov is None:
            return

        def work(job: Job) -> Motion:
            nodes = segmented_cells(dataset, fov, job)
            return survey(nodes, fov.scale, fov.frame_interval)

        def done(found: Motion) -> None:
            if self.session.fov is fov:
                self._show_verdict(fov.name, found)

        def ended() -> None:
            self._asking = False
            self._enable()

        self._asking = True
        self._enable()
        self.read("survey how cells move", work, done, ended)

    def _show_verdict(self, fov_name: str, found: Motion) -> None:
        self.verdict.setText(f"FOV {fov_name}: {found.verdict}")
        self.verdict.show()
        if found.suggested:
            self.bench.propose(self.stage, **found.suggested)

    def _enable(self) -> None:
        super()._enable()
        useful = any(name in self.form.kind.model_fields for name in _SUGGESTED)
        self.suggest.setVisible(useful and not self._missing)
        is_segmented = self._is_segmented()
        self.suggest.setEnabled(is_segmented and not self._asking)
        self.suggest.setText("Looking how cells move…" if self._asking else _ASK)
        self.suggest.setToolTip(
            "Measure how the segmented cells of this FOV move, and fill in what suits them."
            if is_segmented
            else "Segment this FOV first."
        )

    def _is_segmented(self) -> bool:
        dataset, fov = self.session.dataset, self.session.fov
        if dataset is None or fov is None:
            return False
        workspace = dataset.workspace
        done = workspace.key("segmentation", fov) is not None
        return done and not workspace.outdated("segmentation", fov)
