"""What one action marks: the cells chosen, and those their state holds for too."""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.journal import Mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.tasks import Task

_NONE: Mapping[int, str] = {}


def marks(
    tracks: pd.DataFrame,
    fov_name: str,
    ids: Sequence[int] | NDArray[np.integer],
    task: Task,
    state: str,
    made_on: str,
    *,
    explicit: Mapping[int, str] = _NONE,
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
        The state they get. Empty takes the marks of the nodes away; what followed from
        them follows from the last explicit mark before them then, if there is one.
    made_on
        Key of the tracks.
    explicit
        States of the nodes of this FOV that are marked explicitly for this task already.

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
    carried: NDArray[np.intp] = np.zeros(0, np.intp)
    held: Iterable[str] = repeat(state)
    if task.carry_forward:
        known = np.fromiter(explicit, np.int64, len(explicit))
        carried = lines.after(chosen, known, task.inherit)
        if not state:
            left = np.setdiff1d(known, lines.ids[chosen])
            held = [explicit.get(one, "") for one in lines.before(carried, left, task.inherit)]
    rows = lines.order[np.concatenate([chosen, carried])]
    columns = [tracks[name].to_numpy()[rows].tolist() for name in ("id", "track_id", "t")]
    place = [tracks[name].to_numpy(float)[rows].tolist() for name in "zyx"]
    flags = [False] * len(chosen) + [True] * len(carried)
    return list(
        map(
            Mark, repeat(fov_name), *columns, *place, repeat(task.name),
            chain(repeat(state, len(chosen)), held), repeat(made_on), flags,
        )
    )  # fmt: skip


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
        self.ids: NDArray[Any] = tracks["id"].to_numpy()[self.order]
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
        found = np.flatnonzero(np.isin(self.ids, ids))
        missing = ids[~np.isin(ids, self.ids[found])]
        if len(missing):
            raise InvalidInput(
                f"The tracks of FOV {fov_name} have no cell with the id {missing[0]}: load them "
                "again."
            )
        by_id = found[np.argsort(self.ids[found])]
        return by_id[np.searchsorted(self.ids[by_id], ids)]

    def lines_of(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Lines that nodes are of."""
        return np.searchsorted(self.start, rows, side="right") - 1

    def after(
        self, chosen: NDArray[np.intp], explicit: NDArray[np.int64], inherit: bool
    ) -> NDArray[np.intp]:
        """Nodes that the chosen ones speak for, by track and time."""
        # Only the lines in question are looked at: a click must not cost a look at all.
        lines = np.unique(self.lines_of(chosen))
        if inherit:
            lines = np.sort(np.concatenate([lines, *self._descendants(lines)]))
        events = np.concatenate([explicit, self.ids[chosen]])
        rows, event = self._last(lines, events, inherit)
        is_followed = np.isin(event, chosen) & (event != rows)
        return np.asarray(rows[is_followed], np.intp)

    def before(
        self, rows: NDArray[np.intp], explicit: NDArray[np.int64], inherit: bool
    ) -> list[int]:
        """Id of the explicit node that speaks for each of some nodes, -1 where there is none."""
        lines = np.unique(self.lines_of(rows))
        if inherit:
            lines = self._with_ancestors(lines)
        known, event = self._last(lines, explicit, inherit)
        event = event[np.searchsorted(known, rows)]
        ids: list[int] = np.where(event >= 0, self.ids[event], -1).tolist()
        return ids

    def _last(
        self, lines: NDArray[np.intp], events: NDArray[np.int64], inherit: bool
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Nodes of some lines, and the last event at or before each; -1 where there is none.

        With ``inherit``, lines begin with the last event of the line they came from,
        among these lines.
        """
        sizes = self.start[lines + 1] - self.start[lines]
        begin = np.r_[0, np.cumsum(sizes)]
        local = np.arange(begin[-1])
        rows = np.repeat(self.start[lines] - begin[:-1], sizes) + local
        last = np.maximum.accumulate(np.where(np.isin(self.ids[rows], events), local, -1))
        own = last >= np.repeat(begin[:-1], sizes)
        found = np.where(own, rows[last], -1)
        if inherit:
            found = np.where(
                own, found, np.repeat(self._inherited(lines, found[begin[1:] - 1]), sizes)
            )
        return rows, found

    def _with_ancestors(self, lines: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return some lines and all that they came from, ascending."""
        new = lines
        while len(new):
            above = self.parent[new]
            new = np.setdiff1d(above[above >= 0], lines)
            lines = np.union1d(lines, new)
        return lines

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

    def _inherited(self, lines: NDArray[np.intp], ends: NDArray[np.intp]) -> NDArray[np.intp]:
        """Event that each of some lines begins with, -1 for none.

        ``ends`` has the last event of each line's own, -1 for none.
        """
        number = np.full(len(self.parent), -1, np.intp)
        number[lines] = np.arange(len(lines))
        above = number[np.where(self.parent[lines] >= 0, self.parent[lines], lines)]
        above[self.parent[lines] < 0] = -1
        # Where a line has no event, its end is as its beginning: follow the parents upwards
        # to the first that has one, in steps that double. The bound is for damaged tables, in
        # which tracks descend from each other.
        source = np.where((ends >= 0) | (above < 0), np.arange(len(lines)), above)
        for _ in range(len(lines).bit_length()):
            source = source[source]
        return np.where(above >= 0, ends[source[above]], -1)
