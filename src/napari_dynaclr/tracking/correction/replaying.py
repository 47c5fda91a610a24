"""Corrections of earlier tracks repeated, FOV by FOV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.params import Params
from napari_dynaclr.tracking.correction.acting import write_all
from napari_dynaclr.tracking.correction.corrector import Corrector
from napari_dynaclr.tracking.correction.replay import replay

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job


class ReplayParams(Params):
    """No settings: all that was corrected before the FOVs were tracked again."""


def run(dataset: Dataset, params: ReplayParams, job: Job) -> pd.DataFrame:
    """Repeat what was corrected on earlier tracks; what cannot be is noted, a line each."""
    for fov in job.track(dataset.fovs, "repeat corrections"):
        done, left_out = replay(dataset, Corrector(dataset, fov.name))
        if done or left_out:
            job.note(f"FOV {fov.name}: {len(done)} of {len(done) + len(left_out)} repeated.")
        for line in left_out:
            job.note(f"FOV {fov.name}, left out: {line}")
    return write_all(dataset, job)
