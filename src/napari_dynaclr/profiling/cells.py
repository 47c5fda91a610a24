"""Profiles of fields from their cells: the mean of any embedding's vectors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pydantic import Field

from napari_dynaclr.core.profiles import ProfileParams, Profiler
from napari_dynaclr.core.shards import feature_names, nodes, vectors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job


class CellsParams(ProfileParams):
    """Settings of profiles from cells."""

    embedding: str = Field(
        "features",
        title="Embedding",
        description="Which embedding of cells to take.",
        json_schema_extra={"choices": "embeddings"},
    )
    border_cells: bool = Field(
        True,
        title="Cells at the border",
        description="Take cells that the edge of the image cuts, too.",
        json_schema_extra={"advanced": True},
    )

    def kept_as(self) -> str:
        """Return its name, that of the embedding if none is given."""
        return self.name or self.embedding


@contextmanager
def open_profiler(dataset: Dataset, params: CellsParams, job: Job) -> Iterator[Profiler]:
    """Read the embedding of one plate, a FOV at a time.

    Raises
    ------
    MissingInput
        If a FOV has not been embedded.
    """
    workspace, name = dataset.workspace, params.embedding
    result = f"embeddings.{name}"

    def inputs(fov: Fov) -> dict[str, str]:
        return {result: workspace.require(result, fov, f"embedding '{name}'", "embed")}

    def columns(fov: Fov) -> pd.DataFrame:
        return pd.DataFrame(index=feature_names(workspace.shard(name, fov)))

    def field_vectors(fov: Fov, job: Job) -> Iterator[tuple[int, NDArray[np.float32], int]]:
        job.check()
        shard = workspace.embedding(name, fov)
        table, matrix = nodes(shard), vectors(shard)
        keep = np.ones(len(table), bool)
        if not params.border_cells:
            keep &= ~table["at_border"].to_numpy(bool)
        times = table["t"].to_numpy()
        for t in np.unique(times[keep]):
            rows = np.flatnonzero(keep & (times == t))
            yield int(t), _mean(matrix[rows]), len(rows)  # gathering sees to what is NaN

    yield Profiler(field_vectors, columns, inputs, f"embedding '{name}'", about={"embedding": name})


def _mean(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average cells, without values that are not finite; NaN where none is."""
    finite = np.isfinite(matrix)
    if finite.all():
        return np.asarray(matrix.mean(axis=0, dtype=np.float64), np.float32)
    count = finite.sum(axis=0)
    sums = np.where(finite, matrix, 0.0).sum(axis=0, dtype=np.float64)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan).astype(np.float32)
