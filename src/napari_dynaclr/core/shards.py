"""AnnData shards: the embedding of one FOV, in Zarr format 2 for the widest reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from napari_dynaclr.core.atomic import recover_folder, remove, replace_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata as ad
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


PROJECTIONS = "X_projections"
"""Where a network's projections are kept, as VisCy does: no map to be looked at."""

SET_ASIDE = "set_aside"
"""Where a shard has the cells that were deleted since, in ``uns``: they may come back."""

_ROWS = 65_536
"""Rows that are worked on at a time where doubles are needed."""


def read_shard(path: Path) -> ad.AnnData:
    """Read a shard into memory."""
    import anndata as ad

    recover_folder(_unfinished(path), path)
    return ad.read_zarr(path)


def shard_shape(path: Path) -> tuple[int, int]:
    """Return (cells, dimensions) of a shard without reading its values."""
    import zarr

    recover_folder(_unfinished(path), path)
    cells, dimensions = zarr.open_array(path / "X", mode="r").shape
    return cells, dimensions


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def vectors(shard: ad.AnnData) -> NDArray[np.float32]:
    """Return the embedding, (cells, dimensions)."""
    import numpy as np

    return np.asarray(shard.X, np.float32)


def nodes(shard: ad.AnnData) -> pd.DataFrame:
    """Return the track columns and whatever else is known of the cells, a row each."""
    return cast("pd.DataFrame", shard.obs).reset_index(drop=True)


def write_shard(path: Path, data: ad.AnnData, replacing: Callable[[], None] | None = None) -> None:
    """Write a shard atomically, replacing the one before.

    Parameters
    ----------
    path
        Where to.
    data
        The shard.
    replacing
        Called when the new shard is on disk, just before it takes the old one's place.
    """
    import anndata as ad
    import zarr

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _unfinished(path)
    recover_folder(temporary, path)
    remove(temporary)
    # Not AnnData.write_zarr: which format that writes is a setting on its way out.
    ad.io.write_elem(zarr.open_group(temporary, mode="w", zarr_format=2), "/", data)
    if replacing is not None:
        replacing()
    replace_folder(temporary, path)


def standardized(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Join the vectors of all FOVs and scale each dimension to zero mean, unit variance.

    A dimension without variance becomes zero.
    """
    import numpy as np

    matrix = np.empty((sum(map(len, parts)), parts[0].shape[1]), np.float32)
    start = 0
    for part in parts:
        matrix[start : start + len(part)] = part
        start += len(part)
    blocks = [slice(i, i + _ROWS) for i in range(0, len(matrix), _ROWS)]
    mean = sum(matrix[rows].sum(axis=0, dtype=np.float64) for rows in blocks) / len(matrix)
    for rows in blocks:
        matrix[rows] -= mean
    square = sum(np.square(matrix[rows], dtype=np.float64).sum(axis=0) for rows in blocks)
    deviation = np.sqrt(square / len(matrix))
    deviation[deviation < 1e-12] = 1.0
    for rows in blocks:
        matrix[rows] /= deviation
    return matrix


def read_parts(path: Path) -> dict[str, Any]:
    """Read a shard's maps and predictions, without its vectors.

    Parameters
    ----------
    path
        The shard.

    Returns
    -------
    dict
        ``ids``: of the nodes, (cells,); ``maps``: by method, (cells, dimensions);
        ``predictions``: by task, the states and their probabilities (cells, states).
    """
    import anndata as ad
    import numpy as np
    import zarr

    recover_folder(_unfinished(path), path)
    group = zarr.open_group(path, mode="r")
    held: Any = group.get("obsm", {})
    maps: dict[str, NDArray[np.float32]] = {}
    predictions: dict[str, tuple[tuple[str, ...], NDArray[np.float32]]] = {}
    for name in held:
        task = name.removeprefix("predicted_").removesuffix("_proba")
        if name == PROJECTIONS:
            continue
        if name.startswith("X_"):
            maps[name.removeprefix("X_")] = np.asarray(held[name], np.float32)
        elif name == f"predicted_{task}_proba":
            states = np.asarray(ad.io.read_elem(group[f"uns/predicted_{task}_classes"]))
            predictions[task] = (tuple(map(str, states)), np.asarray(held[name], np.float32))
    return {"ids": np.asarray(group["obs/id"], np.int64), "maps": maps, "predictions": predictions}


def places(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return where each of the wanted ids is among the ids, -1 where it is not, (N,)."""
    import numpy as np

    if not len(ids):
        return np.full(len(wanted), -1, np.intp)
    if np.array_equal(ids, wanted):
        return np.arange(len(ids))
    order = np.argsort(ids)
    found = order[np.minimum(np.searchsorted(ids[order], wanted), len(ids) - 1)]
    return np.where(ids[found] == wanted, found, -1)


def read_ids(path: Path) -> NDArray[np.int64]:
    """Read the ids of a shard's nodes, (cells,)."""
    import numpy as np
    import zarr

    recover_folder(_unfinished(path), path)
    return np.asarray(zarr.open_array(path / "obs" / "id", mode="r")[:], np.int64)


def read_feature(path: Path, column: int) -> NDArray[np.float32]:
    """Read one dimension of a shard's vectors, (cells,)."""
    import numpy as np
    import zarr

    recover_folder(_unfinished(path), path)
    return np.asarray(zarr.open_array(path / "X", mode="r")[:, column], np.float32)


def feature_names(path: Path) -> list[str]:
    """Names of the dimensions of a shard's vectors."""
    import anndata as ad
    import zarr

    recover_folder(_unfinished(path), path)
    names = cast("pd.DataFrame", ad.io.read_elem(zarr.open_group(path / "var", mode="r"))).index
    return [str(name) for name in names]
