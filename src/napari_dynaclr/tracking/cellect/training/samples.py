"""Samples to learn from: patches of three frames, with the cells of the first two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_dynaclr.tracking.cellect.training.targets import LEVELS, Painted, paint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.tracking.cellect.training.points import Points

_AXES = [1, 2, 0]
"""From (z, y, x) to (y, x, z), as the network has it."""

_MARGIN = (0, 8, 8)
"""Voxels (z, y, x) at an edge of a patch that do not count."""

IGNORED = 255
"""What is painted there."""


@dataclass(frozen=True)
class Seen:
    """The cells of one frame that a patch shows, wholly or in part.

    Attributes
    ----------
    position, radius
        Centres, and radii along each axis, (y, x, z) in voxels of the patch, (N, 3).
    dividing, newborn
        Whether each divides before the next frame, and is the first of a daughter, (N,).
    inside
        Whether its centre is in what of the patch counts, (N,).
    """

    position: NDArray[np.float64]
    radius: NDArray[np.float64]
    dividing: NDArray[np.bool_]
    newborn: NDArray[np.bool_]
    inside: NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """A patch of three frames.

    Attributes
    ----------
    images
        Normalised, (3, Y, X, Z).
    first, second
        The cells of the first two frames.
    origin
        For each cell of the second frame, which of the first it is or comes from; -1 for
        none that the patch shows, (N,).
    low, high
        What of the patch counts, (y, x, z) of its first voxel and of that behind its last: near
        an edge that is none of the image, cells are cut off that the network is to know whole.
    """

    images: NDArray[np.float16]
    first: Seen
    second: Seen
    origin: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    def counted(self, voxels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keep the voxels (z, y, x) that count, of (N, 3)."""
        places = voxels[:, _AXES]
        return voxels[((places >= self.low) & (places < self.high)).all(1)]


@dataclass(frozen=True)
class Batch:
    """Samples, and the maps that the network should make of their first two frames.

    Attributes
    ----------
    samples
        The samples; their pixels are in ``images``.
    images
        (B, 3, Y, X, Z), float16.
    segmentation, levels
        As of :class:`~napari_dynaclr.tracking.cellect.training.targets.Painted`,
        (B, 2, Y, X, Z), uint8; :data:`IGNORED` where nothing counts.
    size
        Likewise, (B, 2, Y, X, Z), float32.
    division
        Likewise, (B, 2, 2, Y, X, Z), uint8.
    """

    samples: tuple[Sample, ...]
    images: torch.Tensor
    segmentation: torch.Tensor
    levels: torch.Tensor
    size: torch.Tensor
    division: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """Bring the arrays to a device."""
        return Batch(
            self.samples,
            *(
                getattr(self, name).to(device)
                for name in ("images", "segmentation", "levels", "size", "division")
            ),
        )


def make_sample(
    images: NDArray[np.float16],
    points: Points,
    times: tuple[int, int, int],
    origin: tuple[int, int, int],
    scale: tuple[float, float, float],
    size: tuple[int, int, int] | None = None,
) -> Sample:
    """Put a sample together.

    Parameters
    ----------
    images
        The patch of the three frames, (3, Z, Y, X).
    points
        Of their FOV.
    times
        Of the frames; the last two are the same at the end of a movie.
    origin
        Where the patch begins, (z, y, x).
    scale
        Voxel size (z, y, x) in um.
    size
        (Z, Y, X) of the whole images; those of the patch if None.
    """
    shape = np.array(images.shape[1:])
    whole = shape if size is None else np.array(size)
    margin = np.minimum(_MARGIN, shape // 4)
    low = np.where(np.array(origin) > 0, margin, 0)
    high = shape - np.where(origin + shape < whole, margin, 0)
    rows, seen = [], []
    for now, later in pairwise(times):
        here = points.at(now)
        position = points.position[here] - origin
        radius = points.radius[here, None] / np.asarray(scale)
        reach = np.maximum(radius, LEVELS)
        shown = ((position > -reach) & (position < shape + reach)).all(1)
        # A centre is where its nearest voxel is; on the very edge, it may be reflected outside.
        inside = ((position > low - 0.5) & (position < high - 0.5)).all(1)
        seen.append(
            Seen(
                position[shown][:, _AXES],
                radius[shown][:, _AXES],
                points.dividing(here, later)[shown],
                points.newborn[here][shown],
                inside[shown],
            )
        )
        rows.append(here[shown])
    before = points.before(rows[1], times[0])
    place = {int(row): number for number, row in enumerate(rows[0])}
    found = np.array([place.get(int(row), -1) for row in before], np.int64)
    pixels = images.transpose(0, 2, 3, 1)
    return Sample(pixels, seen[0], seen[1], found, low[_AXES], high[_AXES])


def turned(sample: Sample, rng: np.random.Generator) -> Sample:
    """Reflect a sample along its axes, and exchange y and x where it is square, by chance."""
    flip = rng.random(3) < 0.5
    swap = bool(rng.random() < 0.5) and sample.images.shape[1] == sample.images.shape[2]
    images = np.flip(sample.images, axis=tuple(1 + np.flatnonzero(flip)))
    sides = np.array(sample.images.shape[1:])
    order = [1, 0, 2] if swap else [0, 1, 2]
    if swap:
        images = images.swapaxes(1, 2)

    def move(seen: Seen) -> Seen:
        position = np.where(flip, sides - 1 - seen.position, seen.position)
        return replace(seen, position=position[:, order], radius=seen.radius[:, order])

    low = np.where(flip, sides - sample.high, sample.low)[order]
    high = np.where(flip, sides - sample.low, sample.high)[order]
    return Sample(images, move(sample.first), move(sample.second), sample.origin, low, high)


def collate(samples: Sequence[Sample]) -> Batch:
    """Paint the maps of some samples of the same size."""
    shape = samples[0].images.shape[1:]
    painted = [
        [
            _bounded(paint(shape, one.position, one.radius, one.dividing, one.newborn), sample)
            for one in (sample.first, sample.second)
        ]
        for sample in samples
    ]
    maps = {
        name: torch.from_numpy(
            np.stack([np.stack([getattr(one, name) for one in both]) for both in painted])
        )
        for name in ("segmentation", "levels", "size", "division")
    }
    images = torch.from_numpy(np.stack([sample.images for sample in samples]))
    return Batch(tuple(samples), images, **maps)


def _bounded(painted: Painted, sample: Sample) -> Painted:
    """Let nothing be learned from what does not count."""
    counts = np.zeros(painted.levels.shape, bool)
    counts[tuple(slice(*ends) for ends in zip(sample.low, sample.high, strict=True))] = True
    for one, instead in ((painted.segmentation, IGNORED), (painted.levels, IGNORED)):
        one[~counts] = instead
    painted.size[~counts] = 0
    return painted
