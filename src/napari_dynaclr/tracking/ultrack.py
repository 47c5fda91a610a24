"""Joint segmentation and tracking with ultrack: the cells that fit together best over time.

Every frame gives many candidates of cells, one within the other; ultrack chooses those that
overlap best with the ones before and after (Bragantini et al., 2024).
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from napari_dynaclr.core.atomic import remove, write_csv
from napari_dynaclr.core.channels import named_after
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.tracking.contours import foreground_and_contours, region_size
from napari_dynaclr.tracking.movie import Linked, Movie
from napari_dynaclr.tracking.nodes import NODE_COLUMNS, frame_nodes
from napari_dynaclr.tracking.tracklets import tracklets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.tracking.ultrack_session import UltrackSession


class UltrackParams(Params):
    """Settings of joint segmentation and tracking."""

    nuclei: str = Field(
        "",
        title="Nuclei channel",
        description="Channel with bright nuclei, fluorescent or virtual; if empty, the one named "
        "after nuclei.",
        json_schema_extra={"choices": "channels"},
    )
    membrane: str = Field(
        "",
        title="Membrane channel",
        description="Channel with bright membranes, which part cells that touch; none if empty.",
        json_schema_extra={"choices": "channels"},
    )
    min_diameter: float = Field(
        7.0,
        title="Smallest cell (um)",
        description="Diameter of the smallest nucleus, of a daughter right after division.",
        gt=0,
        le=1000,
    )
    max_diameter: float = Field(
        24.0,
        title="Largest cell (um)",
        description="Diameter of the largest nucleus.",
        gt=0,
        le=1000,
    )
    max_distance: float = Field(
        10.0,
        title="Largest step (um)",
        description="A cell moves no further than this between two frames.",
        gt=0,
        le=1000,
    )
    sensitivity: float = Field(
        1.0,
        title="Sensitivity",
        description="Above 1 finds dimmer cells, below 1 only brighter ones.",
        ge=0.1,
        le=10,
        json_schema_extra={"advanced": True},
    )
    solver: Literal["auto", "cbc", "gurobi"] = Field(
        "auto",
        title="Solver",
        description="cbc needs no licence; gurobi is faster and needs one that allows the size; "
        "auto takes gurobi where it works, else cbc.",
        json_schema_extra={"advanced": True},
    )
    appearance: float = Field(
        0.1,
        title="Cost of appearing",
        description="Against cells that appear or vanish inside the field; a link between two "
        "cells that overlap fully is worth 1.",
        ge=0,
        le=10,
        json_schema_extra={"advanced": True},
    )
    division: float = Field(
        0.1,
        title="Cost of dividing",
        description="Against divisions; raise it if there are too many.",
        ge=0,
        le=10,
        json_schema_extra={"advanced": True},
    )
    window: int = Field(
        20,
        title="Window (frames)",
        description="Frames that are solved at once; fewer need less memory and time.",
        ge=3,
        le=10_000,
        json_schema_extra={"advanced": True},
    )
    time_limit: float = Field(
        30.0,
        title="Time limit (minutes)",
        description="Of the solver, for one window; then its best solution so far is taken.",
        gt=0,
        le=10_000,
        json_schema_extra={"advanced": True},
    )
    empty_frames: Literal["error", "skip"] = Field(
        "error",
        title="Empty frames",
        description="Stop at a frame of nothing but zeros or NaN, or leave it without cells.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _check_diameters(self) -> Self:
        if self.min_diameter >= self.max_diameter:
            raise ValueError("min_diameter has to be below max_diameter")
        return self


def needs_segmentation(_params: UltrackParams) -> bool:
    """Whether cells have to be segmented before: no."""
    return False


def channels_read(fov: Fov, params: UltrackParams) -> list[str]:
    """Return the channel of nuclei and, if there is to be one, that of membranes.

    Raises
    ------
    InvalidInput
        If no channel is given and none is named after nuclei.
    """
    nuclei = params.nuclei or named_after("nuclei", fov.channels)
    if nuclei is None:
        raise InvalidInput(
            f"No channel is named after nuclei: choose one of {', '.join(fov.channels)} with "
            "nuclei=."
        )
    return [nuclei, *([params.membrane] if params.membrane else [])]


def link(movie: Movie, params: UltrackParams, job: Job) -> Linked:
    """Find and link the cells of one FOV.

    One frame is in memory at a time; candidates and solution are in a database in the
    movie's scratch folder, which goes when the label images are written.

    Raises
    ------
    MissingExtra
        If ultrack is not installed.
    InvalidInput
        If there is one time point only, no cell is found, or the solver finds no solution.
    """
    from napari_dynaclr.tracking.ultrack_session import UltrackSession

    fov = movie.fov
    if fov.shape[0] < 2:
        raise InvalidInput(
            f"FOV {fov.name} has one time point, and ultrack chooses cells by how they overlap "
            "over time: segment it, and take another tracking method."
        )
    home = movie.scratch / "ultrack"
    nodes = home / "nodes.csv"
    if not nodes.exists():  # else an interrupted run had come to writing
        remove(home)
        home.mkdir(parents=True)
        with UltrackSession(home / "work", fov, params) as session:
            _segment(session, movie, params, job)
            session.link(job)
            session.solve(job)
            _keep(session, home / "labels.zarr", nodes, fov, job)
        shutil.rmtree(home / "work")
    return Linked(pd.read_csv(nodes), lambda times: _read(home / "labels.zarr", times))


def _segment(session: UltrackSession, movie: Movie, params: UltrackParams, job: Job) -> None:
    fov = movie.fov
    channels = channels_read(fov, params)
    frames = fov.frames(channels, allow_empty=params.empty_frames == "skip")
    diameters = (params.min_diameter, params.max_diameter)
    for t, frame in job.track(frames, f"candidates {fov.name}", total=fov.shape[0]):
        membrane = frame[1] if len(channels) > 1 else None
        maps = foreground_and_contours(frame[0], membrane, fov.scale, diameters, params.sensitivity)
        session.add(t, *maps)


def areas(fov: Fov, params: UltrackParams) -> tuple[int, int]:
    """Return the pixels of the smallest and of the largest cell.

    Parameters
    ----------
    fov
        Gives voxel size and depth: of a stack thinner than a cell, only that much counts.
    params
        Settings.
    """
    flat = fov.shape[1] == 1
    small, large = (
        region_size(diameter, fov.scale, flat=flat)
        for diameter in (params.min_diameter, params.max_diameter)
    )
    if not flat:
        slab = region_size(params.min_diameter, fov.scale, flat=True) * fov.shape[1]
        small = min(small, slab)
    return small, max(large, small + 1)


def _keep(session: UltrackSession, labels: Path, nodes: Path, fov: Fov, job: Job) -> None:
    """Write the chosen cells as label images and table, which needs no ultrack to be read."""
    import zarr

    parents = session.parents()
    if parents.empty:
        raise InvalidInput(
            f"ultrack found no cells in FOV {fov.name} that overlap over time: check channel, "
            "diameters and sensitivity; it links cells by overlap, so that they may not move by "
            "more than their size between two frames."
        )
    store = zarr.open_array(
        labels, mode="w", shape=fov.shape, chunks=(1, *fov.shape[1:]), dtype=np.uint32
    )
    measured = [pd.DataFrame(columns=NODE_COLUMNS).astype({"t": int, "label": int})]
    for t in job.track(range(fov.shape[0]), f"cells {fov.name}"):
        image = np.zeros(fov.shape[1:], np.uint32)
        session.paint(t, image[0] if fov.shape[1] == 1 else image)
        store[t] = image
        found = frame_nodes(image, t)
        if len(found):
            measured.append(found)
    table = pd.concat(measured[1:], ignore_index=True)
    write_csv(nodes, _linked(table, parents))


def _linked(table: pd.DataFrame, parents: pd.DataFrame) -> pd.DataFrame:
    """Add tracks to the measured cells; parents are rows of (t, label, before)."""
    known = table.merge(parents, on=["t", "label"], how="left", validate="1:1")
    rows = pd.Series(known.index, index=pd.MultiIndex.from_frame(known[["t", "label"]]))
    after = np.flatnonzero(known["before"].fillna(0) > 0)
    wanted = zip(known["t"].iloc[after] - 1, known["before"].iloc[after].astype(int), strict=True)
    before = rows.reindex(pd.MultiIndex.from_tuples(wanted, names=["t", "label"])).to_numpy()
    there = ~np.isnan(before.astype(float))
    links = np.column_stack([before[there].astype(np.int64), after[there]])
    track, parent = tracklets(known["t"].to_numpy(), links, "ultrack")
    return table.assign(track_id=track, parent_track_id=parent)


def _read(labels: Path, times: Iterable[int]) -> Iterator[tuple[int, NDArray[Any]]]:
    import zarr

    store = zarr.open_array(labels, mode="r")
    for t in times:
        yield t, np.asarray(store[t])
