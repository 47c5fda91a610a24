"""The tables that stages exchange: plain pandas frames, one documented set of columns each.

Tracks follow ultrack and VisCy: one row per node (a cell at a time point) with the
columns of :data:`TRACK_COLUMNS`. Centroids are in pixels, -1 means no parent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TRACK_COLUMNS = ["track_id", "t", "id", "parent_track_id", "parent_id", "z", "y", "x"]
"""``track_id`` names the track, ``id`` the node, both unique within their FOV;
``parent_id`` is the node before (of the same track, or of the parent at a division)."""

LINK_COLUMNS = ["area", "reliability"]
"""What tracks made here have besides: pixels of the cell, and how sure the link to the node
before is, 0 to 1 (1 where there is none)."""

NODE_KEY = ["fov_name", "id"]
"""What identifies a cell at a time point in a table over FOVs."""

ANNOTATION_COLUMNS = ["fov_name", *TRACK_COLUMNS, "annotator", "date", "version"]
"""Annotations: these, and one ``<task>_state`` column per task (napari-iohub's form);
a blank state means not annotated."""

PREDICTION_COLUMNS = ["fov_name", "track_id", "t", "id", "z", "y", "x"]
"""Predictions: these, then ``predicted_<task>``, ``confidence`` and one
``probability_<state>`` column per state."""

EVENT_COLUMNS = ["t", "z", "y", "x", "score", "rank", "id", "track_id"]
"""Likely events: ``t`` is the earlier frame of the pair, the place is in pixels, ``score`` can be
compared over all FOVs, ``rank`` counts from 1 in its FOV; ``id`` and ``track_id`` are of the cell
that is there, -1 where none is near or the FOV has not been tracked."""

_INTEGERS = ["track_id", "t", "id", "parent_track_id", "parent_id"]
_REQUIRED = ["track_id", "t", "y", "x"]
NODES_PER_FRAME = 1_000_000
"""Ids of a time point are below this, above its own multiple of it."""


def node_id[Whole: (int, pd.Series)](t: Whole, label: Whole) -> Whole:
    """Return the id of a node from its time point and label, as ultrack numbers them."""
    return (t + 1) * NODES_PER_FRAME + label


def read_tracks(path: Path) -> pd.DataFrame:
    """Read a tracks CSV as other tools write it.

    ``z``, ``id`` and the parent columns may be missing or blank; further columns
    are kept as they are.

    Raises
    ------
    InvalidInput
        If the file cannot be read, or :func:`validate_tracks` refuses it.
    """
    return validate_tracks(read_csv(path, "tracks table"), path)


def read_events(path: Path) -> pd.DataFrame:
    """Read a table of likely events.

    Returns
    -------
    pandas.DataFrame
        :data:`EVENT_COLUMNS`, in the order of their ranks.

    Raises
    ------
    InvalidInput
        If the file cannot be read, or lacks a column.
    """
    table = read_csv(path, "table of events")
    require_columns(table, EVENT_COLUMNS, path)
    whole = ("t", "rank", "id", "track_id")
    kinds = {name: "int64" if name in whole else "float64" for name in EVENT_COLUMNS}
    return table[EVENT_COLUMNS].astype(kinds)


def read_csv(path: Path, what: str, *, as_text: bool = False) -> pd.DataFrame:
    """Read a CSV.

    Parameters
    ----------
    path
        The file.
    what
        What it should be, for the error message.
    as_text
        Read every cell as it is written, also "NA", "None" and "1.0"; "" where it is blank.
        Columns may be separated by semicolons or tabs, too, as spreadsheets write them in many
        countries.

    Raises
    ------
    InvalidInput
        If it is missing or no table.
    """
    try:
        if as_text:
            heads = {one: len(pd.read_csv(path, sep=one, nrows=0).columns) for one in ",;\t"}
            separator = max(heads, key=heads.__getitem__)
            return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
        return pd.read_csv(path)
    except (FileNotFoundError, IsADirectoryError):
        raise InvalidInput(f"{path} is no file: check the path of the {what}.") from None
    except UnicodeDecodeError:
        raise InvalidInput(
            f"{path} is not text in UTF-8: save the {what} again, as CSV UTF-8."
        ) from None
    except ValueError as error:  # a parser's and a decoder's errors are both
        raise InvalidInput(f"{path} is not a CSV table: {str(error).splitlines()[0]}.") from None


def validate_tracks(table: pd.DataFrame, source: object = "tracks table") -> pd.DataFrame:
    """Check a tracks table and complete it to :data:`TRACK_COLUMNS`.

    Parameters
    ----------
    table
        At least ``track_id``, ``t``, ``y`` and ``x``.
    source
        What the table is called in error messages.

    Returns
    -------
    pandas.DataFrame
        The standard columns first, sorted by ``track_id`` and ``t``, then the others.

    Raises
    ------
    InvalidInput
        On missing columns, blank or text cells, duplicate nodes, unknown parents.
    """
    result = _complete(table, source)
    if not (result["track_id"] == 0).any():  # the Cell Tracking Challenge's "no parent"
        result["parent_track_id"] = result["parent_track_id"].replace(0, -1)
    own = result["parent_track_id"] == result["track_id"]
    _refuse(result, own, "a track is its own parent", source)
    orphan = (result["parent_track_id"] >= 0) & ~result["parent_track_id"].isin(result["track_id"])
    _refuse(result, orphan, "'parent_track_id' names no track of the table", source)
    return _in_order(result)


def validate_nodes(table: pd.DataFrame, source: object) -> pd.DataFrame:
    """Check and complete a table like :func:`validate_tracks`; parents may be elsewhere."""
    return _in_order(_complete(table, source))


def _complete(table: pd.DataFrame, source: object) -> pd.DataFrame:
    """Check the rows and add what is missing; the rows keep their order for messages."""
    require_columns(table, _REQUIRED, source)
    result = table.copy()
    for name, default in (("z", 0.0), ("parent_track_id", -1), ("parent_id", -1)):
        result[name] = result[name].fillna(default) if name in result else default
    for name in (*_REQUIRED, "z", "parent_track_id", "parent_id"):
        result[name] = _numbers(result, name, source)
    if "id" in result and result["id"].notna().any():
        result["id"] = _numbers(result, "id", source)
    else:
        order = result.groupby("t").cumcount() + 1
        result["id"] = node_id(result["t"], order)
    for name in _INTEGERS:
        _refuse(result, (result[name] % 1) != 0, f"'{name}' is no whole number", source)
        result[name] = result[name].astype(np.int64)
    _refuse(result, result["t"] < 0, "'t' is negative", source)
    same_node = result.duplicated(["track_id", "t"])
    _refuse(result, same_node, "the same track_id and t stand there twice", source)
    _refuse(result, result.duplicated("id"), "the same id stands there twice", source)
    return result


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    others = [name for name in table if name not in TRACK_COLUMNS]
    result = table[[*TRACK_COLUMNS, *others]]
    result = result.sort_values(["track_id", "t"], kind="stable", ignore_index=True)
    if (result["parent_id"] < 0).all():  # not every tool writes it
        result["parent_id"] = parent_ids(result)
    return result


def parent_ids(tracks: pd.DataFrame) -> pd.Series:
    """Return the node before each node: of its track, or the last of the parent track; or -1.

    Parameters
    ----------
    tracks
        ``track_id``, ``t``, ``id`` and ``parent_track_id``, ordered by track and time.
    """
    before = tracks.groupby("track_id")["id"].shift(1)
    last = tracks.groupby("track_id")["id"].last()
    return before.fillna(tracks["parent_track_id"].map(last)).fillna(-1).astype(np.int64)


def _numbers(table: pd.DataFrame, name: str, source: object) -> pd.Series:
    values = pd.to_numeric(table[name], errors="coerce")
    _refuse(table, values.isna() | ~np.isfinite(values), f"'{name}' is blank or no number", source)
    return values


def _refuse(table: pd.DataFrame, bad: pd.Series, what: str, source: object) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad.to_numpy())[0])
        count = int(bad.sum())
        more = f" and {count - 1} more" if count > 1 else ""
        raise InvalidInput(f"{source}: in row {row + 1}{more}, {what}: correct the table.")


def require_columns(table: pd.DataFrame, names: Iterable[str], source: object) -> None:
    """Check that a table has some columns.

    Raises
    ------
    InvalidInput
        Naming those it lacks.
    """
    missing = [name for name in names if name not in table]
    if missing:
        raise InvalidInput(
            f"{source} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}: "
            f"it has {', '.join(map(str, table.columns))}."
        )


def lineage_roots(tracks: pd.DataFrame) -> pd.Series:
    """Return the founding track of each track's lineage.

    Parameters
    ----------
    tracks
        Valid tracks of one FOV.

    Returns
    -------
    pandas.Series
        Root ``track_id`` indexed by ``track_id``.
    """
    parents = tracks.groupby("track_id")["parent_track_id"].first()
    root = pd.Series(parents.index, index=parents.index)
    above = parents
    # Walk all lineages up together: as many steps as the deepest has generations.
    for _ in range(len(parents)):
        up = above >= 0
        if not up.any():
            break
        root = root.where(~up, above)
        above = above.map(lambda track: parents.get(track, -1) if track >= 0 else -1)
    return root
