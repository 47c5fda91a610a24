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
    scale = view.scale(size) * ratio
    pixel = _pixel(xy[:, 1], view.y, scale, height)
    pixel *= width + 2
    pixel += _pixel(xy[:, 0], view.x, scale, width)
    last = np.full((height + 2, width + 2), -1, np.int32)
    # Of several, numpy keeps the last.
    last.ravel()[pixel] = np.arange(len(xy), dtype=np.int32)
    inside = last[1:-1, 1:-1]
    seen = inside[inside >= 0].astype(np.intp)
    seen.sort()
    return seen


def _pixel(
    values: NDArray[np.float32], centre: float, scale: float, count: int
) -> NDArray[np.int32]:
    """Return pixels from 1 to ``count``; before them is 0, behind them ``count + 1``."""
    # In float32, as the graphics card does it: half the memory to go through.
    at = values - np.float32(centre)
    at *= np.float32(scale)
    at += np.float32(count / 2 + 1)
    np.fmax(at, 0, out=at)  # not clip: what is no number is outside too
    np.fmin(at, count + 1, out=at)
    return at.astype(np.int32)
