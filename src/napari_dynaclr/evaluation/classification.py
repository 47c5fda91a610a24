"""Predicted states against true ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from pydantic import Field
from sklearn.metrics import precision_recall_fscore_support

from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.tables import read_csv, require_columns
from napari_dynaclr.core.tasks import find_task
from napari_dynaclr.evaluation.matching import match_centroids
from napari_dynaclr.evaluation.report import Report

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job


class ClassificationParams(Params):
    """Where the true states are."""

    truth: str = Field(
        title="Truth",
        description="CSV of true states: fov_name, t, y, x and a column such as infection_state.",
        json_schema_extra={"path": "file", "filter": "CSV (*.csv)"},
    )
    task: str = Field(
        "infection",
        title="Task",
        description="Which predictions to measure.",
        json_schema_extra={"choices": "tasks"},
    )
    radius: float = Field(
        6.0,
        title="Reach (um)",
        description="A true cell is the one of ours whose centroid is nearest, within this "
        "distance.",
        gt=0,
        le=1000,
    )


def measure(dataset: Dataset, params: ClassificationParams, job: Job) -> Report:
    """Compare predictions with the truth, over the dataset's FOVs together.

    Returns
    -------
    Report
        Per state and for the mean of the states ("macro"): ``precision``, ``recall``,
        ``f1``, ``cells`` (true cells that are one of ours, which the scores are about)
        and ``missed`` (true cells that are none of ours).

    Raises
    ------
    MissingInput
        If the task has not been predicted.
    InvalidInput
        If no true cell is one of ours.
    """
    file = dataset.workspace.predictions(params.task)
    if not file.exists():
        raise MissingInput(f"predictions of '{params.task}'", "classify")
    ours, column = read_csv(file, "predictions"), find_task(params.task).column
    truth = read_csv(Path(params.truth).expanduser(), "true states")
    require_columns(truth, ["fov_name", "t", "y", "x", column], params.truth)
    truth = truth[truth[column].notna()]
    if "z" not in truth:  # then only the place in the plane counts
        truth, ours = truth.assign(z=0.0), ours.assign(z=0.0)
    missed: Counter[str] = Counter()
    expected: list[str] = []
    predicted: list[str] = []
    for fov in job.track(dataset.fovs, "match"):
        a, b = truth[truth["fov_name"] == fov.name], ours[ours["fov_name"] == fov.name]
        pairs = match_centroids(a, b, fov.scale, params.radius)
        missed.update(a[column].drop(a.index[pairs[:, 0]]).astype(str))
        expected += a[column].iloc[pairs[:, 0]].astype(str).tolist()
        predicted += b[f"predicted_{params.task}"].iloc[pairs[:, 1]].astype(str).tolist()
    if not expected:
        raise InvalidInput(
            f"No cell of {params.truth} is within {params.radius:g} um of a predicted one: "
            "check that it belongs to this dataset."
        )
    states = sorted({*expected, *predicted})
    by_state = precision_recall_fscore_support(expected, predicted, labels=states, zero_division=0)
    table = pd.DataFrame(
        dict(zip(["precision", "recall", "f1", "cells"], by_state, strict=True)), index=states
    )
    macro = table.mean().to_frame("macro").T.assign(cells=len(expected))
    table = pd.concat([table, macro]).rename_axis("state").reset_index()
    missed["macro"] = missed.total()
    return Report(
        table.assign(
            cells=table["cells"].astype(int), missed=[missed[state] for state in table["state"]]
        )
    )
