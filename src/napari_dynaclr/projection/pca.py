"""Principal components of the standardised embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field
from sklearn.decomposition import PCA

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.projection.params import ProjectionParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job


class PcaParams(ProjectionParams):
    """Settings of the principal components."""

    components: int = Field(
        8, title="Components", description="Number of components to keep.", ge=1, le=1000
    )


def fit(vectors: NDArray[np.float32], params: PcaParams, job: Job) -> NDArray[np.float32]:
    """Return the first components, (cells, components); fewer if there are fewer dimensions.

    Raises
    ------
    InvalidInput
        If there are fewer than two cells.
    """
    if len(vectors) < 2:
        raise InvalidInput(f"PCA needs at least 2 cells, there are {len(vectors)}.")
    job.report("PCA")
    count = min(params.components, *vectors.shape)
    return np.asarray(PCA(count, random_state=0).fit_transform(vectors), np.float32)
