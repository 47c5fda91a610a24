"""What profiles tell, and what they should not: retrieval and nuisance, in words and bars."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_dynaclr.core.registry import parse
from napari_dynaclr.gui.charts.charts import Chart
from napari_dynaclr.gui.charts.ink import ink_of
from napari_dynaclr.gui.charts.scores import draw_scores, height_of
from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.steps.progress import RunProgress
from napari_dynaclr.gui.view import View
from napari_dynaclr.session.outcomes import NUISANCE, RETRIEVAL, Outcome, last_test

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from napari import Viewer

    from napari_dynaclr.core.job import Job

_TIPS = {
    RETRIEVAL: """<qt>Are wells under the same condition each other's nearest? Each well is
compared with all others, never with itself, and its nearest vote. On the level that the map
shows.</qt>""",
    NUISANCE: """<qt>Do the profiles know what they should not: the plate, the row and column of
the well, the place of the field in it?</qt>""",
}

_LABELS = {RETRIEVAL: "conditions told right", NUISANCE: "places told right"}
_TITLES = {RETRIEVAL: "Retrieval", NUISANCE: "Nuisance"}


class OutcomePanel(View):
    """Runs both tests of the profile on the map, and shows what they came to.

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
        self._reads = Latest(self.bench.runner, self, "tests")
        self._of: tuple[object, ...] = ()
        self.buttons = {name: QPushButton(title) for name, title in _TITLES.items()}
        self.cancel_button = QPushButton("Cancel")
        self.reason = QLabel()
        self.reason.setWordWrap(True)
        self.progress = RunProgress()
        self.words = {name: QLabel() for name in _TITLES}
        self.charts = {name: Chart(self.bench.runner, 100) for name in _TITLES}
        row = QHBoxLayout()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for name, button in self.buttons.items():
            button.clicked.connect(partial(self.test, name))
            row.addWidget(button, 2)
        row.addWidget(self.cancel_button, 1)
        layout.addLayout(row)
        layout.addWidget(self.reason)
        layout.addWidget(self.progress)
        for name, label in self.words.items():
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            layout.addWidget(label)
            layout.addWidget(self.charts[name])
            self._show(name, None)
        self.cancel_button.clicked.connect(self.cancel)

    # -- following ---------------------------------------------------------

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the profile on the map, what is running, and the theme."""
        return [
            (self.session.profiles.changed, self._profile_changed),
            (self.bench.runner.stage_changed, self._enable),
            (self._viewer.events.theme, self._paint),
        ]

    def synchronise(self) -> None:
        """Show what the last tests of the profile came to."""
        self._paint()
        self._of = ()
        self._profile_changed()

    def _paint(self, _event: object = None) -> None:
        for chart in self.charts.values():
            chart.set_ink(ink_of(self._viewer))

    def _profile_changed(self) -> None:
        self._enable()
        dataset, shown = self.session.dataset, self.session.profiles.shown
        name = shown.name
        # Made anew, it has not been tested.
        of = (dataset.workspace.path if dataset is not None else None, name, shown.key)
        if of == self._of:
            return
        self._of = of
        for method in _TITLES:
            self._show(method, None)
        if dataset is None or not name:
            self._reads.stop()
            return

        def work(_job: Job) -> dict[str, Outcome | None]:
            return {method: last_test(dataset, method, name) for method in _TITLES}

        def done(found: dict[str, Outcome | None]) -> None:
            for method, tested in found.items():
                self._show(method, tested)

        self._reads.start("read tests", work, done)

    def _enable(self) -> None:
        run, shown = self.bench.runner.stage, self.session.profiles.shown
        mine = run is not None and run.title == "evaluate"
        if run is not None and mine:
            self.progress.follow(run)
        reason = ""
        if not len(shown):
            reason = "Profile the wells first."
        elif shown.aligned:
            reason = "Plates were aligned with each other: make a profile with alpha = 1 to test."
        elif run is not None and not mine:
            reason = f"'{run.title}' is running."
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason))
        for name, button in self.buttons.items():
            button.setEnabled(not reason and run is None)
            button.setToolTip(reason or _TIPS[name])
        self.cancel_button.setEnabled(mine)

    # -- testing -----------------------------------------------------------

    def test(self, method: str) -> None:
        """Test the profile on the map."""
        session = self.session
        dataset, shown = session.dataset, session.profiles.shown
        if dataset is None or not shown.name:
            return
        values = {"profile": shown.name}
        if method == RETRIEVAL:
            values["level"] = shown.level
        params = parse("evaluate", method, values)

        def done(table: pd.DataFrame) -> None:
            now = session.profiles.shown
            if (now.name, now.key) == (shown.name, shown.key) and self.bench.is_open(dataset):
                self._show(method, Outcome.of(method, values, table))

        profiled = [name for name in dataset.fov_names if name not in shown.missing]
        self.bench.run_stage("evaluate", params, profiled, done)

    def cancel(self) -> None:
        """Ask the test that runs to stop."""
        run = self.bench.runner.stage
        if run is not None and run.title == "evaluate":
            run.cancel()

    def _show(self, method: str, tested: Outcome | None) -> None:
        label, chart = self.words[method], self.charts[method]
        label.setText("\n".join(tested.words()) if tested is not None else "")
        label.setVisible(tested is not None)
        chart.setVisible(tested is not None)
        if tested is None:
            chart.show_drawing(None)
            return
        bars = tested.bars()
        chart.setFixedHeight(height_of(bars))
        chart.show_drawing(partial(draw_scores, bars=bars, label=_LABELS[method]))
