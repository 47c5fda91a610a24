"""Label images of corrected tracks: the method's, renumbered, with what was added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_dynaclr.tracking.nodes import relabel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.tracking.correction.lineages import Lineages


def corrected_labels(
    frame: NDArray[Any], lineages: Lineages, t: int, scale: tuple[float, float, float]
) -> tuple[NDArray[np.uint32], dict[int, int]]:
    """Renumber a label image by the tracks of today.

    Parameters
    ----------
    frame
        The method's label image of that time point, by its track ids, (Z, Y, X).
    lineages
        The tracks of today.
    t
        Time point.
    scale
        Voxel size (z, y, x) in um.

    Returns
    -------
    labels : (Z, Y, X) array
        By track id. Cells that were deleted are background; those that were added are
        discs, or balls, where there is background.
    areas : dict
        Pixels of each added cell, by node id.
    """
    before, now = lineages.renamed(t)
    labels = relabel(frame, pd.DataFrame({"label": before, "track_id": now}))
    areas = {}
    drawn = lineages.drawn
    for cell in drawn[drawn["t"] == t].to_dict("records"):
        centre = [float(cell[axis]) for axis in "zyx"]
        where, inside = ball(labels.shape, centre, float(cell["radius"]), scale)
        free = inside & (labels[where] == 0)
        labels[where][free] = int(cell["track_id"])
        areas[int(cell["id"])] = int(free.sum())
    return labels, areas


def ball(
    shape: tuple[int, ...],
    centre: Sequence[float],
    radius: float,
    scale: tuple[float, float, float],
) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    """Find the pixels within a distance of a point; of a single slice, a disc.

    Parameters
    ----------
    shape
        Of the image, (Z, Y, X).
    centre
        (z, y, x) in pixels, within the image.
    radius
        In um. The pixel under the centre is always within it.
    scale
        Voxel size (z, y, x) in um.

    Returns
    -------
    where
        The part of the image that is looked at.
    inside
        Which of its pixels are within the distance.
    """
    where, squares = [], []
    for size, middle, step in zip(shape, centre, scale, strict=True):
        reach = radius / step
        low = min(max(int(np.floor(middle - reach)), 0), round(middle))
        high = max(min(int(np.ceil(middle + reach)), size - 1), round(middle))
        where.append(slice(low, high + 1))
        distance = (np.arange(low, high + 1) - middle) * step
        squares.append(distance**2 if size > 1 else np.zeros(1))
    inside = (
        squares[0][:, None, None] + squares[1][:, None] + squares[2]
    ) <= radius**2  # fmt: skip
    inside[tuple(round(m) - w.start for m, w in zip(centre, where, strict=True))] = True
    return tuple(where), inside
