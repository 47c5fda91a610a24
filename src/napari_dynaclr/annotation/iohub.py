"""Annotation tables as napari-iohub writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import Field

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.journal import Mark
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.tables import read_csv, validate_nodes
from napari_dynaclr.core.taskbook import read_tasks
from napari_dynaclr.core.tasks import UNKNOWN, refuse_typos, task_of_column

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job

_REACH = 5.0
"""How far in um a node may be from where the table says."""


class IohubParams(Params):
    """Where the table is."""

    path: str = Field(
        title="Annotation table",
        description="CSV with the track columns and columns such as infection_state.",
        json_schema_extra={"path": "file", "filter": "CSV (*.csv)"},
    )
    annotator: str = Field(
        "",
        title="Annotator",
        description="Who annotated, where the table has no column 'annotator'.",
    )


def read(dataset: Dataset, params: IohubParams, job: Job) -> tuple[list[Mark], str]:
    """Match the rows of a table to nodes, by (fov_name, id), else (fov_name, t, track_id).

    Blank cells and "unknown" mean not annotated.

    Raises
    ------
    InvalidInput
        If the table has no column of states, or no row matches a node.
    """
    path = Path(params.path).expanduser()
    marks: list[Mark] = []
    whole = read_csv(path, "annotation table")
    known = read_tasks(dataset.workspace)
    columns = {
        str(name): task for name in whole if (task := task_of_column(str(name), known)) is not None
    }
    if not columns:
        raise InvalidInput(
            f"{path} has no column of states such as infection_state: it has "
            f"{', '.join(map(str, whole.columns))}."
        )
    for column, task in columns.items():
        refuse_typos(whole[column].dropna().astype(str), task, path)
    for fov, table in job.track(_by_fov(dataset, whole, path), "match annotations"):
        made_on = dataset.workspace.key("tracks", fov) or ""
        matched = _match(table, dataset.workspace.tracks(fov), fov.scale)
        for column, task in columns.items():
            given = matched[matched[column].notna() & (matched[column] != UNKNOWN)]
            marks += [
                _mark(row, fov.name, task.name, str(state), made_on)
                for row, state in zip(given.itertuples(), given[column], strict=True)
            ]
    if not marks:
        raise InvalidInput(
            f"None of the {len(whole)} rows of {path} fits a tracked cell: annotate the tracks of "
            "this dataset, or import the tracks that the table was made with."
        )
    return marks, params.annotator or _annotator(whole)


def _mark(row: Any, fov_name: str, task: str, state: str, made_on: str) -> Mark:
    return Mark(
        fov_name=fov_name,
        id=int(row.node),
        track_id=int(row.track_id),
        t=int(row.t),
        z=float(row.z),
        y=float(row.y),
        x=float(row.x),
        task=task,
        state=state,
        made_on=made_on,
    )


def _by_fov(dataset: Dataset, table: pd.DataFrame, path: Path) -> list[tuple[Fov, pd.DataFrame]]:
    if "fov_name" in table:
        names = table["fov_name"].astype(str).str.strip("/")
    elif len(dataset.fov_names) == 1:
        names = pd.Series(dataset.fov_names[0], index=table.index)
    else:
        raise InvalidInput(
            f"{path} has no column fov_name, but the dataset has {len(dataset.fov_names)} FOVs: "
            "add it, or choose one with --fov."
        )
    known = set(dataset.whole.fov_names) - set(dataset.fov_names)  # there, but not selected
    return [
        (dataset[str(name)], _validated(part.drop(columns="fov_name", errors="ignore"), path))
        for name, part in table.groupby(names)
        if name not in known
    ]


def _validated(part: pd.DataFrame, path: Path) -> pd.DataFrame:
    table = validate_nodes(part, path)
    if "id" not in part or part["id"].isna().all():
        table["id"] = -1  # those that were made up just now would look like ours
    return table


def _match(
    table: pd.DataFrame, tracks: pd.DataFrame, scale: tuple[float, float, float]
) -> pd.DataFrame:
    """Keep the rows that have a node today, its id in the column ``node``.

    Other tools number nodes and tracks as we do, so equal numbers alone prove
    nothing: the node must be where the row says.
    """
    rows = table.reset_index(drop=True).reset_index(names="row")
    nodes = tracks[["id", "t", "track_id", "y", "x"]].rename(columns={"id": "node"})
    by_id = rows.merge(nodes.assign(id=nodes["node"]), on=["id", "t"], suffixes=("", "_node"))
    by_track = rows.merge(nodes, on=["t", "track_id"], suffixes=("", "_node"))
    found = pd.concat([by_id, by_track])
    distance = np.hypot(
        (found["y"] - found["y_node"]) * scale[1], (found["x"] - found["x_node"]) * scale[2]
    )
    return found[distance <= _REACH].drop_duplicates("row").sort_values("row")


def _annotator(table: pd.DataFrame) -> str:
    if "annotator" in table and table["annotator"].notna().any():
        return str(table["annotator"].dropna().iloc[0])
    return ""
