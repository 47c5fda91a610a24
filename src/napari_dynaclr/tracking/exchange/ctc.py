"""The Cell Tracking Challenge's folders: masks by track id, and a table of tracks.

The table has track, begin, end and parent (0 for none); see celltrackingchallenge.net/datasets.
A track has no gaps there, so that one with a gap becomes several, each the parent of the next.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.multiscale import first_line
from napari_dynaclr.core.tables import validate_tracks
from napari_dynaclr.tracking.exchange.found import Found
from napari_dynaclr.tracking.nodes import frame_nodes, relabel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job

_TABLES = ("res_track.txt", "man_track.txt")
_MASK = re.compile(r"(?:mask|man_track)(\d+)\.tiff?", re.IGNORECASE)
_LARGEST = np.iinfo(np.uint16).max


def ctc_folder(path: Path) -> Path | None:
    """Return the folder with the table of tracks: the given one or the ``TRA`` in it, or None."""
    for folder in (path, path / "TRA"):
        if any((folder / name).is_file() for name in _TABLES):
            return folder
    return None


def read_ctc(folder: Path, fov: Fov, job: Job) -> Found:
    """Read the masks and the lineage of one sequence.

    A track that is the only child of another and begins after a gap is taken as its
    continuation, as the format has no other way to say so.

    Parameters
    ----------
    folder
        From :func:`ctc_folder`.
    fov
        The FOV that the masks are of.
    job
        Progress and cancelling.

    Raises
    ------
    InvalidInput
        If masks are missing or of another shape, or table and masks do not agree.
    """
    file = next(folder / name for name in _TABLES if (folder / name).is_file())
    lines = _read_lines(file)
    masks = _masks(folder, fov)
    parts = [
        frame_nodes(_read_mask(masks[t], fov), t)
        for t in job.track(range(fov.shape[0]), f"masks {fov.name}")
    ]
    nodes = pd.concat(parts, ignore_index=True)
    _check(nodes, lines, file)
    same, parents = _continued(lines)
    nodes["track_id"] = nodes["label"].map(same)
    nodes["parent_track_id"] = nodes["track_id"].map(parents)

    def labels(times: Iterable[int]) -> Iterator[tuple[int, NDArray[Any]]]:
        numbers = pd.DataFrame({"label": list(same), "track_id": list(same.values())})
        for t in times:
            yield t, relabel(_read_mask(masks[t], fov), numbers)

    return Found(validate_tracks(nodes.drop(columns="label"), file), labels)


def _read_lines(file: Path) -> pd.DataFrame:
    """Read the table: L B E P, indexed by L."""
    try:
        values = np.loadtxt(file, dtype=np.int64, ndmin=2)
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} is no table of tracks: {first_line(error)}.") from None
    if values.shape[1] != 4:
        raise InvalidInput(
            f"{file} has {values.shape[1]} columns: the table of the Cell Tracking Challenge has "
            "four (track, begin, end, parent)."
        )
    table = pd.DataFrame(values, columns=["L", "B", "E", "P"])
    twice = table.loc[table["L"].duplicated(), "L"]
    if len(twice):
        raise InvalidInput(f"{file}: track {twice.iloc[0]} stands there twice: correct the table.")
    unknown = table.loc[(table["P"] > 0) & ~table["P"].isin(table["L"]), "P"]
    if len(unknown):
        raise InvalidInput(f"{file}: there is no track {unknown.iloc[0]}, but it is a parent.")
    table = table.set_index("L")
    late = table["B"] <= table["P"].map(table["E"])  # NaN, where there is no parent, is not
    if late.any():
        raise InvalidInput(
            f"{file}: track {table.index[late][0]} begins before its parent ends: correct it."
        )
    return table


def _masks(folder: Path, fov: Fov) -> dict[int, Path]:
    found = {
        int(match[1]): path for path in folder.iterdir() if (match := _MASK.fullmatch(path.name))
    }
    missing = sorted(set(range(fov.shape[0])) - set(found))
    if missing or len(found) != fov.shape[0]:
        what = f"time point {missing[0]} is missing" if missing else f"there are {len(found)} masks"
        raise InvalidInput(
            f"{folder}: {what}, and FOV {fov.name} has {fov.shape[0]} time points: give the masks "
            "of this FOV (mask000.tif or man_track000.tif, ...)."
        )
    return found


def _read_mask(path: Path, fov: Fov) -> NDArray[Any]:
    import tifffile

    try:
        mask = np.asarray(tifffile.imread(path))
    except (tifffile.TiffFileError, ValueError, OSError, struct.error) as error:
        raise InvalidInput(f"{path} is not a readable TIFF: {first_line(error)}.") from None
    if mask.size != np.prod(fov.shape[1:]) or mask.shape[-2:] != fov.shape[2:]:
        raise InvalidInput(
            f"{path} has shape {mask.shape}, FOV {fov.name} has {fov.shape[1:]} (Z, Y, X): give "
            "the masks of this FOV."
        )
    if mask.dtype.kind not in "ui":
        raise InvalidInput(f"{path} has pixels of {mask.dtype}: masks are whole numbers.")
    return mask.reshape(fov.shape[1:])


def _check(nodes: pd.DataFrame, lines: pd.DataFrame, file: Path) -> None:
    """Refuse masks and a table that do not belong together."""
    if nodes.empty:
        raise InvalidInput(f"The masks beside {file} are empty: check the path.")
    stray = nodes[~nodes["label"].isin(lines.index)]
    if len(stray):
        row = stray.iloc[0]
        raise InvalidInput(
            f"{file}: the mask of time point {row.t:.0f} has a cell {row.label:.0f} that the table "
            "does not know: give the table that belongs to the masks."
        )
    span = lines.loc[nodes["label"]]
    outside = (nodes["t"].to_numpy() < span["B"]) | (nodes["t"].to_numpy() > span["E"])
    if outside.any():
        row = nodes.iloc[int(np.flatnonzero(outside)[0])]
        raise InvalidInput(
            f"{file}: track {row.label:.0f} is in the mask of time point {row.t:.0f}, outside of "
            "its begin and end: give the table that belongs to the masks."
        )


def _continued(lines: pd.DataFrame) -> tuple[dict[int, int], dict[int, int]]:
    """Join only children that begin after a gap to their parents.

    Returns
    -------
    tuple
        Track by the file's label, and parent by track (-1 for none).
    """
    children = lines["P"].value_counts().to_dict()
    ends = lines["E"].to_dict()
    same: dict[int, int] = {}
    parents: dict[int, int] = {}
    ordered = lines.sort_values("B", kind="stable")
    for label, begin, parent in zip(ordered.index, ordered["B"], ordered["P"], strict=True):
        gap = parent in ends and begin > ends[parent] + 1
        if gap and children[parent] == 1 and parent in same:
            same[int(label)] = same[parent]
        else:
            same[int(label)] = int(label)
            parents[int(label)] = same.get(parent, -1)
    return same, parents


def unbroken(tracks: pd.DataFrame) -> pd.DataFrame:
    """Give every stretch of a track without a gap a number of its own.

    Parameters
    ----------
    tracks
        Valid tracks of one FOV.

    Returns
    -------
    pandas.DataFrame
        ``t``, ``track_id``, ``number`` (what the format has as track: the first stretch keeps
        its track's number) and ``parent`` (0 for none), ordered by track and time.
    """
    table = tracks[["track_id", "t", "parent_track_id"]].sort_values(
        ["track_id", "t"], ignore_index=True
    )
    first = ~table["track_id"].duplicated()
    begins = ~first & (table["t"].diff() > 1)
    number = table["track_id"].where(first)
    number[begins] = table["track_id"].max() + np.arange(1, int(begins.sum()) + 1)
    table["number"] = number.ffill().astype(np.int64)
    last = table.groupby("track_id")["number"].last()
    parent = table["parent_track_id"].map(last).fillna(0)
    before = table["number"].shift(1).where(begins)
    heads = first | begins
    table["parent"] = before.fillna(parent).where(heads).ffill().astype(np.int64)
    return table[["t", "track_id", "number", "parent"]]


def write_ctc(
    folder: Path,
    tracks: pd.DataFrame,
    frames: Iterable[tuple[int, NDArray[Any]]],
    count: int,
) -> None:
    """Write a folder of masks and ``res_track.txt``.

    Parameters
    ----------
    folder
        An empty folder.
    tracks
        Valid tracks of one FOV.
    frames
        Label images (Z, Y, X) by track id, of all time points in order.
    count
        Number of time points.

    Raises
    ------
    InvalidInput
        If there are more tracks than 16 bits can tell apart.
    """
    import tifffile

    table = unbroken(tracks)
    if table["number"].max() > _LARGEST:
        order = pd.Series(np.arange(1, table["number"].nunique() + 1), table["number"].unique())
        table["number"] = table["number"].map(order)
        table["parent"] = table["parent"].map(order).fillna(0).astype(np.int64)
    if table["number"].max() > _LARGEST:
        raise InvalidInput(
            f"There are {table['number'].max()} tracks, and the masks of the Cell Tracking "
            f"Challenge hold {_LARGEST} at most: choose another format."
        )
    digits = max(3, len(str(count - 1)))
    numbers = dict(iter(table.rename(columns={"track_id": "label"}).groupby("t")))
    for t, frame in frames:
        here = numbers.get(t)
        if here is not None:
            here = here[["label", "number"]].rename(columns={"number": "track_id"})
        mask = relabel(frame, here).astype(np.uint16)
        tifffile.imwrite(
            folder / f"mask{t:0{digits}d}.tif",
            mask[0] if mask.shape[0] == 1 else mask,
            compression="zlib",
        )
    spans = table.groupby("number").agg(B=("t", "min"), E=("t", "max"), P=("parent", "first"))
    rows = [f"{row.Index} {row.B} {row.E} {row.P}" for row in spans.itertuples()]
    (folder / _TABLES[0]).write_text("\n".join(rows) + "\n", encoding="ascii")
