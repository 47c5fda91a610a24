"""Embedding: one vector per cell and time point, as AnnData shards per FOV."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_dynaclr.core.atomic import atomic_file, remove
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import (
    claimed,
    pending,
    recorded,
    result_key,
    source_key,
    stain_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import anndata as ad
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.params import Params

    Frames = Iterator[tuple[int, "FrameEmbedding"]]


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
    projections
        What a contrastive network was compared by, (N, P) float32.
    has_nan
        Whether pixels of the cell had no finite value and were filled, (N,).
    """

    rows: NDArray[np.intp]
    vectors: NDArray[np.float32]
    at_border: NDArray[np.bool_]
    projections: NDArray[np.float32] | None = None
    has_nan: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Embedder:
    """A method at work: what its module's ``open_embedder`` gives for a run.

    Attributes
    ----------
    embed_fov
        From FOV, tracks table, time points and job to (t, embedding) of each.
    columns
        Describes the embedding of a FOV, a row per dimension.
    weights
        Hashes of the weights that the result depends on.
    about
        What else is to be kept with the result, by name.
    channels
        What it sees; any of the FOV's if that is not known.
    """

    embed_fov: Callable[[Fov, pd.DataFrame, Sequence[int], Job], Frames]
    columns: Callable[[Fov], pd.DataFrame]
    weights: tuple[str, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[str, ...] = ()


def embed(dataset: Dataset, params: Params | None = None, job: Job | None = None) -> pd.DataFrame:
    """Embed every tracked cell at every time point.

    Writes one AnnData shard per FOV under ``embeddings/<name>/``: ``X`` (cells x
    dimensions, float32), the track columns in ``obs`` with ``fov_name`` and
    ``at_border``, a network's projections in ``obsm``, and where it came from in
    ``uns``. No cell is left out. An interrupted FOV continues after its last finished
    time point. Vectors wait on disk until a FOV is done, so that memory does not grow
    with the number of cells.

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
    from napari_dynaclr.embedding.assembly import assemble

    job = job or Job()
    method, params = resolve("embed", params)
    module = method.load()
    workspace = dataset.workspace
    name = params.model_dump().get("name") or method.name
    result = f"embeddings.{name}"
    with ExitStack() as stack:
        entry = stack.enter_context(recorded(dataset, method, params))
        tracked = {
            fov.name: workspace.require("tracks", fov, "tracks", "track") for fov in dataset.fovs
        }
        embedder = stack.enter_context(module.open_embedder(dataset, params, job))
        entry["weights_sha256"] = list(embedder.weights)
        inputs = {
            fov.name: {
                "tracks": tracked[fov.name],
                **stain_inputs(dataset, fov, embedder.channels or fov.channels),
            }
            for fov in dataset.fovs
        }
        keys = {
            fov.name: result_key(
                method, params, source_key(fov), *inputs[fov.name].values(), *embedder.weights
            )
            for fov in dataset.fovs
        }
        done, todo = pending(dataset, result, keys)
        work = job.track(todo, "embed", done=len(done), total=len(dataset.fovs))
        for fov in claimed(workspace, result, work):
            folder = workspace.partial(result, fov, keys[fov.name])
            tracks = workspace.tracks(fov)
            finished = {int(file.stem) for file in folder.glob("[0-9]*.npz")}
            times = [t for t in sorted(set(tracks["t"])) if t not in finished]
            frames = embedder.embed_fov(fov, tracks, times, job)
            for t, frame in job.track(
                frames, fov.name, total=len(times) + len(finished), done=len(finished)
            ):
                _save(folder / f"{t:06d}.npz", frame)

            def replacing(fov: Fov = fov) -> None:
                # Void from here on, also if this run is killed; maps and predictions live in
                # the shard and go with the old one.
                for pattern in (result, f"projection.{name}.*", f"predictions.{name}.*"):
                    workspace.forget(pattern, fov)

            about = {"method": name, "params": params.model_dump_json(), **embedder.about}
            shard = assemble(folder, tracks, fov, dataset, embedder.columns(fov), job)
            shard.uns.update(about)
            _tell_nan(shard, fov, job)
            write_shard(workspace.shard(name, fov), shard, replacing)
            workspace.mark_complete(result, fov, keys[fov.name], inputs[fov.name])
            del shard  # its matrices are files in the folder, which some systems keep while open
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
        np.savez(temporary, **{n: v for n, v in vars(frame).items() if v is not None})


def _tell_nan(shard: ad.AnnData, fov: Fov, job: Job) -> None:
    count = int(shard.obs["has_nan"].sum()) if "has_nan" in shard.obs else 0
    if count:
        job.note(
            f"FOV {fov.name}: {count} of {shard.n_obs} cells have NaN in their patches. These "
            "pixels were set to the patch's median, and the cells are marked has_nan."
        )
