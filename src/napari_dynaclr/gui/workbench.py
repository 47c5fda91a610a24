"""Workbench: the session, the background work and the layers of one viewer."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pint
from napari.utils.notifications import (
    Notification,
    NotificationSeverity,
    notification_manager,
    show_error,
)
from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut

from napari_dynaclr.core.annotations import write_annotations
from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import DynaclrError, InvalidInput, MissingInput
from napari_dynaclr.core.registry import find_method, methods, resolve
from napari_dynaclr.core.taskbook import read_tasks
from napari_dynaclr.gui.bindings import Mouse
from napari_dynaclr.gui.correcting import Correcting
from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.layers import STAIN, FovLayers, Scene, prepare, warm_up
from napari_dynaclr.gui.navigation import Navigation
from napari_dynaclr.gui.runner import Runner, RunState
from napari_dynaclr.gui.said import Said
from napari_dynaclr.gui.settings import recall
from napari_dynaclr.gui.triton import load_triton
from napari_dynaclr.session import Scope, Session
from napari_dynaclr.session.cells import Cells, load_cells
from napari_dynaclr.session.colours import ColourBy, Kind
from napari_dynaclr.session.frames import ChunkCache
from napari_dynaclr.session.marks import Marks, read_marks
from napari_dynaclr.session.painting import features_of, paint
from napari_dynaclr.session.training import Training, read_figures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
    from napari import Viewer

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Figures, Job, Part
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.core.registry import Method
    from napari_dynaclr.gui.runner import Run

_NEW_LAYERS = {"stain": {STAIN}, "segment": {"cells"}, "track": {"cells", "tracks", "marks"}}
"""Layers that a stage makes anew."""

_PAUSE = 1500
"""Milliseconds without a click before annotations.csv is written again."""

NEXT, PREVIOUS = "Alt+Right", "Alt+Left"
"""Keys that step through the FOVs."""

_LOG = logging.getLogger("napari.dynaclr")
"""Below napari's own, so that Help > Show logs has it."""


class Workbench(QObject):
    """Everything behind the dock widgets of one viewer.

    Parameters
    ----------
    viewer
        The viewer.
    """

    proposed = Signal(str)
    """There are settings for the form of a stage: see :meth:`propose`."""
    _damaged = Signal(object)
    """A chunk cannot be read; from any thread."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        # Two threads that ask pint for its first unit at once break its registry.
        _ = pint.get_application_registry().pixel
        self.viewer = viewer
        self.runner = Runner()
        self.session = Session(execute=self.runner.execute)
        self.cache = ChunkCache()
        self.layers = FovLayers(viewer, self.session, self.runner.start)
        self._opens = Latest(self.runner, self, "open")
        self._shows = Latest(self.runner, self, "show")
        self._loads = Latest(self.runner, self, "cells")
        self._paints = Latest(self.runner, self, "paint")
        self._wanted = ""
        self._loaded: list[str] = []
        self._growing = ""
        self._closed = False
        self.proposals: dict[str, dict[str, Any]] = {}
        """Settings by stage, that the form of the stage takes when it is next seen."""
        self.notes: dict[str, list[str]] = {}
        """What the last run of a stage has said of its result, a sentence each, by stage."""
        self.embeddings: list[str] = []
        """Embeddings that the dataset has."""
        self.features: list[str] = []
        """Dimensions of the embedding whose cells are shown."""
        self.radius = 10.0
        """Reach of a click in um, where it hits no cell."""
        self.mouse = Mouse(self)
        self.navigation = Navigation(self)
        self.correcting = Correcting(self)
        self._table_timer = QTimer(self)
        self._table_timer.setSingleShot(True)
        self._table_timer.setInterval(_PAUSE)
        self._table_timer.timeout.connect(lambda: self._write_table(self.session.dataset))
        session = self.session
        session.frame_changed.connect(self._frame_changed)
        session.selection_changed.connect(self.layers.show_marks)
        session.colour_changed.connect(self.layers.recolour)
        session.marks_changed.connect(self._marks_changed)
        session.task_changed.connect(self.layers.show_marks)
        session.focus_requested.connect(self.go_to)
        session.said.connect(self._say)
        session.failed.connect(self.explain)
        self.runner.failed.connect(self._failed)
        self._damaged.connect(self.explain, Qt.ConnectionType.QueuedConnection)
        viewer.dims.events.current_step.connect(self.navigation.step_changed)
        self.runner.start("warm up", lambda _job: warm_up(), lane="ahead")

    # -- opening ----------------------------------------------------------

    def open(self, path: str | Path, fov: str = "", workspace: str | Path | None = None) -> None:
        """Open a dataset in the background and show one of its FOVs, the first by default."""

        def work(_job: Job) -> tuple[Dataset, Any]:
            dataset = open_dataset(path, workspace)
            if not dataset.fov_names:
                raise InvalidInput(f"{path} has no FOV in it: choose another dataset.")
            return dataset, read_tasks(dataset.workspace)

        def done(found: tuple[Dataset, Any]) -> None:
            dataset, tasks = found
            self.close_dataset()
            self.session.open(dataset, tasks)
            annotator = self.session.annotator
            if annotator is not None:
                annotator.name = recall("annotator", "") or annotator.name
                annotator.changed.connect(self._table_is_behind)
            self.show_fov(fov or dataset.fov_names[0])

        self._opens.start(f"open {path}", work, done, self.explain)

    def close_dataset(self) -> None:
        """Look at nothing."""
        self._write_late_table()
        self.correcting.write()
        dataset, annotator = self.session.dataset, self.session.annotator
        for wish in (self._shows, self._loads, self._paints):
            wish.stop()
        self.navigation.stop()
        self._wanted, self._loaded = "", []
        self.notes.clear()
        self.layers.clear()
        self.cache.clear()
        if self.session.dataset is not None:
            self.session.open(None)
        if dataset is not None and annotator is not None and annotator.busy:
            annotator.changed.connect(lambda: self._write_table(dataset))

    def show_fov(
        self, name: str, then: Callable[[], None] | None = None, *, anew: bool = False
    ) -> None:
        """Show a FOV of the dataset, read in the background.

        Parameters
        ----------
        name
            The FOV.
        then
            Called when its cells are shown too.
        anew
            Whether to read the cells again, also if they are there.
        """
        dataset, session = self.session.dataset, self.session
        if dataset is None:
            return
        self._wanted = name
        frame = session.frame if self.layers.scene is not None else None

        def work(_job: Job) -> Scene:
            return prepare(dataset, dataset[name], self.cache, frame, self.tell_damage)

        def done(scene: Scene) -> None:
            self.layers.show(scene)
            session.show(scene.fov)
            self.navigation.step_changed()
            self.navigation.read_ahead()
            held = session.cells.keys.get(name, "") == scene.key
            if held and not anew and self._loaded == session.fovs_in(session.scope):
                self._loads.stop()  # of a FOV that was passed by
                self.layers.show_cells()
                if then is not None:
                    then()
            else:
                self.load_cells(then)

        self._shows.start(f"open {name}", work, done, self.explain)

    def step_fov(self, step: int) -> None:
        """Show the next FOV of the plate, or the one before."""
        dataset = self.session.dataset
        if dataset is None or not self._wanted:
            return
        names = dataset.fov_names
        # From the one that was asked for last, which may still be on its way.
        place = names.index(self._wanted) + step
        if 0 <= place < len(names):
            self.show_fov(names[place])
            self._say(f"FOV {names[place]} ({place + 1} of {len(names)})")
        else:
            self._say("this is the last FOV" if step > 0 else "this is the first FOV")

    def set_scope(self, scope: Scope) -> None:
        """Show the cells of this FOV, of its well, or of all."""
        if scope is not self.session.scope:
            self.session.scope = scope
            self.load_cells()

    def load_cells(self, then: Callable[[], None] | None = None) -> None:
        """Read the cells in scope again, with their maps, predictions and annotations."""
        session = self.session
        dataset = session.dataset
        if dataset is None or session.fov is None:
            return
        names, embedding = session.fovs_in(session.scope), session.embedding

        def work(job: Job) -> tuple[Cells, Marks, list[str], list[str]]:
            known = embeddings(dataset)
            chosen = embedding if embedding in known else next(iter(known), "")
            cells = load_cells(dataset.select(names), chosen, job)
            return cells, read_marks(dataset), known, features_of(dataset, cells)

        def done(found: tuple[Cells, Marks, list[str], list[str]]) -> None:
            cells, marks, self.embeddings, self.features = found
            self._loaded = names
            session.set_cells(cells, marks)
            self.layers.show_cells()
            session.marks_changed.emit()
            self.colour(session.colour_by)
            if then is not None:
                then()

        def failed(error: Exception) -> None:
            self._loaded = []
            session.set_cells(Cells())  # better none than those of another FOV
            self.layers.show_cells()
            self.explain(error)

        self._loads.start("read cells", work, done, failed)

    def colour(self, colour_by: ColourBy) -> None:
        """Colour the cells in all views; computed in the background."""
        session = self.session
        session.colour_by = colour_by
        cells, dataset, task_list = session.cells, session.dataset, session.tasks
        marks = session.marks
        if dataset is None:
            return

        def work(_job: Job) -> Any:
            return paint(dataset, cells, colour_by, task_list, marks)

        def done(palette: Any) -> None:
            if session.cells is cells:
                session.set_palette(colour_by, palette)

        self._paints.start("colour cells", work, done, self.explain)

    # -- running stages ---------------------------------------------------

    def run_stage(
        self, stage: str, params: Params, fovs: list[str], then: Callable[[Any], None] | None = None
    ) -> Run | None:
        """Run a stage in the background; its results appear by themselves.

        Parameters
        ----------
        stage
            The verb.
        params
            Settings of one of its methods.
        fovs
            Names of the FOVs to work on.
        then
            Called with the result.

        Returns
        -------
        Run or None
            None where something is running already; the user is told.
        """
        dataset = self.session.dataset
        if dataset is None:
            self.explain(InvalidInput("No dataset is open: open one first."))
            return None
        if self.runner.stage is not None:
            self.explain(InvalidInput(f"'{self.runner.stage.title}' is running: wait or cancel."))
            return None
        method, _ = resolve(stage, params)

        def work(job: Job) -> Any:
            if method.extra == "torch":
                load_triton()
            self.correcting.write_first(dataset, fovs, job)
            return method.verb()(dataset.select(fovs), params, job)

        self.notes.pop(stage, None)
        run = self.runner.start_stage(stage, work, then)
        run.made.connect(lambda part: self._part_made(part, dataset))
        if stage == "train":
            self._watch(run, method, params, dataset)

        def ended() -> None:
            finished = run.state is RunState.FINISHED
            if self._is_open(dataset):
                self.notes[stage] = list(run.job.notes)
            for note in run.job.notes:
                self._say(note)
            self._stage_ended(stage, dataset, _embedding(method, params) if finished else "")

        run.ended.connect(ended)
        return run

    def propose(self, stage: str, **values: Any) -> None:
        """Have the form of a stage show some settings, now or when it is next seen.

        Parameters
        ----------
        stage
            The verb.
        **values
            Settings by name; ``method`` is the name of a method. The others stay.
        """
        self.proposals[stage] = values
        self.proposed.emit(stage)

    def _watch(self, run: Run, method: Method, params: Params, dataset: Dataset) -> None:
        """Keep the figures of a training, whoever looks at them and when."""
        session, about = self.session, params.model_dump()
        name, workspace = str(about.get("name", "")), dataset.workspace
        epochs = int(about.get("epochs", 0))
        session.set_training(Training(workspace.path, name, epochs, method=method.name))

        def measured(figures: Figures) -> None:
            if session.training is not None:
                session.set_training(session.training.plus(figures))

        def done(earlier: pd.DataFrame | None) -> None:
            if session.training is not None and not run.is_over:
                session.set_training(replace(session.training, earlier=earlier))

        run.measured.connect(measured)
        # It may go on from where an earlier one was stopped.
        self.runner.start("read figures", lambda _job: read_figures(workspace, name), done)

    def _part_made(self, part: Part, dataset: Dataset) -> None:
        """Show what grows; a FOV that is complete while others are worked on, as it is."""
        if not self._is_open(dataset):
            return
        before, self._growing = self._growing, part.fov_name
        fov = self.session.fov
        if fov is not None and before == fov.name != part.fov_name:
            if part.result == "stain" and self.session.dataset is not None:
                self.session.dataset.refresh()  # it has channels that it did not have
                self.layers.readmit({STAIN})
            self.show_fov(self._wanted, anew=True)
        self.layers.show_part(part)

    def _is_open(self, dataset: Dataset) -> bool:
        """Whether the session looks at a dataset, perhaps opened another time."""
        now = self.session.dataset
        return now is not None and now.workspace.path == dataset.workspace.path

    def _stage_ended(self, stage: str, dataset: Dataset, embedding: str = "") -> None:
        """Show what a stage has written; an embedding is to be mapped or looked at next."""
        self.layers.end_parts()
        self._growing = ""
        if self.session.dataset is None or not self._is_open(dataset):
            return
        self.session.dataset.refresh()
        self.session.results_changed.emit(stage)
        if self.session.fov is None:
            return
        self.layers.readmit(_NEW_LAYERS.get(stage, set()))
        if stage in ("segment", "track", "correct", "stain"):
            self.show_fov(self._wanted, anew=True)
        elif stage == "embed" and embedding:
            # Only when it is known is it among the choices of the form.
            self.load_cells(lambda: self.propose("project", embedding=embedding))
        elif stage in ("embed", "project", "classify", "annotate"):
            if stage == "project" and embedding:
                self.session.embedding = embedding
            self.load_cells()

    # -- following --------------------------------------------------------

    def _frame_changed(self) -> None:
        self.layers.set_frame()
        self.navigation.read_ahead()

    def slice_on_screen(self) -> int:
        """Return the slice of the FOV that is on screen; the middle one where none is."""
        return self.navigation.slice_on_screen()

    def go_to(self, fov_name: str, node: int, then: Callable[[], None] | None = None) -> None:
        """Show a cell: its FOV, its time point, and itself in the middle.

        Parameters
        ----------
        fov_name, node
            The cell.
        then
            Called when it is shown.
        """
        self.navigation.go_to(fov_name, node, then)

    def row_under_cursor(self) -> int:
        """Row of the cell under the mouse in the image; -1 where there is none."""
        return self.mouse.row_under_cursor()

    def _marks_changed(self) -> None:
        self.layers.show_marks()
        if self.session.colour_by.kind is Kind.STATE:
            self.colour(self.session.colour_by)

    def _table_is_behind(self) -> None:
        self._table_timer.start()

    def _write_late_table(self) -> None:
        if self._table_timer.isActive():
            self._table_timer.stop()
            self._write_table(self.session.dataset)

    def _write_table(self, dataset: Dataset | None) -> None:
        """Derive annotations.csv from the journal, now that clicking pauses."""
        if dataset is not None and dataset.workspace.journal.exists():
            self.runner.start(
                "write annotations.csv", lambda _job: write_annotations(dataset), lane="annotate"
            )

    # -- telling ----------------------------------------------------------

    def _say(self, text: str) -> None:
        self.viewer.status = text

    def _failed(self, _title: str, error: Exception) -> None:
        self.explain(error)

    def explain(self, error: Exception) -> None:
        """Tell the user what went wrong and what to do, in one line."""
        if isinstance(error, MissingInput):
            stage = error.made_by
            run = (f"Run '{stage}' now", lambda *_: self.run_missing(stage))
            notification_manager.dispatch(
                Notification(str(error), NotificationSeverity.ERROR, actions=(run,))
            )
        elif isinstance(error, (DynaclrError, OSError)):
            show_error(str(error))
        else:
            _LOG.error("A mistake of napari-dynaclr", exc_info=error)
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            show_error(
                f"Something went wrong that is not your fault ({what}). Help > Show logs says "
                "where: please report it."
            )

    def run_missing(self, stage: str) -> None:
        """Run a stage that another one waits for, with the user's settings, on what is shown."""
        self.run_stage(stage, self._settings(stage), self.session.fovs_in(self.session.scope))

    def _settings(self, stage: str) -> Params:
        """Return what the form of a stage would offer: the last settings, of what is shown."""
        name = recall(f"method/{stage}", "")
        known = [method.name for method in methods(stage)]
        method = find_method(stage, name if name in known else None)
        kind = method.params_class()
        shown = {"task": self.session.task.name, "embedding": self.session.cells.embedding}
        values = {name: one for name, one in shown.items() if name in kind.model_fields and one}
        try:
            return kind.parse(recall(f"params/{stage}/{method.name}", {}) | values)
        except InvalidInput:  # remembered by another version
            return kind.parse(values)

    def tell_damage(self, error: InvalidInput) -> None:
        """Explain that a chunk cannot be read; from any thread."""
        self._damaged.emit(error)

    def close(self) -> None:
        """Stop all work and let go of the viewer; its window is closing."""
        if self._closed:
            return
        self._closed = True
        annotator = self.session.annotator
        if annotator is not None and annotator.busy:
            # Clicks wait for each other in the window, which does not wait any more.
            with annotator.changed.blocked(), annotator.said.blocked():
                self.runner.settle("annotate")
            self._table_is_behind()
        self._write_late_table()
        for wish in (self._opens, self._shows, self._loads, self._paints):
            wish.stop()
        self.navigation.stop()
        self.correcting.stop()
        self.layers.release()
        self.runner.destroyed.connect(self.deleteLater)
        self.runner.close()
        self.cache.clear()
        _WORKBENCHES.pop(self.viewer, None)


def _embedding(method: Method, params: Params) -> str:
    """Name of the embedding that a stage with these settings makes or maps; "" for others."""
    about = params.model_dump()
    if method.stage == "embed":
        return str(about.get("name") or method.name)
    return str(about.get("embedding", "")) if method.stage == "project" else ""


def embeddings(dataset: Dataset) -> list[str]:
    """Names of the embeddings that a dataset has."""
    folder = dataset.workspace.path / "embeddings"
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


_WORKBENCHES: WeakKeyDictionary[Any, Workbench] = WeakKeyDictionary()


def workbench(viewer: Viewer) -> Workbench:
    """Return the workbench of a viewer, made at the first call."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands out proxies
    if viewer not in _WORKBENCHES:
        _WORKBENCHES[viewer] = bench = Workbench(viewer)
        # napari tells nobody that a viewer is closing; its window does.
        window = viewer.window._qt_window  # noqa: SLF001
        window.destroyed.connect(bench.close)
        # Napari's own line is overwritten at the next move of the mouse.
        said = Said()
        window.statusBar().addPermanentWidget(said)
        bench.session.said.connect(said.show_text)
        # Of the window, so that they work wherever the focus is.
        for keys, step in ((NEXT, 1), (PREVIOUS, -1)):
            QShortcut(QKeySequence(keys), window).activated.connect(partial(bench.step_fov, step))
    return _WORKBENCHES[viewer]
