"""Linking by linear assignment with LapTrack: gaps closed, divisions found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from laptrack import LapTrack
from pydantic import Field

from napari_dynaclr.tracking.assignment import LinkingParams
from napari_dynaclr.tracking.movie import Linked, Movie

if TYPE_CHECKING:
    from napari_dynaclr.core.job import Job


class LapTrackParams(LinkingParams):
    """Settings of linking by LapTrack."""

    max_distance: float = Field(
        10.0,
        title="Largest step (um)",
        description="A cell moves no further than this between two frames.",
        gt=0,
        le=1000,
    )


def link(movie: Movie, params: LapTrackParams, job: Job) -> Linked:
    """Link the cells of one FOV with LapTrack."""
    nodes = movie.nodes
    table = nodes.copy()
    for axis, factor in zip("zyx", movie.fov.scale, strict=True):
        table[f"um_{axis}"] = table[axis] * factor
    tracker = LapTrack(
        metric="sqeuclidean",
        cutoff=params.max_distance**2,
        gap_closing_metric="sqeuclidean",
        gap_closing_cutoff=params.max_distance**2 if params.max_gap else False,
        # LapTrack counts the step from frame to frame, not the frames missed between.
        gap_closing_max_frame_count=params.max_gap + 1,
        splitting_metric="sqeuclidean",
        splitting_cutoff=params.max_division_distance**2 or False,
    )
    table["row"] = table.index
    tracked, splits, _ = tracker.predict_dataframe(
        table,
        coordinate_cols=["um_z", "um_y", "um_x"],
        frame_col="t",
        only_coordinate_cols=False,
    )
    ids = tracked.set_index("row")["track_id"] + 1
    parents = (
        dict(zip(splits["child_track_id"] + 1, splits["parent_track_id"] + 1, strict=True))
        if len(splits)
        else {}
    )
    track_id = ids.reindex(table.index).to_numpy(np.int64)
    return Linked(
        nodes.assign(
            track_id=track_id,
            parent_track_id=[parents.get(track, -1) for track in track_id],
        )
    )
