"""Embedding: one vector per cell and time point, as AnnData shards per FOV."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_dynaclr.core.atomic import atomic_file, remove
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import claimed, pending, recorded, result_key, source_key

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.params import Params


@dataclass(frozen=True)
class FrameEmbedding:
    """What a method returns for one time point.

    Attributes
    ----------
    rows
        Positions of the cells in the tracks table, (N,).
    vectors
        Embedding, (N, D) float32.
    at_border
        Whether the cell or its window meets the edge of the image, (N,).
    """

    rows: NDArray[np.intp]
    vectors: NDArray[np.float32]
    at_border: NDArray[np.bool_]


def embed(dataset: Dataset, params: Params | None = None, job: Job | None = None) -> pd.DataFrame:
    """Embed every tracked cell at every time point.

    Writes one AnnData shard per FOV under ``embeddings/<name>/``: ``X`` (cells x
    dimensions, float32), the track columns in ``obs`` with ``fov_name`` and
    ``at_border``, and where it came from in ``uns``. No cell is left out. An
    interrupted FOV continues after its last finished time point.

    Parameters
    ----------
    dataset
        A dataset that has been tracked.
    params
        Settings of an embedding method; the default method if omitted.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        ``fov_name``, ``cells`` and ``dimensions`` of each FOV.

    Raises
    ------
    MissingInput
        If a FOV has not been tracked.
    """
    import pandas as pd

    from napari_dynaclr.core.shards import shard_shape, write_shard

    job = job or Job()
    method, params = resolve("embed", params)
    module = method.load()
    workspace = dataset.workspace
    name = method.name
    result = f"embeddings.{name}"
    with recorded(dataset, method, params):
        inputs = {
            fov.name: workspace.require("tracks", fov, "tracks", "track") for fov in dataset.fovs
        }
        keys = {
            fov.name: result_key(method, params, source_key(fov), inputs[fov.name])
            for fov in dataset.fovs
        }
        done, todo = pending(dataset, result, keys)
        work = job.track(todo, "embed", done=len(done), total=len(dataset.fovs))
        for fov in claimed(workspace, result, work):
            folder = workspace.partial(result, fov, keys[fov.name])
            tracks = workspace.tracks(fov)
            finished = {int(file.stem) for file in folder.glob("[0-9]*.npz")}
            times = [t for t in sorted(set(tracks["t"])) if t not in finished]
            frames = module.embed_fov(dataset, fov, tracks, times, params, job)
            for t, frame in job.track(
                frames, fov.name, total=len(times) + len(finished), done=len(finished)
            ):
                _save(folder / f"{t:06d}.npz", frame)
            shard = _assemble(folder, tracks, fov, dataset, module.columns(fov, params))
            shard.uns["method"] = method.name
            shard.uns["params"] = params.model_dump_json()

            def replacing(fov: Fov = fov) -> None:
                # Void from here on, also if this run is killed; maps and predictions live in
                # the shard and go with the old one.
                for pattern in (result, f"projection.{name}.*", f"predictions.{name}.*"):
                    workspace.forget(pattern, fov)

            write_shard(workspace.shard(name, fov), shard, replacing)
            workspace.mark_complete(result, fov, keys[fov.name], {"tracks": inputs[fov.name]})
            remove(folder)
    sizes = [shard_shape(workspace.shard(name, fov)) for fov in dataset.fovs]
    return pd.DataFrame(
        {
            "fov_name": dataset.fov_names,
            "cells": [cells for cells, _ in sizes],
            "dimensions": [dimensions for _, dimensions in sizes],
        }
    )


def _save(path: Path, frame: FrameEmbedding) -> None:
    import numpy as np

    with atomic_file(path) as temporary:
        np.savez(temporary, rows=frame.rows, vectors=frame.vectors, at_border=frame.at_border)


def _assemble(
    folder: Path, tracks: pd.DataFrame, fov: Fov, dataset: Dataset, columns: pd.DataFrame
) -> ad.AnnData:
    """Put the time points of a FOV together in the order of its tracks table."""
    import anndata as ad
    import numpy as np

    vectors = np.zeros((len(tracks), len(columns)), np.float32)
    at_border = np.zeros(len(tracks), bool)
    for file in sorted(folder.glob("[0-9]*.npz")):
        with np.load(file, allow_pickle=False) as frame:
            vectors[frame["rows"]] = frame["vectors"]
            at_border[frame["rows"]] = frame["at_border"]
    obs = tracks.assign(at_border=at_border)
    obs.insert(0, "fov_name", fov.name)
    obs.index = [f"{fov.name}/{node}" for node in tracks["id"]]
    return ad.AnnData(
        vectors,
        obs=obs,
        var=columns,
        uns={
            "data_path": str(dataset.root),
            "tracks_path": str(dataset.workspace.plate("tracks")),
        },
    )
