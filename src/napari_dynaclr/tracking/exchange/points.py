"""Cells for tracks that are points: discs around them, or the segmented cells under them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def draw_discs(
    image: NDArray[np.uint32],
    places: NDArray[np.float64],
    radii: NDArray[np.float64],
    numbers: NDArray[np.integer],
    scale: tuple[float, float, float],
) -> None:
    """Draw cells as discs (balls, in a stack) where nothing is yet, in place.

    Between two centres, the nearer one has the pixel. The pixel of a centre is always part
    of its disc.

    Parameters
    ----------
    image
        Label image (Z, Y, X).
    places
        Centres (z, y, x) in pixels, (N, 3).
    radii
        In um, (N,).
    numbers
        Pixel value of each, (N,).
    scale
        Voxel size (z, y, x) in um.
    """
    shape, voxel = np.array(image.shape), np.asarray(scale)
    nearest = np.full(image.shape, np.inf, np.float32)
    nearest[image > 0] = -1.0  # taken
    for place, radius, number in zip(places, radii, numbers, strict=True):
        centre = np.clip(np.round(place).astype(int), 0, shape - 1)
        low = np.maximum(np.floor(place - radius / voxel), 0).astype(int)
        low = np.minimum(low, centre)
        high = np.minimum(np.ceil(place + radius / voxel) + 1, shape).astype(int)
        high = np.maximum(high, centre + 1)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        axes = np.ogrid[box]
        away = sum(
            ((axis - p) * v) ** 2 for axis, p, v in zip(axes, place, voxel, strict=True)
        ).astype(np.float32)
        inside = away <= radius**2
        inside[tuple(centre - low)] = True
        better = inside & (away < nearest[box])
        nearest[box][better] = away[better]
        image[box][better] = number


def cells_under(
    labels: NDArray[Any], places: NDArray[np.float64], numbers: NDArray[np.integer]
) -> NDArray[np.uint32]:
    """Return the segmented cells that points lie in, with the points' numbers.

    A cell with several points in it is divided between them: each pixel goes to the nearest.

    Parameters
    ----------
    labels
        Segmented label image (Z, Y, X).
    places
        Points (z, y, x) in pixels, (N, 3).
    numbers
        Pixel value of each, (N,).

    Returns
    -------
    numpy.ndarray
        Label image; points outside of all cells have no pixels in it.
    """
    last = np.array(labels.shape) - 1
    here = np.clip(np.round(places).astype(int), 0, last)
    under = labels[tuple(here.T)]
    order = np.argsort(under, kind="stable")
    order = order[under[order] > 0]
    found, first, count = np.unique(under[order], return_index=True, return_counts=True)
    result = np.zeros(labels.shape, np.uint32)
    if not len(found):
        return result
    index = np.minimum(np.searchsorted(found, labels), len(found) - 1)
    inside = found[index] == labels
    result[inside] = numbers[order[first]][index[inside]]
    for label, start, several in zip(found, first, count, strict=True):
        if several > 1:
            own = order[start : start + several]
            pixels = np.argwhere(labels == label)
            away = ((pixels[:, None] - places[own][None]) ** 2).sum(axis=2)
            result[tuple(pixels.T)] = numbers[own][away.argmin(axis=1)]
    return result
