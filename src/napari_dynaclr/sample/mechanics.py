"""How cells make room for each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray


def relax(
    points: NDArray[np.float64],
    reach: NDArray[np.float64],
    body: NDArray[np.float64],
    heavy: NDArray[np.bool_],
    gap: float,
    walls: tuple[float, float],
    rounds: int,
) -> NDArray[np.float64]:
    """Push cells apart until no two nuclei are closer than ``gap``.

    Position-based relaxation: each round moves every pair that is too close by
    the distance it lacks; bodies repel softly, nuclei firmly.

    Parameters
    ----------
    points
        (N, 2) centres y, x in pixels.
    reach, body
        (N,) radii of the nuclei and of the bodies, in pixels.
    heavy
        (N,) cells that stay where they are while the others yield (mitotic, dead).
    gap
        Smallest distance between two nuclei, in pixels.
    walls
        Lowest and highest coordinate allowed, in pixels.
    rounds
        Rounds at most; it ends earlier when nothing overlaps.

    Returns
    -------
    (N, 2) array
        The new centres.
    """
    points = np.clip(points, *walls)
    count = len(points)
    if count < 2:
        return points
    mobility = np.where(heavy, 0.05, 1.0)
    farthest = max(2 * float(reach.max()) + gap, 1.2 * float(body.max()))
    pairs = np.empty((0, 2), dtype=np.intp)
    for number in range(rounds):
        if number % 5 == 0:
            pairs = cKDTree(points).query_pairs(farthest + 6.0, output_type="ndarray")
        if len(pairs) == 0:
            break
        first, second = pairs[:, 0], pairs[:, 1]
        apart = points[second] - points[first]
        distance = np.maximum(np.hypot(apart[:, 0], apart[:, 1]), 1e-3)
        firm = np.maximum(reach[first] + reach[second] + gap - distance, 0.0)
        soft = np.maximum(0.6 * (body[first] + body[second]) - distance, 0.0)
        push = np.maximum(firm, 0.03 * soft)
        if number > 2 and firm.max() < 0.05:
            break
        share = mobility[first] / (mobility[first] + mobility[second])
        step = apart / distance[:, None] * (0.9 * push)[:, None]
        for axis in (0, 1):
            points[:, axis] -= np.bincount(first, share * step[:, axis], count)
            points[:, axis] += np.bincount(second, (1 - share) * step[:, axis], count)
        np.clip(points, *walls, out=points)
    return points
