"""Annotator: what clicks do to the annotations of a dataset, one after the other.

Each action is on disk before the next begins, and shown once it is on disk.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_dynaclr.annotation.marking import marks as expand
from napari_dynaclr.core.errors import DynaclrError
from napari_dynaclr.core.journal import Journal, default_annotator
from napari_dynaclr.session.marks import Marks, read_marks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.journal import Action, Mark
    from napari_dynaclr.core.tasks import Task
    from napari_dynaclr.session.cells import Cells

Execute = Callable[[Callable[[], Any], Callable[[Any], None], Callable[[Exception], None]], None]
"""Do some work, then call the second with its result, or the third with what went wrong."""


def at_once(
    work: Callable[[], Any],
    done: Callable[[Any], None],
    failed: Callable[[Exception], None],
) -> None:
    """Do it here and now: for scripts and tests."""
    try:
        result = work()
    except Exception as error:
        failed(error)
        if not isinstance(error, DynaclrError):
            raise
    else:
        done(result)


class Annotator:
    """Annotations of one dataset, as a viewer changes them.

    Parameters
    ----------
    dataset
        The dataset.
    execute
        How work that touches the disk is done.
    """

    changed = Signal()
    """States of cells have changed."""
    given = Signal()
    """Someone gave cells a state: neither taken away, nor undone, nor done again."""
    said = Signal(str)
    """What an action did, in one line."""
    failed = Signal(object)
    """An action could not be recorded: the error."""

    def __init__(self, dataset: Dataset, execute: Execute = at_once) -> None:
        self._dataset = dataset
        self._journal: Journal | None = None
        self._recorded: list[tuple[int, Callable[[Marks], Marks]]] = []
        self._execute = execute
        self._waiting: deque[Callable[[], None]] = deque()
        self._busy = False
        self.marks = Marks()
        self.name = default_annotator()

    @property
    def busy(self) -> bool:
        """Whether an action is on its way to the disk."""
        return self._busy

    def load(self, marks: Marks) -> None:
        """Go on from marks read from the disk.

        What was recorded while they were being read is entered in them too.
        """
        read_to = marks.read_to
        self._recorded = [one for one in self._recorded if read_to is not None and one[0] > read_to]
        for _, enter in self._recorded:
            marks = enter(marks)
        self.marks = marks

    def give(
        self, cells: Cells, rows: NDArray[np.integer], task: Task, state: str, said: str = ""
    ) -> None:
        """Give cells a state; an empty state takes theirs away.

        Parameters
        ----------
        cells, rows
            Which cells.
        task
            The task, with its options for carrying a state forward and to daughters.
        state
            The state.
        said
            What to call the cells in the message; their number if empty.
        """
        if len(rows):
            by = self.name
            self._queue(lambda: self._give(cells, rows, task, state, said, by))

    def _give(
        self, cells: Cells, rows: NDArray[np.integer], task: Task, state: str, said: str, by: str
    ) -> None:
        before = self.marks

        def work() -> tuple[list[Mark], Marks, int, str]:
            found: list[Mark] = []
            for i in np.unique(cells.fov[rows]):
                name = cells.fovs[i]
                found += expand(
                    cells.nodes(cells.rows_of(name)),
                    name,
                    cells.id[rows[cells.fov[rows] == i]],
                    task,
                    state,
                    cells.keys.get(name, ""),
                    explicit=before.explicit(task.name, name),
                )
            after = before.with_marks(found)
            journal = self._open()
            journal.add(found, by)
            return found, after, journal.position, _following(found, state)

        def done(result: tuple[list[Mark], Marks, int, str]) -> None:
            found, after, position, more = result
            self._enter(position, before, after, lambda marks: marks.with_marks(found))
            if state:
                self.given.emit()
            what = said or (f"{len(rows):,} cells" if len(rows) > 1 else "1 cell")
            self._end(f"{what}: {state or 'annotation cleared'}{more}")

        self._execute(work, done, self._fail)

    def undo(self) -> None:
        """Take back the last action."""
        self._queue(lambda: self._turn("undo"))

    def redo(self) -> None:
        """Do the last undone action again."""
        self._queue(lambda: self._turn("redo"))

    def _turn(self, way: str) -> None:
        before = self.marks

        def work() -> tuple[set[str], Marks, Marks, int, str] | None:
            journal = self._open()
            action = journal.undo() if way == "undo" else journal.redo()
            if action is None:
                return None
            # Its marks may have been made on older tracks: only all marks of these FOVs
            # tell what the cells of today are now.
            names = {mark.fov_name for mark in action.marks}
            now = read_marks(self._dataset, journal, names)
            after = before.with_fovs(names, now)
            return names, now, after, journal.position, _describe(action)

        def done(result: tuple[set[str], Marks, Marks, int, str] | None) -> None:
            if result is None:
                self._end(f"nothing to {way}")
                return
            names, now, after, position, what = result
            self._enter(position, before, after, lambda marks: marks.with_fovs(names, now))
            self._end(f"{way}: {what}")

        self._execute(work, done, self._fail)

    def _enter(
        self, position: int, before: Marks, after: Marks, change: Callable[[Marks], Marks]
    ) -> None:
        """Show what has been recorded, and remember it for marks that are being read."""
        self._recorded.append((position, change))
        # Others may have been loaded while it was on its way to the disk.
        self.marks = after if self.marks is before else change(self.marks)

    def _open(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(self._dataset.workspace.journal)
        return self._journal

    def _queue(self, action: Callable[[], None]) -> None:
        self._waiting.append(action)
        if not self._busy:
            self._next()

    def _next(self) -> None:
        if self._waiting:
            self._busy = True
            self._waiting.popleft()()

    def _end(self, text: str) -> None:
        self._busy = False
        try:
            self.changed.emit()
            self.said.emit(text)
        finally:  # a view that fails must not hold up the next click
            self._next()

    def _fail(self, error: Exception) -> None:
        # What was queued behind it would fail too, or mean something else now.
        self._waiting.clear()
        self._busy = False
        self.failed.emit(error)


def _following(marks: list[Mark], state: str) -> str:
    """Say what became of the cells that follow from those someone looked at."""
    states = Counter(mark.state for mark in marks if mark.carried)
    same = states.pop(state, 0)
    text = f" (and {same:,} that follow)" if same else ""
    return text + "".join(f"; {count:,} that follow: {one}" for one, count in states.items())


def _describe(action: Action) -> str:
    """Say what an action was, and where: it may be of another FOV or task than those on screen."""
    explicit = [mark for mark in action.marks if not mark.carried] or list(action.marks)
    first = explicit[0]
    tasks = ", ".join(dict.fromkeys(mark.task for mark in explicit))
    states = ", ".join(dict.fromkeys(mark.state or "cleared" for mark in explicit))
    fovs = {mark.fov_name for mark in explicit}
    where = f"FOV {first.fov_name}" if len(fovs) == 1 else f"{len(fovs)} FOVs"
    if len(explicit) == 1:
        return f"{tasks}, {where}, track {first.track_id}, t={first.t}: {states}"
    return f"{tasks}, {where}: {len(explicit):,} cells: {states}"
