"""Current annotations as a table, derived from the journal."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_dynaclr.core.assign import nodes_at
from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.journal import Journal
from napari_dynaclr.core.tables import ANNOTATION_COLUMNS, TRACK_COLUMNS
from napari_dynaclr.core.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.journal import Action, Mark

VERSION = "1"

_WHOLE = ("track_id", "t", "id", "parent_track_id", "parent_id")

REACH = 10.0
"""How far in um the cell of a mark, or of a correction, may be that was made on other tracks."""


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
    found = marks_in_force(dataset)
    for name, entries in groupby(found, key=lambda entry: entry[0]):
        yield from _with_nodes(dataset, name, list(entries))


def _with_nodes(
    dataset: Dataset, name: str, entries: list[tuple[str, int, Mark, Action]]
) -> Iterator[tuple[str, dict[str, Any], Mark, Action]]:
    fov, key = _tracked(dataset, name)
    if fov is None or key is None:
        yield from ((name, _as_marked(mark), mark, action) for _, _, mark, action in entries)
        return
    tracks = dataset.workspace.tracks(fov, behind=True)[TRACK_COLUMNS]
    here = tracks[tracks["id"].isin([node for _, node, _, _ in entries])]
    nodes: dict[Any, dict[Any, Any]] = here.set_index("id", drop=False).to_dict("index")
    for _, node, mark, action in entries:
        if node in nodes:
            yield name, dict(nodes[node]), mark, action


def marks_in_force(
    dataset: Dataset, journal: Journal | None = None, fov_names: Collection[str] | None = None
) -> Iterator[tuple[str, int, Mark, Action]]:
    """Iterate over the marks in force and the ids of the cells they belong to now.

    Tables and label images are read only of FOVs with marks that were made on other
    tracks than there are now.

    Parameters
    ----------
    dataset
        The dataset; all its FOVs are looked at, whatever is selected.
    journal
        The journal, if it has been read already.
    fov_names
        FOVs to look at; all by default.

    Yields
    ------
    tuple
        FOV name, id of the node, the mark, and the action that it is from; FOV by FOV,
        the last mark last.
    """
    journal = journal or Journal(dataset.workspace.journal)
    by_fov: dict[str, list[tuple[Mark, Action]]] = {}
    for mark, action in journal.latest():
        if fov_names is None or mark.fov_name in fov_names:
            by_fov.setdefault(mark.fov_name, []).append((mark, action))
    for name, entries in by_fov.items():
        nodes, moved = _nodes(dataset, name, [mark for mark, _ in entries])
        # What was done on older tracks is done again on the cells of today, in order: a
        # state given or taken away since then holds, whatever id the cell had before.
        found: dict[tuple[int, str], tuple[Mark, Action]] = {}
        for node, was_moved, (mark, action) in zip(nodes, moved, entries, strict=True):
            place = (node, mark.task)
            before = found.get(place)
            explicit = before is not None and before[0].state and not before[0].carried
            if node < 0 or (explicit and mark.carried and was_moved):
                continue  # its cell is gone, or someone has looked at the one that is there
            found.pop(place, None)
            found[place] = (mark, action)
        for (node, _), (mark, action) in found.items():
            if mark.state:
                yield name, node, mark, action


def _tracked(dataset: Dataset, name: str) -> tuple[Fov | None, str | None]:
    """FOV of a name and key of its tracks; None where there are none that are up to date."""
    fov = dataset.whole[name] if name in dataset.whole.fov_names else None
    if fov is None or dataset.workspace.outdated("tracks", fov):
        return fov, None
    return fov, dataset.workspace.key("tracks", fov)


def _nodes(dataset: Dataset, name: str, marks: list[Mark]) -> tuple[list[int], list[bool]]:
    """Find the id of the node of today that each mark of a FOV belongs to, -1 for none.

    Also says whether the mark was made on other tracks.
    """
    fov, key = _tracked(dataset, name)
    ids = [mark.id for mark in marks]
    moved = [key is not None and mark.made_on != key for mark in marks]
    if fov is not None and any(moved):
        tracks = dataset.workspace.tracks(fov, behind=True)
        places = [i for i, was_moved in enumerate(moved) if was_moved]
        nearest = _nearest(dataset, fov, tracks, [marks[i] for i in places])
        for i, node in zip(places, nearest, strict=True):
            ids[i] = node
    return ids, moved


def _as_marked(mark: Mark) -> dict[str, Any]:
    known = {"track_id": mark.track_id, "t": mark.t, "id": mark.id, "z": mark.z}
    return {**known, "parent_track_id": -1, "parent_id": -1, "y": mark.y, "x": mark.x}


def _nearest(dataset: Dataset, fov: Fov, tracks: pd.DataFrame, marks: list[Mark]) -> list[int]:
    """Return the id of the node at each mark's place, -1 where there is none."""
    times = np.array([mark.t for mark in marks])
    points = np.array([[mark.z, mark.y, mark.x] for mark in marks])
    labels = dataset.workspace.labels("tracks", fov, behind=True)
    return [int(node) for node in nodes_at(labels, tracks, times, points, REACH)]


def write_annotations(dataset: Dataset) -> None:
    """Derive ``annotations.csv`` from the journal."""
    write_csv(dataset.workspace.annotations_csv, current_annotations(dataset))
