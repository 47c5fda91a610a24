"""The embedding of all FOVs as one AnnData, for scanpy and VisCy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_dynaclr.core.errors import InvalidInput, storage_errors
from napari_dynaclr.core.shards import SET_ASIDE, write_shard

if TYPE_CHECKING:
    import anndata as ad

    from napari_dynaclr.core.dataset import Dataset


def export_embedding(
    dataset: Dataset, target: str | Path, embedding: str = "features"
) -> ad.AnnData:
    """Join the shards of a dataset's FOVs and write them as AnnData (Zarr format 2).

    Parameters
    ----------
    dataset
        The dataset, or the FOVs of it, to export.
    target
        Folder to write, ending in .zarr.
    embedding
        Which embedding.

    Raises
    ------
    MissingInput
        If a FOV has not been embedded.
    InvalidInput
        If the target exists or is not called .zarr, or a map was made of parts of the
        FOVs at a time.
    """
    import anndata as ad

    path = Path(target).expanduser()
    if path.suffix != ".zarr":
        raise InvalidInput(f"{path}: the name of an AnnData in Zarr ends in .zarr.")
    if path.exists():
        raise InvalidInput(f"{path} exists already: choose another name or delete it.")
    shards = [dataset.workspace.embedding(embedding, fov) for fov in dataset.fovs]
    for shard in shards:
        shard.uns.pop(SET_ASIDE, None)  # deleted cells
    _refuse_mixed(shards)
    joined = ad.concat(shards, merge="same", uns_merge="same")
    with storage_errors(f"write {path}"):
        write_shard(path, joined)
    return joined


def _refuse_mixed(shards: list[ad.AnnData]) -> None:
    """Refuse maps that were not made of all FOVs at once: their axes do not agree."""
    for where in {name for shard in shards for name in shard.obsm if name.startswith("X_")}:
        keys = {str(shard.uns.get(f"{where}_key", "")) for shard in shards}
        if len(keys) > 1:
            raise InvalidInput(
                f"The map {where} was made of some FOVs at a time, its axes do not agree: run "
                f"'project --method {where.removeprefix('X_')}' over all of them first."
            )
