"""What a time-arrow network sees in the frame on screen, as layers that follow the slider."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QLabel, QVBoxLayout, QWidget

from napari_dynaclr.core.errors import DynaclrError, InvalidInput
from napari_dynaclr.core.naming import by_titles
from napari_dynaclr.embedding.events.picking import PickingParams
from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.triton import load_triton
from napari_dynaclr.gui.view import View
from napari_dynaclr.session.arrow_maps import ATTRIBUTION, FEATURES, ArrowMaps, Made
from napari_dynaclr.session.stacks import PlaneStack

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.gui.steps.step_widget import StepPanel

_BREATH = 80
"""Milliseconds that a frame is on screen before its maps are asked for."""

_TITLES = {FEATURES: "Features", ATTRIBUTION: "Attribution"}
_TIPS = {
    FEATURES: """<qt>What the network makes of every pixel, as red, green and blue: the three
largest principal components. Over a movie, the same colour means the same.</qt>""",
    ATTRIBUTION: """<qt>Where this frame differs from the one <i>delta t</i> later in a way that
tells which came first: bright where cells divide, die or change.</qt>""",
}


class MapsPanel(View):
    """Shows features and attribution of the frame on screen, and of the next ones.

    Parameters
    ----------
    viewer
        The viewer.
    step
        Whose settings say which network, channel and frames.
    parent
        Its parent in Qt.
    """

    def __init__(self, viewer: Viewer, step: StepPanel, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._viewer, self._step = viewer, step
        self._makes = Latest(self.bench.runner, self, "maps")
        self._maps = ArrowMaps()
        self._of: object = None
        self._fov: Fov | None = None
        self._stacks: dict[str, PlaneStack] = {}
        self._most = 0.0
        self.switches = {kind: QCheckBox(title) for kind, title in _TITLES.items()}
        self.status = QLabel()
        self.status.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for kind, switch in self.switches.items():
            switch.setToolTip(_TIPS[kind])
            switch.clicked.connect(self._switched)
            layout.addWidget(switch)
        layout.addWidget(self.status)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_BREATH)
        self._soon.timeout.connect(self.update_maps)

    # -- following ---------------------------------------------------------

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the frame, the slice, the FOV, the settings, and which layers there are."""
        session = self.session
        return [
            (session.fov_changed, self._moved),
            (session.frame_changed, self._frame_changed),
            (session.events.changed, self._frame_changed),
            (session.results_changed, self._results_changed),
            (self._viewer.dims.events.current_step, self._frame_changed),
            (self._viewer.layers.events.removed, self._layers_changed),
            (self.bench.runner.stage_changed, self._frame_changed),
            (self._step.form.changed, self._frame_changed),
        ]

    def synchronise(self) -> None:
        """Show which maps are there, and have those of this frame made."""
        self._layers_changed()
        self._frame_changed()

    @property
    def wanted(self) -> list[str]:
        """Maps that are switched on."""
        return [kind for kind, switch in self.switches.items() if switch.isChecked()]

    def _moved(self) -> None:
        self._makes.stop()
        self._frame_changed()

    def _results_changed(self, stage: str) -> None:
        if stage in ("find", "stain", "train"):  # what is seen, or who sees, may be another
            self._of = None
            self._frame_changed()

    def _layers_changed(self, _event: object = None) -> None:
        over = self.bench.layers.over
        for kind, switch in self.switches.items():
            # One that the user has deleted is not wanted any more.
            if switch.isChecked() and over.is_dismissed(kind):
                switch.setChecked(False)
                self._stacks.pop(kind, None)
        self._enable()

    def _enable(self) -> None:
        is_open = self.session.fov is not None
        for kind, switch in self.switches.items():
            switch.setEnabled(is_open)
            switch.setToolTip(_TIPS[kind] if is_open else "Open a dataset first.")

    def _frame_changed(self, _event: object = None) -> None:
        self._enable()
        if self.wanted:
            self._soon.start()
        else:
            self._tell("")

    def _switched(self) -> None:
        over = self.bench.layers.over
        for kind, switch in self.switches.items():
            if not switch.isChecked():
                self._stacks.pop(kind, None)
                over.hide_map(kind)
            elif over.is_dismissed(kind):
                over.welcome(kind)
        self._soon.stop()
        self.update_maps()
        if not self.wanted:
            self._of = None
            self._close()

    def _tell(self, text: str) -> None:
        self.status.setText(text)
        self.status.setVisible(bool(text))

    # -- making ------------------------------------------------------------

    def update_maps(self) -> None:
        """Show the maps of the frame on screen that are wanted, and have the others made."""
        session, kinds = self.session, self.wanted
        dataset, fov = session.dataset, session.fov
        if dataset is None or fov is None or not kinds or not self.isVisible():
            self._makes.stop()
            self._tell("")
            return
        try:
            params = self._step.form.params()
        except InvalidInput as error:
            self._tell(str(error))
            return
        name = self.bench.finding.name or self._step.method_name
        network = params.model_dump_json(exclude=set(PickingParams.model_fields))
        self._renew((dataset.workspace.path, network, name), fov)
        t, z = session.frame, self.bench.slice_on_screen()
        kinds = [kind for kind in kinds if not self._stack(kind, fov.shape).holds(t, z)]
        if not kinds:
            self._makes.stop()
            self._show(f"t={t}")
            return
        maps, running = self._maps, self.bench.runner.stage

        def work(job: Job) -> Made:
            load_triton()
            idle = running is None
            return maps.make(dataset, fov.name, t, z, kinds, params, name, job, compute=idle)

        began = time.monotonic()

        def done(made: Made) -> None:
            if maps is not self._maps or session.fov is not fov:
                return
            for kind, plane in made.planes.items():
                self._put(kind, t, z, plane)
            if made.hindrance:
                self._show(f"t={t}: {by_titles(made.hindrance, type(params))}")
            else:
                took = f"in {time.monotonic() - began:.1f} s"
                self._show(f"t={t}: saved by '{name}'" if made.read else f"t={t}: made {took}")

        def failed(error: Exception) -> None:
            for kind in kinds:  # what is on screen already can stay
                self.switches[kind].setChecked(False)
            self._switched()
            if isinstance(error, DynaclrError):
                self._tell(by_titles(str(error), type(params)))
            else:
                self.bench.explain(error)

        self._tell(f"t={t}: being made…")
        self._makes.start("look through the network", work, done, failed)

    def _renew(self, of: tuple[object, ...], fov: Fov) -> None:
        """Begin anew where the network or what it is shown are others, or the FOV is."""
        if of != self._of:
            self._of = of
            self._close()
        elif fov is self._fov:
            return
        self._fov, self._most = fov, 0.0
        for kind in list(self._stacks):
            self._stacks[kind] = _stack(kind, fov.shape)

    def _close(self) -> None:
        """Let go of the network, behind what it is still at."""
        maps, self._maps = self._maps, ArrowMaps()
        if maps.is_open:
            self.bench.runner.start("close the network", lambda _job: maps.close(), lane="maps")

    def _stack(self, kind: str, shape: tuple[int, ...]) -> PlaneStack:
        if kind not in self._stacks:
            self._stacks[kind] = _stack(kind, shape)
        return self._stacks[kind]

    def _put(self, kind: str, t: int, z: int, plane: np.ndarray) -> None:
        if kind not in self._stacks:
            return
        if kind == FEATURES:
            colours = (np.clip(plane, 0, 1) * 255).round().astype(np.uint8)
            plane = np.dstack([colours, np.full(colours.shape[:2], 255, np.uint8)])
        else:
            self._most = max(self._most, float(np.percentile(plane, 99.9)))
        self._stacks[kind].put(t, z, plane)

    def _show(self, text: str) -> None:
        for kind in self.wanted:
            if kind in self._stacks:
                self.bench.layers.over.show_map(kind, self._stacks[kind], self._most or 1.0)
        self._tell(text)


def _stack(kind: str, shape: tuple[int, ...]) -> PlaneStack:
    """Return an empty stack for a FOV (T, Z, Y, X): colours with their opacity, or numbers."""
    if kind == FEATURES:
        return PlaneStack((*shape, 4), np.uint8)
    return PlaneStack(shape, np.float32)
