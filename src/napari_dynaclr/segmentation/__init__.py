"""Segmentation: a label image of the cells of every time point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.job import Job
from napari_dynaclr.core.plate_writer import FovWriter
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
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params

RESULT = "segmentation"


def segment(dataset: Dataset, params: Params | None = None, job: Job | None = None) -> pd.DataFrame:
    """Find the cells of every time point.

    Writes ``segmentation.zarr``: label images (T, 1, Z, Y, X) in which 0 is
    background. FOVs that are complete under the same settings are left as they
    are; an interrupted FOV continues after its last finished time point.

    Parameters
    ----------
    dataset
        Where the pixels are.
    params
        Settings of a segmentation method; the default method if omitted.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        ``fov_name``, ``t`` and ``cells``: the number of cells.

    Raises
    ------
    InvalidInput
        If the settings or the pixels cannot be used.
    """
    import numpy as np
    import pandas as pd

    job = job or Job()
    method, params = resolve("segment", params)
    module = method.load()
    workspace = dataset.workspace
    with recorded(dataset, method, params):
        source = getattr(module, "input_key", lambda _dataset, fov, _params: source_key(fov))
        inputs = {
            fov.name: stain_inputs(dataset, fov, module.channels_read(fov, params))
            for fov in dataset.fovs
        }
        keys = {
            fov.name: result_key(
                method, params, source(dataset, fov, params), *inputs[fov.name].values()
            )
            for fov in dataset.fovs
        }
        done, todo = pending(dataset, RESULT, keys)
        work = job.track(todo, "segment", done=len(done), total=len(dataset.fovs))
        for fov in claimed(workspace, RESULT, work):
            writer = FovWriter(
                workspace, RESULT, fov, keys[fov.name], ["labels"], inputs=inputs[fov.name]
            )
            start, stop = writer.next_time, fov.shape[0]
            frames = module.segment_fov(fov, start, params)
            for t, labels in enumerate(
                job.track(frames, fov.name, total=stop, done=start), start=start
            ):
                writer.write(t, labels[np.newaxis], note=_count(labels))
                job.made(writer.part(t))
            counts = pd.DataFrame({"t": np.arange(stop), "cells": writer.notes})
            writer.publish({"cells.csv": counts})
    tables = [
        pd.read_csv(workspace.plate(RESULT) / fov.name / "cells.csv").assign(fov_name=fov.name)
        for fov in dataset.fovs
    ]
    return pd.concat(tables, ignore_index=True)[["fov_name", "t", "cells"]]


def _count(labels: NDArray[np.uint32]) -> int:
    import numpy as np

    return len(np.unique(labels[labels > 0]))
