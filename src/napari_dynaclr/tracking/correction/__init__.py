"""Correction: what people put right in tracks, as an overlay that can be taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import recorded

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params


def correct(dataset: Dataset, params: Params | None = None, job: Job | None = None) -> pd.DataFrame:
    """Put tracks right: do actions, repeat them on new tracks, list what is suspect.

    Every action is in ``corrections.jsonl`` before the next one; ``tracks.zarr`` then has
    all that are in force, and what the tracking method made is kept in ``linked.zarr``.

    Parameters
    ----------
    dataset
        A dataset that has been tracked.
    params
        Settings of a method; by default, what was corrected in the viewer is written.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        Corrections in force:
        :data:`~napari_dynaclr.tracking.correction.acting.CORRECTION_COLUMNS`; of "suspects",
        :data:`~napari_dynaclr.tracking.correction.suspects.SUSPECT_COLUMNS`.

    Raises
    ------
    MissingInput
        If a FOV has not been tracked, or its tracks are out of date.
    InvalidInput
        If an action cannot be done.
    """
    job = job or Job()
    method, params = resolve("correct", params)
    with recorded(dataset, method, params):
        job.check()
        result: pd.DataFrame = method.load().run(dataset, params, job)
    return result
