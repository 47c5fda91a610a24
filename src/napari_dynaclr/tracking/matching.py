"""Sparse linear assignment: which rows go with which columns, at the least cost in total."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 1000
"""Pairs that are solved together: the solver's work grows with the square of its nodes."""
_LARGE = 5000
"""Groups of more pairs are solved by auction."""
_PRECISION = 1e-4
"""How far from the least an auction may leave the cost of a row, in costs of "none"."""


def match(
    rows: NDArray[np.intp], columns: NDArray[np.intp], cost: NDArray[np.float64], none: float
) -> NDArray[np.intp]:
    """Choose pairs so that no row or column is in two of them, at the least cost in total.

    Groups of rows and columns that no pair joins are solved apart: most of them are a single
    row or column, of which the best pair is the answer. The others go to the shortest
    augmenting paths of :func:`scipy.sparse.csgraph.min_weight_full_bipartite_matching`, where
    every row has a column of its own that stands for "none". Where cells are so dense that
    whole frames hang together, an auction (Bertsekas, Ann. Oper. Res. 1988) comes within a
    ten-thousandth of the least, in a time that grows with the pairs only.

    Parameters
    ----------
    rows, columns
        The pairs that are possible, (N,); any numbers from 0.
    cost
        Their costs, (N,), 0 or more.
    none
        What a row costs that stays alone; a dearer pair is never chosen.

    Returns
    -------
    numpy.ndarray
        Indices of the chosen pairs, ascending.
    """
    possible = np.flatnonzero(cost < none)
    if not len(possible):
        return possible
    _, row = np.unique(rows[possible], return_inverse=True)
    _, column = np.unique(columns[possible], return_inverse=True)
    count, width = int(row.max()) + 1, int(column.max()) + 1
    bipartite = coo_matrix(
        (np.ones(len(row), np.int8), (row, count + column)), (count + width, count + width)
    )
    _, group = connected_components(bipartite, directed=False)
    of_pair = group[row]
    rows_in, columns_in = np.bincount(group[:count]), np.bincount(group[count:])
    simple = np.minimum(rows_in, columns_in)[of_pair] == 1
    price = cost[possible]
    chosen = _cheapest(of_pair[simple], price[simple], np.flatnonzero(simple))
    large = ~simple & (np.bincount(of_pair)[of_pair] > _LARGE)
    if large.any():
        # All of them at once: what is bid in one is no matter to another.
        bought = _auction(row, column, price, np.flatnonzero(large), none)
        chosen = np.concatenate([chosen, bought])
    rest = np.flatnonzero(~simple & ~large)
    rest = rest[np.argsort(of_pair[rest], kind="stable")]
    parts = [chosen, *(_solve(row, column, price, part, none) for part in _batches(of_pair, rest))]
    return np.sort(possible[np.concatenate(parts)])


def _cheapest(
    group: NDArray[np.intp], price: NDArray[np.float64], index: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Of each group, the index of its cheapest pair."""
    order = np.lexsort((price, group))
    first = np.ones(len(order), bool)
    first[1:] = group[order][1:] != group[order][:-1]
    found: NDArray[np.intp] = index[order[first]]
    return found


def _batches(group: NDArray[np.intp], pairs: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Split pairs that are ordered by group into whole groups of some hundred pairs."""
    if not len(pairs):
        return []
    _, start = np.unique(group[pairs], return_index=True)
    # The first group that begins in each stretch of _BATCH pairs begins a batch.
    _, first = np.unique(start // _BATCH, return_index=True)
    return np.split(pairs, start[first][1:])


def _solve(
    row: NDArray[np.intp],
    column: NDArray[np.intp],
    price: NDArray[np.float64],
    pairs: NDArray[np.intp],
    none: float,
) -> NDArray[np.intp]:
    rows, here = np.unique(row[pairs], return_inverse=True)
    columns, there = np.unique(column[pairs], return_inverse=True)
    count, width = len(rows), len(columns)
    own = np.arange(count)
    # The solver takes a zero for a missing pair; the same sum on top of all changes nothing.
    values = np.concatenate([price[pairs], np.full(count, none)]) + none
    places = (np.concatenate([here, own]), np.concatenate([there, width + own]))
    matrix = csr_matrix((values, places), (count, width + count))
    solved_rows, solved_columns = min_weight_full_bipartite_matching(matrix)
    partner = np.empty(count, np.intp)
    partner[solved_rows] = solved_columns
    found: NDArray[np.intp] = pairs[partner[here] == there]
    return found


def _auction(
    row: NDArray[np.intp],
    column: NDArray[np.intp],
    price: NDArray[np.float64],
    pairs: NDArray[np.intp],
    none: float,
) -> NDArray[np.intp]:
    """Let rows bid for columns, all that have none at a time."""
    pairs = pairs[np.lexsort((column[pairs], row[pairs]))]
    rows, start, here = np.unique(row[pairs], return_index=True, return_inverse=True)
    columns, there = np.unique(column[pairs], return_inverse=True)
    rank = np.arange(len(pairs)) - start[here]
    shape = (len(rows), int(rank.max()) + 1)
    cost, to = np.full(shape, np.inf), np.zeros(shape, np.intp)
    cost[here, rank], to[here, rank] = price[pairs], there
    raised, owner = np.zeros(len(columns)), np.full(len(columns), -1)
    bidding = np.arange(len(rows))
    while len(bidding):
        asked = cost[bidding] + raised[to[bidding]]
        best = asked.argmin(axis=1)
        own = np.arange(len(bidding))
        least = asked[own, best]
        asked[own, best] = np.inf
        spare = np.minimum(asked.min(axis=1), none)
        stays = least < none
        bidder, wanted = bidding[stays], to[bidding, best][stays]
        bid = raised[wanted] + (spare - least)[stays] + _PRECISION * none
        order = np.lexsort((bidder, -bid, wanted))
        first = np.ones(len(order), bool)
        first[1:] = wanted[order][1:] != wanted[order][:-1]
        won, lost = order[first], order[~first]
        outbid = owner[wanted[won]]
        owner[wanted[won]], raised[wanted[won]] = bidder[won], bid[won]
        bidding = np.concatenate([bidder[lost], outbid[outbid >= 0]])
    partner = np.full(len(rows), -1)
    sold = np.flatnonzero(owner >= 0)
    partner[owner[sold]] = sold
    found: NDArray[np.intp] = pairs[partner[here] == there]
    return found
