"""Measures of an embedding: smoothness and dynamic range (dynaclr.txt, A.4), and rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KDE_SAMPLES = 10_000
_GRID_POINTS = 2001


def trajectory_distances(
    vectors: NDArray[np.floating],
    tracks: NDArray[np.integer],
    times: NDArray[np.integer],
    random_pairs: int = 10,
    seed: int = 0,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Cosine distances within tracks (dynaclr.txt, Eq. 1).

    Rows may come in any order; they are ordered by t within each track. A gap in a
    track is no adjacent pair.

    Parameters
    ----------
    vectors
        Embedding, (N, D).
    tracks, times
        Track and time point of each row, (N,).
    random_pairs
        Random pairs (t_a != t_b) per adjacent pair.
    seed
        For the random pairs.

    Returns
    -------
    tuple
        Distances of adjacent time points (t, t+1), and of random pairs of the same track.
    """
    order = np.lexsort((times, tracks))
    tracks, times = np.asarray(tracks)[order], np.asarray(times)[order]
    unit = unit_vectors(np.asarray(vectors)[order])
    follows = (tracks[1:] == tracks[:-1]) & (times[1:] == times[:-1] + 1)
    here = np.flatnonzero(follows)
    adjacent = cosine_distances(unit, here, here + 1)

    # For each node that has a follower, partners anywhere else in its track.
    _, start, length = np.unique(tracks, return_index=True, return_counts=True)
    which = np.searchsorted(start, here, side="right") - 1
    one = np.repeat(here, random_pairs)
    begin, count = (np.repeat(part[which], random_pairs) for part in (start, length))
    shift = 1 + (np.random.default_rng(seed).random(len(one)) * (count - 1)).astype(int)
    other = begin + (one - begin + shift) % np.maximum(count, 1)
    return adjacent, cosine_distances(unit, one, other)


def unit_vectors(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scale rows to length 1; a row of zeros stays."""
    matrix = np.asarray(vectors, np.float64)
    unit: NDArray[np.float64] = matrix / np.maximum(
        np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12
    )
    return unit


def cosine_distances(
    unit: NDArray[np.floating], one: NDArray[np.intp], other: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Distances of pairs of rows (dynaclr.txt, Eq. 1), (P,).

    Parameters
    ----------
    unit
        From :func:`unit_vectors`, (N, D).
    one, other
        Rows, (P,).
    """
    result = np.empty(len(one))
    # In blocks: pairs outnumber nodes, and gathering all at once would too.
    for begin in range(0, len(one), 65_536):
        part = slice(begin, begin + 65_536)
        result[part] = 1 - np.einsum("ij,ij->i", unit[one[part]], unit[other[part]])
    return result


def smoothness(adjacent: NDArray[np.floating], random: NDArray[np.floating]) -> float:
    """Mean adjacent over mean random distance; lower is smoother (dynaclr.txt, Eq. 2)."""
    return float(adjacent.mean() / max(float(random.mean()), 1e-12))


def dynamic_range(
    adjacent: NDArray[np.floating], random: NDArray[np.floating], seed: int = 0
) -> float:
    """Peak of the random minus peak of the adjacent distances (dynaclr.txt, A.4).

    The peaks are those of a Gaussian kernel density estimate.
    """
    generator = np.random.default_rng(seed)
    return _peak(random, generator) - _peak(adjacent, generator)


def _peak(distances: NDArray[np.floating], generator: np.random.Generator) -> float:
    if len(distances) > _KDE_SAMPLES:
        distances = generator.choice(distances, _KDE_SAMPLES, replace=False)
    from scipy.stats import gaussian_kde

    if np.ptp(distances) < 1e-9:  # a density needs some spread
        return float(distances[0])
    # The peak lies between the extremes; a grid over all distances could step over a narrow one.
    grid = np.linspace(distances.min(), distances.max(), _GRID_POINTS)
    return float(grid[gaussian_kde(distances)(grid).argmax()])


def effective_rank(vectors: NDArray[np.floating]) -> float:
    """Return how many dimensions an embedding makes use of.

    The exponential of the entropy of its singular values (RankMe, Garrido et al. 2023):
    1 if all cells lie on one line, the number of dimensions if they spread evenly. A fall
    during training is a sign of collapse.

    Parameters
    ----------
    vectors
        Embedding, (N, D).
    """
    matrix = np.asarray(vectors, np.float64)
    values = np.linalg.svd(matrix - matrix.mean(axis=0), compute_uv=False)
    total = float(values.sum())
    if total <= 0:
        return 0.0
    share = values[values > 0] / total
    return float(np.exp(-(share * np.log(share)).sum()))
