"""How good the classifier of the active task is: F1, confusion matrix and calibration."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_dynaclr.core.errors import DynaclrError, MissingInput
from napari_dynaclr.gui.charts.charts import Chart
from napari_dynaclr.gui.charts.drawings import draw_confusion, draw_reliability
from napari_dynaclr.gui.charts.ink import ink_of
from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.settings import recall, remember
from napari_dynaclr.gui.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari import Viewer

    from napari_dynaclr.core.job import Job

SPLITS = {"track": "track", "FOV": "fov", "well": "well"}
"""What can be held out of the training, by what people call it."""

NOTHING = "No scores yet: run the classifier."

_SPLIT = "scores/held out by"


class ScoresPanel(View):
    """Scores of the active task's classifier, on cells that it has not learnt from.

    Parameters
    ----------
    viewer
        The viewer.
    parent
        Its parent in Qt.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._viewer = viewer
        self.scores: dict[str, Any] = {}
        """By what was held out; empty where the task has not been classified."""
        self.split = QComboBox()
        self.split.addItems(list(SPLITS))
        self.split.setCurrentIndex(max(self.split.findText(str(recall(_SPLIT, ""))), 0))
        self.split.setToolTip(
            "Scores are of annotated cells that were not learnt from: other tracks, other "
            "FOVs or other wells than those. Wells are the hardest test, and the fairest."
        )
        self.split.setAccessibleName("Held out by")
        self.summary, self.by_state, self.message = QLabel(), QLabel(), QLabel()
        self.by_state.setTextFormat(Qt.TextFormat.RichText)
        self.error = QLabel()
        for label in (self.summary, self.by_state, self.message, self.error):
            label.setWordWrap(True)
        self.confusion = Chart(self.bench.runner, 165)
        self.confusion.setToolTip("Annotated cells by their true and their predicted state.")
        self.reliability = Chart(self.bench.runner, 165)
        self.reliability.setToolTip(
            "On the dashed line, the classifier is right as often as it claims to be; below "
            "it, it is too sure of itself. Larger dots: more cells."
        )
        self._reads = Latest(self.bench.runner, self, "scores")
        self._lay_out()
        self.split.currentIndexChanged.connect(self._show)
        self.split.activated.connect(lambda _: remember(_SPLIT, self.split.currentText()))

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(QLabel("Held out by"))
        top.addWidget(self.split)
        top.addStretch(1)
        self.charts = QWidget()
        grid = QGridLayout(self.charts)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(4)
        grid.addWidget(self.confusion, 0, 0)
        grid.addWidget(self.reliability, 0, 1)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        for part in (self.summary, self.by_state, self.charts, self.error, self.message):
            layout.addWidget(part)

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the task, its results, and the theme."""
        session = self.session
        return [
            (session.dataset_changed, self._read),
            (session.task_changed, self._read),
            (session.results_changed, self._results_changed),
            (self._viewer.events.theme, self._paint),
        ]

    def synchronise(self) -> None:
        """Show the scores as they are on disk."""
        self._paint()
        self._read()

    def _paint(self, _event: object = None) -> None:
        for chart in (self.confusion, self.reliability):
            chart.set_ink(ink_of(self._viewer))

    def _results_changed(self, stage: str) -> None:
        if stage == "classify":
            self._read()

    def _read(self) -> None:
        dataset, task = self.session.dataset, self.session.task.name
        if dataset is None:
            self._reads.stop()
            self._take({})
            return

        def work(_job: Job) -> dict[str, Any]:
            try:
                return dataset.workspace.scores(task)
            except MissingInput:
                return {}

        def failed(error: Exception) -> None:
            self._take({})
            self.message.setText(_line(error))

        self._reads.start("read scores", work, self._take, failed)

    def _take(self, scores: dict[str, Any]) -> None:
        if scores != self.scores or not scores:
            self.scores = scores
            self._show()

    def _show(self) -> None:
        """Show the scores of the chosen split."""
        name = self.split.currentText()
        found = self.scores.get(SPLITS[name])
        calibration = found.get("calibration") if found else None
        self.split.setEnabled(bool(self.scores))
        for part in (self.summary, self.by_state, self.charts):
            part.setVisible(bool(found))
        self.reliability.setVisible(bool(calibration))
        self.error.setVisible(bool(calibration))
        self.message.setVisible(not found)
        self.message.setText(
            f"Cannot be held out by {name}: some state was annotated in one {name} only. "
            f"Annotate cells of all states in two {name}s or more."
            if self.scores
            else NOTHING
        )
        task = self.session.task
        self.confusion.show_drawing(
            partial(draw_confusion, scores=found, order=task.state_names) if found else None
        )
        self.reliability.show_drawing(
            partial(draw_reliability, calibration=calibration) if calibration else None
        )
        if found:
            self.summary.setText(
                f"<b>F1 {found['f1_macro']:.2f}</b> &nbsp; accuracy {found['accuracy']:.0%} "
                f"&nbsp; {found['cells']} annotated cells"
            )
            self.by_state.setText(
                "&nbsp; ".join(
                    f"<span style='color:{task.colour(state)}'>■</span> {state} {value:.2f}"
                    for state, value in sorted(found["f1"].items(), key=_rank(task.state_names))
                )
            )
        if calibration:
            self.error.setText(f"Expected calibration error {calibration['expected_error']:.0%}")


def _rank(names: Sequence[str]) -> Callable[[tuple[str, float]], int]:
    """Sort (state, ...) in the task's order, the negative first."""
    return lambda one: names.index(one[0]) if one[0] in names else len(names)


def _line(error: Exception) -> str:
    return str(error) if isinstance(error, DynaclrError) else f"{type(error).__name__}: {error}"
