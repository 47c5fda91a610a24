"""Which tokens a student does not see: blocks, as in iBOT and DINOv2."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARE = 0.5
"""Of the images that are masked; the paper does not say, DINOv2's."""

RATIOS = (0.1, 0.5)
"""Of their tokens that are masked, from image to image; the paper does not say, DINOv2's."""

_LEAST = 4
"""Tokens of a block."""

_LONGEST = 1 / 0.3
"""Ratio of the sides of a block at most."""

_TRIES = 10


def block_masks(count: int, grid: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Draw masks for the images of a batch.

    Parameters
    ----------
    count
        Images.
    grid
        Tokens along a side.
    generator
        For everything that is drawn.

    Returns
    -------
    numpy.ndarray
        True where a token is masked, (count, grid, grid); at least one in all.
    """
    masks = np.zeros((count, grid, grid), bool)
    chosen = generator.permutation(count)[: max(round(SHARE * count), 1)]
    bounds = np.linspace(*RATIOS, len(chosen) + 1)
    for image, low, high in zip(chosen, bounds[:-1], bounds[1:], strict=True):
        wanted = max(round(generator.uniform(low, high) * grid * grid), 1)
        _mask(masks[image], wanted, generator)
    return masks


def _mask(mask: NDArray[np.bool_], wanted: int, generator: np.random.Generator) -> None:
    """Mask blocks of one image until ``wanted`` tokens are, in place."""
    grid = len(mask)
    for _ in range(_TRIES):
        left = wanted - int(mask.sum())
        if left < _LEAST:
            break
        area = generator.uniform(_LEAST, left)
        sides = math.exp(generator.uniform(-math.log(_LONGEST), math.log(_LONGEST)))
        height, width = (round(math.sqrt(area * one)) for one in (sides, 1 / sides))
        if not (0 < height <= grid and 0 < width <= grid):
            continue
        top, start = generator.integers(grid - height + 1), generator.integers(grid - width + 1)
        block = mask[top : top + height, start : start + width]
        if not 0 < height * width - int(block.sum()) <= left:
            continue
        block[:] = True
    # What no block fits into: single tokens.
    free = np.flatnonzero(~mask)
    rest = max(wanted - int(mask.sum()), 0)
    mask.flat[generator.choice(free, rest, replace=False)] = True
