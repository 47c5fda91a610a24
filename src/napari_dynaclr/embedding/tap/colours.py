"""Dense features as a picture: their three main directions as red, green and blue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAMPLE = 1 << 16
"""Pixels at most that directions are taken of."""
_LOW, _HIGH = 1.0, 99.0
"""Percentiles that are shown as none and all of a colour."""
_COLOURS = 3


@dataclass(frozen=True)
class ColourBasis:
    """How features become colours; the same for a movie, so that colours mean the same.

    Attributes
    ----------
    mean
        Of the features, (features,).
    axes
        Directions of red, green and blue, (3, features); 0 where there are fewer directions.
    low, high
        What is shown as none and all of each colour, (3,).
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> ColourBasis:
        """Find it by the principal components of a frame's features.

        Parameters
        ----------
        features
            (features, Y, X).
        """
        flat = features.reshape(len(features), -1)
        sample = flat[:, :: (flat.shape[1] // _SAMPLE) | 1].astype(np.float64)
        mean = sample.mean(1)
        _, directions = np.linalg.eigh(np.cov(sample) if len(sample) > 1 else np.eye(1))
        found = directions.T[::-1][:_COLOURS]
        # Either sign would do; one of them is chosen, so that frames agree.
        largest = np.take_along_axis(found, np.abs(found).argmax(1)[:, None], axis=1)
        axes = np.zeros((_COLOURS, len(features)))
        axes[: len(found)] = found * np.sign(largest)
        low, high = np.percentile(axes @ (sample - mean[:, None]), (_LOW, _HIGH), axis=1)
        return cls(mean, axes, low, high)


def pca_colours(
    features: NDArray[np.floating], basis: ColourBasis | None = None
) -> tuple[NDArray[np.float32], ColourBasis]:
    """Show features as colours.

    Parameters
    ----------
    features
        (features, Y, X).
    basis
        That of the movie; found by these features if None.

    Returns
    -------
    tuple
        Red, green and blue from 0 to 1, (Y, X, 3), and the basis to show other frames with.
    """
    basis = basis or ColourBasis.of(features)
    spread = basis.high - basis.low
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
    axes = basis.axes * scale[:, None]
    start = axes @ basis.mean + basis.low * scale
    placed = np.tensordot(axes.astype(np.float32), np.asarray(features, np.float32), axes=1)
    colours = np.moveaxis(placed, 0, -1) - start.astype(np.float32)
    return np.clip(colours, 0, 1), basis
