"""PHATE map of the standardised embedding (dynaclr.txt, Fig. 2a)."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from napari_dynaclr.core.background import in_background
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.projection.params import ProjectionParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job

_COMPONENTS = 50
"""Principal components that neighbours are sought in."""


class PhateParams(ProjectionParams):
    """Settings of the PHATE map."""

    components: int = Field(
        2, title="Dimensions", description="Dimensions of the map.", ge=2, le=10
    )
    knn: int = Field(
        15,
        title="Neighbours",
        description="Nearest neighbours that shape the map; more gives a smoother one.",
        ge=1,
        le=1000,
    )
    decay: float = Field(
        15.0,
        title="Decay",
        description="How sharply a neighbourhood ends; less connects more.",
        gt=0,
        le=1000,
        json_schema_extra={"advanced": True},
    )
    fit_cells: int = Field(
        20_000,
        title="Cells to fit",
        description="With more cells than this, a random part shapes the map and the others "
        "are placed in it.",
        ge=100,
        le=1_000_000,
        json_schema_extra={"advanced": True},
    )
    seed: int = Field(
        0,
        title="Seed",
        description="Makes the map repeatable.",
        ge=0,
        json_schema_extra={"advanced": True},
    )


def fit(vectors: NDArray[np.float32], params: PhateParams, job: Job) -> NDArray[np.float32]:
    """Return the map, (cells, dimensions).

    Raises
    ------
    InvalidInput
        If there are not more cells than neighbours.
    """
    if len(vectors) <= params.knn + 1:
        raise InvalidInput(
            f"PHATE with {params.knn} neighbours needs more than {params.knn + 1} cells, there "
            f"are {len(vectors)}: lower knn, or use --method pca."
        )
    job.report("PHATE: import")
    phate = in_background(lambda: import_module("phate"), job)

    # Its warnings go to the terminal in the middle of the progress; what matters of
    # them is noted below.
    warnings.filterwarnings("ignore", "Graph is disconnected", RuntimeWarning)
    logging.getLogger("graphtools").addFilter(_worth_showing)
    operator = phate.PHATE(
        n_components=params.components,
        knn=params.knn,
        decay=params.decay,
        n_pca=min(_COMPONENTS, min(vectors.shape) - 1),
        random_state=params.seed,
        n_jobs=-1,
        verbose=0,
    )
    if len(vectors) <= params.fit_cells:
        job.report("PHATE")
        fitted = in_background(lambda: operator.fit_transform(vectors), job)
        result = np.asarray(fitted, np.float32)
        _note_groups(operator, params, job)
        return result
    chosen = np.sort(
        np.random.default_rng(params.seed).choice(len(vectors), params.fit_cells, replace=False)
    )
    job.report("PHATE")
    shape = in_background(lambda: operator.fit_transform(vectors[chosen]), job)
    result = np.empty((len(vectors), params.components), np.float32)
    for rows in job.track(
        np.array_split(np.arange(len(vectors)), -(-len(vectors) // params.fit_cells)),
        "PHATE: place cells",
    ):
        # What operator.transform does, which warns each time that it is not a fit.
        result[rows] = operator.graph.interpolate(
            shape, operator.graph.extend_to_data(vectors[rows])
        )
    return result


def _worth_showing(record: logging.LogRecord) -> bool:
    """Drop a remark about the last steps of a stochastic descent, which always vary."""
    return "SGD-MDS may not have converged" not in record.getMessage()


def _note_groups(operator: Any, params: PhateParams, job: Job) -> None:
    if not operator.graph.is_connected:
        job.note(
            f"The cells fall into {operator.graph.n_connected_components} groups that no "
            f"neighbours join at knn={params.knn}: the distance between these groups on the "
            "PHATE map means little. A larger knn may join them."
        )
