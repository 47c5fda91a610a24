"""The truth of one field: label images, tracks and states of every visible cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.sample.cell import Snapshot
    from napari_dynaclr.sample.rendering import Rendered

TRACK_COLUMNS = ["track_id", "t", "id", "parent_track_id", "parent_id", "z", "y", "x"]
STATE_COLUMNS = ["infection_state", "cell_division_state", "cell_death_state"]
MIN_PIXELS = 40
"""A nucleus with fewer pixels in the field (cut by its border) is not in the truth."""


class TruthRecorder:
    """Collects the truth of one field, frame by frame.

    A cell is in the truth while its nucleus shows at least :data:`MIN_PIXELS` pixels.
    One that leaves the field and comes back later is a new track, as it would be for
    any tracker. A division is in the truth if both daughters are seen in their first
    frame and the mother in her last; otherwise the daughters' tracks begin anew.
    """

    def __init__(self) -> None:
        self._rows: list[dict[str, float | int | str]] = []
        self._last: dict[int, tuple[int, int, int]] = {}
        self._tracks = 0

    def add(
        self, rendered: Rendered, cells: Sequence[Snapshot], t: int
    ) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Record a frame and return its label images.

        Parameters
        ----------
        rendered
            The frame as drawn.
        cells
            Its cells, in the order the frame was drawn with.
        t
            Number of the frame; frames are added in order.

        Returns
        -------
        nucleus_labels, cell_labels : (Z, Y, X) array
            Track of each pixel, 0 for background.
        """
        count = len(cells) + 1
        area, centres = _centroids(rendered.nuclei, count)
        seen = [index for index in range(len(cells)) if area[index + 1] >= MIN_PIXELS]
        litter: dict[int, int] = {}
        for index in seen:
            litter[cells[index].parent] = litter.get(cells[index].parent, 0) + 1
        lookup = np.zeros(count, np.uint16)
        now: dict[int, tuple[int, int, int]] = {}
        for index in seen:
            cell = cells[index]
            track, parent_track, parent_node = self._link(cell, litter)
            node = len(self._rows) + 1
            lookup[index + 1] = track
            z, y, x = (round(float(value), 3) for value in centres[index + 1])
            now[cell.cell] = (track, node, parent_track)
            self._rows.append(
                {
                    "track_id": track,
                    "t": t,
                    "id": node,
                    "parent_track_id": parent_track,
                    "parent_id": parent_node,
                    "z": z,
                    "y": y,
                    "x": x,
                    "infection_state": "infected" if cell.infected else "uninfected",
                    "cell_division_state": "mitosis" if cell.mitotic else "interphase",
                    "cell_death_state": "dead" if cell.dead else "alive",
                }
            )
        self._last = now
        return lookup[rendered.nuclei], lookup[rendered.bodies]

    def _link(self, cell: Snapshot, litter: dict[int, int]) -> tuple[int, int, int]:
        """Track, parent track and parent node of a cell in the frame being added."""
        if cell.cell in self._last:
            track, node, parent_track = self._last[cell.cell]
            return track, parent_track, node
        self._tracks += 1
        # The mother was seen in the frame before and not since, so this one is newborn.
        if cell.parent in self._last and litter[cell.parent] == 2:
            track, node, _ = self._last[cell.parent]
            return self._tracks, track, node
        return self._tracks, -1, -1

    def annotations(self, fov_name: str) -> pd.DataFrame:
        """Tracks and states of all nodes, one row each.

        Parameters
        ----------
        fov_name
            Name of the field, as in "B/1/0".
        """
        table = pd.DataFrame(self._rows, columns=[*TRACK_COLUMNS, *STATE_COLUMNS])
        table.insert(0, "fov_name", fov_name)
        return table


def _centroids(
    labels: NDArray[np.int32], count: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Pixels of each label, and their mean z, y, x."""
    where = np.flatnonzero(labels)
    values = labels.ravel()[where]
    area = np.bincount(values, minlength=count)
    places = np.unravel_index(where, labels.shape)
    sums = np.stack([np.bincount(values, axis, count) for axis in places], axis=1)
    return area, sums / np.maximum(area, 1)[:, None]
