"""Which other unit of a well is one like it: another field at about the same time (3.2.1)."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.embedding.profiler.training.units import Places

_DRAWS = 32
"""Draws for a partner before the few that are left are looked through one by one."""


class Partner(IntEnum):
    """The best partner that a unit has."""

    NONE = 0
    SAME_FIELD = 1
    OTHER_FIELD = 2


class Positives:
    """Draws partners for units: of another field of the same well, within a time window.

    Where there is no other field at that time, another unit of the same field is taken: another
    cell that is no relative, or the field at another time.

    Parameters
    ----------
    places
        Where and when the units are.
    window
        Minutes that partners are apart at most.
    """

    def __init__(self, places: Places, window: float) -> None:
        self._places = places
        times, when = np.unique(places.minutes, return_inverse=True)
        # A clock's rounding must not decide.
        reach = window + 1e-3
        low = np.searchsorted(times, times - reach, "left")[when]
        high = np.searchsorted(times, times + reach, "right")[when]
        whole = _Index(places.well, when, len(times))
        self._order = whole.order
        self._first, self._last = whole.span(places.well, low, high)
        _, things = np.unique(np.stack([places.well, places.thing]), axis=1, return_inverse=True)
        same_field = _Index(places.fov, when, len(times)).count(places.fov, low, high)
        same_thing = _Index(things.reshape(-1), when, len(times)).count(
            things.reshape(-1), low, high
        )
        there = self._last - self._first
        self.best: NDArray[np.int64] = np.where(
            there > same_field,
            Partner.OTHER_FIELD,
            np.where(there > same_thing, Partner.SAME_FIELD, Partner.NONE),
        ).astype(np.int64)
        """The best partner of each unit, see :class:`Partner`, (N,)."""

    def draw(self, rows: NDArray[np.intp], generator: np.random.Generator) -> NDArray[np.intp]:
        """Draw a partner for each of some units that have one.

        Parameters
        ----------
        rows
            The units, (B,).
        generator
            For the choice.

        Returns
        -------
        numpy.ndarray
            Their partners' rows, (B,).
        """
        found = np.full(len(rows), -1, np.intp)
        left = np.arange(len(rows))
        for _ in range(_DRAWS):
            mine = rows[left]
            drawn = self._order[generator.integers(self._first[mine], self._last[mine])]
            fits = self._fits(mine, drawn)
            found[left[fits]] = drawn[fits]
            left = left[~fits]
            if not len(left):
                return found
        for at in left:  # rare: nearly all there are of one field
            one = rows[at]
            others = self._order[self._first[one] : self._last[one]]
            found[at] = generator.choice(others[self._fits(np.full(len(others), one), others)])
        return found

    def _fits(self, rows: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.bool_]:
        places = self._places
        apart = places.fov[rows] != places.fov[others]
        known = places.thing[rows] != places.thing[others]
        fits: NDArray[np.bool_] = np.where(self.best[rows] == Partner.OTHER_FIELD, apart, known)
        return fits


class _Index:
    """Rows by group and time."""

    def __init__(self, group: NDArray[np.int64], when: NDArray[np.intp], times: int) -> None:
        self._times = times + 1
        key = group * self._times + when
        self.order = np.argsort(key, kind="stable")
        self._sorted = key[self.order]

    def span(
        self, group: NDArray[np.int64], low: NDArray[np.intp], high: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return where in the order the rows of groups from some times up to others are."""
        first = np.searchsorted(self._sorted, group * self._times + low, "left")
        last = np.searchsorted(self._sorted, group * self._times + high, "left")
        return first, last

    def count(
        self, group: NDArray[np.int64], low: NDArray[np.intp], high: NDArray[np.intp]
    ) -> NDArray[np.intp]:
        """Count them."""
        first, last = self.span(group, low, high)
        return last - first
