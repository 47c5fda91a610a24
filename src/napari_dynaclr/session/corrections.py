"""Corrections of the tracks of the FOV on screen, as a viewer makes them.

Each is on disk before the next begins, and shown once it is on disk.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.session.desk import Corrected, Desk, replayed
from napari_dynaclr.session.plans import Plan, plans
from napari_dynaclr.session.suspicion import Queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.session.annotator import Execute
    from napari_dynaclr.session.cells import Cells
    from napari_dynaclr.session.session import Session
    from napari_dynaclr.tracking.correction.corrector import Corrector, Outcome


_NOTHING = "there is no correction of this FOV left to take back or do again"


class Corrections:
    """What a viewer corrects in the FOV on screen.

    Parameters
    ----------
    session
        What the viewer looks at.
    execute
        How work that touches the disk is done.

    Attributes
    ----------
    active
        Whether clicks choose cells to correct.
    adding
        Whether the next click adds a cell.
    radius
        Of an added cell, in um.
    a, b
        Node ids of the chosen cells, None where none is.
    shown
        What the last correction of this FOV came to.
    queue
        Suspicious places of this FOV.
    """

    changed = Signal()
    """Other tracks are to be shown."""
    mode_changed = Signal()
    """Clicks mean something else."""
    pair_changed = Signal()
    """Other cells are chosen."""
    queue_changed = Signal()
    """The suspicious places, or the one that is looked at, are others."""
    said = Signal(str)
    """What a correction did, or why it was refused, in one line."""
    failed = Signal(object)
    """A correction could not be recorded: the error."""

    def __init__(self, session: Session, execute: Execute) -> None:
        self._session = session
        self._execute = execute
        self._waiting: deque[Callable[[], None]] = deque()
        self._busy = self._refreshing = False
        self._desk = Desk()
        self._loaded = session.cells
        # As they were read: what is deleted here is known again when that is undone.
        self.active = False
        self.adding = False
        self.radius = 5.0
        self.a: int | None = None
        self.b: int | None = None
        self.shown = Corrected()
        self.queue = Queue()
        session.dataset_changed.connect(self._moved)
        session.fov_changed.connect(self._moved)
        session.selection_changed.connect(self._selected)
        session.cells_changed.connect(self._cells_changed)
        session.task_changed.connect(self._task_changed)

    @property
    def busy(self) -> bool:
        """Whether a correction is on its way to the disk."""
        return self._busy

    # -- which cells ------------------------------------------------------

    def set_active(self, active: bool) -> None:
        """Have clicks choose cells to correct, or not any more."""
        if active != self.active:
            self.active, self.adding = active, False
            if active:
                self._session.set_state("")
                self._selected()
                self._open()
            self.mode_changed.emit()

    def _open(self) -> None:
        """Have the corrector of the FOV opened, if there is anything to be corrected."""
        session, fov = self._session, self._session.fov
        if fov is not None and fov.name in session.cells.fovs and not self.shown.key:
            self.refresh()

    def set_adding(self, adding: bool) -> None:
        """Have the next click add a cell, or not any more."""
        if adding != self.adding:
            self.adding = adding
            self.mode_changed.emit()

    def set_radius(self, radius: float) -> None:
        """Set the radius of cells that are added, in um."""
        self.radius = radius

    def set_queue(self, queue: Queue) -> None:
        """Show other suspicious places, or look at another of them."""
        self.queue = queue
        self.queue_changed.emit()

    def choose(self, a: int | None, b: int | None = None) -> None:
        """Choose a cell, or two, by node id."""
        a, b = (b, None) if a is None else (a, b if b != a else None)
        if (a, b) == (self.a, self.b):
            return
        self.a, self.b = a, b
        rows = [row for row in (self.row_of(a), self.row_of(b)) if row >= 0]
        self._session.select(rows)
        self.pair_changed.emit()

    @property
    def chosen(self) -> tuple[int, ...]:
        """Node ids of the cells that are chosen, none, one or two."""
        return tuple(node for node in (self.a, self.b) if node is not None)

    def pick(self, row: int, *, second: bool) -> None:
        """Choose the cell of a row: as the first one, or as the second."""
        node = int(self._session.cells.id[row])
        if not second or self.a is None:
            self.choose(node)
        else:
            self.choose(self.a, node if node != self.b else None)

    def row_of(self, node: int | None) -> int:
        """Row of a node of this FOV, -1 where there is none."""
        fov = self._session.fov
        if node is None or fov is None or fov.name not in self._session.cells.fovs:
            return -1
        return int(self._session.cells.find(fov.name, [node])[0])

    def plans(self) -> dict[str, Plan]:
        """Say what each correction would do to the chosen cells."""
        fov = self._session.fov
        name = fov.name if fov is not None else ""
        return plans(self._session.cells, name, *((self.a, self.b) if name else (None, None)))

    def _selected(self) -> None:
        """Choose what was selected elsewhere, in the lineage or on the map."""
        session, rows = self._session, self._session.selection
        if not self.active or session.fov is None:
            return
        if not len(rows):
            self.choose(None)
        elif len(rows) == 1 and session.cells.name(rows[0]) == session.fov.name:
            self.choose(int(session.cells.id[rows[0]]))

    def _moved(self) -> None:
        """Look at another FOV: what was chosen there concerns nobody here."""
        self.shown, self.queue = Corrected(), Queue()
        self._loaded = self._session.cells
        self.adding = False
        self.a = self.b = None
        self.pair_changed.emit()
        self.queue_changed.emit()
        if self.active:
            self._open()

    def _task_changed(self) -> None:
        """Who chooses a state wants to annotate."""
        if self._session.state:
            self.set_active(False)

    def _cells_changed(self) -> None:
        """Forget what is no longer there; bring what was read from the disk up to date."""
        a, b = (node if self.row_of(node) >= 0 else None for node in (self.a, self.b))
        if (a, b) != (self.a, self.b):
            self.a, self.b = (b, None) if a is None else (a, b)
        session, shown = self._session, self.shown
        name = session.fov.name if session.fov is not None else ""
        if shown.key and (shown.fov_name, shown.key) != (name, session.cells.keys.get(name)):
            self.shown = shown = Corrected()  # tracked anew
        is_ours = shown.cells is session.cells
        self._loaded = self._loaded if is_ours else session.cells
        if (
            name in session.cells.fovs
            and not is_ours
            and (self.active or shown.key or name in session.cells.behind)
        ):
            self.refresh()
        self.pair_changed.emit()

    # -- correcting -------------------------------------------------------

    def act(self, action: str) -> None:
        """Do one of :data:`~napari_dynaclr.session.plans.ACTIONS` to the chosen cells.

        One that cannot be done is not tried: it is said why.
        """
        plan = self.plans()[action]
        options = {"replace": True} if plan.replace else {}
        if plan.possible:
            self._queue(
                lambda one: getattr(one, action)(*plan.nodes, **options), lambda _: plan.text
            )
        else:
            self.said.emit(plan.text)

    def add(self, t: int, place: tuple[float, float, float]) -> None:
        """Add a cell that was missed, at a place (z, y, x) in pixels; it is chosen then."""
        radius = self.radius

        def then(outcome: Outcome) -> str:
            self.choose(outcome.action.correction.places[0].id, self.a)
            return f"a cell was added at t={t}; link it to others of its track"

        self._queue(lambda one: one.add(t, *place, radius), then)

    def accept(self) -> None:
        """Say that the suspicious place that is looked at is right."""
        place = self.queue.current
        if place is not None:
            text = f"{place.kind}, t={place.t}: looks right"
            self._queue(lambda one: one.accept(place.kind, place.id, place.other), lambda _: text)

    def undo(self) -> None:
        """Take back the last correction of this FOV."""
        self._queue(lambda one: one.undo(), _turned)

    def redo(self) -> None:
        """Do the last undone correction of this FOV again."""
        self._queue(lambda one: one.redo(), _turned)

    def replay(self) -> None:
        """Do the corrections of earlier tracks of this FOV again, on these."""
        dataset = self._session.dataset
        if dataset is not None:
            self._queue(lambda one: replayed(dataset, one), str)

    def refresh(self) -> None:
        """Show the tracks as they are corrected, where others were read meanwhile."""
        session, fov = self._session, self._session.fov
        if not self._refreshing and fov is not None and fov.name in session.cells.fovs:
            self._refreshing = True
            self._queue(None, lambda _: "")

    def _queue(self, what: Callable[[Corrector], Any] | None, then: Callable[[Any], str]) -> None:
        """Have the corrector do something; ``then`` is given what came of it, and says it."""
        session = self._session
        dataset, fov = session.dataset, session.fov
        if dataset is None or fov is None:
            return
        name = fov.name
        self._waiting.append(lambda: self._do(dataset, name, what, then))
        if not self._busy:
            self._next()

    def _do(
        self,
        dataset: Dataset,
        name: str,
        what: Callable[[Corrector], Any] | None,
        then: Callable[[Any], str],
    ) -> None:
        session = self._session
        cells, loaded = session.cells, self._loaded
        looks = (session.colour_by, session.tasks, session.marks)
        if what is None:
            self._refreshing = False

        def work() -> tuple[Any, Corrected]:
            corrector = self._desk.corrector(dataset, name, cells.keys.get(name, ""))
            found = what(corrector) if what is not None else None
            return found, self._desk.corrected(dataset, loaded, looks)

        def done(result: tuple[Any, Corrected]) -> None:
            found, after = result
            fov, text = session.fov, ""
            if session.dataset is dataset and fov is not None and fov.name == name:
                self._show(after, cells)
                text = then(found)
            self._end(text)

        self._execute(work, done, self._fail)

    def _show(self, after: Corrected, before: Cells) -> None:
        session = self._session
        if session.cells is not before:  # others were read meanwhile: theirs, corrected, come next
            self.shown = replace(after, cells=None)
            self.refresh()
            return
        self.shown = after
        if after.cells is not None and after.cells is not before:
            session.set_cells(after.cells, palette=after.palette)
        self.changed.emit()
        self.pair_changed.emit()

    def _next(self) -> None:
        if self._waiting:
            self._busy = True
            self._waiting.popleft()()

    def _end(self, text: str) -> None:
        self._busy = False
        try:
            if text:
                self.said.emit(text)
        finally:  # a view that fails must not hold up the next click
            self._next()

    def _fail(self, error: Exception) -> None:
        # What was queued behind it would fail too, or mean something else now.
        self._waiting.clear()
        self._busy = self._refreshing = False
        if isinstance(error, InvalidInput):
            self.said.emit(str(error))  # a refusal: nothing has gone wrong
        else:
            self.failed.emit(error)


def _turned(outcome: Outcome | None) -> str:
    return outcome.said if outcome is not None else _NOTHING
