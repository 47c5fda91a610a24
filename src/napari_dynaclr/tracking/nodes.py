"""From label images to nodes, and from linked nodes to tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_dynaclr.core.tables import TRACK_COLUMNS, node_id, validate_tracks

if TYPE_CHECKING:
    from numpy.typing import NDArray


def frame_nodes(labels: NDArray[Any], t: int) -> pd.DataFrame:
    """Measure the cells of one time point.

    Parameters
    ----------
    labels
        Label image (Z, Y, X); 0 is background.
    t
        Time point.

    Returns
    -------
    pandas.DataFrame
        ``t``, ``label``, centroid ``z``, ``y``, ``x`` in pixels and ``area`` in
        pixels, sorted by label.
    """
    where = np.nonzero(labels)
    found, index = np.unique(labels[where], return_inverse=True)
    area = np.bincount(index, minlength=len(found))
    centroids = {
        axis: np.bincount(index, weights=places, minlength=len(found)) / np.maximum(area, 1)
        for axis, places in zip("zyx", where, strict=True)
    }
    return pd.DataFrame({"t": t, "label": found.astype(np.int64), **centroids, "area": area})


def to_tracks(linked: pd.DataFrame) -> pd.DataFrame:
    """Complete linked nodes to a tracks table.

    Parameters
    ----------
    linked
        Nodes with ``track_id`` and ``parent_track_id`` (-1 for none).

    Returns
    -------
    pandas.DataFrame
        :data:`~napari_dynaclr.core.tables.TRACK_COLUMNS`; a node's ``parent_id`` is
        the node before it in its track, or the last of the parent track.
    """
    table = linked.sort_values(["track_id", "t"], ignore_index=True)
    table["id"] = node_id(table["t"], table["label"])
    before = table.groupby("track_id")["id"].shift(1)
    last = table.groupby("track_id")["id"].last()
    parent = before.fillna(table["parent_track_id"].map(last))
    table["parent_id"] = parent.fillna(-1).astype(np.int64)
    return validate_tracks(table[TRACK_COLUMNS])


def relabel(frame: NDArray[Any], nodes: pd.DataFrame | None) -> NDArray[np.uint32]:
    """Replace the labels of one time point by track ids.

    Parameters
    ----------
    frame
        Label image of any shape.
    nodes
        The nodes of that time point, with ``label`` and ``track_id``; None for none.
    """
    if nodes is None:
        return np.zeros(frame.shape, np.uint32)
    found, index = np.unique(frame, return_inverse=True)
    track = dict(zip(nodes["label"], nodes["track_id"], strict=True))
    new = np.array([track.get(int(label), 0) for label in found], np.uint32)
    return new[index].reshape(frame.shape)
