"""The cells of a frame, the nearest candidates of each, and how a pair is described to the MLPs.

Training and inference both describe pairs by :func:`pair_features`, in the same units: pixels of
Y and X as the network sees them (see :func:`in_pixels`), whatever the distance of slices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_SMALL = 1e-4
"""Keeps the ratio of size to distance finite."""


class Cells(NamedTuple):
    """The cells of one frame, as the network sees them.

    Attributes
    ----------
    position
        (z, y, x) in pixels of Y and X, (N, 3), see :func:`in_pixels`; on the CPU.
    embedding
        (N, E).
    size
        Radius in pixels of Y and X, (N,).
    division
        How likely the cell divides, and how likely it is newborn, (N, 2).
    """

    position: NDArray[np.float32]
    embedding: Tensor
    size: Tensor
    division: Tensor

    def __len__(self) -> int:
        return len(self.position)

    def take(self, index: NDArray[np.intp]) -> Cells:
        """Return some of the cells, in that order."""
        here = torch.as_tensor(index, device=self.embedding.device, dtype=torch.long)
        return Cells(
            self.position[index], self.embedding[here], self.size[here], self.division[here]
        )


class Nearest(NamedTuple):
    """The nearest candidates of each of N cells, the nearest first.

    Attributes
    ----------
    rows
        Rows of the candidates, (N, k). Where there are fewer than k, the farthest is repeated.
    there
        Which of them there are, (N, k).
    """

    rows: NDArray[np.intp]
    there: NDArray[np.bool_]


class PairFeatures(NamedTuple):
    """What the MLPs are told of N cells and the k candidates of each.

    Attributes
    ----------
    target
        Embeddings of the cells, (N, E).
    candidate
        Embeddings of their candidates, (N, k, E).
    offset
        Absolute differences of position in y, x, z, in pixels, (N, k, 3).
    size
        The candidate's radius less the cell's; their ratio; the distance; the candidate's
        radius less the distance; whether that is above 0; the ratio of both. (N, k, 6).
    division
        Both values of the cell, both of the candidate; whether the cell divides and the
        candidate is newborn; the product of these two. (N, k, 6).
    there
        False where a candidate only fills up, (N, k).
    """

    target: Tensor
    candidate: Tensor
    offset: Tensor
    size: Tensor
    division: Tensor
    there: Tensor


def in_pixels(voxels: NDArray[Any], spacing: tuple[float, float, float]) -> NDArray[np.float32]:
    """Bring positions in voxels to pixels of Y and X, so that distances are distances.

    Parameters
    ----------
    voxels
        (z, y, x), (N, 3).
    spacing
        Of voxels in z, y, x, in any unit. Published weights know voxels only: (1, 1, 1).
    """
    ratio = np.asarray(spacing, np.float64) / spacing[1]
    return np.asarray(np.asarray(voxels, np.float64).reshape(-1, 3) * ratio, np.float32)


def nearest(
    cells: NDArray[np.floating], others: NDArray[np.floating], count: int, *, same: bool = False
) -> Nearest:
    """Find the candidates of each cell: the nearest in space ("Model architecture").

    Parameters
    ----------
    cells, others
        Positions, (N, 3) and (M, 3), in the same units; M is at least 1.
    count
        Candidates of each cell, k.
    same
        Whether both are the cells of one frame, in the same order: then no cell is
        its own candidate.
    """
    known = len(others) - same
    if len(cells) == 0 or known < 1:
        return Nearest(
            np.zeros((len(cells), count), np.intp), np.zeros((len(cells), count), np.bool_)
        )
    wanted = min(count, known)
    found = KDTree(others).query(cells, wanted + same)[1].reshape(len(cells), -1)
    if same:
        # Of cells at one place, another may stand before the cell itself.
        own = found == np.arange(len(cells))[:, None]
        own[~own.any(1), -1] = True
        found = found[~own].reshape(len(cells), wanted)
    filled = np.minimum(np.arange(count), wanted - 1)
    there = np.broadcast_to(np.arange(count) < wanted, (len(cells), count))
    return Nearest(found[:, filled].astype(np.intp), there.copy())


def pair_features(cells: Cells, others: Cells, candidates: Nearest) -> PairFeatures:
    """Describe each cell beside its candidates.

    The paper names embedding offsets, distances, differences of size and of division
    probability; the exact layout is the one that the published weights take.

    Parameters
    ----------
    cells, others
        Of one frame, or of two; ``others`` has at least one cell.
    candidates
        From :func:`nearest`.
    """
    device = cells.embedding.device
    index = torch.as_tensor(candidates.rows, device=device)
    apart = np.abs(others.position[candidates.rows] - cells.position[:, None])
    offset = torch.as_tensor(apart[..., [1, 2, 0]], device=device, dtype=torch.float32)
    distance = offset.square().sum(-1).sqrt()
    own = cells.size[:, None].expand_as(distance)
    other = others.size[index]
    size = torch.stack(
        [
            other - own,
            other / (own + 1),
            distance,
            other - distance,
            (other > distance).to(distance.dtype),
            other / (distance + _SMALL),
        ],
        -1,
    )
    mine = cells.division[:, None].expand(-1, index.shape[1], -1)
    theirs = others.division[index]
    divides, newborn = mine[..., 0], theirs[..., 1]
    both = ((divides > 0.5) & (newborn > 0.5)).to(divides.dtype)
    division = torch.cat([mine, theirs, torch.stack([both, divides * newborn], -1)], -1)
    there = torch.as_tensor(candidates.there, device=device)
    return PairFeatures(cells.embedding, others.embedding[index], offset, size, division, there)
