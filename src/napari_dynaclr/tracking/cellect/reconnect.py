"""Fragments of tracks joined again over longer times, by what cells look like and where they are.

Methods, "Temporal linking with larger intervals": as for neurons that stop flickering, within a
window of 200 frames. A search on tracks that are there; the network is not asked again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray


def reconnected(
    ends: NDArray[np.floating],
    end_features: NDArray[np.floating],
    starts: NDArray[np.floating],
    start_features: NDArray[np.floating],
    *,
    window: int,
    furthest: float,
    least: float = 0.5,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Find which tracks that end go on as which tracks that start later.

    Two fragments fit if they are no further apart than ``furthest``, and look alike: the
    similarity is the share of the embeddings' distance to which that of unlike cells exceeds it.

    Parameters
    ----------
    ends, starts
        (t, z, y, x) of the last and the first cells of tracks, in frames and pixels,
        (N, 4) and (M, 4).
    end_features, start_features
        Their embeddings, (N, E) and (M, E).
    window
        Frames between them, at most.
    furthest
        Pixels between them, at most.
    least
        Similarity, at least, from 0 to 1.

    Returns
    -------
    tuple
        Rows of ends, rows of starts, and similarity of each pair; each row once at most.
    """
    none = np.zeros(0, np.intp)
    if not len(ends) or not len(starts):
        return none, none, np.zeros(0)
    pairs = KDTree(ends[:, 1:]).sparse_distance_matrix(
        KDTree(starts[:, 1:]), furthest, output_type="coo_matrix"
    )
    one, other = pairs.row.astype(np.intp), pairs.col.astype(np.intp)
    later = starts[other, 0] - ends[one, 0]
    kept = (later >= 1) & (later <= window)
    one, other = one[kept], other[kept]
    if not len(one):
        return none, none, np.zeros(0)
    apart = np.linalg.norm(end_features[one] - start_features[other], axis=1)
    similarity = np.clip(1 - apart / _unlike(end_features, start_features), 0, 1)
    kept = similarity >= least
    one, other, similarity = one[kept], other[kept], similarity[kept]
    if not len(one):
        return none, none, np.zeros(0)
    count = len(ends)
    row = np.concatenate([one, np.arange(count)])
    column = np.concatenate([other, len(starts) + np.arange(count)])
    cost = np.concatenate([2.0 - similarity, np.full(count, 2.0)])
    costs = coo_array((cost, (row, column)), (count, len(starts) + count)).tocsr()
    matched = np.full(count, -1)
    rows, columns = min_weight_full_bipartite_matching(costs)
    matched[rows] = columns
    chosen = matched[one] == other
    return one[chosen], other[chosen], similarity[chosen]


def _unlike(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Distance of embeddings that one in ten pairs of cells drawn at random exceeds."""
    draw = np.random.default_rng(0)
    count = 1000
    first, second = draw.integers(0, len(one), count), draw.integers(0, len(other), count)
    apart = np.linalg.norm(one[first] - other[second], axis=1)
    return float(max(np.percentile(apart, 90), 1e-12))
