"""Images brought to the voxel size that a network was trained with, and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import torch
    from numpy.typing import NDArray


def resize(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize slices in Y and X, bilinear; smoothed before where they shrink.

    Parameters
    ----------
    image
        (C, Y, X).
    size
        The new (Y, X).
    """
    if tuple(image.shape[-2:]) == size:
        return image
    return interpolate(image[None], size, mode="bilinear", antialias=True)[0]


@dataclass(frozen=True)
class Restack:
    """Slices at another spacing, made one by one from the neighbours of each.

    Attributes
    ----------
    before, after
        Slices there are, and there are to be.
    """

    before: int
    after: int

    @cached_property
    def _shares(self) -> list[tuple[int, NDArray[np.float64]]]:
        """First slice that each new one is made from, and the shares.

        They are a triangle as wide as the larger of both spacings, as in :func:`resize`.
        """
        ratio = self.before / self.after
        reach = max(ratio, 1.0)
        found = []
        for k in range(self.after):
            centre = (k + 0.5) * ratio - 0.5
            low = max(int(np.ceil(centre - reach)), 0)
            high = min(int(np.floor(centre + reach)), self.before - 1)
            shares = 1 - np.abs(np.arange(low, high + 1) - centre) / reach
            kept = np.flatnonzero(shares > 0)
            found.append((low + int(kept[0]), shares[kept] / shares[kept].sum()))
        return found

    def __call__(self, slices: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Make the new slices as the old ones come.

        Parameters
        ----------
        slices
            ``before`` slices of any shape, (C, Y, X) each.

        Yields
        ------
        torch.Tensor
            ``after`` slices.
        """
        if self.before == self.after:
            yield from slices
            return
        source = iter(enumerate(slices))
        ring: dict[int, torch.Tensor] = {}
        newest = -1
        for first, shares in self._shares:
            while newest < first + len(shares) - 1:
                newest, image = next(source)
                ring[newest] = image
            for z in [z for z in ring if z < first]:
                del ring[z]
            new = ring[first] * float(shares[0])
            for more, share in enumerate(shares[1:], start=1):
                new += ring[first + more] * float(share)
            yield new
        for _ in source:  # a reader looks at the whole stack, also past what is needed
            pass
