"""The cells of an embedding as trajectories: which follows which, and how far they are apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from napari_dynaclr.core.errors import MissingInput
from napari_dynaclr.core.measures import unit_vectors
from napari_dynaclr.core.shards import PROJECTIONS, nodes, standardized, vectors

if TYPE_CHECKING:
    import anndata as ad
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job

CELL_COLUMNS = ["fov_name", "track", "parent", "t", "z", "y", "x"]

_MAPS = ("phate", "umap", "pca")


@dataclass(frozen=True)
class Trajectories:
    """Cells of all FOVs, ordered by track and time.

    Attributes
    ----------
    vectors
        Embedding, (N, D).
    cells
        :data:`CELL_COLUMNS`, a row each: ``track`` and ``parent`` (-1 for none) are
        unique over all FOVs, the centroid is in um.
    maps
        First two coordinates, (N, 2), on every map that all FOVs are on together.
    """

    vectors: NDArray[np.float32]
    cells: pd.DataFrame
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @cached_property
    def unit(self) -> NDArray[np.float64]:
        """Embedding scaled to length 1."""
        return unit_vectors(self.vectors)

    @cached_property
    def frames(self) -> dict[tuple[str, int], NDArray[np.intp]]:
        """Rows of the cells of every FOV and time point."""
        groups: dict[Any, Any] = dict(self.cells.groupby(["fov_name", "t"]).indices)
        return {(str(fov), int(t)): rows for (fov, t), rows in groups.items()}

    def adjacent(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows of all cells that are in the next frame too, and their rows there."""
        track, t = self.cells["track"].to_numpy(), self.cells["t"].to_numpy()
        here = np.flatnonzero((track[1:] == track[:-1]) & (t[1:] == t[:-1] + 1))
        return here, here + 1

    def map(self, wanted: str = "") -> tuple[str, NDArray[np.float32]]:
        """Return a map's name and coordinates, (N, 2); principal components where there is none.

        Raises
        ------
        MissingInput
            If the wanted map has not been made of these FOVs together.
        """
        if wanted and wanted not in self.maps:
            raise MissingInput(f"map '{wanted}' of these FOVs together", "project")
        name = wanted or next((one for one in _MAPS if one in self.maps), "")
        if name:
            return name, self.maps[name]
        points = PCA(2, random_state=0).fit_transform(self.vectors)
        return "pca", np.asarray(points, np.float32)


def read_trajectories(
    dataset: Dataset, embedding: str, standardize: bool, job: Job
) -> Trajectories:
    """Read an embedding of all FOVs.

    Parameters
    ----------
    dataset
        The FOVs.
    embedding
        Its name.
    standardize
        Whether to scale every dimension to zero mean and unit variance.
    job
        Progress and cancelling.

    Raises
    ------
    MissingInput
        If a FOV has not been embedded.
    """
    parts, tables = [], []
    maps: dict[str, list[NDArray[np.float32]]] = {}
    keys: dict[str, set[str]] = {}
    first = 0
    for fov in job.track(dataset.fovs, "read embedding"):
        shard = dataset.workspace.embedding(embedding, fov)
        parts.append(vectors(shard))
        table = nodes(shard)
        codes, tracks = pd.factorize(table["track_id"])
        parent = pd.Index(tracks).get_indexer(table["parent_track_id"])
        place = {axis: table[axis] * size for axis, size in zip("zyx", fov.scale, strict=True)}
        tables.append(
            pd.DataFrame(
                {
                    "fov_name": fov.name,
                    "track": codes + first,
                    "parent": np.where(parent < 0, -1, parent + first),
                    "t": table["t"].astype(int),
                    **place,
                }
            )
        )
        first += len(tracks)
        for name, points, key in _maps(shard):
            maps.setdefault(name, []).append(points)
            keys.setdefault(name, set()).add(key)
    cells = pd.concat(tables, ignore_index=True)
    matrix = standardized(parts) if standardize else np.concatenate(parts)
    order = np.lexsort((cells["t"], cells["track"]))
    together = {
        name: np.concatenate(points)[order]
        for name, points in maps.items()
        # Maps of several runs have nothing to do with each other.
        if len(points) == len(parts) and len(keys[name]) == 1
    }
    if not np.array_equal(order, np.arange(len(order))):  # else spare the memory of a copy
        matrix = matrix[order]
    return Trajectories(matrix, cells.iloc[order].reset_index(drop=True), together)


def _maps(shard: ad.AnnData) -> list[tuple[str, NDArray[np.float32], str]]:
    return [
        (
            name.removeprefix("X_"),
            np.asarray(shard.obsm[name], np.float32)[:, :2],
            str(shard.uns.get(f"{name}_key", "")),
        )
        for name in shard.obsm
        if name.startswith("X_") and name != PROJECTIONS
    ]
