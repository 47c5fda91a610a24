"""The cells that the MLPs learn to compare: found by the network, or near the true centres."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_dynaclr.tracking.cellect.training.targets import nearest_voxel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.tracking.cellect.training.samples import Seen

_OFF = 0.25
"""Spread of the places where a cell is found about its centre, relative to its radius."""

_TWICE = 0.3
"""Part of the cells that are found twice, so that the intraframe MLP sees what to merge."""

_FALSE = 0.1
"""False cells, relative to the true ones."""


class Detections(NamedTuple):
    """What was found in a frame of a patch.

    Attributes
    ----------
    voxels
        Centres (z, y, x), (N, 3).
    cell
        Which cell each is; -1 for none, (N,).
    """

    voxels: NDArray[np.int64]
    cell: NDArray[np.int64]

    def once(self) -> Detections:
        """Keep the first of each cell, and all that are none."""
        first = np.zeros(len(self.cell), bool)
        first[np.unique(self.cell, return_index=True)[1]] = True
        return self.take(first | (self.cell < 0))

    def take(self, which: NDArray[np.bool_]) -> Detections:
        """Keep some."""
        return Detections(self.voxels[which], self.cell[which])


def true_centres(seen: Seen) -> Detections:
    """Return the centres of the cells in a patch."""
    cell = np.flatnonzero(seen.inside)
    return Detections(_zyx(nearest_voxel(seen.position[cell])), cell)


def near_centres(seen: Seen, shape: tuple[int, int, int], rng: np.random.Generator) -> Detections:
    """Return places near the centres: each cell once, some twice, and some false ones.

    Parameters
    ----------
    seen
        The cells.
    shape
        (Y, X, Z) of the patch.
    rng
        For where they are.
    """
    cell = np.flatnonzero(seen.inside)
    twice = cell[rng.random(len(cell)) < _TWICE]
    once = seen.position[cell] + rng.normal(0, _OFF, (len(cell), 3)) * seen.radius[cell]
    again = seen.position[twice] + rng.uniform(-1, 1, (len(twice), 3)) * seen.radius[twice]
    wrong = rng.random((rng.poisson(_FALSE * len(cell)), 3)) * shape
    places = np.concatenate([once, again, wrong])
    places = nearest_voxel(places).clip(0, np.array(shape) - 1)
    cells = np.concatenate([cell, twice, np.full(len(wrong), -1)])
    return _distinct(_zyx(places), cells)


def matched(voxels: NDArray[np.int64], seen: Seen) -> Detections:
    """Tell which cells the found centres are: the one they lie within, relatively deepest.

    Parameters
    ----------
    voxels
        Centres (z, y, x), (N, 3).
    seen
        The cells.

    Returns
    -------
    Detections
        The nearest of those of one cell first.
    """
    if not len(seen.position) or not len(voxels):
        return Detections(voxels, np.full(len(voxels), -1))
    places = voxels[:, [1, 2, 0]]
    reach = np.maximum(seen.radius, 1.0)
    away = (((places[:, None] - seen.position[None]) / reach[None]) ** 2).sum(-1)
    cell = np.where(away.min(1) <= 1, away.argmin(1), -1)
    order = np.argsort(away.min(1), kind="stable")
    return Detections(voxels[order], cell[order])


def _zyx(places: NDArray[np.float64]) -> NDArray[np.int64]:
    return places[:, [2, 0, 1]].astype(np.int64)


def _distinct(voxels: NDArray[np.int64], cell: NDArray[np.int64]) -> Detections:
    """Leave out what is at the place of another one: the network finds a voxel once."""
    _, first = np.unique(voxels, axis=0, return_index=True)
    keep = np.sort(first)
    return Detections(voxels[keep], cell[keep])
