"""Centres of cells, as local maxima of the centre enhancement network's levels.

Methods, "Center enhancement network": local maxima within a search mask of 5 x 5 x 3 voxels, in
place of non-maximum suppression.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.spatial import KDTree
from torch.nn import functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.tracking.cellect.network import Maps

MASK = (3, 5, 5)
"""Search mask (z, y, x) in voxels; a single slice has a mask of one."""

_SURE = 0.9
"""Probability from which the segmentation is sure of background."""


class Centres(NamedTuple):
    """Centres found in a frame.

    Attributes
    ----------
    voxels
        (z, y, x), (N, 3).
    confidence
        How sure the network is of each, from 0.5 to 1, (N,).
    """

    voxels: NDArray[np.int64]
    confidence: NDArray[np.float32]


def find_centres(maps: Maps, item: int = 0) -> Centres:
    """Find the centres of the cells of a frame.

    A voxel is one if its level 4 is the highest of all levels within the search mask, and the
    segmentation is not sure of background there. It need not be sure of a cell: that takes longer
    to learn than centres, of what is rare above all, and dividing cells would be lost.

    Parameters
    ----------
    maps
        Of the network.
    item
        Which of the batch.
    """
    levels = maps.levels[item : item + 1].detach().float()
    top = levels[:, 4]
    mask = [side if side <= depth else 1 for side, depth in zip(MASK, _zyx(top), strict=True)]
    highest = _highest(levels.amax(1), mask)
    background = maps.segmentation[item : item + 1].detach().float().softmax(1)[:, 0]
    found = torch.nonzero(((top == highest) & (background < _SURE))[0])
    here = (found[:, 0], found[:, 1], found[:, 2])
    rest = levels[0, :4].amax(0)[here]
    confidence = torch.sigmoid(top[0][here] - rest).cpu().numpy()
    voxels = found[:, [2, 0, 1]].cpu().numpy()
    kept = _one_of_equals(voxels, top[0][here].cpu().numpy(), mask)
    return Centres(voxels[kept], confidence[kept])


def _highest(image: torch.Tensor, mask: list[int]) -> torch.Tensor:
    """Highest value within the mask around each voxel of (1, Y, X, Z).

    Axis by axis: pooling in three dimensions is not there on all devices.
    """
    z, y, x = mask
    _, height, width, depth = image.shape
    slices = image.permute(0, 3, 1, 2)
    flat = F.max_pool2d(slices, (y, x), stride=1, padding=(y // 2, x // 2))
    columns = flat.reshape(1, depth, height * width)
    deep = F.max_pool2d(columns, (z, 1), stride=1, padding=(z // 2, 0))
    return deep.reshape(1, depth, height, width).permute(0, 2, 3, 1)


def _zyx(image: torch.Tensor) -> tuple[int, int, int]:
    _, y, x, z = image.shape
    return z, y, x


def _one_of_equals(
    voxels: NDArray[np.int64], value: NDArray[np.float32], mask: list[int]
) -> NDArray[np.intp]:
    """Keep one of several maxima within a mask, which are equal."""
    if len(voxels) < 2:
        return np.arange(len(voxels))
    reach = np.maximum(np.asarray(mask) // 2, 0.25)
    pairs = KDTree(voxels / reach).query_pairs(1.0, p=np.inf, output_type="ndarray")
    equal = pairs[value[pairs[:, 0]] == value[pairs[:, 1]]] if len(pairs) else pairs
    dropped = np.zeros(len(voxels), bool)
    for first, second in np.sort(equal, axis=1)[np.argsort(equal.max(1, initial=0))]:
        dropped[second] |= not dropped[first]
    return np.flatnonzero(~dropped)
