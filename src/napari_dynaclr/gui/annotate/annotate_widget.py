"""The dock widget in which people give states to cells, by hand and eye."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QFileDialog, QMainWindow, QSizePolicy, QVBoxLayout

from napari_dynaclr.core.journal import default_annotator
from napari_dynaclr.gui import annotating
from napari_dynaclr.gui.annotate.annotate_form import AnnotateForm
from napari_dynaclr.gui.annotate.task_editor import TaskEditor
from napari_dynaclr.gui.settings import recall, remember
from napari_dynaclr.gui.shortcuts import bind, unbind, window_of
from napari_dynaclr.gui.view import View
from napari_dynaclr.session.stretches import Stops, Tally, between, from_here_on, whole_tracks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari import Viewer
    from numpy.typing import NDArray
    from qtpy.QtGui import QHideEvent, QShortcut, QShowEvent
    from qtpy.QtWidgets import QWidget

    from napari_dynaclr.core.tasks import Task
    from napari_dynaclr.gui.workbench import Workbench
    from napari_dynaclr.session.cells import Cells

_TABLES = "Tables (*.csv)"


class AnnotateWidget(View):
    """Gives states to cells: by clicks, by keys, by selections, or from a review queue.

    Parameters
    ----------
    napari_viewer
        The viewer; napari knows by this name that it must give it.
    parent
        Its parent in Qt.
    """

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self.form = AnnotateForm(self.bench, self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        self.setMinimumWidth(self.form.minimumWidth())
        # Napari puts empty space below a widget that does not ask for it.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._shortcuts: list[QShortcut] = []
        self._bound: object = None
        self._stops: Stops | None = None
        # Many changes in one go, an undone import for instance, are counted once.
        self._count_soon = QTimer(self)
        self._count_soon.setSingleShot(True)
        self._count_soon.timeout.connect(self._count)
        self._connect_form()
        for text, method in (("napari-iohub or VisCy table", "iohub"), ("points", "points")):
            self.form.tables_menu.addAction(f"Import {text}…", partial(self._import, method))
        self.form.tables_menu.addSeparator()
        self.form.tables_menu.addAction("Export napari-iohub table…", self._export)

    def _connect_form(self) -> None:
        form, session = self.form, self.session
        form.task.textActivated.connect(session.set_task)
        form.edit.clicked.connect(self.edit_tasks)
        form.states.chosen.connect(session.set_state)
        form.select_only.clicked.connect(self._select_only)
        form.clear.clicked.connect(lambda: self._label_selection(""))
        form.carry.clicked.connect(self._write_options)
        form.inherit.clicked.connect(self._write_options)
        form.annotator.editingFinished.connect(self._name_annotator)
        form.reach.valueChanged.connect(self._set_reach)
        form.track.clicked.connect(lambda: self._extend(whole_tracks))
        form.between.clicked.connect(lambda: self._extend(between))
        form.onward.clicked.connect(lambda: self._extend(from_here_on))
        form.undo.clicked.connect(self._undo)
        form.redo.clicked.connect(self._redo)
        form.previous.clicked.connect(lambda: self._jump(-1))
        form.next.clicked.connect(lambda: self._jump(1))

    # -- following the session --------------------------------------------

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the tasks, the marks, the selection and what is said."""
        session = self.session
        return [
            (session.dataset_changed, self._dataset_changed),
            (session.fov_changed, self._enable),
            (session.task_changed, self._task_changed),
            (session.marks_changed, self._marks_changed),
            (session.cells_changed, self._cells_changed),
            (session.selection_changed, self._selection_changed),
            (session.said, self.form.said.setText),
            (session.corrections.mode_changed, self._enable),
            (session.events.mode_changed, self._enable),
        ]

    def synchronise(self) -> None:
        """Show what the session holds now."""
        self._dataset_changed()
        self._task_changed()
        self._selection_changed()
        self.form.reach.blockSignals(True)
        self.form.reach.setValue(self.bench.radius)
        self.form.reach.blockSignals(False)

    def _dataset_changed(self) -> None:
        annotator = self.session.annotator
        if annotator is not None and annotator.name == default_annotator():
            annotator.name = recall("annotator", "") or annotator.name
        self.form.annotator.setText(annotator.name if annotator is not None else "")
        self.form.review.synchronise()
        self._enable()

    def _enable(self) -> None:
        is_open = self.session.dataset is not None
        form = self.form
        for part in (
            form.task, form.edit, form.states, form.select_only, form.clear, form.carry,
            form.annotator, form.undo, form.redo, form.previous, form.next, form.tables,
        ):  # fmt: skip
            part.setEnabled(is_open)
        form.inherit.setEnabled(is_open and self.session.task.carry_forward)
        said = self.session.last_said
        form.said.setText(said if is_open else "Open a dataset to annotate its cells.")
        for shortcut in self._shortcuts:
            is_escape = shortcut.key() == QKeySequence("Escape")
            # Napari's tools need Escape too: it is only taken while a state is active.
            wanted = bool(self.session.state) or not is_escape
            taken = shortcut.key().toString() in self.bench.taken_keys
            shortcut.setEnabled(is_open and wanted and not taken)

    def _task_changed(self) -> None:
        session, form = self.session, self.form
        names = [task.name for task in session.tasks]
        if names != [form.task.itemText(i) for i in range(form.task.count())]:
            form.task.clear()
            form.task.addItems(names)
        form.task.setCurrentText(session.task.name)
        choices = session.task.choices
        form.states.set_states(choices)
        form.states.set_active(session.state)
        form.select_only.setChecked(not session.state)
        form.carry.setChecked(session.task.carry_forward)
        form.inherit.setChecked(session.task.inherit)
        form.label_menu.clear()
        for state in choices:
            form.label_menu.addAction(state.name, partial(self._label_selection, state.name))
        form.review.gallery.set_keys({state.key: state.name for state in choices})
        form.review.gallery.recolour()
        self._bind()
        self._enable()
        self._marks_changed()

    def _marks_changed(self) -> None:
        self._stops = None
        self.form.review.gallery.recolour()
        self._count_soon.start()

    def _count(self) -> None:
        self.form.states.set_counts(Tally.of(self.session.marks, self.session.task.name))

    def _cells_changed(self) -> None:
        self._stops = None
        self._selection_changed()
        self.form.review.synchronise()

    def _selection_changed(self) -> None:
        count, form = len(self.session.selection), self.form
        text = {0: "No cell selected", 1: "1 cell selected"}.get(count, f"{count:,} cells selected")
        form.selected.setText(text)
        for button in (form.label, form.track, form.onward, form.clear):
            button.setEnabled(count > 0)
        form.between.setEnabled(len(between(self.session.cells, self.session.selection)) > 0)

    # -- changing it ------------------------------------------------------

    def _select_only(self) -> None:
        self.session.set_state("")
        self.form.select_only.setChecked(True)

    def _label_selection(self, state: str) -> None:
        self.session.annotate(self.session.selection, state)

    def _undo(self) -> None:
        if self.session.annotator is not None:
            self.session.annotator.undo()

    def _redo(self) -> None:
        if self.session.annotator is not None:
            self.session.annotator.redo()

    def _extend(self, stretch: Callable[[Cells, NDArray[Any]], NDArray[Any]]) -> None:
        session = self.session
        if len(session.selection):
            session.select(stretch(session.cells, session.selection))

    def _name_annotator(self) -> None:
        annotator, name = self.session.annotator, self.form.annotator.text().strip()
        if annotator is not None and (name or default_annotator()) != annotator.name:
            annotator.name = name or default_annotator()
            remember("annotator", name)
            self.form.annotator.setText(annotator.name)

    def _set_reach(self, radius: float) -> None:
        self.bench.radius = radius

    def _write_options(self) -> None:
        session, form = self.session, self.form
        carry = form.carry.isChecked()
        changed = replace(
            session.task, carry_forward=carry, inherit=carry and form.inherit.isChecked()
        )
        tasks = [changed if task.name == changed.name else task for task in session.tasks]
        self._save(tasks)

    def _save(self, tasks: Sequence[Task]) -> None:
        run = annotating.save_tasks(self.bench, tasks)
        if run is not None:
            # Whether or not they could be written, show what the session says then.
            run.ended.connect(self._task_changed)

    def edit_tasks(self) -> TaskEditor:
        """Open the editor of the tasks and states."""
        marks = self.session.marks
        used = {name: marks.counts(name) for name in marks.tasks}
        editor = TaskEditor(self.session.tasks, used, self)
        editor.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        editor.saved.connect(self._save)
        editor.show_task(self.session.task.name)
        editor.open()
        return editor

    def _jump(self, step: int) -> None:
        if self._stops is None:
            self._stops = annotating.stops_of(self.bench)
        annotating.step_annotation(self.bench, self._stops, step)

    def _import(self, method: str) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Import annotations", "", _TABLES)
        if path:
            annotating.import_table(self.bench, method, path)

    def _export(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Export annotations", "annotations.csv", _TABLES
        )
        if path:
            annotating.export_table(self.bench, path)

    # -- keys -------------------------------------------------------------

    def key_actions(self) -> list[tuple[str, str, Callable[[], Any]]]:
        """Return the keys that work while this widget is shown: key, what it does, and how."""
        bench, choices = self.bench, self.session.task.choices
        found: list[tuple[str, str, Callable[[], Any]]] = [
            (one.key, f"Annotate: {one.name}", partial(annotating.give_state, bench, one.name))
            for one in choices
            if one.key
        ]
        taken = {key.upper() for key, _, _ in found}  # the user's own keys come first
        others: list[tuple[str, str, Callable[[], Any]]] = [
            ("Ctrl+Z", "Undo annotation", partial(annotating.undo, bench)),
            ("Ctrl+Shift+Z", "Redo annotation", partial(annotating.redo, bench)),
            ("J", "Previous annotation", partial(self._jump, -1)),
            ("K", "Next annotation", partial(self._jump, 1)),
            ("Q", "Next in the review queue", partial(self.form.review.step, 1)),
            ("Escape", "Select only", partial(self.session.set_state, "")),
        ]
        return found + [one for one in others if one[0] not in taken]

    def _bind(self) -> None:
        """Have the keys work in the whole window."""
        if not self._connected and not self.isVisible():
            return
        window = window_of(self)
        wanted = (window, self.session.task.choices)
        if wanted == self._bound:
            return
        self._unbind()
        self._bound = wanted
        self._shortcuts = bind(window, self.key_actions(), ("J", "K"))

    def _unbind(self) -> None:
        self._bound = None
        unbind(self._shortcuts)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Follow the session, and take the keys."""
        super().showEvent(event)
        self._bind()
        self._enable()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Follow nothing, and give the keys back; behind another tab it is not hidden."""
        super().hideEvent(event)
        self._unbind()
        self._count_soon.stop()
        self.form.review.gallery.stop()
        hidden, owner = self.isHidden(), self.parentWidget()
        while owner is not None and not isinstance(owner, QMainWindow):
            hidden, owner = hidden or owner.isHidden(), owner.parentWidget()
        if hidden:  # it or its dock, and not just the window that they are in
            # In a moment: a dock that begins or ceases to float is hidden and shown again.
            QTimer.singleShot(0, partial(_rest, self, self.bench))


def _rest(widget: AnnotateWidget, bench: Workbench) -> None:
    """Where the widget has been put away, let clicks only select: nothing shows what they do."""
    if isalive(bench) and not (isalive(widget) and widget.isVisible()):
        bench.session.set_state("")
