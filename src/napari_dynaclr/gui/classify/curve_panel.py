"""The curve of the predicted states over time, per well, with its confidence band."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_dynaclr.classification.curve import predicted_curve
from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.errors import DynaclrError, storage_errors
from napari_dynaclr.gui.charts.charts import Chart, save
from napari_dynaclr.gui.charts.drawings import draw_curve
from napari_dynaclr.gui.charts.ink import ink_of
from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.settings import recall, remember
from napari_dynaclr.gui.view import View

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from matplotlib.figure import Figure
    from napari import Viewer

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.gui.charts.drawings import Ink

NOTHING = "No curve yet: run the classifier."

_SAVED = (640, 400)
"""Size of a saved chart, in pixels of a screen."""

_FILTERS = "PNG (*.png);;SVG (*.svg);;PDF (*.pdf);;Table (*.csv)"


class CurvePanel(View):
    """Part of the cells in one state over time (dynaclr.txt, Fig. 2c).

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
        self.curve: pd.DataFrame | None = None
        self._task = ""
        self._reads = Latest(self.bench.runner, self, "curve")
        self.state = QComboBox()
        self.state.setToolTip("The state that is counted.")
        self.state.setAccessibleName("State")
        self.save_button = QPushButton("Save…")
        self.save_button.setToolTip("Save the chart as PNG, SVG or PDF, or its numbers as CSV.")
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.chart = Chart(self.bench.runner, 205)
        self.chart.setToolTip(
            "Band: where the part lies with 95 % probability. Click: go to that time."
        )
        top = QHBoxLayout()
        top.addWidget(QLabel("State"))
        top.addWidget(self.state, 1)
        top.addWidget(self.save_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self.chart)
        layout.addWidget(self.message)
        self.state.activated.connect(self._choose)
        self.save_button.clicked.connect(self._ask_where)
        self.chart.clicked.connect(self._go_to)

    # -- following --------------------------------------------------------

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the task, its predictions, the well and time point on screen, the theme."""
        session = self.session
        return [
            (session.dataset_changed, self._read),
            (session.task_changed, self._task_changed),
            (session.results_changed, self._results_changed),
            (session.fov_changed, self._show),
            (session.frame_changed, self._mark_time),
            (self._viewer.events.theme, self._paint),
        ]

    def synchronise(self) -> None:
        """Show the curve as it is on disk."""
        self._paint()
        self._fill()
        self._read()

    def _paint(self, _event: object = None) -> None:
        self.chart.set_ink(ink_of(self._viewer))

    def _task_changed(self) -> None:
        shown = [self.state.itemText(i) for i in range(self.state.count())]
        if self.session.task.name != self._task or shown != list(self.session.task.state_names):
            self._fill()
            self._read()

    def _results_changed(self, stage: str) -> None:
        if stage == "classify":
            self._read()

    def _fill(self) -> None:
        """Offer the states of the task; the first that is not the negative one is shown."""
        task = self.session.task
        self._task = task.name
        self.state.clear()
        self.state.addItems(task.state_names)
        first = task.state_names[1] if len(task.state_names) > 1 else ""
        last = str(recall(f"curve/{task.name}", first))
        self.state.setCurrentIndex(max(self.state.findText(last), 0))

    def _choose(self) -> None:
        remember(f"curve/{self.session.task.name}", self.state.currentText())
        self._read()

    def _read(self) -> None:
        dataset, task, state = (
            self.session.dataset,
            self.session.task.name,
            self.state.currentText(),
        )
        if dataset is None or not state:
            self._reads.stop()
            self._take(None, NOTHING)
            return

        def work(_job: Job) -> pd.DataFrame | str:
            if not dataset.workspace.predictions(task).exists():
                return NOTHING
            return predicted_curve(dataset, task, state)

        def done(found: pd.DataFrame | str) -> None:
            if isinstance(found, str):
                self._take(None, found)
            else:
                self._take(found, "")

        def failed(error: Exception) -> None:
            if isinstance(error, DynaclrError):
                done(str(error))
            else:
                done(NOTHING)
                self.bench.explain(error)

        self._reads.start("read the curve", work, done, failed)

    def _take(self, curve: pd.DataFrame | None, message: str) -> None:
        self.curve = curve
        self.message.setText(message)
        self._show()

    def _show(self) -> None:
        there = self.curve is not None
        self.chart.setVisible(there)
        self.save_button.setEnabled(there)
        self.message.setVisible(not there)
        self.chart.show_drawing(self._drawing())
        self._mark_time()

    def _drawing(self) -> Callable[[Figure, Ink], None] | None:
        if self.curve is None:
            return None
        fov = self.session.fov
        well = fov.well if fov is not None else ""
        return partial(draw_curve, curve=self.curve, state=self.state.currentText(), well=well)

    # -- time -------------------------------------------------------------

    def _hours(self) -> float:
        """Length of a time point on the x axis."""
        if self.curve is None or self.curve["hours"].isna().any():
            return 1.0
        last = self.curve["t"].max()
        return float(self.curve["hours"].max() / last) if last else 1.0

    def _mark_time(self) -> None:
        at = self.session.frame * self._hours() if self.curve is not None else None
        self.chart.set_cursor(at)

    def _go_to(self, value: float) -> None:
        """Show the time that was clicked."""
        dims = self._viewer.dims
        if self.session.fov is not None and dims.ndim >= 4:
            dims.set_current_step(dims.ndim - 4, round(value / self._hours()))

    # -- saving -----------------------------------------------------------

    def _ask_where(self) -> None:
        name = f"{self.session.task.name}_{self.state.currentText()}.png"
        path, chosen = QFileDialog.getSaveFileName(self, "Save the curve", name, _FILTERS)
        if path:
            file = Path(path)
            if not file.suffix:
                file = file.with_suffix(chosen.rpartition("*")[2].rstrip(")"))
            self.save(file)

    def save(self, file: Path) -> None:
        """Save the chart, or its numbers if the file is a ``.csv``, in the background."""
        curve, drawing = self.curve, self._drawing()
        if curve is None or drawing is None:
            return

        def work(_job: Job) -> None:
            if file.suffix.lower() == ".csv":
                with storage_errors(f"write {file}"):
                    write_csv(file, curve)
            else:
                save(drawing, file, _SAVED)

        session = self.session  # this widget may be gone by then

        def done(_: None) -> None:
            session.say(f"saved {file}")

        self.bench.runner.start("save the curve", work, done, lane="charts")
