"""The queue of suspicious places of all FOVs, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from pydantic import Field

from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.params import Params
from napari_dynaclr.tracking.correction.corrector import Corrector
from napari_dynaclr.tracking.correction.suspects import SUSPECT_COLUMNS, suspects

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job


class SuspectsParams(Params):
    """How many places, and what is suspect."""

    count: int = Field(
        50,
        title="Places",
        description="List so many places, the most suspect first.",
        ge=1,
        le=1_000_000,
    )
    reliability: float = Field(
        0.6,
        title="Reliability of links",
        description="Links of a lower reliability are suspect.",
        ge=0,
        le=1,
    )


def run(dataset: Dataset, params: SuspectsParams, job: Job) -> pd.DataFrame:
    """List suspicious places, and write them to ``evaluation/suspects.csv``."""
    tables = []
    for fov in job.track(dataset.fovs, "look for suspects"):
        corrector = Corrector(dataset, fov.name)
        found = suspects(
            corrector.tracks, fov, below=params.reliability, looked_at=corrector.corrections
        )
        tables.append(found.astype(object))
    table = pd.concat(tables, ignore_index=True).infer_objects()
    table = table.sort_values("score", ascending=False, kind="stable", ignore_index=True)
    table = table.head(params.count)[SUSPECT_COLUMNS]
    file = dataset.workspace.evaluation("suspects")
    if not (file.exists() and file.read_text(encoding="utf-8") == table.to_csv(index=False)):
        write_csv(file, table)
    return table
