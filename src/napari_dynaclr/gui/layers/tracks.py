"""The tracks of a FOV as a napari layer, never more of them than napari can take.

napari builds a Tracks layer vertex by vertex on the GUI thread: a million take seconds.
Only the time around the frame on screen is seen, so only that is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Tracks
    from numpy.typing import NDArray

    from napari_dynaclr.session.cells import Cells
    from napari_dynaclr.session.colours import Palette

VERTICES = 20_000
"""Most vertices that are built at once: about 30 ms."""

TAIL = 10
"""Time points of the past that are drawn, as far as :data:`VERTICES` allow."""


def window(counts: NDArray[np.integer], t: int, limit: int = VERTICES) -> tuple[int, int]:
    """Choose the time points to build around one that is on screen.

    Parameters
    ----------
    counts
        Cells per time point, (T,).
    t
        The time point on screen.
    limit
        Cells to build at most; the time point on screen is built whatever it takes.

    Returns
    -------
    tuple of int
        First time point, and the one after the last. All of them if they fit; else
        the tail first, then as much of what comes next as there is room for.
    """
    if counts.sum() <= limit:
        return 0, len(counts)
    start, stop, room = t, t + 1, limit - int(counts[t])
    while start > 0 and t - start < TAIL and counts[start - 1] <= room:
        start -= 1
        room -= int(counts[start])
    while stop < len(counts) and counts[stop] <= room:
        room -= int(counts[stop])
        stop += 1
    return start, stop


class TrackWindow:
    """The part of a FOV's tracks that a layer shows.

    Parameters
    ----------
    cells, fov_name
        Whose tracks.
    frames
        Number of time points of the FOV.
    """

    def __init__(self, cells: Cells, fov_name: str, frames: int) -> None:
        rows = cells.rows_of(fov_name)
        self._cells, self._rows = cells, np.arange(rows.start, rows.stop)
        self._counts = np.bincount(cells.t[rows], minlength=frames)
        self._start, self._stop = 0, 0
        self.rows: NDArray[np.intp] = self._rows[:0]
        """Rows of the cells that are built, in the layer's order."""

    def covers(self, t: int) -> bool:
        """Whether a time point and its tail are built."""
        if not self._start <= t < self._stop:
            return False
        start, _ = window(self._counts, t)
        return self._start <= start

    def move(self, t: int) -> NDArray[np.floating]:
        """Choose the part around a time point; returns ``[track_id, t, z, y, x]`` rows."""
        self._start, self._stop = window(self._counts, min(t, len(self._counts) - 1))
        times = self._cells.t[self._rows]
        self.rows = self._rows[(times >= self._start) & (times < self._stop)]
        here = self._cells
        return np.column_stack(
            [here.track[self.rows], here.t[self.rows], here.position[self.rows]]
        ).astype(float)

    def graph(self) -> dict[int, list[int]]:
        """Parents of the tracks that are born in the part, where they are in it too."""
        tracks, first = np.unique(self._cells.track[self.rows], return_index=True)
        parents = self._cells.parent[self.rows][first]
        born = np.isin(parents, tracks) & (parents >= 0)
        return {
            int(child): [int(parent)]
            for child, parent in zip(tracks[born], parents[born], strict=True)
        }

    def build(self, layer: Tracks, t: int) -> None:
        """Put the part around a time point into a layer."""
        layer.data = self.move(t)
        layer.graph = self.graph()

    def recolour(self, layer: Tracks, palette: Palette) -> None:
        """Give every vertex the colour of its cell."""
        layer.track_colors = palette.table[palette.index[self.rows]] / 255.0
