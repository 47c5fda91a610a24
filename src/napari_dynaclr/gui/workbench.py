"""Workbench: the session, the background work and the layers of one viewer."""

from __future__ import annotations

import logging
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
from napari_dynaclr.core.taskbook import read_tasks
from napari_dynaclr.gui.bindings import Mouse
from napari_dynaclr.gui.correcting import Correcting
from napari_dynaclr.gui.finding import Finding
from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.layers import FovLayers, Scene, prepare, warm_up
from napari_dynaclr.gui.navigation import Navigation
from napari_dynaclr.gui.runner import Runner
from napari_dynaclr.gui.running import Running
from napari_dynaclr.gui.said import Said
from napari_dynaclr.gui.settings import recall
from napari_dynaclr.session import Scope, Session
from napari_dynaclr.session.cells import Cells, embeddings, load_cells
from napari_dynaclr.session.colours import ColourBy, Kind
from napari_dynaclr.session.frames import ChunkCache
from napari_dynaclr.session.marks import Marks, read_marks
from napari_dynaclr.session.painting import features_of, paint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari import Viewer

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.gui.runner import Run

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
        self._closed = False
        self.proposals: dict[str, dict[str, Any]] = {}
        """Settings by stage, that the form of the stage takes when it is next seen."""
        self.embeddings: list[str] = []
        """Embeddings that the dataset has."""
        self.features: list[str] = []
        """Dimensions of the embedding whose cells are shown."""
        self.radius = 10.0
        """Reach of a click in um, where it hits no cell."""
        self.mouse = Mouse(self)
        self.navigation = Navigation(self)
        self.running = Running(self)
        self.correcting = Correcting(self)
        self.finding = Finding(self)
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
        self.running.notes.clear()
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
                session.await_cells(False)
                self.layers.show_cells()
                if then is not None:
                    then()
            else:
                self.load_cells(then)

        def failed(error: Exception) -> None:
            session.await_cells(False)
            self.explain(error)

        session.await_cells()
        self._shows.start(f"open {name}", work, done, failed)

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
        dataset, session = self.session.dataset, self.session
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

        session.await_cells()
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
        """Run a stage in the background; as :meth:`~napari_dynaclr.gui.running.Running.run`."""
        return self.running.run(stage, params, fovs, then)

    @property
    def notes(self) -> dict[str, list[str]]:
        """What the last run of a stage has said of its result, a sentence each, by stage."""
        return self.running.notes

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

    def is_open(self, dataset: Dataset) -> bool:
        """Whether the session looks at a dataset, perhaps opened another time."""
        now = self.session.dataset
        return now is not None and now.workspace.path == dataset.workspace.path

    def show_again(self) -> None:
        """Show the FOV that was asked for last again: it has other results."""
        self.show_fov(self._wanted, anew=True)

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

    @property
    def taken_keys(self) -> frozenset[str]:
        """Keys that correct tracks or go through events now, so that they annotate nothing."""
        return self.correcting.keys | self.finding.keys

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
        self.running.run_missing(stage)

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
        self.finding.stop()
        self.layers.release()
        self.runner.destroyed.connect(self.deleteLater)
        self.runner.close()
        self.cache.clear()
        _WORKBENCHES.pop(self.viewer, None)


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
