"""Current annotations as a table, derived from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from napari_dynaclr.annotation.journal import Journal
from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.tables import ANNOTATION_COLUMNS, TRACK_COLUMNS
from napari_dynaclr.core.tasks import find_task

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset

VERSION = "1"


def current_annotations(dataset: Dataset) -> pd.DataFrame:
    """Return all annotations of a dataset, one row per annotated node.

    Returns
    -------
    pandas.DataFrame
        :data:`~napari_dynaclr.core.tables.ANNOTATION_COLUMNS` and one column of states
        per task, blank where a node was not annotated for that task: napari-iohub's
        form. Track columns are the current ones where the node still exists.
    """
    rows: dict[tuple[str, int], dict[str, object]] = {}
    for mark, action in Journal(dataset.workspace.journal).states().values():
        row = rows.setdefault(
            (mark.fov_name, mark.id),
            {
                "fov_name": mark.fov_name,
                "track_id": mark.track_id,
                "t": mark.t,
                "id": mark.id,
                "parent_track_id": -1,
                "parent_id": -1,
                "z": mark.z,
                "y": mark.y,
                "x": mark.x,
            },
        )
        row |= {"annotator": action.annotator, "date": action.date, "version": VERSION}
        row[find_task(mark.task).column] = mark.state
    table = pd.DataFrame(list(rows.values()))
    if table.empty:
        return pd.DataFrame(columns=ANNOTATION_COLUMNS)
    states = [name for name in table if name not in ANNOTATION_COLUMNS]
    table = _refresh(dataset, table[[*ANNOTATION_COLUMNS, *states]])
    return table.sort_values(["fov_name", "t", "id"], ignore_index=True)


def _refresh(dataset: Dataset, table: pd.DataFrame) -> pd.DataFrame:
    """Give each node the track it belongs to today: tracking may have been run again."""
    for name in table["fov_name"].unique():
        if name not in dataset.fov_names or not dataset.workspace.key("tracks", dataset[name]):
            continue
        tracks = dataset.workspace.tracks(dataset[name]).set_index("id", drop=False)
        here = (table["fov_name"] == name) & table["id"].isin(tracks.index)
        fresh = tracks.loc[table.loc[here, "id"], TRACK_COLUMNS]
        for column in TRACK_COLUMNS:
            table.loc[here, column] = fresh[column].to_numpy()
    return table


def write_annotations(dataset: Dataset) -> None:
    """Derive ``annotations.csv`` from the journal."""
    write_csv(dataset.workspace.annotations_csv, current_annotations(dataset))
