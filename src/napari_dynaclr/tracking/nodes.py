"""From linked nodes to tracks, and to label images numbered by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.cells import NODE_COLUMNS, frame_nodes
from napari_dynaclr.core.tables import (
    LINK_COLUMNS,
    NODES_PER_FRAME,
    TRACK_COLUMNS,
    node_id,
    parent_ids,
    validate_tracks,
)
from napari_dynaclr.tracking.reliability import reliability

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["NODE_COLUMNS", "frame_nodes", "relabel", "to_tracks"]

_LOOKUP = 10_000_000
"""Labels below this are replaced through a table of that length."""


def to_tracks(linked: pd.DataFrame, scale: tuple[float, float, float]) -> pd.DataFrame:
    """Complete linked nodes to a tracks table.

    Parameters
    ----------
    linked
        Nodes with ``track_id`` and ``parent_track_id`` (-1 for none), and ``reliability`` and
        ``id`` where the method gives them.
    scale
        Voxel size (z, y, x) in um.

    Returns
    -------
    pandas.DataFrame
        :data:`~napari_dynaclr.core.tables.TRACK_COLUMNS`, ``area`` and ``reliability``; a
        node's ``parent_id`` is the node before it in its track, or the last of the parent
        track.
    """
    table = linked.sort_values(["track_id", "t"], ignore_index=True)
    if "id" not in table:
        number = table["label"]
        if number.max() >= NODES_PER_FRAME:  # the labels of other tools may be any 32-bit number
            number = table.groupby("t")["label"].rank().astype(np.int64)
        table["id"] = node_id(table["t"], number)
    table["parent_id"] = parent_ids(table)
    known = "reliability" in table
    sure = table["reliability"] if known else reliability(table, scale)
    # A number everywhere: VisCy turns the whole table into integers.
    table["reliability"] = np.where(table["parent_id"] >= 0, sure, 1.0)
    return validate_tracks(table[[*TRACK_COLUMNS, *LINK_COLUMNS]])


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
    labels, tracks = nodes["label"].to_numpy(), nodes["track_id"].to_numpy()
    last = int(frame.max())
    if last < _LOOKUP:
        table = np.zeros(last + 1, np.uint32)
        here = labels <= last
        table[labels[here]] = tracks[here]
        return np.asarray(table[frame])
    order = np.argsort(labels)
    inside = np.nonzero(frame)
    place = np.minimum(np.searchsorted(labels[order], frame[inside]), len(labels) - 1)
    known = labels[order][place] == frame[inside]
    result = np.zeros(frame.shape, np.uint32)
    result[inside] = np.where(known, tracks[order][place], 0)
    return result
