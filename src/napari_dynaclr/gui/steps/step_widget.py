"""StepPanel: method, settings, FOVs, run, cancel, progress and log; serves most stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_dynaclr.core.device import require_networks
from napari_dynaclr.core.errors import DynaclrError, InvalidInput
from napari_dynaclr.core.registry import find_method, methods
from napari_dynaclr.core.weights import PRESETS
from napari_dynaclr.gui.dates import local_time
from napari_dynaclr.gui.elided import elide
from napari_dynaclr.gui.form.form import Form
from napari_dynaclr.gui.section import Section
from napari_dynaclr.gui.settings import recall, remember
from napari_dynaclr.gui.steps.progress import RunProgress
from napari_dynaclr.gui.view import View
from napari_dynaclr.session import Scope
from napari_dynaclr.session.training import Trained, trained

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from qtpy.QtGui import QHideEvent

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.params import Params

LIST = "listed FOVs"
"""Choice of FOVs by name or pattern, beside those of :class:`Scope`."""

_LOG = 50
"""Earlier runs that are listed."""


class StepPanel(View):
    """Runs one stage with one of its methods.

    Parameters
    ----------
    viewer
        The viewer.
    stage
        The stage, as in :data:`napari_dynaclr.core.registry.STAGES`.
    parent
        Its parent in Qt.
    """

    first_scope = Scope.FOV
    """What it works on until the user chooses."""

    def __init__(self, viewer: Viewer, stage: str, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self.stage = stage
        self.method = QComboBox()
        for method in methods(stage):
            self.method.addItem(method.title, method.name)
            self.method.setItemData(self.method.count() - 1, method.name, Qt.ItemDataRole(3))
        elide(self.method, 8)
        self.form = Form()
        self.scope = QComboBox()
        self.scope.addItems([*(scope.value for scope in Scope), LIST])
        self.scope.setToolTip("Which fields of view to work on.")
        self.listed = QLineEdit()
        self.listed.setPlaceholderText("A/1/0, B/2, C/*")
        self.listed.setToolTip("FOVs, wells or patterns, separated by commas.")
        self.run_button, self.cancel_button = QPushButton("Run"), QPushButton("Cancel")
        self.cancel_button.setToolTip(
            "Stop at the next time point. What is finished stays; run again to go on."
        )
        self._missing = self._chosen = ""
        self._trained = Trained()
        self.missing = QLabel()
        self.missing.setWordWrap(True)
        self.missing.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.reason = QLabel()
        self.reason.setWordWrap(True)
        self.progress = RunProgress()
        self.notes = QLabel()
        self.notes.setWordWrap(True)
        self.notes.setTextFormat(Qt.TextFormat.PlainText)
        self.notes.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.log = QListWidget()
        self.log.setMaximumHeight(110)
        self.again = QPushButton("Use these settings again")
        self._lay_out()
        self.method.currentIndexChanged.connect(self._choose_method)
        self.scope.currentTextChanged.connect(self._choose_scope)
        self.form.changed.connect(self._enable)
        self.listed.textChanged.connect(self._enable)
        self.run_button.clicked.connect(self.run)
        self.cancel_button.clicked.connect(self.cancel)
        self.again.clicked.connect(self._use_again)
        self.log.itemDoubleClicked.connect(self._use_again)
        self.log.currentRowChanged.connect(lambda row: self.again.setEnabled(row >= 0))
        self._restore()

    def _lay_out(self) -> None:
        top = QFormLayout()
        top.setContentsMargins(0, 0, 0, 0)
        self._method_label = QLabel("Method")
        top.addRow(self._method_label, self.method)
        if self.method.count() == 1:
            self._method_label.hide()
            self.method.hide()
        fovs = QHBoxLayout()
        fovs.addWidget(self.scope)
        fovs.addWidget(self.listed, 1)
        self.listed.hide()
        bottom = QFormLayout()
        bottom.setContentsMargins(0, 0, 0, 0)
        bottom.addRow("Work on", fovs)
        self.buttons = QHBoxLayout()
        self.buttons.addWidget(self.run_button, 2)
        self.buttons.addWidget(self.cancel_button, 1)
        content = QWidget()
        inside = QVBoxLayout(content)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.log)
        inside.addWidget(self.again)
        self.runs = Section("Earlier runs", content, unfolded=False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        report = (self.reason, self.progress, self.notes, self.runs)
        for part in (top, self.missing, self.form, bottom, self.buttons, *report):
            if isinstance(part, QWidget):
                layout.addWidget(part)
            else:
                layout.addLayout(part)
        layout.addStretch(1)

    # -- settings ---------------------------------------------------------

    @property
    def method_name(self) -> str:
        """Name of the chosen method."""
        return str(self.method.currentData())

    def _key(self) -> str:
        return f"params/{self.stage}/{self.method_name}"

    def _restore(self) -> None:
        """Come back as the user left it."""
        name = recall(f"method/{self.stage}")
        index = self.method.findData(name)
        if index > 0:
            self.method.setCurrentIndex(index)
        else:
            self._choose_method()
        scope = recall(f"scope/{self.stage}", self.first_scope.value)
        self.scope.setCurrentText(scope)
        self.listed.setText(recall(f"fovs/{self.stage}", ""))

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Remember what was chosen, whether it was run or not."""
        super().hideEvent(event)
        self._remember()

    def _remember(self) -> None:
        remember(f"method/{self.stage}", self.method_name)
        remember(f"scope/{self.stage}", self.scope.currentText())
        remember(f"fovs/{self.stage}", self.listed.text())
        self._remember_settings(self.method_name)

    def _remember_settings(self, method: str) -> None:
        if not self._missing and not self.form.problem():
            params = self.form.params().model_dump(mode="json")
            remember(f"params/{self.stage}/{method}", params)

    def _choose_method(self) -> None:
        if self._chosen:
            self._remember_settings(self._chosen)
        self._chosen = self.method_name
        try:
            method = find_method(self.stage, self.method_name)
            kind = method.params_class()
            if method.extra == "torch":
                require_networks()  # its settings are read without
        except DynaclrError as error:  # an extra that is not installed
            self._missing = str(error)
            self._enable()
            return
        self._missing = ""
        # Which embedding a map is of is no matter of the method.
        same = {
            name: value
            for name, value in self.form.values().items()
            if name == "embedding" and name in kind.model_fields
        }
        self.form.kind = kind
        try:
            self.form.set_params(kind.parse(recall(self._key(), {}) | same))
        except InvalidInput:  # remembered by another version, or it has no defaults
            self.form.reset()
        self._fill_choices()
        self._enable()

    def _fill_choices(self) -> None:
        session, mine = self.session, self._trained
        self.form.set_choices(
            {
                "channels": session.fov.channels if session.fov is not None else (),
                "embeddings": self.bench.embeddings,
                "encoders": mine.encoders,
                "starts": self._starts(),
                "stainers": mine.stainers,
                "trackers": mine.trackers,
                "arrows": mine.arrows,
                "profilers": mine.profilers,
                "profiles": self.session.profiles.names,
                "tasks": [task.name for task in session.tasks],
                "maps": list(session.cells.maps),
            }
        )

    def _starts(self) -> list[str]:
        """Networks that a training may start from: those of its own kind."""
        if self.method_name == "staining":
            return [*self._trained.pretrained, *self._trained.stainers, *_published("stain")]
        if self.method_name == "cellect":
            return [*self._trained.trackers, *_published("track")]
        if self.method_name == "tap":
            return [*self._trained.arrows, *_published("arrow")]
        if self.method_name == "profiler":
            return [*self._trained.profilers]
        return [*self._trained.encoders, *_published("embed")]

    def show_settings(self, method: str, params: Params) -> None:
        """Show settings, such as those of an earlier run."""
        self.method.setCurrentIndex(max(self.method.findData(method), 0))
        self.form.set_params(params)
        self._enable()

    def _take_proposal(self, stage: str = "") -> None:
        """Show the settings that someone proposes, such as an encoder to embed with."""
        values = self.bench.proposals.get(self.stage)
        if values is None or stage not in ("", self.stage):
            return
        del self.bench.proposals[self.stage]
        method = str(values.get("method", self.method_name))
        self.method.setCurrentIndex(max(self.method.findData(method), 0))
        if self._missing:
            return
        known = self.form.kind.model_fields
        wanted = {name: value for name, value in values.items() if name in known}
        try:
            params = self.form.kind.parse({**self.form.values(), **wanted})
        except InvalidInput:  # what else is in the form is not allowed
            params = self.form.kind.parse(wanted)
        self.show_settings(method, params)

    def fov_names(self) -> list[str]:
        """FOVs to work on.

        Raises
        ------
        InvalidInput
            If a pattern matches nothing.
        """
        if self.scope.currentText() != LIST:
            return self.session.fovs_in(Scope(self.scope.currentText()))
        patterns = [one.strip() for one in self.listed.text().split(",") if one.strip()]
        if not patterns:
            raise InvalidInput("Name some FOVs or wells, such as A/1/0 or B/*.")
        dataset = self.session.dataset
        return dataset.select(patterns).fov_names if dataset is not None else []

    def _choose_scope(self, text: str) -> None:
        self.listed.setVisible(text == LIST)
        self._enable()

    # -- running ----------------------------------------------------------

    def run(self) -> None:
        """Run the stage as the form says."""
        try:
            params, names = self.form.params(), self.fov_names()
        except InvalidInput as error:
            self.bench.explain(error)
            return
        self._remember()
        self.bench.run_stage(self.stage, params, names)

    def cancel(self) -> None:
        """Ask the running stage to stop."""
        run = self.bench.runner.stage
        if run is not None:
            run.cancel()
        self._enable()

    def _stage_changed(self) -> None:
        run = self.bench.runner.stage
        if run is not None and run.title == self.stage:
            self.progress.follow(run)
        self._show_notes()
        self._enable()

    def _show_notes(self) -> None:
        """Show what the last run has said of its result, until the next one begins."""
        notes = self.bench.notes.get(self.stage, [])
        self.notes.setText("\n".join(notes))
        self.notes.setVisible(bool(notes))

    def problem(self) -> str:
        """Return the line that says why the method cannot be run as it is set; "" if it can."""
        return self._missing or self.form.problem()

    def _enable(self) -> None:
        """Offer what can be done now, and say why the rest cannot."""
        run, reason = self.bench.runner.stage, ""
        mine = run is not None and run.title == self.stage
        if self.session.dataset is None:
            reason = "Open a dataset first."
        elif run is not None:
            reason = f"'{run.title}' is running."
        # Of its own run, the progress says more; of its settings, the form does.
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason) and not mine)
        reason = reason or self.problem()
        self.missing.setText(self._missing)
        self.missing.setVisible(bool(self._missing))
        self.form.setVisible(not self._missing)
        self.run_button.setEnabled(not reason)
        self.run_button.setToolTip(reason or f"Run '{self.stage}' in the background.")
        self.cancel_button.setEnabled(mine)

    # -- earlier runs -----------------------------------------------------

    def _read_workspace(self) -> None:
        """Read what has been run, and which encoders there are."""
        dataset = self.session.dataset
        if dataset is None:
            self._show_workspace(([], Trained()))
            return
        workspace = dataset.workspace

        def work(_job: Job) -> tuple[list[dict[str, Any]], Trained]:
            runs = [run for run in workspace.runs() if run.get("stage") == self.stage]
            return runs, trained(workspace)

        self.read("read the log", work, self._show_workspace)

    def _show_workspace(self, found: tuple[list[dict[str, Any]], Trained]) -> None:
        runs, self._trained = found
        self._show_log(runs)
        self._fill_choices()

    def _show_log(self, runs: list[dict[str, Any]]) -> None:
        self.log.clear()
        for run in reversed(runs[-_LOG:]):
            fovs = run.get("fovs", [])
            where = fovs[0] if len(fovs) == 1 else f"{len(fovs)} FOVs"
            started = local_time(str(run.get("started", "")))
            item = QListWidgetItem(f"{started}  {run.get('method')}, {where}: {run.get('status')}")
            settings = run.get("params", {})
            item.setToolTip("\n".join(f"{name}: {value}" for name, value in settings.items()))
            item.setData(Qt.ItemDataRole.UserRole, run)
            self.log.addItem(item)
        self.again.setEnabled(False)
        self.runs.setVisible(bool(runs))

    def _use_again(self) -> None:
        item = self.log.currentItem()
        if item is None:
            return
        run = item.data(Qt.ItemDataRole.UserRole)
        try:
            params = find_method(self.stage, run["method"]).params_class().parse(run["params"])
        except DynaclrError as error:
            self.bench.explain(error)
            return
        self.show_settings(run["method"], params)

    # -- following --------------------------------------------------------

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the dataset, the FOV, results and the running stage."""
        return [
            (self.session.dataset_changed, self.synchronise),
            (self.session.fov_changed, self._fill_choices),
            (self.session.cells_changed, self._fill_choices),
            (self.session.task_changed, self._fill_choices),
            (self.session.results_changed, self._results_changed),
            (self.bench.runner.stage_changed, self._stage_changed),
            (self.bench.proposed, self._take_proposal),
        ]

    def _results_changed(self, _stage: str) -> None:
        self.synchronise()

    def synchronise(self) -> None:
        """Show what there is to choose from and what has been run."""
        self._fill_choices()
        self._read_workspace()
        self._stage_changed()
        self._take_proposal()


def _published(use: str) -> list[str]:
    """Names of published weights."""
    return [preset.name for preset in PRESETS.values() if preset.use == use]
