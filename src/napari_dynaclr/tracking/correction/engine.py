"""What the tracking method found, before all corrections: it is kept, whatever is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_dynaclr.core.errors import MissingInput
from napari_dynaclr.core.fov import Fov
from napari_dynaclr.core.tables import read_tracks

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.workspace import Workspace

LINKED = "linked"
"""Plate in which the tracks of a method are kept once there are corrections of them."""


@dataclass(frozen=True)
class Engine:
    """The tracks of a FOV as a method made them.

    Attributes
    ----------
    key
        Key of the tracks, as the workspace records it.
    folder
        Where they are.
    tracks
        The table.
    labels
        The label images, by track id.
    """

    key: str
    folder: Path
    tracks: pd.DataFrame
    labels: Fov


def engine_key(workspace: Workspace, fov: Fov) -> str:
    """Return the key of a FOV's tracks, whether or not corrections are in them.

    Raises
    ------
    MissingInput
        If the FOV has not been tracked, or what its tracks were made from is another now.
    """
    key = workspace.key("tracks", fov)
    if key is None:
        raise MissingInput("tracks", "track", fov.name)
    if workspace.outdated("tracks", fov):
        raise MissingInput("tracks", "track", fov.name, old=True)
    return key


def read_engine(dataset: Dataset, fov: Fov) -> Engine:
    """Read the tracks of a FOV as the method made them.

    Raises
    ------
    MissingInput
        If the FOV has not been tracked, its tracks are out of date, or what the method made
        has been deleted.
    """
    workspace = dataset.workspace
    key = engine_key(workspace, fov)
    folder = workspace.plate(LINKED) / fov.name
    if kept_key(folder) != key:
        if workspace.corrected(fov):
            # Only what was corrected is there, so what it was made from has to be made again.
            workspace.forget("tracks", fov)
            raise MissingInput("uncorrected tracks (linked.zarr)", "track", fov.name)
        folder = workspace.plate("tracks") / fov.name
    tracks = read_tracks(folder / "tracks.csv")
    return Engine(key, folder, tracks, Fov(folder, fov.name))


def method_labels(workspace: Workspace, fov: Fov, key: str) -> Fov:
    """Return the label images as the method made them, where they are now."""
    kept = workspace.plate(LINKED) / fov.name
    folder = kept if kept_key(kept) == key else workspace.plate("tracks") / fov.name
    return Fov(folder, fov.name)


def kept_key(folder: Path) -> str | None:
    """Key of the tracks that are kept in a folder; None where there are none."""
    try:
        return str(json.loads((folder / KEPT).read_text(encoding="utf-8"))["key"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


KEPT = "kept.json"
"""File beside kept tracks that says which they are."""
