"""Where the pixels of each cell are, for the means of dense features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.embedding.tap.dense import Tile
    from napari_dynaclr.embedding.tap.recipe import Stacks


@dataclass(frozen=True)
class Regions:
    """Pixels of the cells of a time point, each with the cell that it belongs to.

    A pixel may belong to several cells, where a projection lays one over the other.

    Attributes
    ----------
    shape
        Of the images that the network sees, (planes, Y, X).
    count
        Number of cells.
    cell, plane, y, x
        One entry a pixel, (M,); planes ascend. 16 bytes a pixel of a cell in all.
    """

    shape: tuple[int, int, int]
    count: int
    cell: NDArray[np.int32]
    plane: NDArray[np.int32]
    y: NDArray[np.int32]
    x: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        labels: NDArray[Any],
        cells: pd.DataFrame,
        stacks: Stacks,
        radius: float,
        scale: tuple[float, float, float],
    ) -> Regions:
        """Find them: the mask of a cell or, where it has none, the surroundings of its centre.

        Parameters
        ----------
        labels
            Label image by track id, (Z, Y, X).
        cells
            Rows of the tracks table, of one time point, at least one: ``track_id``, ``z``,
            ``y``, ``x``.
        stacks
            "slices", or "max", where the masks are projected as well.
        radius
            Of the surroundings, um, in the slice of the centre.
        scale
            Voxel size (z, y, x) in um.
        """
        _, height, width = labels.shape
        ids = cells["track_id"].to_numpy()
        flat = stacks == "max"
        # A number for each pixel of each cell, slice by slice: what is at hand beside it is of one.
        parts = [np.zeros(0, np.int64)] if flat else []
        for mask in labels:
            found = _pixels(mask, ids)
            if flat:
                parts[0] = np.union1d(parts[0], found)
            else:
                parts.append(found)
        size = height * width
        seen = np.zeros(len(ids), bool)
        for part in parts:
            seen[np.unique(part // size)] = True
        for lost in np.flatnonzero(~seen):
            at = cells.iloc[lost]
            z = 0 if flat else int(np.clip(round(at["z"]), 0, len(parts) - 1))
            rows, columns = _disc(at["y"], at["x"], radius, scale, (height, width))
            parts[z] = np.concatenate([parts[z], lost * size + rows * width + columns])
        plane = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
        cell, y, x = (np.empty(len(plane), np.int32) for _ in range(3))
        stop = 0
        for i, part in enumerate(parts):
            here = slice(stop, stop := stop + len(part))
            cell[here], y[here], x[here] = part // size, part % size // width, part % width
            parts[i] = part[:0]  # let go of it
        return cls((len(parts), height, width), len(ids), cell, plane, y, x)

    def planes(self) -> list[int]:
        """Return the planes in which there are cells, ascending."""
        return [int(z) for z in np.unique(self.plane)]

    def at_border(self) -> NDArray[np.bool_]:
        """Whether each cell touches the edge of the image, (cells,)."""
        _, height, width = self.shape
        edge = (self.y == 0) | (self.y == height - 1) | (self.x == 0) | (self.x == width - 1)
        return self._any(edge)

    def touch(self, where: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether each cell has a pixel in a mask (planes, Y, X), (cells,)."""
        return self._any(where[self.plane, self.y, self.x])

    def _any(self, which: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.bincount(self.cell[which], minlength=self.count) > 0

    def add(self, total: NDArray[np.float64], tile: Tile, plane: int) -> None:
        """Add the features of a part of a plane to those of its cells.

        Parameters
        ----------
        total
            Sum by cell so far, (features, cells); changed.
        tile
            The part.
        plane
            Which plane it is of.
        """
        # Of the same type, lest all of them be copied to another.
        here = slice(*np.searchsorted(self.plane, np.array([plane, plane + 1], np.int32)))
        y, x, cell = self.y[here], self.x[here], self.cell[here]
        inside = (y >= tile.y.start) & (y < tile.y.stop) & (x >= tile.x.start) & (x < tile.x.stop)
        if not inside.any():
            return
        z = tile.z.cpu().numpy()
        values = z[:, y[inside] - tile.y.start, x[inside] - tile.x.start]
        for feature, part in enumerate(values):
            total[feature] += np.bincount(cell[inside], weights=part, minlength=self.count)

    def means(self, total: NDArray[np.float64]) -> NDArray[np.float32]:
        """Divide sums (features, cells) by the pixels of each cell: (cells, features)."""
        pixels = np.bincount(self.cell, minlength=self.count)
        return np.asarray((total / pixels).T, np.float32)


def _pixels(mask: NDArray[Any], ids: NDArray[Any]) -> NDArray[np.int64]:
    """Return where the cells ``ids`` are in a slice (Y, X): index of the cell x Y x X + pixel."""
    order = np.argsort(ids)
    at = np.flatnonzero(mask)
    label = mask.ravel()[at]
    place = np.minimum(np.searchsorted(ids[order], label), len(ids) - 1)
    known = ids[order[place]] == label
    return np.asarray(order[place[known]] * mask.size + at[known], np.int64)


def _disc(
    y: float, x: float, radius: float, scale: tuple[float, float, float], size: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pixels around a centre, in the image; the one that it is in, at least."""
    spans = []
    for centre, step, most in zip((y, x), scale[1:], size, strict=True):
        nearest = int(np.clip(round(centre), 0, most - 1))
        low = min(nearest, max(0, int(np.ceil(centre - radius / step))))
        high = max(nearest, min(most - 1, int(np.floor(centre + radius / step))))
        spans.append(np.arange(low, high + 1))
    dy, dx = np.meshgrid(*spans, indexing="ij")
    distance = np.hypot((dy - y) * scale[1], (dx - x) * scale[2])
    inside = (distance <= radius) | (distance == distance.min())
    return dy[inside], dx[inside]
