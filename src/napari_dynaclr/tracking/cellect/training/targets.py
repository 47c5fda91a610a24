"""What the network is to say of a patch: painted from the centres and radii of its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVELS = 4
"""Levels above 0: the centre itself has the highest."""


@dataclass(frozen=True)
class Painted:
    """What the maps of one frame should be; all (Y, X, Z).

    Attributes
    ----------
    segmentation
        1 within the radius of a cell, 2 where it touches another one, 0 elsewhere, uint8.
    levels
        4 at the centre of a cell, falling to 0 with the distance, uint8.
    size
        Radius in pixels of the plane; 0 outside of cells, float32.
    division
        Whether the cell divides before the next frame, and whether it is newborn, (2, Y, X, Z),
        uint8.
    """

    segmentation: NDArray[np.uint8]
    levels: NDArray[np.uint8]
    size: NDArray[np.float32]
    division: NDArray[np.uint8]


def nearest_voxel(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the voxels that positions lie in, of any shape.

    Half-way between two, it is always the upper one: :func:`numpy.round` takes the even one, and
    is not the same in a patch that is cut or reflected elsewhere.
    """
    return np.floor(position + 0.5)


def paint(
    shape: tuple[int, int, int],
    position: NDArray[np.float64],
    radius: NDArray[np.float64],
    dividing: NDArray[np.bool_],
    newborn: NDArray[np.bool_],
) -> Painted:
    """Paint the maps of a frame.

    A voxel within the radii of several cells is of the one whose centre is nearest, relative to
    its radius. In the 7 x 7 x 7 voxels around a centre, the level falls by one with each step
    along an axis, as in the published code; the paper says "with increasing distance" (Methods,
    Center enhancement network).

    Parameters
    ----------
    shape
        (Y, X, Z) of the patch.
    position
        Centres (y, x, z) in voxels of the patch; they may lie outside, (N, 3).
    radius
        Radii along y, x and z in voxels, (N, 3).
    dividing, newborn
        Of each cell, (N,).
    """
    nearest = np.full(shape, np.inf, np.float32)
    owner, levels = np.full(shape, -1, np.int32), np.zeros(shape, np.uint8)
    size, division = np.zeros(shape, np.float32), np.zeros((2, *shape), np.uint8)
    for number, (centre, reach) in enumerate(zip(position, radius, strict=True)):
        box = _box(centre, reach, shape)
        if all(one.start < one.stop for one in box):
            axes = np.ogrid[box]
            steps = zip(axes, centre, reach, strict=True)
            away = sum(((axis - c) / max(r, 0.5)) ** 2 for axis, c, r in steps)
            mine = (away <= 1) & (away < nearest[box])
            nearest[box][mine] = np.broadcast_to(away, mine.shape)[mine]
            owner[box][mine] = number
            size[box][mine] = reach[0]
            division[0][box][mine] = dividing[number]
            division[1][box][mine] = newborn[number]
        middle = nearest_voxel(centre)
        box = _box(middle, np.full(3, LEVELS - 1.0), shape)
        if all(one.start < one.stop for one in box):
            axes = np.ogrid[box]
            steps_away = sum(np.abs(axis - c) for axis, c in zip(axes, middle, strict=True))
            level = (LEVELS - steps_away).clip(0).astype(np.uint8)
            np.maximum(levels[box], level, out=levels[box])
    return Painted(_classes(owner), levels, size, division)


def _classes(owner: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Tell background (0), cells (1) and where one touches another (2), from their owners."""
    found = (owner >= 0).astype(np.uint8)
    for axis in range(owner.ndim):
        here, there = np.moveaxis(owner, axis, 0)[:-1], np.moveaxis(owner, axis, 0)[1:]
        touching = (here != there) & (here >= 0) & (there >= 0)
        moved = np.moveaxis(found, axis, 0)
        moved[:-1][touching] = 2
        moved[1:][touching] = 2
    return found


def _box(
    centre: NDArray[np.float64], reach: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[slice, ...]:
    """Return what of the patch is within reach of a centre."""
    low = np.ceil(centre - reach).clip(0).astype(int)
    high = np.minimum(np.floor(centre + reach).astype(int) + 1, shape)
    return tuple(slice(int(a), int(max(a, b))) for a, b in zip(low, high, strict=True))
