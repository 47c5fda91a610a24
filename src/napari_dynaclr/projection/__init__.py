"""Projection: the embedding as a map of two or more dimensions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import claimed, pending, recorded, result_key

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params


def project(dataset: Dataset, params: Params | None = None, job: Job | None = None) -> pd.DataFrame:
    """Project the embedding of all FOVs of the dataset together.

    Dimensions are standardised first. The coordinates are kept in ``obsm`` of the
    shards, as ``X_phate``, ``X_pca`` or ``X_umap``. To map one FOV by itself, select
    it: ``project(dataset.select(["A/1/0"]))``.

    Parameters
    ----------
    dataset
        A dataset that has been embedded.
    params
        Settings of a projection method; the default method if omitted.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        ``fov_name``, ``track_id``, ``t``, ``id`` and one column per dimension of the map.

    Raises
    ------
    MissingInput
        If a FOV has not been embedded.
    InvalidInput
        If there are too few cells for the method.
    """
    import pandas as pd

    from napari_dynaclr.core.shards import standardized, vectors, write_shard

    job = job or Job()
    method, params = resolve("project", params)
    module = method.load()
    embedding = params.embedding  # type: ignore[attr-defined] # of every projection's settings
    workspace = dataset.workspace
    result = f"projection.{embedding}.{method.name}"
    where = f"X_{method.name}"
    with recorded(dataset, method, params):
        inputs = [
            workspace.require(f"embeddings.{embedding}", fov, f"embedding '{embedding}'", "embed")
            for fov in dataset.fovs
        ]
        key = result_key(method, params, *dataset.fov_names, *inputs)
        _, todo = pending(dataset, result, dict.fromkeys(dataset.fov_names, key))
        if todo:
            matrix = standardized(
                [
                    vectors(workspace.embedding(embedding, fov))
                    for fov in job.track(dataset.fovs, "read embedding")
                ]
            )
            coordinates = module.fit(matrix, params, job)
            start = 0
            work = job.track(dataset.fovs, "write map")
            for fov, made_from in zip(
                claimed(workspace, f"embeddings.{embedding}", work), inputs, strict=True
            ):
                shard = workspace.embedding(embedding, fov)
                shard.obsm[where] = coordinates[start : start + shard.n_obs]
                shard.uns[f"{where}_key"] = key
                start += shard.n_obs
                # What was there is void once it is replaced, also if this run is killed then.
                write_shard(
                    workspace.shard(embedding, fov), shard, partial(workspace.forget, result, fov)
                )
                workspace.mark_complete(result, fov, key, {f"embeddings.{embedding}": made_from})
    shards = (workspace.embedding(embedding, fov) for fov in dataset.fovs)
    return pd.concat([_table(shard, where, method.name) for shard in shards], ignore_index=True)


def _table(shard: ad.AnnData, where: str, name: str) -> pd.DataFrame:
    from napari_dynaclr.core.shards import nodes

    table = nodes(shard)[["fov_name", "track_id", "t", "id"]].copy()
    for i, column in enumerate(shard.obsm[where].T):
        table[f"{name.upper()}{i + 1}"] = column
    return table
