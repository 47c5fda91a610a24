"""Put the time points of a FOV together, in files: memory does not grow with the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np

from napari_dynaclr.core.shards import PROJECTIONS

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job


def assemble(
    folder: Path,
    tracks: pd.DataFrame,
    fov: Fov,
    dataset: Dataset,
    columns: pd.DataFrame,
    job: Job,
) -> ad.AnnData:
    """Put the time points of a FOV together in the order of its tracks table.

    Parameters
    ----------
    folder
        Where the time points are, ``<t>.npz`` each. The matrices of the result are
        files here, too, and have to be written elsewhere before it goes.
    tracks
        Tracks table of the FOV.
    fov, dataset
        What it is of.
    columns
        Describes the dimensions.
    job
        For cancelling.
    """
    cells = len(tracks)
    matrices = {"vectors": _matrix(folder, "vectors", (cells, len(columns)))}
    flags = {"at_border": np.zeros(cells, bool)}
    for file in sorted(folder.glob("[0-9]*.npz")):
        job.check()
        with np.load(file, allow_pickle=False) as frame:
            rows = frame["rows"]
            for name in frame.files:
                values = frame[name]
                if name in ("vectors", "projections"):
                    if name not in matrices:
                        matrices[name] = _matrix(folder, name, (cells, values.shape[1]))
                    matrices[name][rows] = values
                elif name != "rows":
                    flags.setdefault(name, np.zeros(cells, bool))[rows] = values
    obs = tracks.copy()
    for name, flag in flags.items():
        obs[name] = flag
    obs.insert(0, "fov_name", fov.name)
    obs.index = [f"{fov.name}/{node}" for node in tracks["id"]]
    obsm: dict[str, Any] = {}
    if "projections" in matrices:
        obsm[PROJECTIONS] = matrices["projections"]
    return ad.AnnData(
        matrices["vectors"],
        obs=obs,
        var=columns,
        obsm=obsm,
        uns={
            "data_path": str(dataset.root),
            "tracks_path": str(dataset.workspace.plate("tracks")),
        },
    )


def _matrix(folder: Path, name: str, shape: tuple[int, int]) -> NDArray[Any]:
    """Make a matrix of zeros that lives in a file."""
    if 0 in shape:  # nothing can be mapped of an empty file
        return np.zeros(shape, np.float32)
    # As a plain array: AnnData does not know the class of mapped ones.
    return np.asarray(np.memmap(folder / name, np.float32, "w+", shape=shape))
