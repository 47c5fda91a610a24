"""Which of our cells is which of the truth's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import cKDTree

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray


def match_labels(truth: NDArray[Any], ours: NDArray[Any]) -> NDArray[np.int64]:
    """Match labels of one time point as the Cell Tracking Challenge does.

    A cell of ours matches a true cell if it covers more than half of it.

    Parameters
    ----------
    truth, ours
        Label images of the same shape; 0 is background.

    Returns
    -------
    numpy.ndarray
        Pairs (true label, our label), (N, 2), the largest overlap first. A true cell
        stands in one pair at most; one of ours that covers several stands in several.
    """
    both = (truth > 0) & (ours > 0)
    pairs, overlap = np.unique(
        np.stack([truth[both], ours[both]], axis=1).astype(np.int64), axis=0, return_counts=True
    )
    labels, sizes = np.unique(truth[truth > 0], return_counts=True)
    if not len(pairs):
        return np.empty((0, 2), np.int64)
    size = sizes[np.searchsorted(labels, pairs[:, 0])]
    covers = 2 * overlap > size
    found: NDArray[np.int64] = pairs[covers][np.argsort(-overlap[covers], kind="stable")]
    return found


def match_centroids(
    truth: pd.DataFrame, ours: pd.DataFrame, scale: tuple[float, float, float], radius: float
) -> NDArray[np.intp]:
    """Match nodes of one FOV by position, each to its mutual nearest at the same time.

    Parameters
    ----------
    truth, ours
        Need ``t``, ``z``, ``y``, ``x`` in pixels.
    scale
        Voxel size (z, y, x) in um.
    radius
        Largest distance in um.

    Returns
    -------
    numpy.ndarray
        Row positions (truth, ours), (N, 2).
    """
    found: list[NDArray[np.intp]] = []
    true_groups, our_groups = (table.groupby("t").indices for table in (truth, ours))
    a, b = (table[["z", "y", "x"]].to_numpy(float) * scale for table in (truth, ours))
    for t, true_rows in true_groups.items():
        our_rows = our_groups.get(t)
        if our_rows is None:
            continue
        distance, nearest = cKDTree(b[our_rows]).query(a[true_rows])
        _, back = cKDTree(a[true_rows]).query(b[our_rows])
        mutual = (back[nearest] == np.arange(len(true_rows))) & (distance <= radius)
        found.append(np.stack([true_rows[mutual], our_rows[nearest[mutual]]], axis=1))
    return np.concatenate(found) if found else np.empty((0, 2), np.intp)


def tracks_file(folder: Path) -> Path:
    """Return the tracks table that lies beside the true label image of a FOV.

    Parameters
    ----------
    folder
        The FOV's, in a plate.

    Raises
    ------
    InvalidInput
        If there is none, or more than one.
    """
    files = sorted(folder.glob("*.csv"))
    if len(files) != 1:
        raise InvalidInput(
            f"{folder} holds {len(files)} CSV files: the truth needs exactly one tracks table "
            "beside each label image."
        )
    return files[0]
