"""What the tracking method found, before all corrections: it is kept, whatever is written."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_dynaclr.core.errors import InvalidInput, MissingInput
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

    Nothing is changed on disk, and another process may write corrections meanwhile.

    Raises
    ------
    MissingInput
        If the FOV has not been tracked, its tracks are out of date, or what the method made
        has been deleted.
    """
    workspace = dataset.workspace
    while True:
        key = engine_key(workspace, fov)
        labels = method_labels(workspace, fov, key)
        found: pd.DataFrame | InvalidInput
        try:
            found = read_tracks(labels.path / "tracks.csv")
        except InvalidInput as error:  # or it is being replaced
            found = error
        # What the method made is kept first, then the tracks are noted as corrected, then
        # replaced: where it is not kept even now, it was not corrected when it was read.
        corrected = workspace.corrected(fov)
        now = method_labels(workspace, fov, key).path
        if workspace.key("tracks", fov) != key or now != labels.path:
            continue
        if corrected and now.parents[2] != workspace.plate(LINKED):
            raise MissingInput("uncorrected tracks (linked.zarr)", "track", fov.name)
        if isinstance(found, InvalidInput):
            raise found
        return Engine(key, now, found, labels)


def void_kept(workspace: Workspace, fov: Fov) -> None:
    """Let what is kept count no more, as the FOV is tracked anew, be it under the same key.

    Only for who keeps others from its tracks.
    """
    (workspace.plate(LINKED) / fov.name / KEPT).unlink(missing_ok=True)


def forget_lost(workspace: Workspace, fov: Fov) -> None:
    """Let tracks be made again of which only what was corrected is left.

    Left alone while another process is at work on them.
    """
    if not workspace.corrected(fov):
        return
    with suppress(InvalidInput), workspace.claim("tracks", fov):
        kept = kept_key(workspace.plate(LINKED) / fov.name)
        if workspace.corrected(fov) and kept != workspace.key("tracks", fov):
            workspace.forget("tracks", fov)


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
