"""Marks: the states that people have given to cells, as they stand now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_dynaclr.core.annotations import marks_in_force
from napari_dynaclr.core.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.journal import Mark
    from napari_dynaclr.session.cells import Cells


class Given(NamedTuple):
    """A state that a cell was given.

    Attributes
    ----------
    state
        The state.
    carried
        Whether it follows from a mark on another cell of the lineage.
    """

    state: str
    carried: bool


@dataclass(slots=True)
class _Sheet:
    """States of the nodes of a FOV for a task, and how many nodes have each."""

    given: dict[int, Given] = field(default_factory=dict)
    counts: Counter[Given] = field(default_factory=Counter)

    def copy(self) -> _Sheet:
        return _Sheet(self.given.copy(), self.counts.copy())

    def put(self, node: int, given: Given) -> None:
        before = self.given.pop(node, None)  # the latest comes last
        if before is not None:
            self.counts[before] -= 1
        if given.state:
            self.given[node] = given
            self.counts[given] += 1


class Marks:
    """States by task, FOV and node id.

    Once a window shows them they are never changed: :meth:`with_marks` and
    :meth:`with_fovs` make others, which share with these what is the same. So a job may
    read them, or prepare those that come after them, while the window goes on.
    """

    def __init__(self) -> None:
        self._sheets: dict[tuple[str, str], _Sheet] = {}
        self.read_to: int | None = None
        """How much of the journal they were read from, in bytes; None if from none."""

    def put(self, fov_name: str, node: int, task: str, given: Given) -> None:
        """Enter the state of one cell while these marks are made; an empty state takes it away."""
        sheet = self._sheets.get((task, fov_name))
        if sheet is None:
            sheet = self._sheets[task, fov_name] = _Sheet()
        sheet.put(node, given)

    def with_marks(self, marks: Iterable[Mark]) -> Marks:
        """Return what these are with further marks; an empty state takes a mark away."""
        sheets, copied = self._sheets.copy(), set()
        for mark in marks:
            place = (mark.task, mark.fov_name)
            if place not in copied:
                copied.add(place)
                sheets[place] = sheets.get(place, _Sheet()).copy()
            sheets[place].put(mark.id, Given(mark.state, mark.carried))
        return self._with(sheets)

    def with_fovs(self, fov_names: Collection[str], marks: Marks) -> Marks:
        """Return what these are with the states of some FOVs taken from other marks."""
        ours = {place: one for place, one in self._sheets.items() if place[1] not in fov_names}
        theirs = {place: one for place, one in marks._sheets.items() if place[1] in fov_names}
        return self._with(ours | theirs)

    def _with(self, sheets: dict[tuple[str, str], _Sheet]) -> Marks:
        after = Marks()
        after._sheets, after.read_to = sheets, self.read_to
        return after

    def get(self, fov_name: str, node: int, task: str) -> Given | None:
        """State of one cell."""
        sheet = self._sheets.get((task, fov_name))
        return sheet.given.get(node) if sheet is not None else None

    def of(self, task: str) -> Iterator[tuple[str, int, Given]]:
        """All cells with a state: FOV, node id and state."""
        for fov_name, sheet in self._of(task):
            for node, given in sheet.given.items():
                yield fov_name, node, given

    def _of(self, task: str) -> list[tuple[str, _Sheet]]:
        return [(name, sheet) for (of, name), sheet in self._sheets.items() if of == task]

    def explicit(self, task: str, fov_name: str) -> dict[int, str]:
        """States of the nodes of a FOV that someone looked at."""
        sheet = self._sheets.get((task, fov_name), _Sheet())
        return {node: given.state for node, given in sheet.given.items() if not given.carried}

    def tally(self, task: str) -> Counter[Given]:
        """Count the cells by what they were given, those that someone looked at apart."""
        total: Counter[Given] = Counter()
        for _, sheet in self._of(task):
            total.update(sheet.counts)
        return +total  # without those that no cell has any more

    def counts(self, task: str) -> Counter[str]:
        """Count the cells by state."""
        total: Counter[str] = Counter()
        for given, count in self.tally(task).items():
            total[given.state] += count
        return total

    @property
    def tasks(self) -> list[str]:
        """Tasks that some cell has a state of."""
        return list(dict.fromkeys(task for (task, _), sheet in self._sheets.items() if sheet.given))

    @property
    def fov_names(self) -> set[str]:
        """FOVs in which some cell has a state."""
        return {name for (_, name), sheet in self._sheets.items() if sheet.given}

    def codes(self, cells: Cells, task: str, states: tuple[str, ...]) -> NDArray[np.int16]:
        """Index of the state of every cell, -1 where it has none, (N,)."""
        codes = np.full(len(cells), -1, np.int16)
        number = {state: i for i, state in enumerate(states)}
        for fov_name, sheet in self._of(task):
            given = sheet.given
            rows = cells.find(fov_name, np.fromiter(given, np.int64, len(given)))
            found = np.array([number.get(one.state, -1) for one in given.values()], np.int16)
            codes[rows[rows >= 0]] = found[rows >= 0]
        return codes


def read_marks(
    dataset: Dataset, journal: Journal | None = None, fov_names: Collection[str] | None = None
) -> Marks:
    """Read the states as they stand, by the cells of today; in a job.

    Parameters
    ----------
    dataset
        The dataset; all its FOVs, whatever is selected.
    journal
        The journal, if it has been read already.
    fov_names
        FOVs to read; all by default.
    """
    journal = journal or Journal(dataset.workspace.journal)
    marks = Marks()
    marks.read_to = journal.position
    for name, node, mark, _ in marks_in_force(dataset, journal, fov_names):
        marks.put(name, node, mark.task, Given(mark.state, mark.carried))
    return marks
