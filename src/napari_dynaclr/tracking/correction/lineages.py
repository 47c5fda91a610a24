"""Lineages: the tracks of a FOV as a forest that can be edited, link by link.

A node is a cell at a time point. Its id never changes; its track does. Nothing but
the tracks that an edit concerns is touched, so that an edit takes as long with a million
nodes as with a hundred, and every edit knows how to be taken back exactly.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.tracking.correction.draft import Draft
from napari_dynaclr.tracking.correction.store import NONE, Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.tracking.correction.draft import Edit

_DERIVED = ("parent_track_id", "parent_id")
"""Columns that follow from the links."""


class Lineages:
    """The tracks of one FOV, to be edited.

    Rows are places in its columns; those of a node that is gone stay, and are not alive.

    Parameters
    ----------
    tracks
        Valid tracks of one FOV: :data:`~napari_dynaclr.core.tables.TRACK_COLUMNS`, and
        further columns, which are carried along.

    Raises
    ------
    InvalidInput
        If a track begins before its parent has ended, so that the table is no forest.
    """

    def __init__(self, tracks: pd.DataFrame) -> None:
        table = tracks.sort_values(["track_id", "t"], kind="stable", ignore_index=True)
        self._order = list(table.columns)
        self._store = Store(
            {str(name): table[name].to_numpy() for name in table if name not in _DERIVED}
        )
        self._by_id = np.argsort(table["id"].to_numpy(), kind="stable")
        self._sorted_ids = table["id"].to_numpy()[self._by_id]
        self._engine_track = table["track_id"].to_numpy()
        self._by_time = np.argsort(table["t"].to_numpy(), kind="stable")
        self._sorted_times = table["t"].to_numpy()[self._by_time]
        self._link(table)

    def _link(self, table: pd.DataFrame) -> None:
        """Find the node before and after each node, of a table in order of track and time."""
        columns, size = self._store.columns, self._store.size
        track, t = columns["track_id"], columns["t"]
        rows = np.arange(size)
        starts = np.diff(track, prepend=NONE) != 0
        before = np.where(starts, NONE, rows - 1)
        after = np.full(size, NONE)
        after[before[~starts]] = rows[~starts]
        parent = table["parent_track_id"].to_numpy()
        born = np.flatnonzero(starts & (parent >= 0))
        ends = np.append(np.flatnonzero(starts)[1:] - 1, size - 1)
        last = ends[np.searchsorted(track[ends], parent[born])] if len(born) else born
        early = np.flatnonzero(t[last] >= t[born])
        if len(early):
            child, mother = born[early[0]], last[early[0]]
            raise InvalidInput(
                f"Track {track[child]} begins at t={t[child]}, before its parent, track "
                f"{track[mother]}, has ended at t={t[mother]}: track this FOV again."
            )
        before[born] = last
        for mother, child in zip(last.tolist(), born.tolist(), strict=True):
            self._store.daughters[mother] = (*self.daughters(mother), child)
        columns["before"][:], columns["after"][:] = before, after

    def __len__(self) -> int:
        return int(self._store.columns["alive"][: self._store.size].sum())

    # -- asking -----------------------------------------------------------

    def __contains__(self, node: int) -> bool:
        return self._find(node) != NONE

    def _find(self, node: int) -> int:
        row = self._store.added.get(node, NONE)
        if row == NONE and len(self._sorted_ids):
            place = min(int(np.searchsorted(self._sorted_ids, node)), len(self._sorted_ids) - 1)
            row = int(self._by_id[place]) if self._sorted_ids[place] == node else NONE
        return row if row != NONE and self._store.columns["alive"][row] else NONE

    def row(self, node: int) -> int:
        """Row of a node.

        Raises
        ------
        InvalidInput
            If there is no such node.
        """
        row = self._find(int(node))
        if row == NONE:
            raise InvalidInput(
                f"There is no cell with the id {node} in these tracks: it was deleted, or is of "
                "other tracks; reload them."
            )
        return row

    def value(self, name: str, row: int) -> Any:
        """Return what a column holds for a row, such as "track_id", "t", "id" or "x"."""
        return self._store.columns[name][row].item()

    def before(self, row: int) -> int:
        """Row of the node before, of the same track or the mother's last; -1 for none."""
        return int(self._store.columns["before"][row])

    def after(self, row: int) -> int:
        """Row of the node after in the same track; -1 for none."""
        return int(self._store.columns["after"][row])

    def daughters(self, row: int) -> tuple[int, ...]:
        """Rows of the first nodes of the tracks that a node divides into."""
        return self._store.daughters.get(row, ())

    def continues(self, row: int) -> bool:
        """Whether a node is of the same track as the node before it."""
        before = self.before(row)
        return before != NONE and self.after(before) == row

    def chain(self, row: int) -> list[int]:
        """Rows of a node and of all later ones of its track."""
        found = [row]
        while (row := self.after(row)) != NONE:
            found.append(row)
        return found

    def first(self, row: int) -> int:
        """Row of the first node of a node's track."""
        while self.continues(row):
            row = self.before(row)
        return row

    def last(self, row: int) -> int:
        """Row of the last node of a node's track."""
        return self.chain(row)[-1]

    def node(self, track: int, t: int) -> int:
        """Id of the node of a track at a time point.

        Raises
        ------
        InvalidInput
            If there is none.
        """
        columns, size = self._store.columns, self._store.size
        here = (columns["track_id"][:size] == track) & (columns["t"][:size] == t)
        found = np.flatnonzero(here & columns["alive"][:size])
        if not len(found):
            raise InvalidInput(
                f"Track {track} has no cell at t={t}: see tracks.csv, in tracks.zarr."
            )
        return int(columns["id"][found[0]])

    def ids_at(self, t: int) -> NDArray[np.int64]:
        """Ids of all nodes of a time point there have ever been, those that are gone too."""
        here = self._store.columns["t"][: self._store.size] == t
        return np.asarray(self._store.columns["id"][: self._store.size][here])

    def ever(self, node: int) -> bool:
        """Whether there has ever been a node of that id."""
        place = int(np.searchsorted(self._sorted_ids, node))
        known = place < len(self._sorted_ids) and self._sorted_ids[place] == node
        return bool(known) or node in self._store.added

    def renamed(self, t: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the track ids of a time point before all edits, and now; 0 where a node is gone.

        What was added is not among them.
        """
        first, last = np.searchsorted(self._sorted_times, [t, t + 1])
        rows = self._by_time[first:last]
        columns = self._store.columns
        now = np.where(columns["alive"][rows], columns["track_id"][rows], 0)
        return self._engine_track[rows], now

    def changed_times(self) -> list[int]:
        """Time points whose label images are others than before all edits, ascending."""
        columns, size = self._store.columns, len(self._engine_track)
        other = (columns["track_id"][:size] != self._engine_track) | ~columns["alive"][:size]
        times = np.concatenate([columns["t"][:size][other], self.drawn["t"].to_numpy(np.int64)])
        return [int(t) for t in np.unique(times)]

    # -- as a table -------------------------------------------------------

    @property
    def tracks(self) -> pd.DataFrame:
        """The tracks as a table like the one they were read from, by track and time."""
        return self._table(np.flatnonzero(self._store.columns["alive"][: self._store.size]))

    def nodes(self, ids: Sequence[int] | NDArray[np.int64]) -> pd.DataFrame:
        """Return the rows of some nodes of :attr:`tracks`; those that are gone are left out."""
        rows = [row for node in ids if (row := self._find(int(node))) != NONE]
        return self._table(np.array(rows, np.intp))

    @property
    def drawn(self) -> pd.DataFrame:
        """Nodes that were added: ``id``, ``track_id``, ``t``, place in pixels, ``radius`` in um."""
        rows = [row for row in self._store.added.values() if self._store.columns["alive"][row]]
        names = ("id", "track_id", "t", "z", "y", "x", "radius")
        table = pd.DataFrame({name: self._store.columns[name][rows] for name in names})
        return table.sort_values("id", ignore_index=True)

    def _table(self, rows: NDArray[np.intp]) -> pd.DataFrame:
        columns = self._store.columns
        track, t = columns["track_id"][rows], columns["t"][rows]
        rows = rows[np.lexsort((t, track))]
        track, before = columns["track_id"][rows], columns["before"][rows]
        # The parent is the track of the node before the first one of the track.
        known, where = np.unique(track, return_index=True)
        if len(rows) == len(self):
            born = before[where]
        else:
            born = np.array([self.before(self.first(int(row))) for row in rows[where]], np.intp)
        parents = np.where(born == NONE, NONE, columns["track_id"][born])
        derived = {
            "parent_track_id": parents[np.searchsorted(known, track)],
            "parent_id": np.where(before == NONE, NONE, columns["id"][before]),
        }
        return pd.DataFrame(
            {
                name: derived[name] if name in derived else columns[name][rows]
                for name in self._order
            }
        )

    # -- changing ---------------------------------------------------------

    @contextmanager
    def edit(self) -> Iterator[Draft]:
        """Change the forest; ``edit`` of what this yields is complete when the block ends.

        If the block fails, the forest is as it was.
        """
        draft = Draft(self, self._store)
        try:
            yield draft
        except BaseException:
            draft.roll_back()
            raise
        draft.close()

    def apply(self, edit: Edit) -> None:
        """Make an edit again, or its inverse; the forest must be as it was then."""
        for name, key, _, new in edit.changes:
            self._store.put(name, key, new)
