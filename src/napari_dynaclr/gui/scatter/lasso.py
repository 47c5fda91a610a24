"""Which points lie inside an outline, and which one is nearest: exact, for millions of points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.path import Path as Outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEW = 2000
"""Up to so many candidates, a raster costs more than it saves."""

GRID = 512
"""Cells of the raster along each side: an edge crosses few, and it fits in the cache."""

SLACK = 1e-2
"""Cells within this distance of an edge count as crossed; float32 errs a hundred times less."""

OUTSIDE, INSIDE, CROSSED = 0, 1, 2


def in_polygon(x: NDArray[np.float32], y: NDArray[np.float32], polygon: object) -> NDArray[np.intp]:
    """Return the indices of the points inside a polygon (even-odd rule).

    The answer is that of :meth:`matplotlib.path.Path.contains_points` for every point. The
    polygon is drawn on a raster over its bounding box; only points in cells that an edge crosses
    are tested one by one, the others take the answer of their cell.

    Parameters
    ----------
    x, y
        Coordinates of N points, shape (N,), contiguous. NaN lies outside.
    polygon
        (V, 2) vertices, x before y; the last joins the first.

    Returns
    -------
    NDArray[np.intp]
        Indices in ascending order.
    """
    vertices = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    if len(vertices) < 3:
        return np.empty(0, dtype=np.intp)
    low, high = _outwards(vertices.min(axis=0), vertices.max(axis=0))
    near = in_box(x, y, low, high)
    if not near.size:
        return near
    x, y = x[near], y[near]
    outline = Outline(np.vstack([vertices, vertices[:1]]), closed=True)
    scale = GRID / np.maximum(high.astype(np.float64) - low, np.finfo(np.float32).tiny)
    if near.size <= FEW or scale.max() > np.finfo(np.float32).max:
        return near[_contains(outline, x, y)]
    raster = _raster((vertices - low) * scale)
    column = _cell(x, low[0], scale[0])
    row = _cell(y, low[1], scale[1])
    row *= GRID
    row += column
    answer = raster[row]
    crossed = np.flatnonzero(answer == CROSSED)
    answer[crossed] = _contains(outline, x[crossed], y[crossed])
    inside: NDArray[np.intp] = near[answer == INSIDE]
    return inside


def in_box(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
) -> NDArray[np.intp]:
    """Return the indices of the points in a box, its edges included; NaN lies outside."""
    inside = x >= low[0]
    inside &= x <= high[0]
    inside &= y >= low[1]
    inside &= y <= high[1]
    return np.flatnonzero(inside)


def nearest(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    point: tuple[float, float],
    radius: float,
) -> int:
    """Return the index of the point nearest to a place, -1 where none is within the radius."""
    centre = np.asarray(point, dtype=np.float64)
    near = in_box(x, y, *_outwards(centre - radius, centre + radius))
    if not near.size:
        return -1
    squared = (x[near] - centre[0]) ** 2 + (y[near] - centre[1]) ** 2
    best = int(squared.argmin())
    return int(near[best]) if squared[best] <= radius**2 else -1


def _outwards(
    low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Round a box to float32 so that it loses no point."""
    low32, high32 = low.astype(np.float32), high.astype(np.float32)
    low32 = np.where(low32 > low, np.nextafter(low32, np.float32(-np.inf)), low32)
    high32 = np.where(high32 < high, np.nextafter(high32, np.float32(np.inf)), high32)
    return low32, high32


def _contains(
    outline: Outline, x: NDArray[np.float32], y: NDArray[np.float32]
) -> NDArray[np.bool_]:
    return np.asarray(outline.contains_points(np.column_stack([x, y]).astype(np.float64)))


def _cell(values: NDArray[np.float32], low: np.float32, scale: np.float64) -> NDArray[np.int32]:
    cell = values - low
    cell *= np.float32(scale)
    return np.minimum(cell.astype(np.int32), GRID - 1)


def _raster(vertices: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Draw a polygon in raster units: OUTSIDE, INSIDE or CROSSED by cell, flat, row by row."""
    start, stop = vertices, np.roll(vertices, -1, axis=0)
    upward = (start[:, 1] <= stop[:, 1])[:, None]
    lower, upper = np.where(upward, start, stop), np.where(upward, stop, start)
    rise = upper[:, 1] - lower[:, 1]
    slope = (upper[:, 0] - lower[:, 0]) / np.where(rise > 0, rise, 1.0)
    row = np.arange(GRID, dtype=np.float64)

    # Edges that pass the middle of a row turn the parity of all cells to their right. A cell is
    # only read where no edge comes near it, so its left side stands for all of it.
    middle = row[:, None] + 0.5
    passes = (lower[:, 1] <= middle) & (middle < upper[:, 1])
    at_row, edge = np.nonzero(passes)
    at = lower[edge, 0] + (at_row + 0.5 - lower[edge, 1]) * slope[edge]
    turns = np.zeros((GRID, GRID + 1), dtype=np.int32)
    np.add.at(turns, (at_row, np.clip(np.ceil(at), 0, GRID).astype(np.intp)), 1)
    inside = np.cumsum(turns[:, :GRID], axis=1) & 1

    # The stretch of every edge within every row marks the cells that it crosses.
    bottom, top = row[:, None] - SLACK, row[:, None] + 1 + SLACK
    at_row, edge = np.nonzero((lower[:, 1] <= top) & (bottom <= upper[:, 1]))
    begin = np.maximum(at_row - SLACK, lower[edge, 1])
    end = np.minimum(at_row + 1 + SLACK, upper[edge, 1])
    level = rise[edge] <= 0
    one = np.where(level, lower[edge, 0], lower[edge, 0] + (begin - lower[edge, 1]) * slope[edge])
    two = np.where(level, upper[edge, 0], lower[edge, 0] + (end - lower[edge, 1]) * slope[edge])
    left = np.clip(np.floor(np.minimum(one, two) - SLACK), 0, GRID - 1).astype(np.intp)
    right = np.clip(np.floor(np.maximum(one, two) + SLACK), 0, GRID - 1).astype(np.intp)
    spans = np.zeros((GRID, GRID + 1), dtype=np.int32)
    np.add.at(spans, (at_row, left), 1)
    np.add.at(spans, (at_row, right + 1), -1)
    crossed = np.cumsum(spans[:, :GRID], axis=1) > 0
    return np.where(crossed, CROSSED, inside).astype(np.uint8).ravel()
