"""Edits of a forest of tracks: elementary changes, and the whole with its inverse."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.tracking.correction.store import NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.tracking.correction.lineages import Lineages
    from napari_dynaclr.tracking.correction.store import Change, Store

CERTAIN = 1.0
"""The reliability of a link that a person made, and where there is none."""


@dataclass(frozen=True)
class Edit:
    """What one action changed, and how to take it back.

    Attributes
    ----------
    ids
        Nodes whose row of the table is another now, has come or has gone, (N,), ascending.
    times
        Time points at which a node has another track, has come or has gone: their label
        images change.
    changes
        The elementary changes, in order.
    """

    ids: NDArray[np.int64]
    times: frozenset[int]
    changes: tuple[Change, ...] = field(repr=False)

    def inverse(self) -> Edit:
        """Return the edit that takes this one back."""
        back = tuple((name, key, new, old) for name, key, old, new in reversed(self.changes))
        return replace(self, changes=back)


class Draft:
    """An edit that is being made: the elementary changes of which all actions consist.

    Parameters
    ----------
    lineages
        What is edited.
    store
        What it is kept in.
    """

    def __init__(self, lineages: Lineages, store: Store) -> None:
        self._forest, self._store = lineages, store
        self._changes: list[Change] = []
        self._touched: dict[int, None] = {}
        self._redrawn: dict[int, None] = {}
        self._edit: Edit | None = None

    @property
    def edit(self) -> Edit:
        """The edit, once it is complete."""
        if self._edit is None:
            raise RuntimeError("the edit is not complete yet")
        return self._edit

    def close(self) -> None:
        """Note what has changed all in all."""
        columns = self._store.columns
        self._edit = Edit(
            np.unique(columns["id"][list(self._touched)]),
            frozenset(columns["t"][list(self._redrawn)].tolist()),
            tuple(self._changes),
        )

    def roll_back(self) -> None:
        """Take back what has been changed so far."""
        for name, key, old, _ in reversed(self._changes):
            self._store.put(name, key, old)
        self._changes.clear()

    def _set(self, name: str, key: Any, new: Any) -> None:
        self._changes.append((name, key, self._store.get(name, key), new))
        self._store.put(name, key, new)

    def _touch(self, rows: Sequence[int]) -> None:
        self._touched.update(dict.fromkeys(rows))

    def _link(self, row: int, before: int) -> None:
        """Enter the node before a node; what a person did, or no link, is certain."""
        self._set("before", row, before)
        if "reliability" in self._store.columns:
            self._set("reliability", row, CERTAIN)
        # All nodes of a track say what its parent is.
        self._touch(self._forest.chain(row))

    def rename(self, row: int, track: int) -> None:
        """Give a node, and all later ones of its track, another track id."""
        rows = self._forest.chain(row)
        self._set("track_id", np.array(rows), track)
        self._touch(rows)
        self._redrawn.update(dict.fromkeys(rows))
        for daughter in self._forest.daughters(rows[-1]):
            self._touch(self._forest.chain(daughter))

    def new_track(self) -> int:
        """Return a track id that no track has had."""
        (track,) = self._store.next_track
        self._set("next_track", 0, track + 1)
        return track

    def detach(self, row: int, *, own_track: bool = True) -> None:
        """Cut the link before a node; nothing where there is none.

        Parameters
        ----------
        row
            The node.
        own_track
            Whether a node from the middle of a track gets, with all later ones, a new
            track id; False where it gets another one right after.
        """
        before = self._forest.before(row)
        if before == NONE:
            return
        if self._forest.after(before) == row:
            self._set("after", before, NONE)
            if own_track:
                self.rename(row, self.new_track())
        else:
            others = tuple(one for one in self._forest.daughters(before) if one != row)
            self._set("daughters", before, others)
        self._link(row, NONE)

    def attach(self, parent: int, row: int, *, daughter: bool = False) -> None:
        """Link a node that has none before it to a node that has none after it.

        Parameters
        ----------
        parent, row
            The two nodes.
        daughter
            Whether the later one keeps its track, as a daughter of the earlier one; else
            it goes on as the earlier one's track.
        """
        if daughter:
            self._set("daughters", parent, (*self._forest.daughters(parent), row))
        else:
            self._set("after", parent, row)
            self.rename(row, self._forest.value("track_id", parent))
        self._link(row, parent)

    def heal(self, parent: int) -> None:
        """Let the daughter that is left of a division go on as her mother's track."""
        left = self._forest.daughters(parent) if parent != NONE else ()
        if len(left) == 1:
            self.detach(left[0])
            self.attach(parent, left[0])

    def replace(self, old: int, new: int, before: int) -> None:
        """Put a node in the place of another one after the node before it (-1: nothing to do)."""
        if before == NONE:
            return
        if self._forest.after(before) == old:
            self._set("after", before, new)
        else:
            here = self._forest.daughters(before)
            self._set("daughters", before, tuple(new if one == old else one for one in here))

    def follow(self, row: int, before: int) -> None:
        """Enter the node before a node (-1: none), where that one knows of it already."""
        self._link(row, before)

    def hand_over(self, row: int, heir: int) -> None:
        """Let the daughters of a node be those of another one, which has none after it."""
        daughters = self._forest.daughters(row)
        self._set("daughters", row, ())
        self._set("after", heir, NONE)
        self._set("daughters", heir, daughters)
        for one in daughters:
            self._link(one, heir)

    def remove(self, row: int) -> None:
        """Take a node away, to which nothing is linked any more or which is bridged."""
        self._touch([row])
        self._redrawn[row] = None
        for name in ("before", "after"):
            self._set(name, row, NONE)
        self._set("alive", row, False)

    def create(self, node: int, t: int, place: Sequence[float], radius: float, area: float) -> int:
        """Add a node as a track of its own; its row.

        Parameters
        ----------
        node, t
            Its id and time point.
        place
            Its centre (z, y, x) in pixels.
        radius
            In um.
        area
            In pixels.
        """
        values = {"id": node, "t": t, "radius": radius, "area": area, "reliability": CERTAIN}
        row = self._store.grow(values | dict(zip("zyx", place, strict=True)))
        self._set("added", node, row)
        self._set("alive", row, True)
        self._set("track_id", row, self.new_track())
        self._touch([row])
        self._redrawn[row] = None
        return row
