"""Tracks for other tools: ultrack and VisCy, the Cell Tracking Challenge, GEFF, napari."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_dynaclr.core.atomic import remove
from napari_dynaclr.core.errors import InvalidInput, storage_errors
from napari_dynaclr.core.job import Job
from napari_dynaclr.tracking.exchange.ctc import write_ctc
from napari_dynaclr.tracking.exchange.geff import write_geff
from napari_dynaclr.tracking.exchange.tables import write_napari, write_ultrack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov

Format = Literal["ultrack", "ctc", "geff", "napari"]

_SUFFIXES = {"ultrack": ".csv", "ctc": "", "geff": ".geff", "napari": ".csv"}


def export_tracks(
    dataset: Dataset, target: str | Path, form: Format = "ultrack", job: Job | None = None
) -> list[Path]:
    """Write the tracks of every FOV in a form of other tools.

    Parameters
    ----------
    dataset
        The dataset, or the FOVs of it, to export.
    target
        For one FOV its file, or folder for "ctc" and "geff"; for several a folder in which
        each is called ``row_column_fov``. A CSV is replaced if it exists, a folder has to
        be new or empty.
    form
        - "ultrack": CSV with the columns of ultrack and VisCy, and ``area``, ``reliability``;
        - "ctc": masks of 16 bits and ``res_track.txt``; gaps part a track in two;
        - "geff": nodes and links as Zarr, in pixels, with the voxel size as scale;
        - "napari": CSV of a Tracks layer, with its graph as JSON beside it.
    job
        Progress and cancelling.

    Returns
    -------
    list of Path
        What was written, one a FOV.

    Raises
    ------
    MissingInput
        If a FOV has not been tracked.
    MissingExtra
        If GEFF's package is not installed.
    InvalidInput
        If the target lies within the data or the results, or is a folder with something in it.
    """
    job = job or Job()
    place = Path(target).expanduser()
    _refuse_own(dataset, place)
    several = len(dataset.fovs) > 1
    for fov in dataset.fovs:  # before anything is written
        dataset.workspace.require("tracks", fov, "tracks", "track")
    if several and place.exists() and not place.is_dir():
        raise InvalidInput(f"{place} is a file, and there are several FOVs: choose a folder.")
    written = []
    with storage_errors(f"write {place}"):
        for fov in job.track(dataset.fovs, "export tracks"):
            own = place / f"{fov.file_name}{_SUFFIXES[form]}" if several else place
            _export(dataset, fov, own, form, job)
            written.append(own)
    return written


def _refuse_own(dataset: Dataset, place: Path) -> None:
    here = place.resolve()
    for what, own in (("data", dataset.root), ("results", dataset.workspace.path)):
        if here.is_relative_to(own.resolve()):
            raise InvalidInput(f"{place} lies within the {what} ({own}): choose another place.")


def _export(dataset: Dataset, fov: Fov, place: Path, form: Format, job: Job) -> None:
    tracks = dataset.workspace.tracks(fov)
    if form in ("ultrack", "napari"):
        if place.is_dir():
            raise InvalidInput(f"{place} is a folder: name the CSV to write.")
        if form == "ultrack":
            write_ultrack(place, tracks)
        else:
            write_napari(place, tracks, flat=fov.shape[1] == 1)
        return
    with _new_folder(place) as folder:
        if form == "geff":
            write_geff(folder, tracks, fov)
            return
        frames = dataset.workspace.labels("tracks", fov).frames(["labels"], allow_empty=True)
        found = job.track(frames, f"masks {fov.name}", total=fov.shape[0])
        write_ctc(folder, tracks, ((t, frame[0]) for t, frame in found), fov.shape[0])


@contextmanager
def _new_folder(place: Path) -> Iterator[Path]:
    """Give a hidden folder to write to, and put it in place if all went well."""
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise InvalidInput(f"{place} is there already and not empty: choose a new folder.")
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = place.with_name(f".{place.stem}.{uuid.uuid4().hex[:8]}{place.suffix}")
    folder.mkdir()
    try:
        yield folder
        if place.exists():
            place.rmdir()
        folder.rename(place)
    finally:
        remove(folder)
