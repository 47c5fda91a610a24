"""Segmented cells as a table: one row per cell and time point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_dynaclr.core.job import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov

NODE_COLUMNS = ["t", "label", "z", "y", "x", "area"]
"""Segmented cells: time point, label, centroid and area in pixels."""


def frame_nodes(labels: NDArray[Any], t: int) -> pd.DataFrame:
    """Measure the cells of one time point.

    Parameters
    ----------
    labels
        Label image (Z, Y, X); 0 is background.
    t
        Time point.

    Returns
    -------
    pandas.DataFrame
        :data:`NODE_COLUMNS`, sorted by label.
    """
    where = np.nonzero(labels)
    found, index = np.unique(labels[where], return_inverse=True)
    area = np.bincount(index, minlength=len(found))
    centroids = {
        axis: np.bincount(index, weights=places, minlength=len(found)) / np.maximum(area, 1)
        for axis, places in zip("zyx", where, strict=True)
    }
    return pd.DataFrame({"t": t, "label": found.astype(np.int64), **centroids, "area": area})


def segmented_cells(dataset: Dataset, fov: Fov, job: Job | None = None) -> pd.DataFrame:
    """Measure the segmented cells of all time points of a FOV.

    Parameters
    ----------
    dataset
        The dataset of the FOV.
    fov
        Which.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        :data:`NODE_COLUMNS`, by time point and label.

    Raises
    ------
    MissingInput
        If the FOV has not been segmented.
    """
    job = job or Job()
    dataset.workspace.require("segmentation", fov, "segmented cells", "segment")
    frames = dataset.workspace.labels("segmentation", fov).frames(["labels"], allow_empty=True)
    work = job.track(frames, f"cells {fov.name}", total=fov.shape[0])
    parts = [frame_nodes(frame[0], t) for t, frame in work]
    return pd.concat(parts, ignore_index=True)
