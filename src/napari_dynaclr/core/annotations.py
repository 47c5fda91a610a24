"""Current annotations as a table, derived from the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_dynaclr.core.assign import assign_points
from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.journal import Journal
from napari_dynaclr.core.tables import ANNOTATION_COLUMNS, TRACK_COLUMNS
from napari_dynaclr.core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.journal import Action, Mark

VERSION = "1"

_WHOLE = ("track_id", "t", "id", "parent_track_id", "parent_id")

_REACH = 10.0
"""How far in um the cell of a mark may be that was made on other tracks."""


def current_annotations(dataset: Dataset) -> pd.DataFrame:
    """Return all annotations of a dataset, one row per annotated node.

    A mark stays with the cell it was made on: where segmentation or tracking have
    been run again since, it goes to the cell under it now, else to the nearest
    within 10 um, and is left out where there is none.

    Parameters
    ----------
    dataset
        The dataset; all its FOVs are looked at, whatever is selected.

    Returns
    -------
    pandas.DataFrame
        :data:`~napari_dynaclr.core.tables.ANNOTATION_COLUMNS` and one column of states
        per task, blank where a node was not annotated for that task: napari-iohub's
        form.
    """
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for name, node, mark, action in current_marks(dataset):
        row = rows.setdefault((name, node["id"]), {"fov_name": name, **node})
        row |= {"annotator": action.annotator, "date": action.date, "version": VERSION}
        row[find_task(mark.task).column] = mark.state
    table = pd.DataFrame(list(rows.values()))
    if table.empty:
        return pd.DataFrame(columns=ANNOTATION_COLUMNS)
    states = [name for name in table if name not in ANNOTATION_COLUMNS]
    table = table[[*ANNOTATION_COLUMNS, *states]].astype(dict.fromkeys(_WHOLE, "int64"))
    return table.sort_values(["fov_name", "t", "id"], ignore_index=True)


def current_marks(dataset: Dataset) -> Iterator[tuple[str, dict[str, Any], Mark, Action]]:
    """Iterate over the marks in force and the cells they belong to now.

    Yields
    ------
    tuple
        FOV name, the node (:data:`~napari_dynaclr.core.tables.TRACK_COLUMNS`), the mark,
        and the action that it is from.
    """
    by_fov: dict[str, list[tuple[Mark, Action]]] = {}
    for mark, action in Journal(dataset.workspace.journal).states().values():
        by_fov.setdefault(mark.fov_name, []).append((mark, action))
    for name, entries in by_fov.items():
        for node, mark, action in _nodes(dataset, name, entries):
            yield name, node, mark, action


def _nodes(
    dataset: Dataset, name: str, entries: list[tuple[Mark, Action]]
) -> list[tuple[dict[str, Any], Mark, Action]]:
    """Find the node of today that each mark of a FOV belongs to."""
    workspace = dataset.workspace
    fov = dataset.whole[name] if name in dataset.whole.fov_names else None
    key = workspace.key("tracks", fov) if fov is not None else None
    if fov is None or key is None or workspace.outdated("tracks", fov):
        return [(_as_marked(mark), mark, action) for mark, action in entries]
    tracks = workspace.tracks(fov)
    by_id = tracks.set_index("id", drop=False)[TRACK_COLUMNS]
    ids = [mark.id if mark.made_on == key else -1 for mark, _ in entries]
    moved = [i for i, (mark, _) in enumerate(entries) if mark.made_on != key]
    for i, node in zip(
        moved, _nearest(dataset, fov, tracks, [entries[i][0] for i in moved]), strict=True
    ):
        ids[i] = node
    return [
        ({str(k): v for k, v in by_id.loc[node].items()}, mark, action)
        for node, (mark, action) in zip(ids, entries, strict=True)
        if node in by_id.index
    ]


def _as_marked(mark: Mark) -> dict[str, Any]:
    known = {"track_id": mark.track_id, "t": mark.t, "id": mark.id, "z": mark.z}
    return {**known, "parent_track_id": -1, "parent_id": -1, "y": mark.y, "x": mark.x}


def _nearest(dataset: Dataset, fov: Fov, tracks: pd.DataFrame, marks: list[Mark]) -> list[int]:
    """Return the id of the node at each mark's place, -1 where there is none."""
    found = np.full(len(marks), -1)
    times = np.array([mark.t for mark in marks])
    labels = dataset.workspace.labels("tracks", fov)
    inside = sorted({int(t) for t in times if t < fov.shape[0]})
    for t, frame in labels.frames(["labels"], inside, allow_empty=True):
        here = np.flatnonzero(times == t)
        points = np.array([[marks[i].z, marks[i].y, marks[i].x] for i in here])
        nodes = tracks[tracks["t"] == t]
        track = assign_points(points, frame[0], nodes, fov.scale, _REACH)
        ids = dict(zip(nodes["track_id"], nodes["id"], strict=True))
        found[here] = [ids.get(int(one), -1) for one in track]
    return [int(node) for node in found]


def write_annotations(dataset: Dataset) -> None:
    """Derive ``annotations.csv`` from the journal."""
    write_csv(dataset.workspace.annotations_csv, current_annotations(dataset))
