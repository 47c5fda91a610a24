"""Intensity, radial profile and texture of all cells of one frame at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from skimage.segmentation import expand_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTILES = (5, 25, 50, 75, 95)


class Cells:
    """Where the pixels of each cell are, found once for all channels of a frame.

    Parameters
    ----------
    labels
        Label image (Y, X).
    found
        The labels in it, ascending, without 0.
    occupied
        Where any cell is, (Y, X): rings leave it out.
    ring
        Width of the ring around each mask, in pixels.
    radius
        Reach of the radial profile, in pixels.
    bins
        Rings of the radial profile.
    """

    def __init__(
        self,
        labels: NDArray[np.int64],
        found: NDArray[np.int64],
        occupied: NDArray[np.bool_],
        ring: float,
        radius: float,
        bins: int,
    ) -> None:
        self._found = found
        self._count = len(found)
        self._mask = self._members(labels)
        order = np.argsort(self._mask[1], kind="stable")
        self._sorted = self._mask[0][order]
        self._bounds = np.cumsum(np.bincount(self._mask[1], minlength=self._count))[:-1]
        around = expand_labels(labels, ring)
        around[occupied] = 0
        self._ring = self._members(around)
        self._pairs = [self._neighbours(labels, axis) for axis in (0, 1)]
        self._bins = bins
        self._disc = self._radial(labels.shape, radius)

    def _members(self, labels: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Flat positions of labelled pixels, and the cell each belongs to."""
        positions = np.flatnonzero(labels)
        return positions, np.searchsorted(self._found, labels.ravel()[positions])

    def _neighbours(
        self, labels: NDArray[np.int64], axis: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Pairs of adjacent pixels of the same cell along an axis."""
        step = labels.shape[1] if axis == 0 else 1
        here = labels[:-1] if axis == 0 else labels[:, :-1]
        there = labels[1:] if axis == 0 else labels[:, 1:]
        y, x = np.nonzero((here == there) & (here > 0))
        first = y * labels.shape[1] + x
        return first, first + step, np.searchsorted(self._found, labels.ravel()[first])

    def _radial(
        self, shape: tuple[int, ...], radius: float
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Flat positions of the pixels around each centroid, and their cell and bin."""
        positions, cell = self._mask
        area = np.bincount(cell, minlength=self._count)
        y, x = np.divmod(positions, shape[1])
        centres = np.stack(
            [np.bincount(cell, weights=axis, minlength=self._count) / area for axis in (y, x)], 1
        )
        reach = int(np.ceil(radius))
        dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        distance = np.hypot(dy, dx)
        inside = distance < radius
        rings = (distance[inside] / radius * self._bins).astype(int)
        corner = np.rint(centres).astype(int)
        py = corner[:, :1] + dy[inside]
        px = corner[:, 1:] + dx[inside]
        there = (py >= 0) & (py < shape[0]) & (px >= 0) & (px < shape[1])
        bins = np.arange(self._count)[:, np.newaxis] * self._bins + rings
        return (py * shape[1] + px)[there], bins[there]

    def _mean(
        self, values: NDArray[np.floating], cell: NDArray[np.intp], count: int | None = None
    ) -> NDArray[np.floating]:
        count = count or self._count
        total = np.bincount(cell, weights=values, minlength=count)
        return total / np.maximum(np.bincount(cell, minlength=count), 1)

    def intensities(self, image: NDArray[np.float32], channel: str) -> pd.DataFrame:
        """Measure one channel (Y, X) in every cell."""
        values = image.ravel()
        positions, cell = self._mask
        inside = values[positions].astype(float)
        mean = self._mean(inside, cell)
        variance = self._mean((inside - mean[cell]) ** 2, cell)
        groups = np.split(values[self._sorted], self._bounds)
        quantiles = np.array([np.percentile(group, PERCENTILES) for group in groups])
        quantiles = quantiles.reshape(self._count, len(PERCENTILES))
        ring = self._mean(values[self._ring[0]].astype(float), self._ring[1])
        disc = self._mean(values[self._disc[0]], self._disc[1], self._count * self._bins)
        disc = disc.reshape(self._count, self._bins)
        whole = self._mean(values[self._disc[0]], self._disc[1] // self._bins)
        measured = {
            "mean": mean,
            "std": np.sqrt(variance),
            "iqr": quantiles[:, 3] - quantiles[:, 1],
            **{f"p{p}": quantiles[:, i] for i, p in enumerate(PERCENTILES)},
            "ring_mean": ring,
            "mask_minus_ring": mean - ring,
            **self._texture(values, variance),
            **{f"radial_{i}": disc[:, i] - whole for i in range(self._bins)},
        }
        return pd.DataFrame(
            {f"{channel}_{name}": column for name, column in measured.items()}, index=self._found
        )

    def _texture(
        self, values: NDArray[np.float32], variance: NDArray[np.floating]
    ) -> dict[str, NDArray[np.floating]]:
        """Compare neighbouring pixels, as a grey-level co-occurrence matrix would."""
        first, second, cell = (np.concatenate(part) for part in zip(*self._pairs, strict=True))
        square = (values[first] - values[second]).astype(float) ** 2
        contrast = self._mean(square, cell)
        # Neighbours share mean and variance, so their correlation follows from the contrast.
        correlation = 1 - contrast / np.maximum(2 * variance, 1e-12)
        return {
            "texture_contrast": contrast,
            "texture_homogeneity": self._mean(1 / (1 + square), cell),
            "texture_correlation": np.where(variance > 1e-12, correlation, 0.0),
        }
