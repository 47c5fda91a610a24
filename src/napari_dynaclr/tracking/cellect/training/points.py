"""What CELLECT learns from: the centres of cells, their radii, and who comes from whom."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.tables import read_tracks
from napari_dynaclr.tracking.nodes import frame_nodes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job


@dataclass(frozen=True)
class Points:
    """The cells of one FOV, one row per cell and time point, ordered by time.

    Attributes
    ----------
    t
        Time points, (N,).
    position
        Centres (z, y, x) in pixels, (N, 3).
    radius
        Radii in um, (N,).
    parent
        Row of the same cell before, or of its mother; -1 for none, (N,).
    """

    t: NDArray[np.int64]
    position: NDArray[np.float64]
    radius: NDArray[np.float64]
    parent: NDArray[np.int64]

    def at(self, t: int) -> NDArray[np.int64]:
        """Return the rows of a time point."""
        start, stop = np.searchsorted(self.t, [t, t + 1])
        return np.arange(start, stop)

    def before(self, rows: NDArray[np.int64], t: int) -> NDArray[np.int64]:
        """Return for each row the one that it descends from at an earlier time; -1 for none.

        Parameters
        ----------
        rows
            Rows, (n,).
        t
            The earlier time.
        """
        found = rows.copy()
        while True:
            later = (found >= 0) & (self.t[found] > t)
            if not later.any():
                break
            found[later] = self.parent[found[later]]
        # Where a track has a gap, there is nothing of it at that time.
        return np.where((found >= 0) & (self.t[found] == t), found, -1)

    @cached_property
    def newborn(self) -> NDArray[np.bool_]:
        """Whether each row is the first of a daughter, (N,)."""
        known = self.parent >= 0
        children = np.bincount(self.parent[known], minlength=len(self.t))
        found = np.zeros(len(self.t), bool)
        found[known] = children[self.parent[known]] > 1
        return found

    def dividing(self, rows: NDArray[np.int64], t: int) -> NDArray[np.bool_]:
        """Whether each of the cells of one time point is two or more at a later one, (n,).

        Parameters
        ----------
        rows
            Rows of one time point, (n,).
        t
            The later time.
        """
        if not len(rows):
            return np.zeros(0, bool)
        origin = self.before(self.at(t), int(self.t[rows[0]]))
        return np.bincount(origin[origin >= 0], minlength=len(self.t))[rows] > 1


def make_points(tracks: pd.DataFrame, scale: tuple[float, float, float], depth: int) -> Points:
    """Make points of a tracks table.

    Parameters
    ----------
    tracks
        :data:`~napari_dynaclr.core.tables.TRACK_COLUMNS`, and ``area`` in pixels.
    scale
        Voxel size (z, y, x) in um.
    depth
        Slices of the images: with one, cells are discs, else balls.
    """
    table = tracks.sort_values(["t", "id"], kind="stable", ignore_index=True)
    rows = pd.Series(table.index, index=table["id"])
    parent = rows.reindex(table["parent_id"]).fillna(-1).to_numpy(np.int64)
    return Points(
        table["t"].to_numpy(np.int64),
        table[["z", "y", "x"]].to_numpy(np.float64),
        radius_of(table["area"].to_numpy(np.float64), scale, depth),
        parent,
    )


def radius_of(
    area: NDArray[np.float64], scale: tuple[float, float, float], depth: int
) -> NDArray[np.float64]:
    """Radius, in um, of a disc (or ball, of images with depth) of so many pixels.

    Parameters
    ----------
    area
        Pixels of each cell, (N,).
    scale
        Voxel size (z, y, x) in um.
    depth
        Slices of the images.
    """
    if depth == 1:
        return np.sqrt(area * scale[1] * scale[2] / math.pi)
    return np.cbrt(area * scale[0] * scale[1] * scale[2] * 3 / (4 * math.pi))


# -- where they come from -----------------------------------------------------


def tracked_points(dataset: Dataset, fov: Fov, job: Job) -> Points:
    """Take the tracks of a workspace, as they were made, corrected or imported.

    Raises
    ------
    MissingInput
        If the FOV has not been tracked.
    InvalidInput
        If its tracks are empty.
    """
    tracks = dataset.workspace.tracks(fov)
    if "area" not in tracks:
        tracks = _measured(tracks, dataset.workspace.labels("tracks", fov), "labels", job)
    return _checked(tracks, fov)


def true_points(truth: str, fov: Fov, job: Job) -> Points:
    """Take the tracks of a plate of label images with a tracks.csv beside each.

    Parameters
    ----------
    truth
        Path of the plate.
    fov
        The FOV whose truth is wanted.
    job
        Progress and cancelling.

    Raises
    ------
    InvalidInput
        If it lacks the FOV, has another shape, or no cells.
    """
    true_fov, file = find_truth(truth, fov)
    tracks = read_tracks(file)
    if "area" not in tracks:
        tracks = _measured(tracks, true_fov, true_fov.channels[0], job)
    return _checked(tracks, fov)


def find_truth(truth: str, fov: Fov) -> tuple[Fov, Path]:
    """Return label images and tracks table of the truth of a FOV.

    Raises
    ------
    InvalidInput
        If the truth lacks the FOV or its table, or is of another shape.
    """
    plate = open_dataset(truth)
    true_fov = plate.fovs[0] if len(plate.fov_names) == 1 else plate[fov.name]
    if true_fov.shape != fov.shape:
        raise InvalidInput(
            f"The truth of FOV {fov.name} has shape {true_fov.shape}, the FOV has {fov.shape} "
            "(T, Z, Y, X): give the truth of this dataset."
        )
    files = sorted(true_fov.path.glob("*.csv"))
    if len(files) != 1:
        raise InvalidInput(
            f"{true_fov.path} holds {len(files)} CSV files: the truth needs exactly one tracks "
            "table beside each label image."
        )
    return true_fov, files[0]


def digest(file: Path) -> str:
    """Short hash of a tracks table: corrections change it, and what is learned from it."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _measured(tracks: pd.DataFrame, labels: Fov, channel: str, job: Job) -> pd.DataFrame:
    """Add how many pixels each cell has; those without a label get the mean of the others."""
    count = labels.shape[0]
    frames = labels.frames([channel], allow_empty=True)
    nodes = pd.concat(
        [
            frame_nodes(frame[0], t)
            for t, frame in job.track(frames, f"measure cells {labels.name}", total=count)
        ],
        ignore_index=True,
    )
    areas = nodes.set_index(["t", "label"])["area"]
    area = areas.reindex(pd.MultiIndex.from_frame(tracks[["t", "track_id"]])).to_numpy(np.float64)
    if np.isnan(area).all():
        raise InvalidInput(
            f"FOV {labels.name}: no label of {channel} has the number of a track: the radii of "
            "the cells cannot be measured."
        )
    return tracks.assign(area=np.where(np.isnan(area), np.nanmean(area), area))


def _checked(tracks: pd.DataFrame, fov: Fov) -> Points:
    if tracks.empty:
        raise InvalidInput(f"FOV {fov.name} has no tracks: there is nothing to learn from.")
    return make_points(tracks, fov.scale, fov.shape[1])
