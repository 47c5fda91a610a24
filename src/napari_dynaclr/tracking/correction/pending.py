"""Bring the tracks up to date with what was corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.params import Params
from napari_dynaclr.tracking.correction.acting import write_all

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job


class WriteParams(Params):
    """No settings: all corrections that are in force."""


def run(dataset: Dataset, params: WriteParams, job: Job) -> pd.DataFrame:
    """Write the corrections that were made and are not in the tracks yet."""
    return write_all(dataset, job)
