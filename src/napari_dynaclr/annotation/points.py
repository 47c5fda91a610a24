"""Points with states, from a CSV, assigned to cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import Field

from napari_dynaclr.core.assign import assign_points
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.journal import Mark
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.tables import read_csv, require_columns
from napari_dynaclr.core.taskbook import read_tasks
from napari_dynaclr.core.tasks import find_task, refuse_typos

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job

_NAPARI_AXES = {3: ["t", "y", "x"], 4: ["t", "z", "y", "x"]}


class PointsParams(Params):
    """Settings of the assignment of points."""

    path: str = Field(
        title="Points",
        description="CSV with t, y, x (pixels), optionally z, fov_name and state; "
        "napari's own export of a Points layer is read too.",
        json_schema_extra={"path": "file", "filter": "CSV (*.csv)"},
    )
    task: str = Field(
        "infection",
        title="Task",
        description="What the states are about, such as infection, division or your own.",
        min_length=1,
        pattern=r"^\w[\w-]*$",
        json_schema_extra={"choices": "tasks", "editable": True},
    )
    state: str = Field(
        "",
        title="State",
        description="State of all points, where the table has no column 'state'.",
    )
    radius: float = Field(
        10.0,
        title="Reach (um)",
        description="A point that hits no cell means the nearest centroid within this distance.",
        ge=0,
        le=1000,
    )
    annotator: str = Field(
        "",
        title="Annotator",
        description="Who annotated; the user of this computer if empty.",
        json_schema_extra={"advanced": True},
    )


def read_points(path: Path, state: str = "") -> pd.DataFrame:
    """Read points from a CSV.

    Returns
    -------
    pandas.DataFrame
        ``t``, ``z`` (NaN if not given), ``y``, ``x``, ``state`` and, if given, ``fov_name``.

    Raises
    ------
    InvalidInput
        If the file is missing, is no table, or lacks a column.
    """
    table = read_csv(path, "table of points")
    axes = [name for name in table if str(name).startswith("axis-")]
    if len(axes) in _NAPARI_AXES:
        table = table.rename(columns=dict(zip(axes, _NAPARI_AXES[len(axes)], strict=True)))
    if state and "state" not in table:
        table["state"] = state
    require_columns(table, ["t", "y", "x", "state"], str(path))
    if "z" not in table:
        table["z"] = np.nan
    for name in ("t", "y", "x"):
        table[name] = _numbers(table[name])
        _refuse(table[name].isna(), f"'{name}' is blank or no number", path)
    blank = table["z"].isna()
    table["z"] = _numbers(table["z"])
    _refuse(table["z"].isna() & ~blank, "'z' is no number", path)
    for name in {"state", "fov_name"} & set(table):
        _refuse(table[name].isna(), f"'{name}' is blank", path)
    return table


def _numbers(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").replace([np.inf, -np.inf], np.nan)


def _refuse(bad: pd.Series, what: str, path: Path) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0]) + 1
        raise InvalidInput(f"{path}: in row {row}, {what}.")


def read(dataset: Dataset, params: PointsParams, job: Job) -> tuple[list[Mark], str]:
    """Assign the points of a table to cells.

    Raises
    ------
    InvalidInput
        If the table holds no points, or a point is outside the movie or hits no cell.
    """
    table = read_points(Path(params.path).expanduser(), params.state)
    if table.empty:
        raise InvalidInput(f"{params.path} holds no points: there is nothing to annotate.")
    task = find_task(params.task, read_tasks(dataset.workspace))
    refuse_typos(table["state"].astype(str), task, params.path)
    if "fov_name" not in table:
        if len(dataset.fov_names) > 1:
            raise InvalidInput(
                f"{params.path} has no column fov_name, but the dataset has "
                f"{len(dataset.fov_names)} FOVs: add it, or choose one with --fov."
            )
        table["fov_name"] = dataset.fov_names[0]
    marks: list[Mark] = []
    table["fov_name"] = table["fov_name"].astype(str).str.strip("/")
    elsewhere = set(dataset.whole.fov_names) - set(dataset.fov_names)  # there, but not selected
    table = table[~table["fov_name"].isin(elsewhere)]
    for name, points in job.track(list(table.groupby("fov_name")), "assign points"):
        marks += _assign(dataset, dataset[str(name)], points, params)
    return marks, params.annotator


def _assign(dataset: Dataset, fov: Fov, points: pd.DataFrame, params: PointsParams) -> list[Mark]:
    tracks = dataset.workspace.tracks(fov)
    made_on = dataset.workspace.key("tracks", fov) or ""
    last = fov.shape[0] - 1
    outside = points[(points["t"] < 0) | (points["t"] > last)]
    if len(outside):
        raise InvalidInput(
            f"{params.path}: a point of FOV {fov.name} is at t={outside['t'].iloc[0]:g}, "
            f"the movie ends at t={last}."
        )
    points = points.assign(t=points["t"].round().astype(int))
    labels = dataset.workspace.labels("tracks", fov)
    marks = []
    for t, frame in labels.frames(["labels"], sorted(set(points["t"])), allow_empty=True):
        here = points[points["t"] == t]
        nodes = tracks[tracks["t"] == t]
        found = assign_points(
            here[["z", "y", "x"]].to_numpy(float), frame[0], nodes, fov.scale, params.radius
        )
        by_track = nodes.set_index("track_id")
        point: Any
        for track, point in zip(found, here.itertuples(), strict=True):
            if not track:
                raise InvalidInput(
                    f"{params.path}: no cell within {params.radius:g} um of the point at "
                    f"FOV {fov.name}, t={t}, y={point.y:g}, x={point.x:g}: "
                    "correct the point or raise radius."
                )
            node = by_track.loc[track]
            z = float(node["z"]) if np.isnan(point.z) else float(point.z)
            marks.append(
                Mark(
                    fov_name=fov.name,
                    id=int(node["id"]),
                    track_id=int(track),
                    t=int(t),
                    z=z,
                    y=float(point.y),
                    x=float(point.x),
                    task=params.task,
                    state=str(point.state),
                    made_on=made_on,
                )
            )
    return marks
