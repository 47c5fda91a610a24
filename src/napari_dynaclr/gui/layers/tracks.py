"""The tracks of a FOV as a napari layer, never more of them than napari can take.

napari needs seconds to build and to draw a million vertices. Only the time around the
frame on screen is seen, so only that is built, and built in a job: the layer on screen
then takes over what was built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Tracks
    from numpy.typing import NDArray

    from napari_dynaclr.session.cells import Cells

VERTICES = 20_000
"""Most vertices that are built at once."""

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
        a tail on half of the room, then as much of what comes next as there is room for.
    """
    if counts.sum() <= limit:
        return 0, len(counts)
    start, stop, room = t, t + 1, limit - int(counts[t])
    for_tail = room // 2
    while start > 0 and t - start < TAIL and counts[start - 1] <= for_tail:
        start -= 1
        room -= int(counts[start])
        for_tail -= int(counts[start])
    while stop < len(counts) and counts[stop] <= room:
        room -= int(counts[stop])
        stop += 1
    return start, stop


class TrackWindow:
    """The part of a FOV's tracks that is built.

    Parameters
    ----------
    cells, fov_name
        Whose tracks.
    frames
        Number of time points of the FOV.
    """

    def __init__(self, cells: Cells, fov_name: str, frames: int) -> None:
        rows = cells.rows_of(fov_name)
        self._cells, self._rows = cells, rows
        self._counts = np.bincount(cells.t[rows], minlength=frames)
        self.start, self.stop = 0, 0

    def covers(self, t: int) -> bool:
        """Whether a time point and what can be built of its tail are built."""
        start, _ = window(self._counts, min(t, len(self._counts) - 1))
        return self.start <= start and t < self.stop

    def build(self, t: int, **about: Any) -> tuple[Tracks, NDArray[np.intp]]:
        """Build a layer of the part around a time point; in a job.

        Parameters
        ----------
        t
            The time point on screen.
        **about
            Properties of the layer.

        Returns
        -------
        tuple
            The layer, and the rows of the cells that it shows, in its order.
        """
        from napari.layers import Tracks

        self.start, self.stop = window(self._counts, min(t, len(self._counts) - 1))
        times = self._cells.t[self._rows]
        rows = np.flatnonzero((times >= self.start) & (times < self.stop)) + self._rows.start
        here = self._cells
        data = np.column_stack([here.track[rows], here.t[rows], here.position[rows]])
        return Tracks(data.astype(float), graph=self.graph(rows), **about), rows

    def graph(self, rows: NDArray[np.intp]) -> dict[int, list[int]]:
        """Parents of the tracks that are born among some rows, where those are there too."""
        if not len(rows):
            return {}
        # A track's first row is the one whose row before is another track's.
        cells = self._cells
        first = (rows == self._rows.start) | (cells.track[rows - 1] != cells.track[rows])
        children, parents = cells.track[rows[first]], cells.parent[rows[first]]
        born = (parents >= 0) & np.isin(parents, cells.track[rows])
        return {
            int(child): [int(parent)]
            for child, parent in zip(children[born], parents[born], strict=True)
        }


def take_over(layer: Tracks, built: Tracks) -> None:
    """Let a layer show what another one was built with; the user's settings on it stay.

    Setting ``data`` and ``graph`` does the same, but builds it all again, on the GUI
    thread: a tenth of a second for 20,000 vertices, and twice.
    """
    if not hasattr(layer, "_manager"):  # napari has changed inside
        layer.data, graph = built.data, built.graph
        layer.graph = graph
        return
    layer._manager = built._manager  # noqa: SLF001
    layer._recolor_tracks()  # noqa: SLF001
    layer._update_dims()  # noqa: SLF001
    layer.events.rebuild_tracks()
    layer.events.rebuild_graph()
    layer.events.color_by()
    layer.events.data(value=layer.data)
