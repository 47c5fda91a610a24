"""Tracks as CSV: ultrack's and VisCy's columns, and those of napari's Tracks layer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from napari_dynaclr.core.atomic import write_csv, write_text
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.tables import read_csv, require_columns, validate_tracks
from napari_dynaclr.tracking.exchange.found import Found

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

NAPARI = {"id": "track_id", "trackid": "track_id", "t": "t", "z": "z", "y": "y", "x": "x"}


def read_table(path: Path, fov_name: str, *, only: bool) -> Found:
    """Read a CSV of ultrack, VisCy or napari's Tracks.

    Parameters
    ----------
    path
        The file. With a column ``track_id`` it is ultrack's; else the columns are those of
        napari's Tracks (ID, T, Z, Y, X, in upper or lower case), with the graph beside it.
    fov_name
        The FOV that is wanted, where the table has a column ``fov_name``.
    only
        Whether there is no other FOV, so that a table without that column can be of this one.

    Raises
    ------
    InvalidInput
        If it is no table of tracks, or not of this FOV.
    """
    table = read_csv(path, "tracks table")
    if "track_id" in table:
        if "fov_name" in table:
            table = table[table["fov_name"].astype(str).str.strip("/") == fov_name]
            table = table.drop(columns="fov_name").reset_index(drop=True)
        elif not only:
            raise _several(path)
        return Found(_refuse_none(validate_tracks(table, path), path, fov_name))
    if not only:
        raise _several(path)
    names = {name: NAPARI[key] for name in table if (key := str(name).lower()) in NAPARI}
    table = table.rename(columns=names)[list(names.values())]
    if not table.columns.is_unique:
        raise InvalidInput(f"{path} has two columns of the same meaning: leave one out.")
    require_columns(table, ["track_id", "t", "y", "x"], f"{path} (columns ID, T, Y, X)")
    table["parent_track_id"] = table["track_id"].map(_read_graph(graph_file(path)))
    return Found(_refuse_none(validate_tracks(table, path), path, fov_name))


def _refuse_none(table: pd.DataFrame, path: Path, fov_name: str) -> pd.DataFrame:
    if table.empty:
        raise InvalidInput(f"{path} holds no tracks of FOV {fov_name}: check the path.")
    return table


def _several(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{path} is of one FOV and the dataset has several: give a folder of files named "
        "row_column_fov, or a table with a column fov_name."
    )


def graph_file(path: Path) -> Path:
    """Where the graph of a napari CSV is: ``tracks.graph.json`` beside ``tracks.csv``."""
    return path.with_suffix(".graph.json")


def _read_graph(path: Path) -> dict[int, int]:
    """Read napari's graph: each track's parents; two of them would be a merge."""
    if not path.exists():
        return {}
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
        graph = {
            int(child): [int(one) for one in (parents if isinstance(parents, list) else [parents])]
            for child, parents in text.items()
        }
    except (ValueError, TypeError, AttributeError):
        raise InvalidInput(
            f'{path} is no graph of tracks: it has to look like {{"3": [1], "4": [1]}}.'
        ) from None
    for child, parents in graph.items():
        if len(parents) > 1:
            raise InvalidInput(
                f"{path}: track {child} has {len(parents)} parents: cells divide but do not "
                "merge; leave it one."
            )
    return {child: parents[0] for child, parents in graph.items() if parents}


def write_ultrack(path: Path, tracks: pd.DataFrame) -> None:
    """Write ultrack's and VisCy's CSV.

    Parameters
    ----------
    path
        The file; replaced if it exists.
    tracks
        Valid tracks of one FOV.
    """
    write_csv(path, tracks)


def write_napari(path: Path, tracks: pd.DataFrame, *, flat: bool) -> None:
    """Write the data of a napari Tracks layer as CSV, and its graph beside it.

    Parameters
    ----------
    path
        The file; replaced if it exists. The graph is ``tracks.graph.json`` beside
        ``tracks.csv``: each daughter's track, and its parent in a list.
    tracks
        Valid tracks of one FOV; positions stay in pixels.
    flat
        Leave Z out.
    """
    columns = ["track_id", "t", *([] if flat else ["z"]), "y", "x"]
    names = {"track_id": "ID", **{name: name.upper() for name in columns[1:]}}
    parents = tracks.groupby("track_id")["parent_track_id"].first()
    graph = {str(child): [int(parent)] for child, parent in parents.items() if parent >= 0}
    # The graph first: a table is never there without the divisions that belong to it.
    write_text(graph_file(path), json.dumps(graph))
    write_csv(path, tracks[columns].rename(columns=names))
