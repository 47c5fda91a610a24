"""Masks whose pixel values are track ids already, taken as tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.params import Params

if TYPE_CHECKING:
    import pandas as pd


class MasksParams(Params):
    """No settings: the same label is the same cell."""


def link(
    nodes: pd.DataFrame, scale: tuple[float, float, float], params: MasksParams
) -> pd.DataFrame:
    """Give every node the track its label names; there is no lineage in masks."""
    return nodes.assign(track_id=nodes["label"], parent_track_id=-1)
