"""Which cells are alike and which are not: anchors, positives and negatives (dynaclr.txt, A.2)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Strategy = Literal["time-aware", "cell-aware", "classical"]

_GENERATIONS = 32
"""Divisions that are followed within tau; tracks that go round in a circle end here."""

_DRAWS = 64
"""Draws for a negative before an anchor is given up: half of a frame may be of its lineage."""


@dataclass(frozen=True)
class Nodes:
    """Tracked cells to learn from, a row each, of one or several datasets.

    Attributes
    ----------
    dataset
        Number of the dataset, (N,).
    fov
        Number of the FOV, different in different datasets, (N,).
    track, parent
        Track, and the track that it was born from, -1 without, (N,).
    t
        Time point, (N,).
    family
        Lineage: a number that a cell shares with all its relatives, (N,).
    """

    dataset: NDArray[np.int64]
    fov: NDArray[np.int64]
    track: NDArray[np.int64]
    parent: NDArray[np.int64]
    t: NDArray[np.int64]
    family: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.t)

    def take(self, rows: NDArray[Any]) -> Nodes:
        """Return some rows, by position or mask."""
        return Nodes(*(getattr(self, one.name)[rows] for one in fields(self)))


@dataclass(frozen=True)
class Batch:
    """Rows of the nodes, (B,) each: what is pulled together, and pushed apart."""

    anchor: NDArray[np.intp]
    positive: NDArray[np.intp]
    negative: NDArray[np.intp]


def balanced(groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return weights with which every group is drawn as often as any other, (N,).

    Parameters
    ----------
    groups
        Number of the group of each row, (N,).
    """
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return 1.0 / (len(sizes) * sizes[number])


def frames_of(tau: float, unit: Literal["frames", "min"], interval_min: float | None) -> int:
    """Return a time offset in frames of one dataset.

    Parameters
    ----------
    tau
        The offset, in frames or minutes.
    unit
        Which of the two.
    interval_min
        Minutes from frame to frame; None if the dataset does not say.

    Raises
    ------
    InvalidInput
        If the offset is less than one frame or, in minutes, no whole number of them.
    """
    if unit == "frames":
        if tau < 1 or tau != int(tau):
            raise InvalidInput(f"tau = {tau:g} frames: use a whole number of at least 1.")
        return int(tau)
    if not interval_min:
        raise InvalidInput(
            "The dataset does not say how far apart its frames are: give tau in frames."
        )
    frames = round(tau / interval_min)
    # A tenth of a frame: clocks of microscopes are not exact.
    if frames < 1 or abs(frames * interval_min - tau) > 0.1 * interval_min:
        raise InvalidInput(
            f"tau = {tau:g} min is no whole number of frames of {interval_min:g} min: "
            f"use {max(frames, 1) * interval_min:g} min, or give it in frames."
        )
    return frames


class PairSampler:
    """Draws anchors with a positive and a negative each.

    - classical: the positive is the anchor again (to be augmented differently), the negative
      any other image (A.2.1).
    - cell-aware: the positive is the anchor again, the negative another cell, of another
      lineage, at any time.
    - time-aware: the positive is the same cell at exactly t + tau, or a daughter where it has
      divided and lineages are followed; the negative a cell of another lineage at t + tau
      (A.2.2). Nodes without a positive are no anchors; they still serve as the others.

    Parameters
    ----------
    nodes
        The cells.
    strategy
        As above.
    tau
        Offset in frames by number of the dataset; for the time-aware strategy.
    lineage
        Whether positives may be daughters.
    weights
        How often a row is wanted as anchor, relative to others, (N,); all alike if None.
    among
        Which rows may be anchors, (N,) bool; all if None.

    Raises
    ------
    InvalidInput
        If no anchor has a positive and a negative.
    """

    def __init__(
        self,
        nodes: Nodes,
        strategy: Strategy = "time-aware",
        tau: Mapping[int, int] | None = None,
        *,
        lineage: bool = True,
        weights: NDArray[np.floating] | None = None,
        among: NDArray[np.bool_] | None = None,
    ) -> None:
        self._nodes, self._strategy, self._weights = nodes, strategy, weights
        everyone = np.arange(len(nodes), dtype=np.intp)
        if strategy == "time-aware":
            offset = np.array([(tau or {}).get(int(d), 1) for d in nodes.dataset], np.int64)
            self._anchors, self._starts, self._candidates = _positives(nodes, offset, lineage)
            self._pool = _Pool(nodes.dataset, nodes.t)
        else:
            self._anchors, self._starts = everyone, np.arange(len(nodes) + 1)
            self._candidates = everyone
            self._pool = _Pool(np.zeros_like(nodes.t), np.zeros_like(nodes.t))
        self._keep(self._have_negatives())
        if among is not None:
            self._keep(among[self._anchors])
        if not len(self._anchors):
            raise InvalidInput(
                "No cell has both a positive and a negative: is tau longer than the tracks, or is "
                "there one cell only at each time point?"
            )

    @property
    def anchors(self) -> NDArray[np.intp]:
        """Rows that can be anchors, ascending."""
        return self._anchors

    def _have_negatives(self) -> NDArray[np.bool_]:
        where = self._pool.number(self._candidates[self._starts[:-1]])
        return self._pool.varied(self._other_key())[where]

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        counts = np.diff(self._starts)
        self._candidates = self._candidates[np.repeat(kept, counts)]
        self._starts = np.concatenate([[0], np.cumsum(counts[kept])])
        self._anchors = self._anchors[kept]

    def _other_key(self) -> NDArray[np.int64]:
        """Return what must differ between an anchor and its negative, (N,)."""
        classical = self._strategy == "classical"
        return np.arange(len(self._nodes)) if classical else self._nodes.family

    def draw(self, seed: int | Sequence[int] = 0, length: int | None = None) -> Batch:
        """Draw anchors in random order, and a positive and a negative for each.

        Parameters
        ----------
        seed
            Equal seeds give equal pairs.
        length
            How many; as many as there are anchors by default, which then are all drawn
            once, unless they have weights.
        """
        generator = np.random.default_rng(seed)
        count = len(self._anchors)
        length = count if length is None else length
        if self._weights is not None:
            share = self._weights[self._anchors]
            places = generator.choice(count, length, p=share / share.sum())
        else:
            rounds = [generator.permutation(count) for _ in range(-(-length // count))]
            places = np.concatenate([np.zeros(0, np.intp), *rounds])[:length]
        first, last = self._starts[places], self._starts[places + 1]
        positive = self._candidates[generator.integers(first, last)]
        anchor = self._anchors[places]
        return Batch(anchor, positive, self._negatives(anchor, positive, generator))

    def _negatives(
        self,
        anchor: NDArray[np.intp],
        positive: NDArray[np.intp],
        generator: np.random.Generator,
    ) -> NDArray[np.intp]:
        differ = self._other_key()
        negative = np.full(len(anchor), -1, np.intp)
        open_ = np.arange(len(anchor))
        for _ in range(_DRAWS):
            drawn = self._pool.draw(positive[open_], generator)
            fits = differ[drawn] != differ[anchor[open_]]
            negative[open_[fits]] = drawn[fits]
            open_ = open_[~fits]
            if not len(open_):
                break
        for one in open_:  # rare: nearly all there are of one lineage
            others = self._pool.members(positive[one])
            others = others[differ[others] != differ[anchor[one]]]
            negative[one] = generator.choice(others)
        return negative


class _Pool:
    """Rows that are in one place: of one dataset and one time point."""

    def __init__(self, *keys: NDArray[np.int64]) -> None:
        _, number = np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)
        self._number = number.reshape(-1)
        self._order = np.argsort(self._number, kind="stable")
        self._bounds = np.concatenate([[0], np.cumsum(np.bincount(self._number))])

    def number(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the place of rows."""
        return self._number[rows]

    def varied(self, values: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each place whether its rows have more than one value."""
        sorted_ = values[self._order]
        low = np.minimum.reduceat(sorted_, self._bounds[:-1])
        high = np.maximum.reduceat(sorted_, self._bounds[:-1])
        return np.asarray(low != high)

    def members(self, row: int) -> NDArray[np.intp]:
        """Return the rows in the place of a row."""
        place = self._number[row]
        return self._order[self._bounds[place] : self._bounds[place + 1]]

    def draw(self, rows: NDArray[np.intp], generator: np.random.Generator) -> NDArray[np.intp]:
        """Draw for each row one of its place."""
        place = self._number[rows]
        return self._order[generator.integers(self._bounds[place], self._bounds[place + 1])]


def _tracks(
    fov: NDArray[np.int64], track: NDArray[np.int64], parent: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each node's track by number, and each track's parent by number."""
    pairs = np.stack([fov, track], axis=1)
    known, first, number = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    place = {(int(f), int(k)): i for i, (f, k) in enumerate(known)}
    parents = [
        place.get((int(f), int(p)), -1) for f, p in zip(known[:, 0], parent[first], strict=True)
    ]
    return number.reshape(-1), np.array(parents, np.int64)


def families(
    fov: NDArray[np.int64], track: NDArray[np.int64], parent: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the lineage of each node: a number that a cell shares with all its relatives, (N,).

    Parameters
    ----------
    fov, track, parent
        As in :class:`Nodes`, (N,), of whole tracks: a mother that is left out parts her
        daughters.
    """
    if not len(fov):
        return np.zeros(0, np.int64)
    number, parents = _tracks(fov, track, parent)
    root = np.arange(len(parents))
    for _ in range(_GENERATIONS):
        above = np.where(parents[root] >= 0, parents[root], root)
        if (above == root).all():
            break
        root = above
    return root[number]


def _positives(
    nodes: Nodes, offset: NDArray[np.int64], lineage: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Find the same cell tau later, or the daughters it has become.

    Returns
    -------
    anchors, starts, candidates
        Anchor ``i`` has ``candidates[starts[i]:starts[i + 1]]``.
    """
    if not len(nodes):
        empty = np.zeros(0, np.intp)
        return empty, np.zeros(1, np.intp), empty
    number, parents = _tracks(nodes.fov, nodes.track, nodes.parent)
    span = int(nodes.t.max()) + 1
    key = number * span + nodes.t
    order = np.argsort(key)
    daughters = np.argsort(parents, kind="stable")
    bounds = np.searchsorted(parents[daughters], np.arange(len(parents) + 1))
    anchor = np.arange(len(nodes), dtype=np.intp)
    track, goal = number.copy(), nodes.t + offset
    found: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    inside = goal < span
    anchor, track, goal = anchor[inside], track[inside], goal[inside]
    for _ in range(_GENERATIONS):
        wanted = track * span + goal
        place = np.minimum(np.searchsorted(key[order], wanted), len(order) - 1)
        hit = key[order][place] == wanted
        found.append((anchor[hit], order[place[hit]]))
        if not lineage or hit.all():
            break
        anchor, track, goal = anchor[~hit], track[~hit], goal[~hit]
        counts = bounds[track + 1] - bounds[track]
        which = np.repeat(np.arange(len(track)), counts)
        step = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        anchor, goal = anchor[which], goal[which]
        track = daughters[bounds[track[which]] + step]
        if not len(track):
            break
    rows = np.concatenate([one for one, _ in found])
    later = np.concatenate([one for _, one in found])
    by_anchor = np.argsort(rows, kind="stable")
    anchors, counts = np.unique(rows, return_counts=True)
    return anchors, np.concatenate([[0], np.cumsum(counts)]), later[by_anchor]
