"""Retrainer: classifies again, in the background, after some clicks of annotation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.tasks import UNKNOWN
from napari_dynaclr.gui.settings import recall, remember
from napari_dynaclr.session import Scope

if TYPE_CHECKING:
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.gui.workbench import Workbench
    from napari_dynaclr.session.annotator import Annotator

_EVERY = 20


class Retrainer(QObject):
    """Counts annotations of the active task and starts classifying when there are enough.

    It belongs to the viewer and not to a widget, since people annotate while the widget
    with its check box is closed or behind another one.

    Parameters
    ----------
    bench
        The viewer's workbench.
    """

    changed = Signal()
    """It was switched, or has another number of clicks to wait for."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self._bench = bench
        self._enabled = False
        self._every = max(int(recall("retrain/every", _EVERY)), 1)
        self.params: Params | None = None
        """How to classify; the task is the active one, whatever this says."""
        self.fovs: Scope | tuple[str, ...] = Scope.FOV
        """FOVs to predict: a scope, or names and patterns."""
        self.clicks = 0
        """Annotations since the classifier was last started."""
        self._task = bench.session.task.name
        self._annotator: Annotator | None = None
        # Several events of one click, or the end of a stage and what follows, are one reason.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._start)
        bench.session.dataset_changed.connect(self._follow)
        bench.session.task_changed.connect(self._task_changed)
        bench.session.results_changed.connect(self._results_changed)
        bench.session.marks_changed.connect(self._marks_changed)
        bench.runner.stage_changed.connect(self._stage_changed)
        self._follow()

    @property
    def enabled(self) -> bool:
        """Whether to classify again by itself."""
        return self._enabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        if enabled != self._enabled:
            self._enabled, self.clicks = enabled, 0
            self.changed.emit()

    @property
    def every(self) -> int:
        """Annotations to wait for."""
        return self._every

    @every.setter
    def every(self, every: int) -> None:
        if every != self._every:
            self._every = every
            remember("retrain/every", every)
            self.changed.emit()
            self._soon.start()

    def _names(self) -> list[str]:
        session, fovs = self._bench.session, self.fovs
        if isinstance(fovs, Scope):
            return session.fovs_in(fovs)
        return session.dataset.select(list(fovs)).fov_names if session.dataset and fovs else []

    def _follow(self) -> None:
        """Listen to the annotator of the dataset that is open now."""
        if self._annotator is not None:
            self._annotator.given.disconnect(self._annotated, missing_ok=True)
        self._annotator, self.clicks = self._bench.session.annotator, 0
        if self._annotator is not None:
            self._annotator.given.connect(self._annotated)

    def _task_changed(self) -> None:
        name = self._bench.session.task.name
        if name != self._task:
            self._task, self.clicks = name, 0

    def _annotated(self) -> None:
        self.clicks += 1

    def _marks_changed(self) -> None:
        self._soon.start()

    def _results_changed(self, stage: str) -> None:
        if stage == "annotate":  # a table brings more than some clicks do
            self.clicks = max(self.clicks, self._every)

    def _stage_changed(self) -> None:
        run = self._bench.runner.stage
        if run is None:
            self._soon.start()
        elif run.title == "classify":
            self.clicks = 0

    def _start(self) -> None:
        bench, session = self._bench, self._bench.session
        if not self._enabled or self.clicks < self._every or bench.runner.stage is not None:
            return
        states = {state for state in session.marks.counts(self._task) if state != UNKNOWN}
        if len(states) < 2 or self.params is None:
            return  # nothing to tell apart yet
        try:
            params = type(self.params).parse({**dict(self.params), "task": self._task})
            names = self._names()
        except InvalidInput as error:
            self.enabled = False  # rather than say so at every click
            bench.explain(error)
            return
        bench.run_stage("classify", params, names)


def retrainer(bench: Workbench) -> Retrainer:
    """Return the retrainer of a viewer, made at the first call."""
    found: Retrainer | None = bench.findChild(Retrainer)  # None, whatever Qt's stubs say
    return found or Retrainer(bench)
