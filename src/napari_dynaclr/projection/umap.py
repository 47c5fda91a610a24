"""UMAP map of the standardised embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field
from umap import UMAP

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.projection.params import ProjectionParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job


class UmapParams(ProjectionParams):
    """Settings of the UMAP map."""

    components: int = Field(
        2, title="Dimensions", description="Dimensions of the map.", ge=2, le=10
    )
    neighbors: int = Field(
        15,
        title="Neighbours",
        description="Nearest neighbours that shape the map; more shows the larger picture.",
        ge=2,
        le=1000,
    )
    min_dist: float = Field(
        0.1,
        title="Smallest distance",
        description="How tightly similar cells are packed.",
        ge=0,
        le=1,
    )
    seed: int = Field(
        0,
        title="Seed",
        description="Makes the map repeatable.",
        ge=0,
        json_schema_extra={"advanced": True},
    )


def fit(vectors: NDArray[np.float32], params: UmapParams, job: Job) -> NDArray[np.float32]:
    """Return the map, (cells, dimensions).

    Raises
    ------
    InvalidInput
        If there are not more cells than neighbours.
    """
    if len(vectors) <= params.neighbors:
        raise InvalidInput(
            f"UMAP with {params.neighbors} neighbours needs more cells than that, there are "
            f"{len(vectors)}: lower neighbors, or use --method pca."
        )
    job.report("UMAP")
    operator = UMAP(
        n_components=params.components,
        n_neighbors=params.neighbors,
        min_dist=params.min_dist,
        random_state=params.seed,
        n_jobs=1,
    )
    return np.asarray(operator.fit_transform(vectors), np.float32)
