"""What a forest of tracks is kept in: columns, a row per node, and one way to change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

NONE = -1
"""Where there is no node before or after."""

Change = tuple[str, Any, Any, Any]
"""What was changed: the name of a column or lookup, where in it, the old and the new value."""


class Store:
    """Columns and lookups of a forest.

    Rows are never given up: those of nodes that are gone stay, and are not alive.

    Parameters
    ----------
    columns
        By name, (N,); copied.

    Attributes
    ----------
    columns
        By name; longer than there are rows, so that adding one is quick.
    size
        Number of rows.
    daughters
        Rows of the first nodes of the tracks that a row divides into, by row.
    added
        Row of each node that was added, by id.
    next_track
        A track id that no track has had, in a list of one.
    """

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        self.size = len(columns["id"])
        self.columns: dict[str, NDArray[Any]] = {
            **{name: np.array(values) for name, values in columns.items()},
            "alive": np.ones(self.size, bool),
            "radius": np.full(self.size, np.nan),
            "before": np.full(self.size, NONE),
            "after": np.full(self.size, NONE),
        }
        self.daughters: dict[int, tuple[int, ...]] = {}
        self.added: dict[int, int] = {}
        self.next_track = [int(columns["track_id"].max()) + 1 if self.size else 1]

    def get(self, name: str, key: Any) -> Any:
        """Return a copy of what stands somewhere; a key is a row, rows, or that of a lookup."""
        if name == "daughters":
            return self.daughters.get(key, ())
        if name == "added":
            return self.added.get(key)
        if name == "next_track":
            return self.next_track[key]
        return self.columns[name][key].copy()

    def put(self, name: str, key: Any, value: Any) -> None:
        """Enter what :meth:`get` would return."""
        if name in ("daughters", "added"):
            lookup: dict[int, Any] = self.daughters if name == "daughters" else self.added
            if value in ((), None):
                lookup.pop(key, None)
            else:
                lookup[key] = value
        elif name == "next_track":
            self.next_track[key] = value
        else:
            self.columns[name][key] = value

    def grow(self, values: Mapping[str, Any]) -> int:
        """Make a row that is not alive yet, with some values; its number."""
        row = self.size
        if row == len(self.columns["id"]):
            for name, column in self.columns.items():
                more = np.zeros(max(64, row // 8), column.dtype)
                if column.dtype.kind in "fO":
                    more[:] = np.nan if column.dtype.kind == "f" else ""
                self.columns[name] = np.concatenate([column, more])
        self.size += 1
        for name, value in {**values, "before": NONE, "after": NONE}.items():
            if name in self.columns:
                self.columns[name][row] = value
        return row
