"""Smoothness and dynamic range of trajectories in the embedding space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from pydantic import Field

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.measures import dynamic_range, smoothness, trajectory_distances
from napari_dynaclr.core.params import Params
from napari_dynaclr.evaluation.report import Report
from napari_dynaclr.evaluation.trajectories import read_trajectories

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job


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
