"""From links between nodes to tracks: unbroken runs, and which came from which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tracklets(
    times: NDArray[Any], links: NDArray[Any], source: object = "the links"
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut a forest of links at its divisions into tracks.

    A node with one node after it goes on in the same track, over a gap too; where there are
    several, each begins a track of its own.

    Parameters
    ----------
    times
        Time point of each node, (N,).
    links
        Rows of nodes (before, after), (L, 2).
    source
        What the links are called in error messages.

    Returns
    -------
    tuple
        ``track_id`` from 1, in order of the first time point, and ``parent_track_id`` (-1 for
        none), both (N,).

    Raises
    ------
    InvalidInput
        If a link does not go forward in time, or a node has two nodes before it.
    """
    count = len(times)
    before, after = np.asarray(links, np.int64).reshape(-1, 2).T
    wrong = np.flatnonzero(times[before] >= times[after])
    if len(wrong):
        raise InvalidInput(
            f"{source}: a link goes from time point {times[before[wrong[0]]]} to "
            f"{times[after[wrong[0]]]}: links have to go forward in time."
        )
    merged = np.flatnonzero(np.bincount(after, minlength=count) > 1)
    if len(merged):
        raise InvalidInput(
            f"{source}: at time point {times[merged[0]]}, two cells become one "
            f"({len(merged)} times in all): cells divide but do not merge; cut those links."
        )
    alone = np.bincount(before, minlength=count)[before] == 1
    joined = coo_array(
        (np.ones(int(alone.sum()), bool), (before[alone], after[alone])), shape=(count, count)
    )
    _, part = connected_components(joined, directed=False)
    order = np.argsort(times, kind="stable")
    _, first, numbers = np.unique(part[order], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(1, len(first) + 1)
    track = np.empty(count, np.int64)
    track[order] = rank[numbers]
    parent_of = np.full(len(first) + 1, -1, np.int64)
    parent_of[track[after[~alone]]] = track[before[~alone]]
    return track, parent_of[track]
