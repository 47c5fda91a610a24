"""Comparison: several ways to do one thing, measured beside each other."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import recorded

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params

__all__ = ["compare"]


def compare(dataset: Dataset, params: Params | None = None, job: Job | None = None) -> pd.DataFrame:
    """Measure several ways to do one thing beside each other.

    What there is to compare, the methods say:
    :func:`~napari_dynaclr.comparison.encoders.run` encoders,
    :func:`~napari_dynaclr.comparison.trackers.run` engines that track.

    Parameters
    ----------
    dataset
        A dataset that what is compared can begin with.
    params
        Settings of a comparison; of encoders if omitted.
    job
        Progress and cancelling.

    Returns
    -------
    pandas.DataFrame
        A row for each way.

    Raises
    ------
    MissingInput
        If a FOV lacks what is to be compared.
    InvalidInput
        If the settings or the truth cannot be used.
    MissingExtra
        If a package is not installed.
    """
    job = job or Job()
    method, params = resolve("compare", params)
    method.load()
    with recorded(dataset, method, params):
        module = import_module(f"{__name__}.{method.name}")
        table: pd.DataFrame = module.run(dataset, params, job)
    return table
