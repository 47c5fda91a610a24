"""Intensities of the images brought to what a network was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.normalize import EPSILON, Statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

Mode = Literal["mean-std", "median-iqr", "percentiles", "none"]

MODES: dict[Mode, str] = {
    "mean-std": "mean 0 and standard deviation 1",
    "median-iqr": "median 0 and interquartile range 1",
    "percentiles": "1st to 99th percentile to 0-1",
    "none": "as they are",
}
"""Ways to normalise an image."""

_NAMES: dict[Mode, tuple[str, str]] = {
    "mean-std": ("mean", "std"),
    "median-iqr": ("median", "iqr"),
    "percentiles": ("p1", "p99_p1"),
}

_FLAT = 1e-7
"""Of its level, the range below which an image is flat but for rounding."""


@dataclass(frozen=True)
class Intensities:
    """What to subtract from an image, and to divide it by.

    Attributes
    ----------
    sub, div
        VisCy's ``(image - sub) / (div + 1e-8)``.
    flat
        Whether the image is the same everywhere: the result is 0, rather than rounding
        errors made large.
    fill
        Level that pixels without a finite value are set to.
    """

    sub: float = 0.0
    div: float = 1.0
    flat: bool = False
    fill: float = 0.0

    @classmethod
    def of(cls, known: Statistics, mode: Mode, where: str) -> Intensities:
        """Settle these from statistics.

        Parameters
        ----------
        known
            From :func:`~napari_dynaclr.core.normalize.statistics`.
        mode
            How to normalise.
        where
            What the statistics are of, in the user's words.

        Raises
        ------
        InvalidInput
            If a statistic is missing, or the image varies but its range is zero.
        """
        if mode == "none":
            return cls(div=1.0 - EPSILON, fill=known.get("median", known.get("mean", 0.0)))
        sub, div = _NAMES[mode]
        lacks = [name for name in (sub, div) if name not in known]
        if lacks:
            raise InvalidInput(
                f"{where}: the normalisation statistics lack {lacks[0]}: choose another "
                f"normalisation than {mode}."
            )
        least = _FLAT * abs(known[sub])
        flat = known[div] <= least
        if flat and known.get("std", 0.0) > least:
            raise InvalidInput(
                f"{where}: most pixels have the same value, so that {div} is 0: choose the "
                "normalisation mean-std."
            )
        middle = known.get("median", known.get("mean", known[sub]))
        return cls(known[sub], known[div], flat, middle)

    def __call__(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Normalise an image of any shape, NaN and infinite pixels filled."""
        if self.flat:
            return np.zeros(image.shape, np.float32)
        scaled = image.astype(np.float32)
        scaled -= np.float32(self.sub)
        scaled /= np.float32(self.div + EPSILON)
        if image.dtype.kind == "f":
            good = np.isfinite(scaled)
            if not good.all():
                scaled[~good] = (self.fill - self.sub) / (self.div + EPSILON)
        return scaled
