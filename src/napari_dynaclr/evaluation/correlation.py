"""Rank correlation of an embedding's principal components with engineered features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pydantic import Field
from scipy.stats import rankdata
from sklearn.decomposition import PCA

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.shards import nodes, standardized, vectors
from napari_dynaclr.evaluation.axes import cells_along, draw_patches
from napari_dynaclr.evaluation.report import Report

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
    strongest: int = Field(
        8,
        title="Features drawn",
        description="How many features of each component are drawn, the strongest.",
        ge=1,
        le=1000,
        json_schema_extra={"advanced": True},
    )
    patches: int = Field(
        8,
        title="Cells drawn",
        description="How many cells are drawn along each component; 0 for no such picture.",
        ge=0,
        le=50,
    )
    patch_size: int = Field(
        64,
        title="Patch size (pixels)",
        description="Width and height of the patches that are drawn.",
        ge=8,
        le=1024,
        json_schema_extra={"advanced": True},
    )
    channels: tuple[str, ...] = Field(
        (),
        title="Channels drawn",
        description="Channels of the patches that are drawn; all if none is named.",
        json_schema_extra={"choices": "channels"},
    )


def measure(dataset: Dataset, params: CorrelationParams, job: Job) -> Report:
    """Correlate components and features over all cells.

    Returns
    -------
    Report
        ``component``, ``explained`` (fraction of variance), ``feature``, ``rho``
        (Spearman), the strongest first within each component. Pictures: the same as a
        heat map, and "patches": cells along each component.

    Raises
    ------
    InvalidInput
        If the two embeddings are not of the same cells, or there are too few, or the
        dataset lacks a channel.
    """
    parts, features, tables = [], [], []
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
        tables.append(nodes(one)[["t", "z", "y", "x", "at_border"]].assign(fov_name=fov.name))
    matrix, table = standardized(parts), np.concatenate(features)
    if len(matrix) < 3:
        raise InvalidInput(f"A correlation needs at least 3 cells, there are {len(matrix)}.")
    job.report("correlate")
    pca = PCA(min(params.components, *matrix.shape), random_state=0)
    points = pca.fit_transform(matrix)
    rho = spearman(points, table)
    titles = [f"PC{i + 1}" for i in range(len(rho))]
    rows = [
        {
            "component": title,
            "explained": float(pca.explained_variance_ratio_[i]),
            "feature": names[j],
            "rho": float(rho[i, j]),
        }
        for i, title in enumerate(titles)
        for j in np.argsort(-np.abs(rho[i]), kind="stable")
    ]
    explained = [100 * float(part) for part in pca.explained_variance_ratio_]
    labels = [f"{one}\n{part:.0f} %" for one, part in zip(titles, explained, strict=True)]
    pictures = {"": _heat_map(rho, labels, names, params.strongest)}
    if params.patches:
        cells = pd.concat(tables, ignore_index=True)
        usable = ~cells["at_border"].to_numpy(bool)
        chosen = cells_along(points, params.patches, usable)
        channels = params.channels or tuple(dataset.channels)
        pictures["patches"] = draw_patches(
            dataset, cells, chosen, titles, channels, params.patch_size, job
        )
    return Report(pd.DataFrame(rows), pictures)


def _heat_map(
    rho: NDArray[np.floating], components: list[str], names: list[str], strongest: int
) -> Figure:
    """Draw the features that correlate most with any component (dynaclr.txt, Fig. S4)."""
    kept: list[int] = []
    for row in np.abs(rho):
        kept += [j for j in np.argsort(-row, kind="stable")[:strongest].tolist() if j not in kept]
    figure = Figure(
        figsize=(2.8 + 0.6 * len(components), 1.0 + 0.2 * len(kept)), layout="constrained"
    )
    axes = figure.subplots()
    image = axes.imshow(rho[:, kept].T, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks(range(len(components)), components, fontsize=8)
    axes.set_yticks(range(len(kept)), [names[j] for j in kept], fontsize=7)
    for (i, j), value in np.ndenumerate(rho[:, kept]):
        colour = "white" if abs(value) > 0.6 else "black"
        axes.text(i, j, f"{value:.2f}", ha="center", va="center", fontsize=6, color=colour)
    figure.colorbar(image, ax=axes, label="rank correlation (Spearman)")
    return figure


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
