"""Smoothness and dynamic range of trajectories in the embedding space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.stats import gaussian_kde

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.evaluation.report import Report
from napari_dynaclr.evaluation.trajectories import (
    cosine_distances,
    read_trajectories,
    unit_vectors,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job

_KDE_SAMPLES = 10_000
_GRID_POINTS = 2001


class SmoothnessParams(Params):
    """Settings of the measures of temporal regularity."""

    embedding: str = Field(
        "features",
        title="Embedding",
        description="Which embedding.",
        json_schema_extra={"choices": "embeddings"},
    )
    standardize: bool = Field(
        True,
        title="Standardise",
        description="Scale every dimension to unit variance first, as engineered features with "
        "their different units need; switch off for learned embeddings.",
    )
    random_pairs: int = Field(
        10,
        title="Random pairs",
        description="Random pairs drawn per adjacent pair.",
        ge=1,
        le=1000,
        json_schema_extra={"advanced": True},
    )
    seed: int = Field(
        0,
        title="Seed",
        description="Makes the random pairs repeatable.",
        ge=0,
        json_schema_extra={"advanced": True},
    )


def measure(dataset: Dataset, params: SmoothnessParams, job: Job) -> Report:
    """Measure the embedding of all FOVs together.

    Returns
    -------
    Report
        ``metric`` and ``value``: smoothness, dynamic_range, the mean distances behind
        them, and the number of adjacent pairs.

    Raises
    ------
    InvalidInput
        If no track has two successive time points.
    """
    found = read_trajectories(dataset, params.embedding, params.standardize, job)
    job.report("distances")
    tracks, times = (found.cells[name].to_numpy() for name in ("track", "t"))
    adjacent, random = trajectory_distances(
        found.vectors, tracks, times, params.random_pairs, params.seed
    )
    if not len(adjacent) or not len(random):
        raise InvalidInput("No track has two successive time points: there is nothing to measure.")
    job.report("dynamic range")
    table = pd.DataFrame(
        {
            "smoothness": [smoothness(adjacent, random)],
            "dynamic_range": [dynamic_range(adjacent, random, params.seed)],
            "mean_adjacent_distance": [float(adjacent.mean())],
            "mean_random_distance": [float(random.mean())],
            "adjacent_pairs": [float(len(adjacent))],
        }
    ).melt(var_name="metric", value_name="value")
    return Report(table)


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
    if np.ptp(distances) < 1e-9:  # a density needs some spread
        return float(distances[0])
    # The peak lies between the extremes; a grid over all distances could step over a narrow one.
    grid = np.linspace(distances.min(), distances.max(), _GRID_POINTS)
    return float(grid[gaussian_kde(distances)(grid).argmax()])
