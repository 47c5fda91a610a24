"""Equalising the local contrast of stains that are expressed unevenly (CLAHE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.normalize import summarize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov

KERNEL = (32, 32)
"""(y, x) pixels, those of cytoland.txt, VSNeuromast, Fine-tuning."""

_FEW = 3
"""Time points, and slices of each, that tell limits and statistics of a FOV."""


@dataclass(frozen=True)
class Equalizer:
    """Equalises the stacks of a channel of one FOV, slice by slice.

    What becomes of a slice depends on that slice and the limits alone, so a network learns the
    same target whether stacks are in memory as a whole, streamed, or watched. The paper's kernel
    also reaches over 5 slices (5, 32, 32): what it makes of a slice depends on where the stack
    that was read begins.

    Attributes
    ----------
    low, high
        What becomes 0 and 1 before.
    kernel
        (y, x) pixels; as large as the images where they are smaller.
    """

    low: float
    high: float
    kernel: tuple[int, int] = KERNEL

    def __call__(self, stack: NDArray[Any]) -> NDArray[np.float32]:
        """Equalise a stack, (Z, Y, X); the result is from 0 to 1."""
        scaled = (np.asarray(stack, np.float32) - self.low) / max(self.high - self.low, 1e-8)
        return np.stack([self._slice(one) for one in scaled.clip(0, 1)])

    def _slice(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Equalise one slice, (Y, X).

        scikit-image first stretches each picture to all greys, also a slice of nothing but noise:
        a strip of all greys below it, out of reach of its pixels, keeps it from that.
        """
        from skimage.exposure import equalize_adapthist

        height, width = image.shape
        tall, wide = (min(one, side) for one, side in zip(self.kernel, image.shape, strict=True))
        continued = (-(-height // tall) + 1) * tall - height
        strip = np.resize(np.linspace(0, 1, wide, dtype=np.float32), (tall, width))
        whole = np.concatenate([np.pad(image, ((0, continued), (0, 0)), "reflect"), strip])
        equal: NDArray[np.float32] = equalize_adapthist(whole, (tall, wide))
        return equal[:height].astype(np.float32, copy=False)


def fit_equalizers(
    fov: Fov, channels: Sequence[str], times: Sequence[int]
) -> tuple[tuple[Equalizer, ...], tuple[dict[str, float], ...]]:
    """Find limits for a FOV's channels, and what their statistics are once equalised.

    Both are of some slices of some time points, spread evenly.

    Parameters
    ----------
    fov
        The FOV.
    channels
        Names.
    times
        Time points to choose from, ascending.

    Returns
    -------
    tuple
        For each channel how it is equalised, and its statistics after that.

    Raises
    ------
    InvalidInput
        If a chunk is damaged.
    """
    chosen = _spread(times)
    slices = _spread(range(fov.shape[1]))
    stacks = np.concatenate(
        [
            frame
            for z in slices
            for _, frame in fov.frames(channels, chosen, allow_empty=True, slices=slice(z, z + 1))
        ],
        axis=1,
    )
    equalizers, statistics = [], []
    for stack in stacks:
        low, high = (float(one) for one in np.percentile(stack[:, ::4, ::4], [0.1, 99.9]))
        equalizers.append(Equalizer(low, high))
        statistics.append(summarize(equalizers[-1](stack)[:, ::4, ::4]))
    return tuple(equalizers), tuple(statistics)


def _spread(values: Sequence[int]) -> list[int]:
    """Choose a few, evenly."""
    places = np.linspace(0, len(values) - 1, min(_FEW, len(values))).round().astype(int)
    return [values[i] for i in places]
