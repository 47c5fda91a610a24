"""What one action marks: the cells chosen, and those their state holds for too."""

from __future__ import annotations

from collections.abc import Set
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.journal import Mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.journal import Action
    from napari_dynaclr.core.tasks import Task

MARK_COLUMNS = [
    "fov_name", "track_id", "t", "id", "z", "y", "x", "state", "carried", "made_on",
]  # fmt: skip
"""Columns of :func:`mark_table`."""


def marks(
    tracks: pd.DataFrame,
    fov_name: str,
    ids: Sequence[int] | NDArray[np.integer],
    task: Task,
    state: str,
    made_on: str,
    *,
    explicit: Iterable[int] | NDArray[np.integer] = (),
) -> list[Mark]:
    """Make the marks of one action: a click, a lasso, a stretch of a track.

    Where the task is carried forward, each of the nodes speaks for the later ones of
    its track, up to the next that was marked explicitly. If that is the end of the
    track and the task is inherited, it speaks for the daughters in the same way, and
    for theirs.

    Parameters
    ----------
    tracks
        Tracks of the FOV: :data:`~napari_dynaclr.core.tables.TRACK_COLUMNS`.
    fov_name
        The FOV.
    ids
        The nodes that are marked, (N,); each counts once.
    task
        The task, with its options.
    state
        The state they get. Empty takes marks away: those of the nodes, and those that
        followed from them, by the same rule.
    made_on
        Key of the tracks.
    explicit
        Nodes of this FOV that are marked explicitly for this task already.

    Returns
    -------
    list of Mark
        Those of ``ids`` first, in their order; then the others (``carried``), by track
        and time.

    Raises
    ------
    InvalidInput
        If a node is not in the tracks.
    """
    if not len(ids):
        return []
    lines = _Lines(tracks)
    chosen = lines.rows(np.asarray(pd.unique(np.asarray(ids, np.int64))), fov_name)
    carried = np.zeros(0, np.intp)
    if task.carry_forward:
        carried = lines.after(chosen, _array(explicit), task.inherit)
    rows = lines.order[np.concatenate([chosen, carried])]
    columns = [tracks[name].to_numpy()[rows].tolist() for name in ("id", "track_id", "t")]
    place = [tracks[name].to_numpy(float)[rows].tolist() for name in "zyx"]
    flags = [False] * len(chosen) + [True] * len(carried)
    return list(
        map(
            Mark, repeat(fov_name), *columns, *place, repeat(task.name), repeat(state),
            repeat(made_on), flags,
        )
    )  # fmt: skip


def track_segment(tracks: pd.DataFrame, id_from: int, id_to: int) -> NDArray[np.int64]:
    """Return the nodes from one to another of a track, or of a track and its descendants.

    Parameters
    ----------
    tracks
        Tracks of one FOV.
    id_from, id_to
        The two nodes, in any order.

    Returns
    -------
    numpy.ndarray
        Ids in the order of time, both ends included, (N,).

    Raises
    ------
    InvalidInput
        If a node is not there, or neither descends from the other.
    """
    lines = _Lines(tracks)
    first, last = lines.rows(np.array([id_from, id_to], np.int64), "")
    if lines.t[first] > lines.t[last]:
        first, last = last, first
    top, line = lines.lines_of(np.array([first, last]))
    parts, seen = [], {int(line)}
    end = int(last)
    while line != top:
        parts.append(np.arange(lines.start[line], end + 1))
        line = lines.parent[line]
        if line < 0 or int(line) in seen:
            raise InvalidInput(
                "These two cells are not of one track or lineage: choose a cell, and the same or "
                "one of its daughters later."
            )
        seen.add(int(line))
        end = int(lines.start[line + 1]) - 1
    parts.append(np.arange(first, end + 1))
    rows = np.concatenate(parts[::-1])
    return np.asarray(tracks["id"].to_numpy()[lines.order[rows]], np.int64)


def mark_table(states: dict[tuple[str, int, str], tuple[Mark, Action]], task: str) -> pd.DataFrame:
    """Tabulate the marks in force for a task.

    Parameters
    ----------
    states
        As from :meth:`~napari_dynaclr.core.journal.Journal.states`.
    task
        Name of the task.

    Returns
    -------
    pandas.DataFrame
        :data:`MARK_COLUMNS`, a row per mark; ``table[~table["carried"]]`` are those that
        someone made by looking at the cell.
    """
    found = [mark for (_, _, name), (mark, _) in states.items() if name == task]
    table = pd.DataFrame([vars(mark) for mark in found], columns=[*MARK_COLUMNS, "task"])
    return table[MARK_COLUMNS].astype({"carried": bool})


def next_annotation(
    annotations: pd.DataFrame, fov_names: Sequence[str], fov_name: str, t: int, node: int = -1
) -> int | None:
    """Find the annotation after a place, in the order of FOV, time point and node.

    Parameters
    ----------
    annotations
        ``fov_name``, ``t`` and ``id``: the annotations to go through, such as the
        explicit rows of :func:`mark_table`.
    fov_names
        FOVs in their order; annotations of others are left out.
    fov_name, t, node
        The place. Without a node, those of the time point itself are next.

    Returns
    -------
    int or None
        Number of the row; after the last comes the first. None if there is none.
    """
    return _neighbour(annotations, fov_names, (fov_name, t, node), 1)


def previous_annotation(
    annotations: pd.DataFrame, fov_names: Sequence[str], fov_name: str, t: int, node: int = -1
) -> int | None:
    """Find the annotation before a place, as :func:`next_annotation`; before the first, the last.

    Without a node, those of earlier time points come before the place.
    """
    return _neighbour(annotations, fov_names, (fov_name, t, node), -1)


def _neighbour(
    table: pd.DataFrame, fov_names: Sequence[str], place: tuple[str, int, int], step: int
) -> int | None:
    names = list(fov_names)
    fov = pd.Index(names).get_indexer(pd.Index(table["fov_name"]))
    t, node = table["t"].to_numpy(), table["id"].to_numpy()
    order = np.lexsort((node, t, fov))
    order = order[fov[order] >= 0]
    if not len(order):
        return None
    here = (names.index(place[0]) if place[0] in names else -1, place[1], place[2])
    f, u, n = fov[order], t[order], node[order]
    same = (f == here[0]) & (u == here[1])
    before = (f < here[0]) | ((f == here[0]) & (u < here[1])) | (same & (n < here[2]))
    at = same & (n == here[2])
    # The places are in order, so these are counts of a beginning.
    position = int(before.sum()) + int(at.sum()) if step > 0 else int(before.sum()) - 1
    return int(order[position % len(order)])


def _array(ids: Iterable[int] | NDArray[np.integer]) -> NDArray[np.int64]:
    if isinstance(ids, np.ndarray):
        return ids.astype(np.int64, copy=False)
    size = len(ids) if isinstance(ids, Set) else -1
    return np.fromiter(ids, np.int64, size)


class _Lines:
    """Tracks in order of track and time: node ``i`` stands in row ``order[i]`` of the table.

    A line is a track, numbered in that order; ``start`` has its first node, and one
    entry more for the end; ``parent`` the line it came from, -1 for none.
    """

    def __init__(self, tracks: pd.DataFrame) -> None:
        track, t = (tracks[name].to_numpy() for name in ("track_id", "t"))
        step = np.diff(track)
        self.order: NDArray[np.intp] = np.arange(len(track))
        if not ((step > 0) | ((step == 0) & (np.diff(t) > 0))).all():
            self.order = np.lexsort((t, track))
            track, t = track[self.order], t[self.order]
        self.t: NDArray[Any] = t
        self._ids: NDArray[Any] = tracks["id"].to_numpy()[self.order]
        first = np.flatnonzero(np.r_[True, track[1:] != track[:-1]][: len(track)])
        self.start: NDArray[np.intp] = np.r_[first, len(track)]
        self._track = track[first]
        above = tracks["parent_track_id"].to_numpy()[self.order[first]]
        place = np.searchsorted(self._track, above)
        place[place == len(first)] = 0
        known = self._track[place] == above if len(first) else np.zeros(0, bool)
        self.parent: NDArray[np.intp] = np.where(known, place, -1)

    def rows(self, ids: NDArray[np.int64], fov_name: str) -> NDArray[np.intp]:
        """Nodes of some ids, in their order."""
        found = np.flatnonzero(np.isin(self._ids, ids))
        missing = ids[~np.isin(ids, self._ids[found])]
        if len(missing):
            where = f" of FOV {fov_name}" if fov_name else ""
            raise InvalidInput(
                f"The tracks{where} have no cell with the id {missing[0]}: load them again."
            )
        by_id = found[np.argsort(self._ids[found])]
        return by_id[np.searchsorted(self._ids[by_id], ids)]

    def lines_of(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Lines that nodes are of."""
        return np.searchsorted(self.start, rows, side="right") - 1

    def after(
        self, chosen: NDArray[np.intp], explicit: NDArray[np.int64], inherit: bool
    ) -> NDArray[np.intp]:
        """Nodes that the chosen ones speak for."""
        # Only the lines in question are looked at: a click must not cost a look at all.
        lines = np.unique(self.lines_of(chosen))
        if inherit:
            lines = np.sort(np.concatenate([lines, *self._descendants(lines)]))
        sizes = self.start[lines + 1] - self.start[lines]
        begin = np.r_[0, np.cumsum(sizes)]
        local = np.arange(begin[-1])
        rows = np.repeat(self.start[lines] - begin[:-1], sizes) + local
        ours = np.isin(rows, chosen)
        event = ours | np.isin(self._ids[rows], explicit)
        last = np.maximum.accumulate(np.where(event, local, -1))
        has_event = last >= np.repeat(begin[:-1], sizes)
        holds = has_event & ours[last]
        if inherit:
            holds |= ~has_event & np.repeat(
                self._inherited(lines, has_event[begin[1:] - 1], holds[begin[1:] - 1]), sizes
            )
        return rows[holds & ~ours]

    def _descendants(self, lines: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Descendants of some lines, by generation, each once and without the lines."""
        by_parent = np.argsort(self.parent, kind="stable")
        parents = self.parent[by_parent]
        seen = np.zeros(len(self.parent), bool)
        seen[lines] = True
        generations: list[NDArray[np.intp]] = []
        new = lines
        while len(new):
            low, high = (np.searchsorted(parents, new, side=side) for side in ("left", "right"))
            counts = high - low
            place = np.repeat(low - np.r_[0, np.cumsum(counts)[:-1]], counts)
            new = by_parent[place + np.arange(len(place))]
            new = new[~seen[new]]
            seen[new] = True
            generations.append(new)
        return generations

    def _inherited(
        self, lines: NDArray[np.intp], has_event: NDArray[np.bool_], ends: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Whether each of some lines begins with what was marked.

        ``ends`` says whether it holds at the end of a line that has an event of its own.
        """
        number = np.full(len(self.parent), -1, np.intp)
        number[lines] = np.arange(len(lines))
        above = number[np.where(self.parent[lines] >= 0, self.parent[lines], lines)]
        above[self.parent[lines] < 0] = -1
        # Where a line has no event, its end is as its beginning: follow the parents upwards
        # to the first that has one, in steps that double. The bound is for damaged tables, in
        # which tracks descend from each other.
        source = np.where(has_event | (above < 0), np.arange(len(lines)), above)
        for _ in range(len(lines).bit_length()):
            source = source[source]
        return (above >= 0) & ends[source[above]]
