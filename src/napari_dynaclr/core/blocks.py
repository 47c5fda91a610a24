"""A frame in overlapping blocks, so that one of any size fits into memory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

Box = tuple[slice, slice, slice]
Size = tuple[int, int, int]


@dataclass(frozen=True)
class Block:
    """Part of a frame, (z, y, x).

    Attributes
    ----------
    read
        What the network sees.
    keep
        What is taken of what it says; those of all blocks make up the frame.
    """

    read: Box
    keep: Box

    @property
    def inner(self) -> Box:
        """``keep`` within ``read``."""
        z, y, x = (
            slice(keep.start - read.start, keep.stop - read.start)
            for keep, read in zip(self.keep, self.read, strict=True)
        )
        return z, y, x


def plan(shape: Size, block: Size, halo: Size, stride: int) -> list[Block]:
    """Divide a frame.

    Blocks begin where the deepest level of the network has a voxel, so that it sees the frame in
    the same grid whichever way it is divided.

    Parameters
    ----------
    shape
        Of the frame (z, y, x).
    block
        Largest block that the network may see, with the halo.
    halo
        Voxels around what is kept, on each side where there are any.
    stride
        Of the network in Y and X.
    """
    strides = (1, stride, stride)
    axes = zip(shape, block, halo, strides, strict=True)
    cuts = [_cuts(*axis) for axis in axes]
    return [Block((z[0], y[0], x[0]), (z[1], y[1], x[1])) for z, y, x in product(*cuts)]


def _cuts(size: int, block: int, halo: int, stride: int) -> list[tuple[slice, slice]]:
    """Cut an axis into parts that are about equal: (read, keep) of each."""
    if size <= block:
        return [(slice(0, size), slice(0, size))]
    halo = -(-halo // stride) * stride
    most = max((block - 2 * halo) // stride, 1) * stride
    count = -(-size // most)
    step = -(-size // (count * stride)) * stride
    return [
        (
            slice(max(start - halo, 0), min(start + step + halo, size)),
            slice(start, min(start + step, size)),
        )
        for start in range(0, size, step)
    ]
