"""Lineage: a track with its ancestors and descendants, laid out over time in lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.session.cells import Cells
    from napari_dynaclr.session.marks import Marks

CARRIED = 0.5
"""Strength of a state that follows from a mark on another cell."""


@dataclass(frozen=True)
class Lane:
    """One track of a lineage.

    Attributes
    ----------
    track
        Its id.
    parent
        Lane of the track it was born from, -1 for the founder.
    rows
        Its rows among the cells, in the order of time, (N,).
    t
        Their time points, (N,).
    """

    track: int
    parent: int
    rows: NDArray[np.intp]
    t: NDArray[np.int64]

    @property
    def start(self) -> int:
        """First time point."""
        return int(self.t[0])

    @property
    def end(self) -> int:
        """Last time point."""
        return int(self.t[-1])

    def row_at(self, t: float) -> int:
        """Row of the time point nearest to ``t``; the earlier of two."""
        after = int(np.searchsorted(self.t, t))
        near = [i for i in (after - 1, after) if 0 <= i < len(self.t)]
        return int(self.rows[min(near, key=lambda i: abs(self.t[i] - t))])

    def sample(self, stride: int) -> NDArray[np.intp]:
        """Choose evenly spaced rows: those at multiples of ``stride``, at least one.

        Multiples, so that all lanes of a lineage need the same few time points.
        """
        rows = self.rows[self.t % stride == 0]
        return rows if len(rows) else self.rows[len(self.rows) // 2 :][:1]


@dataclass(frozen=True)
class Lineage:
    """Tracks that came from one founder.

    Attributes
    ----------
    fov_name
        The FOV they are in.
    lanes
        From top to bottom: each track above its daughters, these with all of theirs.
    """

    fov_name: str
    lanes: tuple[Lane, ...]

    @property
    def start(self) -> int:
        """First time point of all."""
        return min(lane.start for lane in self.lanes)

    @property
    def end(self) -> int:
        """Last time point of all."""
        return max(lane.end for lane in self.lanes)

    def lane_of(self, track: int) -> int:
        """Lane of a track, -1 if it is of another lineage."""
        return next((i for i, lane in enumerate(self.lanes) if lane.track == track), -1)

    def neighbour(self, cells: Cells, row: int, step: int) -> int:
        """Return the next row in time, or the one before.

        From the end of a track it goes on to the first daughter, from the beginning
        back to the mother; at the ends of the lineage it stays.

        Parameters
        ----------
        cells
            The cells.
        row
            Where from.
        step
            1 or -1.
        """
        at = self.lane_of(int(cells.track[row]))
        if at < 0:
            return row
        lane = self.lanes[at]
        place = int(np.searchsorted(lane.rows, row)) + step
        if 0 <= place < len(lane.rows):
            return int(lane.rows[place])
        if step < 0:
            return int(self.lanes[lane.parent].rows[-1]) if lane.parent >= 0 else row
        first = next((one for one in self.lanes if one.parent == at), None)
        return int(first.rows[0]) if first is not None else row


def lineage_of(cells: Cells, fov_name: str, track: int) -> Lineage | None:
    """Lay out the lineage of a track; None if there is no such track.

    Parameters
    ----------
    cells
        The cells.
    fov_name, track
        The track.
    """
    root = cells.lineage(fov_name, track)[0]
    lanes: list[Lane] = []
    placed: set[int] = set()
    waiting = [(root, -1)]
    while waiting:
        one, parent = waiting.pop()
        own = cells.of_track(fov_name, one)
        if one in placed or not len(own):
            continue
        placed.add(one)
        lanes.append(Lane(one, parent, own, cells.t[own]))
        here = len(lanes) - 1
        waiting += [(d, here) for d in sorted(cells.daughters(fov_name, one), reverse=True)]
    return Lineage(fov_name, tuple(lanes)) if lanes else None


@dataclass(frozen=True)
class Said:
    """What is said of a track's state at each of its time points.

    Attributes
    ----------
    states
        Names of the states.
    codes
        Index into them, -1 where nothing is said, (N,) as the rows of the lane.
    strength
        How strongly to show it, 0 to 1, (N,).
    """

    states: tuple[str, ...]
    codes: NDArray[np.integer]
    strength: NDArray[np.floating]


def annotated(cells: Cells, lane: Lane, marks: Marks, task: str) -> Said:
    """Return the states that people gave to a track; weaker where they were carried over."""
    fov_name = cells.name(int(lane.rows[0]))
    given = [marks.get(fov_name, node, task) for node in cells.id[lane.rows].tolist()]
    states = tuple(sorted({one.state for one in given if one is not None}))
    number = {state: i for i, state in enumerate(states)}
    codes = [-1 if one is None else number[one.state] for one in given]
    strength = [CARRIED if one is not None and one.carried else 1.0 for one in given]
    return Said(states, np.array(codes), np.array(strength))


def predicted(cells: Cells, lane: Lane, task: str) -> Said | None:
    """Return the states predicted for a track, as strong as they are sure; None without any."""
    prediction = cells.predictions.get(task)
    if prediction is None:
        return None
    sure = np.nan_to_num(prediction.confidence[lane.rows])
    return Said(prediction.states, prediction.codes[lane.rows], sure)
