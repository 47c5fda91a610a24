"""How far a link can be trusted, for methods that do not say it themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


def reliability(tracks: pd.DataFrame, scale: tuple[float, float, float]) -> NDArray[np.float64]:
    """Compare each link with the nearest cell that could have been linked instead.

    Parameters
    ----------
    tracks
        ``id``, ``parent_id``, ``t``, and ``z``, ``y``, ``x`` in pixels.
    scale
        Voxel size (z, y, x) in um.

    Returns
    -------
    numpy.ndarray
        (N,), 0 to 1, of the link to the node before; 1 where there is none. 0.5 says that
        another cell was as near.
    """
    place = tracks[["z", "y", "x"]].to_numpy(float) * np.asarray(scale)
    time = tracks["t"].to_numpy()
    row = {node: i for i, node in enumerate(tracks["id"])}
    before = np.array([row.get(parent, -1) for parent in tracks["parent_id"]], int)
    result = np.ones(len(tracks))
    after = np.flatnonzero(before >= 0)
    before = before[after]
    rival = np.full(len(after), np.inf)
    trees = {t: np.flatnonzero(time == t) for t in np.unique(time)}
    for one, other in ((after, before), (before, after)):
        for t, rows in trees.items():
            here = np.flatnonzero(time[other] == t)
            if len(here) and len(rows) > 1:
                distance, found = cKDTree(place[rows]).query(place[one[here]], k=2)
                chosen = rows[found] == other[here][:, None]
                nearest = np.where(chosen, np.inf, distance).min(axis=1)
                rival[here] = np.minimum(rival[here], nearest)
    step = np.linalg.norm(place[after] - place[before], axis=1)
    with np.errstate(invalid="ignore"):
        ratio = np.where(np.isinf(rival), 1.0, rival**2 / (rival**2 + step**2))
    result[after] = np.nan_to_num(ratio, nan=0.5)
    return result
