"""Rank correlation of an embedding's principal components with engineered features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.stats import rankdata
from sklearn.decomposition import PCA

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.shards import standardized, vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job


class CorrelationParams(Params):
    """Settings of the correlation (dynaclr.txt, Fig. 2d, Fig. S4)."""

    embedding: str = Field(
        "features",
        title="Embedding",
        description="Which embedding.",
        json_schema_extra={"choices": "embeddings"},
    )
    features: str = Field(
        "features",
        title="Features",
        description="Embedding that holds the engineered features.",
        json_schema_extra={"choices": "embeddings"},
    )
    components: int = Field(
        4, title="Components", description="How many principal components.", ge=1, le=100
    )


def measure(dataset: Dataset, params: CorrelationParams, job: Job) -> pd.DataFrame:
    """Correlate components and features over all cells.

    Returns
    -------
    pandas.DataFrame
        ``component``, ``explained`` (fraction of variance), ``feature``, ``rho``
        (Spearman), the strongest first within each component.

    Raises
    ------
    InvalidInput
        If the two embeddings are not of the same cells, or there are too few.
    """
    parts, features = [], []
    names: list[str] = []
    for fov in job.track(dataset.fovs, "read embeddings"):
        one = dataset.workspace.embedding(params.embedding, fov)
        other = dataset.workspace.embedding(params.features, fov)
        if not one.obs_names.equals(other.obs_names):
            raise InvalidInput(
                f"FOV {fov.name}: '{params.embedding}' and '{params.features}' were made from "
                "different tracks: run 'embed' again."
            )
        parts.append(vectors(one))
        features.append(vectors(other))
        names = list(other.var_names)
    matrix, table = standardized(parts), np.concatenate(features)
    if len(matrix) < 3:
        raise InvalidInput(f"A correlation needs at least 3 cells, there are {len(matrix)}.")
    job.report("correlate")
    pca = PCA(min(params.components, *matrix.shape), random_state=0)
    rho = spearman(pca.fit_transform(matrix), table)
    rows = [
        {
            "component": f"PC{i + 1}",
            "explained": float(pca.explained_variance_ratio_[i]),
            "feature": names[j],
            "rho": float(rho[i, j]),
        }
        for i in range(rho.shape[0])
        for j in np.argsort(-np.abs(rho[i]), kind="stable")
    ]
    return pd.DataFrame(rows)


def spearman(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.floating]:
    """Rank correlation of every column of one matrix with every column of another.

    Parameters
    ----------
    one, other
        (N, A) and (N, B).

    Returns
    -------
    numpy.ndarray
        (A, B); 0 where a column is constant.
    """

    def ranks(values: NDArray[np.floating]) -> NDArray[np.floating]:
        ranked = np.asarray(rankdata(values, axis=0), float)
        ranked -= ranked.mean(axis=0)
        return ranked / np.maximum(np.linalg.norm(ranked, axis=0), 1e-12)

    return np.asarray(ranks(one).T @ ranks(other))
