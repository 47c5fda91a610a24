"""AnnData shards: the embedding of one FOV, in Zarr format 2 for the widest reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.atomic import remove, replace_folder

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad


def read_shard(path: Path) -> ad.AnnData:
    """Read a shard into memory."""
    import anndata as ad

    return ad.read_zarr(path)


def write_shard(path: Path, data: ad.AnnData) -> None:
    """Write a shard atomically, replacing the one before."""
    import anndata as ad

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    remove(temporary)
    before = ad.settings.zarr_write_format
    ad.settings.zarr_write_format = 2
    try:
        data.write_zarr(temporary)
    finally:
        ad.settings.zarr_write_format = before
    replace_folder(temporary, path)
