"""Frames too large for a network at once: tiles that overlap, and fade into each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tile:
    """A part of a frame, and how much of the result is taken from it.

    Attributes
    ----------
    y, x
        Where it is, in pixels.
    weights
        Share of each pixel, (Y, X) float32; all tiles of a frame sum to one everywhere.
    """

    y: slice
    x: slice
    weights: NDArray[np.float32]


def padding(length: int, multiple: int) -> tuple[int, int]:
    """Return the pixels to add before and after, half each, to reach a multiple.

    Parameters
    ----------
    length
        Pixels that are there.
    multiple
        What their number has to be a multiple of.
    """
    more = -length % multiple
    return more // 2, more - more // 2


def reflected(length: int, before: int, after: int) -> NDArray[np.intp]:
    """Return which of ``length`` places each place of a stretch continued by reflection shows.

    Parameters
    ----------
    length
        Places that are there.
    before, after
        Places to add; more than there are is fine.
    """
    return np.pad(np.arange(length), (before, after), mode="reflect")


def tiles(
    shape: tuple[int, int], tile: int | tuple[int, int], overlap: int, multiple: int
) -> list[Tile]:
    """Cut a frame into tiles of the same size, spread evenly.

    Tiles start at multiples of ``multiple`` so that what a network sees of a pixel
    does not shift against its own grid.

    Parameters
    ----------
    shape
        (Y, X) of the frame, multiples of ``multiple``.
    tile
        Side of a tile, or (Y, X); rounded down to a multiple, at least one.
    overlap
        Pixels that neighbours share at least, rounded up to a multiple; no more than half
        a tile.
    multiple
        The network's stride in pixels.

    Returns
    -------
    list
        One whole tile where the frame is no larger.

    Raises
    ------
    ValueError
        If the shape is no multiple.
    """
    sides = (tile, tile) if isinstance(tile, int) else tile
    rows, columns = (
        _along(length, side, overlap, multiple) for length, side in zip(shape, sides, strict=True)
    )
    return [Tile(y, x, np.outer(wy, wx)) for y, wy in rows for x, wx in columns]


def _along(
    length: int, side: int, overlap: int, multiple: int
) -> list[tuple[slice, NDArray[np.float32]]]:
    """Stretches along one axis, with weights that sum to one; their products do, too."""
    if length % multiple:
        raise ValueError(f"{length} is no multiple of {multiple}")
    side = min(max(side // multiple, 1) * multiple, length)
    if side == length:
        return [(slice(0, length), np.ones(length, np.float32))]
    overlap = min(-(-overlap // multiple) * multiple, side // 2 // multiple * multiple)
    count = -(-(length - overlap) // (side - overlap))
    free = (length - side) // multiple
    starts = [round(i * free / (count - 1)) * multiple for i in range(count)]
    ramp = _ramp(side, max(overlap, 1))
    total = np.zeros(length)
    for start in starts:
        total[start : start + side] += ramp
    places = [slice(start, start + side) for start in starts]
    return [(place, (ramp / total[place]).astype(np.float32)) for place in places]


def _ramp(side: int, overlap: int) -> NDArray[np.float64]:
    """Weight that rises over ``overlap`` pixels from both ends, slowly at first (a cosine)."""
    ends = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
    return np.asarray(np.sin(np.pi / 2 * np.minimum(ends / overlap, 1)) ** 2)
