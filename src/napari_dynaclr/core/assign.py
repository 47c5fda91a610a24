"""Which cell a point means (dynaclr.txt, B.2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov


def assign_points(
    points: NDArray[np.floating],
    labels: NDArray[Any],
    nodes: pd.DataFrame,
    scale: tuple[float, float, float],
    radius: float,
) -> NDArray[np.int64]:
    """Find the cell under each point, else the nearest one within reach.

    At overlaps the label image decides. A point without a z (NaN) means whatever
    cell lies above or below it; of several, the one with most voxels there.

    Parameters
    ----------
    points
        Points (z, y, x) in pixels, (N, 3); pixel centres have whole coordinates.
    labels
        Label image of that time point by track id, (Z, Y, X).
    nodes
        The tracks table at that time point.
    scale
        Voxel size (z, y, x) in um.
    radius
        Reach in um for points that hit no label.

    Returns
    -------
    numpy.ndarray
        ``track_id`` per point, 0 where no cell is within reach, (N,).
    """
    result = np.zeros(len(points), np.int64)
    if not len(nodes):
        return result
    known = set(nodes["track_id"])
    centroids = nodes[["z", "y", "x"]].to_numpy(float) * scale
    planes = cKDTree(centroids[:, 1:])
    volume = cKDTree(centroids)
    tracks = nodes["track_id"].to_numpy()
    for i, point in enumerate(np.asarray(points, float)):
        under = _under(point, labels, known)
        if under:
            result[i] = under
            continue
        flat = np.isnan(point[0])
        place = point[1:] * scale[1:] if flat else point * scale
        distance, nearest = (planes if flat else volume).query(place)
        if distance <= radius:
            result[i] = tracks[nearest]
    return result


def nodes_at(
    labels: Fov,
    tracks: pd.DataFrame,
    times: NDArray[np.integer],
    points: NDArray[np.floating],
    radius: float,
) -> NDArray[np.int64]:
    """Find the nodes at places of several time points, each frame read once.

    Parameters
    ----------
    labels
        Label images of a FOV by track id.
    tracks
        Its tracks table.
    times
        Time point of each place, (N,); those after the last one have no node.
    points
        Places (z, y, x) in pixels, (N, 3).
    radius
        Reach in um for places that hit no label.

    Returns
    -------
    numpy.ndarray
        Node id of each place, -1 where there is none, (N,).
    """
    found = np.full(len(times), -1, np.int64)
    inside = sorted({int(t) for t in times if t < labels.shape[0]})
    for t, frame in labels.frames(["labels"], inside, allow_empty=True):
        here = np.flatnonzero(times == t)
        nodes = tracks[tracks["t"] == t]
        track = assign_points(points[here], frame[0], nodes, labels.scale, radius)
        ids = dict(zip(nodes["track_id"], nodes["id"], strict=True))
        found[here] = [ids.get(int(one), -1) for one in track]
    return found


def _under(point: NDArray[np.floating], labels: NDArray[Any], known: set[int]) -> int:
    y, x = np.rint(point[1:]).astype(int)
    if not (0 <= y < labels.shape[1] and 0 <= x < labels.shape[2]):
        return 0
    if np.isnan(point[0]):
        column = labels[:, y, x]
        hits = column[np.isin(column, list(known))]
        if not len(hits):
            return 0
        values, counts = np.unique(hits, return_counts=True)
        return int(values[counts.argmax()])
    z = int(np.rint(point[0]))
    if not 0 <= z < labels.shape[0]:
        return 0
    label = int(labels[z, y, x])
    return label if label in known else 0
