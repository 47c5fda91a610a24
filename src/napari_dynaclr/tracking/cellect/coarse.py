"""Coarse masks of cells from centres, radii and the segmentation map.

Methods, "Segmentation and radius estimation": coarse, as nothing but centres was learned from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import watershed

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CORE, _REACH = 0.5, 1.3
"""Radii from its centre at which a cell ends at the earliest and at the latest; cells are no
balls."""


def coarse_masks(
    inside: NDArray[np.bool_],
    voxels: NDArray[np.int64],
    radius: NDArray[np.floating],
    spacing: tuple[float, float, float],
) -> NDArray[np.uint32]:
    """Divide what is inside of cells among their centres.

    A watershed of the distance from the centres: a voxel goes to the centre that it is nearest
    to, on a way through cells, and to none if it is further than 1.3 radii. Half a radius about
    its centre belongs to a cell even if nothing is said to be inside there.

    Parameters
    ----------
    inside
        What is no background, (Z, Y, X).
    voxels
        Centres (z, y, x), (N, 3), all different.
    radius
        Of each cell, in pixels of Y and X, (N,).
    spacing
        Of voxels in z, y, x, in pixels of Y and X.

    Returns
    -------
    numpy.ndarray
        Labels 1 to N, (Z, Y, X); each cell has its centre at least.
    """
    markers = np.zeros(inside.shape, np.uint32)
    if len(voxels) == 0:
        return markers
    z, y, x = voxels.T
    markers[z, y, x] = np.arange(1, len(voxels) + 1)
    distance, places = distance_transform_edt(markers == 0, sampling=spacing, return_indices=True)
    near = np.concatenate([[0.0], np.maximum(radius, 1.0)])[markers[tuple(places)]]
    mask = (inside & (distance <= _REACH * near)) | (distance <= _CORE * near)
    return np.asarray(watershed(distance, markers, mask=mask), np.uint32)


def enlarged(
    labels: NDArray[np.uint32], size: tuple[int, int], voxels: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """Bring masks to another size in Y and X.

    Parameters
    ----------
    labels
        Labels 1 to N, (Z, Y, X).
    size
        The new (Y, X).
    voxels
        Centres (z, y, x) in the new size, (N, 3): a cell too small to be seen there keeps
        that voxel.
    """
    if labels.shape[1:] == size:
        return labels
    y, x = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for new, old in zip(size, labels.shape[1:], strict=True)
    )
    result = labels[:, y][:, :, x]
    lost = np.setdiff1d(np.arange(1, len(voxels) + 1), result)
    result[tuple(voxels[lost - 1].T)] = lost
    return result
