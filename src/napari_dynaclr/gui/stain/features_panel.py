"""What the network sees: its feature maps of the frame on screen, as layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.gui.steps.progress import RunProgress
from napari_dynaclr.gui.triton import load_triton
from napari_dynaclr.gui.view import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.gui.steps.step_widget import StepPanel

TITLE = "feature maps"
"""What it is called while it runs."""

_ABOUT = "What each stage of the network makes of the frame on screen, as colours."

_TIP = """<qt>The outputs of every stage of the network, with the settings above, as red, green and
blue: their three largest principal components. Each stage is a layer on top of the others, at
this time point and slice; the first is visible.</qt>"""


class FeaturesPanel(View):
    """Shows the feature maps of the frame on screen, and takes them away.

    Parameters
    ----------
    viewer
        The viewer.
    step
        Whose settings say which network.
    parent
        Its parent in Qt.
    """

    def __init__(self, viewer: Viewer, step: StepPanel, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._viewer, self._step = viewer, step
        about = QLabel(_ABOUT)
        about.setWordWrap(True)
        self.show_button = QPushButton("Show feature maps")
        self.cancel_button = QPushButton("Cancel")
        self.remove_button = QPushButton("Remove")
        self.remove_button.setToolTip("Take the layers with feature maps away.")
        self.progress = RunProgress()
        row = QHBoxLayout()
        row.addWidget(self.show_button, 2)
        row.addWidget(self.cancel_button, 1)
        row.addWidget(self.remove_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(about)
        layout.addLayout(row)
        layout.addWidget(self.progress)
        self.show_button.clicked.connect(self.show_maps)
        self.cancel_button.clicked.connect(self.cancel)
        self.remove_button.clicked.connect(self.bench.layers.over.hide_features)

    def show_maps(self) -> None:
        """Have the feature maps of the frame on screen computed, and show them."""
        bench, session = self.bench, self.session
        dataset, fov = session.dataset, session.fov
        if dataset is None or fov is None or bench.runner.stage is not None:
            return
        try:
            params: Any = self._step.form.params()
        except InvalidInput as error:
            bench.explain(error)
            return
        t, z = session.frame, bench.slice_on_screen()

        def work(job: Job) -> dict[str, NDArray[Any]]:
            from napari_dynaclr.staining.feature_maps import frame_features

            load_triton()
            return frame_features(dataset, fov.name, t, params, z, job)

        def done(maps: dict[str, NDArray[Any]]) -> None:
            here = session.fov
            if session.dataset is dataset and here is not None and here.name == fov.name:
                bench.layers.over.show_features(maps, t, z)

        bench.runner.start_stage(TITLE, work, done)

    def cancel(self) -> None:
        """Ask for no feature maps any more."""
        run = self.bench.runner.stage
        if run is not None and run.title == TITLE:
            run.cancel()
        self._enable()

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the FOV, the running stage, the settings, and which layers there are."""
        layers = self._viewer.layers.events
        return [
            (self.session.fov_changed, self._enable),
            (self.bench.runner.stage_changed, self._enable),
            (self._step.form.changed, self._enable),
            (layers.inserted, self._layers_changed),
            (layers.removed, self._layers_changed),
        ]

    def synchronise(self) -> None:
        """Offer what can be done now."""
        self._enable()

    def _layers_changed(self, _event: object = None) -> None:
        self.remove_button.setEnabled(self.bench.layers.over.has_features)

    def _enable(self) -> None:
        run, reason = self.bench.runner.stage, ""
        mine = run is not None and run.title == TITLE
        if run is not None and mine:
            self.progress.follow(run)
        if self.session.fov is None:
            reason = "Open a dataset first."
        elif run is not None:
            reason = f"'{run.title}' is running."
        else:
            reason = self._step.problem()
        self.show_button.setEnabled(not reason)
        self.show_button.setToolTip(reason or _TIP)
        self.cancel_button.setEnabled(mine)
        self._layers_changed()
