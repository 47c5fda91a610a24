"""Stretches of tracks that a selection means, and a tally of what has been annotated."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.session.cells import Cells
    from napari_dynaclr.session.marks import Marks


def whole_tracks(cells: Cells, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the rows of the whole tracks of some cells, ascending."""
    line = _lines(cells)
    wanted = np.zeros(len(cells), bool)
    wanted[line[rows]] = True
    return np.flatnonzero(wanted[line])


def from_here_on(cells: Cells, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the rows from the earliest of some cells to the end of their tracks, ascending."""
    line = _lines(cells)
    first = np.full(len(cells), len(cells), np.intp)
    np.minimum.at(first, line[rows], rows)
    return np.flatnonzero(np.arange(len(cells)) >= first[line])


def between(cells: Cells, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the rows from one cell to another of its track or descendants, ascending.

    Parameters
    ----------
    cells, rows
        The two cells; both are among what is returned.

    Returns
    -------
    numpy.ndarray
        Empty where there are not two, or neither descends from the other.
    """
    none = np.zeros(0, np.intp)
    if len(rows) != 2 or cells.fov[rows[0]] != cells.fov[rows[1]]:
        return none
    first, end = (int(row) for row in rows[np.argsort(cells.t[rows], kind="stable")])
    name, top, track = cells.name(first), int(cells.track[first]), int(cells.track[end])
    parts, seen = [], {track}
    while track != top:
        parts.append(np.arange(cells.of_track(name, track)[0], end + 1))
        track = cells.parent_of(name, track)
        above = cells.of_track(name, track)
        if not len(above) or track in seen:  # cells from elsewhere may go round in a circle
            return none
        seen.add(track)
        end = int(above[-1])
    return np.sort(np.concatenate([*parts, np.arange(first, end + 1)]))


def _lines(cells: Cells) -> NDArray[np.intp]:
    """Return which track every row is of, (N,): rows are ordered by FOV, track and time."""
    new = (np.diff(cells.track) != 0) | (np.diff(cells.fov) != 0)
    return np.concatenate([np.zeros(min(len(cells), 1), np.intp), np.cumsum(new)])


@dataclass(frozen=True)
class Tally:
    """How many cells have each state.

    Attributes
    ----------
    looked_at
        Cells that someone gave the state to.
    carried
        Cells whose state follows from another mark.
    """

    looked_at: Counter[str] = field(default_factory=Counter)
    carried: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, marks: Marks, task: str) -> Tally:
        """Count the states of a task."""
        tally = cls()
        for (state, carried), count in marks.tally(task).items():
            (tally.carried if carried else tally.looked_at)[state] += count
        return tally

    def text(self, state: str) -> str:
        """Say a count for a person: "40 (+120)"; those that were carried in brackets."""
        carried = self.carried[state]
        return f"{self.looked_at[state]:,}" + (f" (+{carried:,})" if carried else "")


@dataclass(frozen=True)
class Stops:
    """Cells that someone gave a state to, in the order in which to visit them.

    Attributes
    ----------
    fov, t, id
        Index of the FOV among ``fov_names``, time point (0 where it is not known) and
        node, ordered by them, (N,).
    fov_names
        FOVs of the dataset, in its order.
    """

    fov: NDArray[np.int64]
    t: NDArray[np.int64]
    id: NDArray[np.int64]
    fov_names: tuple[str, ...]

    @classmethod
    def of(cls, marks: Marks, task: str, cells: Cells, fov_names: Sequence[str]) -> Stops:
        """Order the marks of a task; the time points of FOVs that are not loaded are unknown."""
        parts = [np.zeros((3, 0), np.int64)]
        for i, name in enumerate(fov_names):
            nodes = marks.explicit(task, name)
            if not nodes:
                continue
            ids = np.fromiter(nodes, np.int64, len(nodes))
            t = np.zeros(len(ids), np.int64)
            if name in cells.fovs:
                rows = cells.find(name, ids)
                t, ids = cells.t[rows[rows >= 0]], ids[rows >= 0]
            parts.append(np.stack([np.full(len(ids), i, np.int64), t, ids]))
        fov, t, ids = np.concatenate(parts, axis=1)
        order = np.lexsort((ids, t, fov))
        return cls(fov[order], t[order], ids[order], tuple(fov_names))

    def step(self, here: tuple[str, int, int], step: int) -> tuple[str, int] | None:
        """Return the next stop (FOV, node) after a cell, or the one before it; None at the end.

        Parameters
        ----------
        here
            FOV, time point and node; a node of -1 is before all of its time point.
        step
            1 for the next one, -1 for the one before.
        """
        name, t, node = here
        fov = self.fov_names.index(name) if name in self.fov_names else -1
        begin, end = np.searchsorted(self.fov, [fov, fov + 1])
        start, stop = begin + np.searchsorted(self.t[begin:end], [t, t + 1])
        nodes = self.id[start:stop]
        if step > 0:
            place = int(start + np.searchsorted(nodes, node, side="right"))
        else:
            place = int(start + np.searchsorted(nodes, node)) - 1
        if not 0 <= place < len(self.id):
            return None
        return self.fov_names[self.fov[place]], int(self.id[place])
