"""Before tracking: how cells move, whether linking them is easy, and with what settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from napari_dynaclr.core.cells import segmented_cells
from napari_dynaclr.core.motion import survey
from napari_dynaclr.core.params import Params
from napari_dynaclr.evaluation.report import Report

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job

_SUGGESTED = ("max_distance", "max_division_distance")
"""Settings of which a plate needs one value: cells of its quickest field must not be lost."""


class MotionParams(Params):
    """No settings: all that is asked for is in the segmented cells."""


def measure(dataset: Dataset, params: MotionParams, job: Job) -> Report:
    """Survey the segmented cells of every FOV.

    Returns
    -------
    Report
        Per FOV what :class:`~napari_dynaclr.core.motion.Motion` holds, lengths in um: the
        settings that it suggests in columns of their names. The verdicts are a further table.

    Raises
    ------
    MissingInput
        If a FOV has not been segmented.
    """
    rows, verdicts = [], []
    for fov in job.track(dataset.fovs, "survey motion"):
        motion = survey(segmented_cells(dataset, fov, job), fov.scale, fov.frame_interval)
        figures = {
            name: getattr(motion, name)
            for name in (
                "cells", "density", "diameter", "spacing", "step", "far_step", "found", "ambiguity"
            )
        }  # fmt: skip
        times = {
            "empty_frames": " ".join(map(str, motion.empty)),
            "jumps": " ".join(map(str, motion.jumps)),
        }
        row = {"fov_name": fov.name, **figures, **times, **motion.suggested}
        rows.append(row)
        verdicts.append({"fov_name": fov.name, "verdict": motion.verdict})
        job.note(f"{fov.name}: {motion.verdict}{_advice(motion.suggested)}")
    table = pd.DataFrame(rows)
    widest = {name: float(table[name].max()) for name in _SUGGESTED if name in table}
    if len(table) > 1 and widest:
        job.note(f"All FOVs together, the widest of these:{_advice(widest)}")
    return Report(table, more={"verdicts": pd.DataFrame(verdicts)})


def _advice(suggested: dict[str, float]) -> str:
    given = ", ".join(f"{name}={value:g}" for name, value in suggested.items())
    return f" Settings for 'track': {given}." if given else ""
