"""Classify: from the annotated cells to a state for every cell, and how good that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.tasks import UNKNOWN
from napari_dynaclr.gui.classify.curve_panel import CurvePanel
from napari_dynaclr.gui.classify.retrainer import retrainer
from napari_dynaclr.gui.classify.scores_panel import ScoresPanel
from napari_dynaclr.gui.colouring import choose_colour, recall_colour
from napari_dynaclr.gui.section import Section
from napari_dynaclr.gui.steps.step_widget import LIST, StepPanel
from napari_dynaclr.gui.view import View
from napari_dynaclr.session import Scope
from napari_dynaclr.session.colours import ColourBy, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer

_COLOURS = {
    Kind.STATE: ("annotation", "Colour all cells by the states that people gave them."),
    Kind.PREDICTION: ("prediction", "Colour all cells by their predicted states."),
    Kind.CONFIDENCE: ("confidence", "Colour all cells by how sure the classifier is of them."),
}


class ClassifyWidget(View):
    """Trains a classifier, shows its scores and what it says of the cells.

    Parameters
    ----------
    napari_viewer
        The viewer; napari knows by this name that it must give it.
    parent
        Its parent in Qt.
    """

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        recall_colour(self.bench)
        self.retrainer = retrainer(self.bench)
        self.counts, self.hint = QLabel(), QLabel()
        self.counts.setTextFormat(Qt.TextFormat.RichText)
        self.step = StepPanel(napari_viewer, "classify")
        self.scores, self.curve = ScoresPanel(napari_viewer), CurvePanel(napari_viewer)
        self.retrain = QCheckBox("Retrain after every")
        self.retrain.setToolTip(
            "Retrain as I annotate: classify again in the background after so many clicks, as "
            "soon as nothing else runs."
        )
        self.every = QSpinBox()
        self.every.setRange(1, 10_000)
        self.every.setAccessibleName("Clicks before the classifier is trained again")
        self.colours = {kind: QPushButton(text) for kind, (text, _) in _COLOURS.items()}
        for kind, button in self.colours.items():
            button.setToolTip(_COLOURS[kind][1])
            button.setCheckable(True)
            button.clicked.connect(lambda _=False, kind=kind: self._colour(kind))
        # Thousands of marks are counted once, however many events say that they changed.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._count)
        self._lay_out()
        self.step.form.changed.connect(self._form_changed)
        self.step.scope.currentTextChanged.connect(self._instruct)
        self.step.listed.textChanged.connect(self._instruct)
        self.retrain.toggled.connect(self._switch)
        self.every.valueChanged.connect(self._set_every)

    def _lay_out(self) -> None:
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(6, 4, 6, 4)
        column.setSpacing(6)
        for label in (self.counts, self.hint):
            label.setWordWrap(True)
            label.setContentsMargins(6, 0, 6, 0)
            column.addWidget(label)
        column.addWidget(self.step)
        again = QHBoxLayout()
        again.setContentsMargins(6, 0, 6, 0)
        again.addWidget(self.retrain)
        again.addWidget(self.every)
        again.addWidget(QLabel("clicks"))
        again.addStretch(1)
        column.addLayout(again)
        colours = QHBoxLayout()
        colours.setContentsMargins(6, 0, 6, 0)
        colours.addWidget(QLabel("Colour by"))
        for button in self.colours.values():
            colours.addWidget(button, 1)
        column.addLayout(colours)
        for title, panel in (("Scores", self.scores), ("States over time", self.curve)):
            section = Section(title, panel)
            section.setContentsMargins(6, 0, 6, 0)
            column.addWidget(section)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(area)
        bar = area.verticalScrollBar()
        room = bar.sizeHint().width() if bar is not None else 0
        self.setMinimumWidth(content.minimumSizeHint().width() + room + 6)

    # -- following --------------------------------------------------------

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the task, the annotations, the colours and the retrainer."""
        session = self.session
        return [
            (session.dataset_changed, self._count_soon),
            (session.task_changed, self._task_changed),
            (session.marks_changed, self._count_soon),
            (session.cells_changed, self._show_colours),
            (session.colour_changed, self._show_colours),
            (self.retrainer.changed, self._show_retrainer),
        ]

    def synchronise(self) -> None:
        """Show the task, its annotations, the colours and the retrainer."""
        self._task_changed()
        self._show_retrainer()

    def _task_changed(self) -> None:
        """Have the form speak of the active task."""
        form, name = self.step.form, self.session.task.name
        values = form.values()
        if values.get("task", name) != name:
            # Not checked: what else is wrong in the form stays as the user left it.
            form.set_params(form.kind.model_construct(**{**values, "task": name}))
        self._instruct()
        self._count_soon()
        self._show_colours()

    def _form_changed(self) -> None:
        task = self.step.form.values().get("task")
        if task is not None:
            self.session.set_task(str(task))
        self._instruct()

    # -- annotations ------------------------------------------------------

    def _count_soon(self) -> None:
        self._soon.start()

    def _count(self) -> None:
        task, counts = self.session.task, self.session.marks.counts(self.session.task.name)
        names = [*task.state_names, *(name for name in counts if name not in task.state_names)]
        parts = [
            f"<span style='color:{task.colour(name)}'>■</span> {name} <b>{counts[name]}</b>"
            for name in names
            if counts[name] or name != UNKNOWN
        ]
        self.counts.setText("Annotated: &nbsp;" + "&nbsp; ".join(parts))
        have = [name for name in counts if name != UNKNOWN and counts[name]]
        hint = "" if len(have) > 1 else "Annotate at least one cell of two states."
        if len(have) == 1:
            hint = f"All annotated cells are {have[0]}: annotate cells in another state too."
        if self.session.dataset is None:
            hint = "Open a dataset first."
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))

    # -- colours ----------------------------------------------------------

    def _colour(self, kind: Kind) -> None:
        choose_colour(self.bench, ColourBy(kind, self.session.task.name))
        self._show_colours()

    def _show_colours(self) -> None:
        session = self.session
        predicted = session.task.name in session.cells.predictions
        for kind, button in self.colours.items():
            button.setChecked(session.colour_by == ColourBy(kind, session.task.name))
            button.setEnabled(bool(len(session.cells)) and (predicted or kind is Kind.STATE))

    # -- retraining -------------------------------------------------------

    def _show_retrainer(self) -> None:
        for widget in (self.retrain, self.every):
            widget.blockSignals(True)
        self.retrain.setChecked(self.retrainer.enabled)
        self.every.setValue(self.retrainer.every)
        for widget in (self.retrain, self.every):
            widget.blockSignals(False)

    def _switch(self, enabled: bool) -> None:
        self._instruct()
        self.retrainer.enabled = enabled

    def _set_every(self, every: int) -> None:
        self.retrainer.every = every

    def _instruct(self) -> None:
        """Tell the retrainer what the form says, as it may outlive this widget."""
        try:
            self.retrainer.params = self.step.form.params()
        except InvalidInput:
            self.retrainer.params = None
        where = self.step.scope.currentText()
        patterns = [one.strip() for one in self.step.listed.text().split(",")]
        self.retrainer.fovs = tuple(filter(None, patterns)) if where == LIST else Scope(where)
