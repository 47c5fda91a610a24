"""Marks: the states that people have given to cells, as they stand now."""

from __future__ import annotations

from collections import Counter
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


class Marks:
    """States by task, FOV and node id."""

    def __init__(self) -> None:
        self._given: dict[str, dict[str, dict[int, Given]]] = {}
        self.read_to: int | None = None
        """How much of the journal they were read from, in bytes; None if from none."""

    def apply(self, marks: Iterable[Mark]) -> None:
        """Enter marks; an empty state takes a mark away."""
        for mark in marks:
            self.put(mark.fov_name, mark.id, mark.task, Given(mark.state, mark.carried))

    def put(self, fov_name: str, node: int, task: str, given: Given) -> None:
        """Enter the state of one cell; an empty state takes it away."""
        cells = self._given.setdefault(task, {}).setdefault(fov_name, {})
        cells.pop(node, None)  # the latest comes last
        if given.state:
            cells[node] = given

    def replace(self, fov_names: Iterable[str], marks: Marks) -> None:
        """Take the states of some FOVs from other marks."""
        for name in fov_names:
            for task in {*self._given, *marks._given}:
                cells = marks._given.get(task, {}).get(name, {})
                self._given.setdefault(task, {})[name] = dict(cells)

    def get(self, fov_name: str, node: int, task: str) -> Given | None:
        """State of one cell."""
        return self._given.get(task, {}).get(fov_name, {}).get(node)

    def of(self, task: str) -> Iterator[tuple[str, int, Given]]:
        """All cells with a state: FOV, node id and state."""
        for fov_name, cells in self._now(task):
            for node, given in cells.items():
                yield fov_name, node, given

    def _now(self, task: str) -> list[tuple[str, dict[int, Given]]]:
        """Copy the states of a task by FOV: a job may read them while a window enters more."""
        return [(name, cells.copy()) for name, cells in self._given.get(task, {}).copy().items()]

    def explicit(self, task: str, fov_name: str) -> set[int]:
        """Nodes of a FOV that someone looked at."""
        cells = self._given.get(task, {}).get(fov_name, {})
        return {node for node, given in cells.items() if not given.carried}

    def counts(self, task: str) -> Counter[str]:
        """Count the cells by state."""
        return Counter(given.state for _, _, given in self.of(task))

    @property
    def tasks(self) -> list[str]:
        """Tasks that some cell has a state of."""
        return [task for task, fovs in self._given.items() if any(fovs.values())]

    @property
    def fov_names(self) -> set[str]:
        """FOVs in which some cell has a state."""
        return {name for fovs in self._given.values() for name, cells in fovs.items() if cells}

    def codes(self, cells: Cells, task: str, states: tuple[str, ...]) -> NDArray[np.int16]:
        """Index of the state of every cell, -1 where it has none, (N,)."""
        codes = np.full(len(cells), -1, np.int16)
        number = {state: i for i, state in enumerate(states)}
        for fov_name, given in self._now(task):
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
