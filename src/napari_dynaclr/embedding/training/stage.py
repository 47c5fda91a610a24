"""The stage that trains: one encoder from the tracked cells of one or several datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import resolve

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params


def train(dataset: Dataset, params: Params | None = None, job: Job | None = None) -> pd.DataFrame:
    """Train an encoder on tracked cells.

    Writes ``weights/<name>.safetensors``, which says of itself which channels, patches and
    normalisation it takes; ``embed`` needs no more than this file. Beside it, in the folder
    ``weights/<name>/``, are the checkpoint that an interrupted training goes on from, the
    figures of every epoch (``metrics.csv``), and TensorBoard's log. The job is told the
    figures as they come; :meth:`~napari_dynaclr.core.job.Job.finish` ends a training early
    and keeps what it has learned.

    Parameters
    ----------
    dataset
        A dataset that has been tracked.
    params
        Settings of a training method; the default method if omitted.
    job
        Progress, figures, cancelling and finishing.

    Returns
    -------
    pandas.DataFrame
        A row per epoch: ``epoch``, ``loss``, ``validation_loss``, ``smoothness``,
        ``dynamic_range``, ``rank``, ``learning_rate``, ``seconds``.

    Raises
    ------
    MissingInput
        If a FOV has not been tracked.
    InvalidInput
        If there is nothing to learn from, or the settings do not fit the images.
    """
    method, params = resolve("train", params)
    table: pd.DataFrame = method.load().fit(dataset, params, job or Job(), method)
    return table
