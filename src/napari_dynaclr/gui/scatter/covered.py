"""Which of very many points can be seen at all: a million lie on each other in layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.gui.scatter.view import View

FEW = 20_000
"""Fewer points are drawn sooner than it is found out which are covered."""


def uncovered(
    xy: NDArray[np.float32], view: View, size: tuple[int, int], ratio: float, reach: float
) -> NDArray[np.intp]:
    """Return which points are seen, where all are opaque, of one size, and drawn in this order.

    A point is covered if the centre of a later one is in the same pixel: what may still
    stick out of it is less than a pixel wide. Points farther from the view than they are
    wide are not seen either.

    Parameters
    ----------
    xy
        Points, (N, 2).
    view
        What is shown of them.
    size
        Width and height of the widget in logical pixels.
    ratio
        Physical pixels per logical one.
    reach
        Radius of a point in logical pixels.

    Returns
    -------
    NDArray[np.intp]
        Indices into ``xy``, in order.
    """
    rim = int(np.ceil(reach * ratio)) + 1
    width, height = (int(np.ceil(side * ratio)) + 2 * rim for side in size)
    scale = np.float32(view.scale(size) * ratio)
    # In float32, as the graphics card does it: half the memory to go through.
    x = (xy[:, 0] - np.float32(view.x)) * scale + np.float32(width / 2)
    y = (xy[:, 1] - np.float32(view.y)) * scale + np.float32(height / 2)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    rows = np.flatnonzero(inside)
    pixel = y[rows].astype(np.int32) * width + x[rows].astype(np.int32)
    last = np.full(width * height, -1, np.int32)
    last[pixel] = rows  # of several, numpy keeps the last
    seen = last[last >= 0].astype(np.intp)
    seen.sort()
    return seen
