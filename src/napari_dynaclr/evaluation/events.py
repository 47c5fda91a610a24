"""Likely events against true divisions: how many of the first ones are right (tap.txt, 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.spatial import cKDTree

from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.tables import read_tracks
from napari_dynaclr.core.taskbook import read_tasks
from napari_dynaclr.core.tasks import UNKNOWN, find_task
from napari_dynaclr.evaluation.events_drawing import draw_events
from napari_dynaclr.evaluation.matching import tracks_file
from napari_dynaclr.evaluation.report import Report

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job

_PLACES = 20_000
"""Random places per FOV that the level of chance is measured by."""


class EventsScoreParams(Params):
    """Settings of the measure of likely events."""

    truth: str = Field(
        "",
        title="Truth",
        description="OME-Zarr plate with tracks.csv beside each label image, as 'simulate' writes "
        "it; what is known here if left out.",
        json_schema_extra={"path": "folder"},
    )
    known: Literal["tracks", "annotations"] = Field(
        "tracks",
        title="Known here",
        description="Without a truth: divisions of the tracks, which should have been corrected, "
        "or cells that are annotated as dividing.",
    )
    events: str = Field(
        "tap", title="Events", description="Which likely events: the name they were found under."
    )
    first: int = Field(
        20,
        title="First",
        description="How many of the first events the precision is told of.",
        ge=1,
        le=100_000,
    )
    radius: float = Field(
        15.0,
        title="Tolerance (um)",
        description="An event may be this far from the mother or a daughter.",
        gt=0,
        le=1000,
    )
    window: float = Field(
        60.0,
        title="Tolerance (min)",
        description="An event may be this much earlier or later than the mother's last frame; "
        "where the movie does not say how far frames are apart, one frame.",
        ge=0,
        le=100_000,
        json_schema_extra={"advanced": True},
    )
    seed: int = Field(
        0,
        title="Seed",
        description="Makes the random places repeatable.",
        ge=0,
        json_schema_extra={"advanced": True},
    )


@dataclass(frozen=True)
class Divisions:
    """Divisions of one FOV, and where its cells are.

    Attributes
    ----------
    t
        The mother's last frame, (D,).
    places
        Of each, the places of mother and daughters in um, [(2 or 3 or more, 3), ...].
    cells
        ``t``, ``z``, ``y``, ``x`` of all cells, in pixels; to tell what any cell would score.
    """

    t: NDArray[np.int64]
    places: list[NDArray[np.float64]]
    cells: pd.DataFrame


def measure(dataset: Dataset, params: EventsScoreParams, job: Job) -> Report:
    """Compare the likely events of all FOVs with the divisions.

    Events are taken in the order of their scores, over all FOVs. Each division counts for the
    first event that is near it in space and time; another one near it is wrong.

    Returns
    -------
    Report
        ``metric`` and ``value``:

        - ``divisions``, ``events``: their numbers;
        - ``precision_at_<first>``: share of the first events that are a division, and
          ``recall_at_<first>``: share of the divisions that are among them;
        - ``best_possible``: the precision that a perfect list would have there, below 1 where
          there are fewer divisions than that;
        - ``precision``, ``recall``: of all events;
        - ``average_precision``: mean of the precision at each division found, 0 for those not
          found;
        - ``chance_places``: share of random places and moments that are as near a division as an
          event has to be; ``chance_cells``: the same of all cells.

        The precision and recall by rank are a further table and a picture.

    Raises
    ------
    MissingInput
        If events have not been looked for, or there are no tracks to compare with.
    InvalidInput
        If nothing divides, or the truth is not of this dataset.
    """
    generator = np.random.default_rng(params.seed)
    truth = open_dataset(params.truth) if params.truth else None
    marked = None if truth or params.known == "tracks" else _annotated(dataset)
    tables, chance = [], []
    total = 0
    for fov in job.track(dataset.fovs, "evaluate events"):
        events = dataset.workspace.events(params.events, fov)
        known = _divisions(dataset, truth, marked, fov)
        total += len(known.t)
        window = _frames(fov, params.window)
        right = claim(events, known, fov.scale, params.radius, window)
        tables.append(events.assign(fov_name=fov.name, right=right))
        chance.append(_chance(known, fov, params.radius, window, generator))
    if not total:
        raise InvalidInput(_nothing(params))
    ranked = pd.concat([table for table in tables if len(table)] or tables[:1])
    ranked = ranked.sort_values("score", ascending=False, kind="stable", ignore_index=True)
    curve = by_rank(ranked["right"].to_numpy(bool), total)
    places, cells = np.array(chance).T
    first = curve.head(params.first)
    values = {
        "divisions": float(total),
        "events": float(len(curve)),
        f"precision_at_{params.first}": float(first["right"].sum()) / params.first,
        f"recall_at_{params.first}": float(first["right"].sum()) / total,
        "best_possible": min(1.0, total / params.first),
        "precision": float(curve["right"].mean()) if len(curve) else 0.0,
        "recall": float(curve["right"].sum()) / total,
        "average_precision": float(curve["precision"][curve["right"]].sum()) / total,
        "chance_places": float(places.mean()),
        "chance_cells": float(np.nanmean(cells)) if np.isfinite(cells).any() else np.nan,
    }
    table = pd.DataFrame({"metric": list(values), "value": list(values.values())})
    about = ranked[["fov_name", "t", "z", "y", "x", "score"]]
    ranks = pd.concat([curve, about], axis=1)
    picture = draw_events(curve, values["chance_places"], values["chance_cells"], params.first)
    against = "truth" if params.truth else params.known
    return Report(table, {"": picture}, {"ranks": ranks}, of=f"{params.events}-{against}")


def _frames(fov: Fov, minutes: float) -> float:
    """Return how many frames a time is; one where the movie does not say."""
    return minutes * 60 / fov.frame_interval if fov.frame_interval else 1.0


def _nothing(params: EventsScoreParams) -> str:
    if params.known == "annotations" and not params.truth:
        return "No cell is annotated as dividing: annotate some, or give a truth."
    where = "the truth" if params.truth else "the tracks"
    return f"No cell divides in {where}: choose FOVs in which cells divide."


def _divisions(
    dataset: Dataset, truth: Dataset | None, marked: pd.DataFrame | None, fov: Fov
) -> Divisions:
    if truth is not None:
        return of_tracks(true_tracks(truth, fov), fov.scale)
    if marked is not None:
        return _of_annotations(marked[marked["fov_name"] == fov.name], fov)
    return of_tracks(dataset.workspace.tracks(fov), fov.scale)


def true_tracks(truth: Dataset, fov: Fov) -> pd.DataFrame:
    """Read the true tracks of a FOV.

    Parameters
    ----------
    truth
        The truth; of one FOV, it is that of any.
    fov
        The FOV.

    Raises
    ------
    InvalidInput
        If the truth is not of this FOV.
    """
    true = truth.fovs[0] if len(truth.fov_names) == 1 else truth[fov.name]
    if true.shape != fov.shape:
        raise InvalidInput(
            f"The truth of FOV {fov.name} has shape {true.shape}, the FOV has "
            f"{fov.shape} (T, Z, Y, X): give the truth of this dataset."
        )
    return read_tracks(tracks_file(true.path))


def of_tracks(tracks: pd.DataFrame, scale: tuple[float, float, float]) -> Divisions:
    """Find the divisions of a tracks table: nodes that two others or more come from.

    Parameters
    ----------
    tracks
        :data:`~napari_dynaclr.core.tables.TRACK_COLUMNS`.
    scale
        Voxel size (z, y, x) in um.
    """
    at = tracks.set_index("id")
    children = tracks[tracks["parent_id"].isin(at.index)].groupby("parent_id")["id"]
    times, places = [], []
    for mother, daughters in children:
        if len(daughters) < 2:
            continue
        family = at.loc[[mother, *daughters]]
        times.append(int(family["t"].iloc[0]))
        places.append(family[["z", "y", "x"]].to_numpy(float) * scale)
    return Divisions(np.array(times, np.int64), places, tracks[["t", "z", "y", "x"]])


def _annotated(dataset: Dataset) -> pd.DataFrame:
    """List all annotated cells, and whether they are ``dividing``."""
    task = find_task("division", read_tasks(dataset.workspace))
    table = current_annotations(dataset)
    known = table.get(task.column, pd.Series("", index=table.index)).fillna("")
    return table.assign(dividing=~known.isin(["", UNKNOWN, task.state_names[0]]))


def _of_annotations(cells: pd.DataFrame, fov: Fov) -> Divisions:
    """Take stretches of a track that are annotated as dividing; each is a division at its end."""
    marked = cells[cells["dividing"]].sort_values(["track_id", "t"])
    times, places = [], []
    for _, track in marked.groupby("track_id"):
        ends = np.flatnonzero(np.diff(track["t"].to_numpy(), append=np.inf) > 1)
        for end in ends:
            node = track.iloc[end]
            times.append(int(node["t"]))
            places.append(node[["z", "y", "x"]].to_numpy(float)[None] * fov.scale)
    return Divisions(np.array(times, np.int64), places, cells[["t", "z", "y", "x"]])


def claim(
    events: pd.DataFrame,
    known: Divisions,
    scale: tuple[float, float, float],
    radius: float,
    window: float,
) -> NDArray[np.bool_]:
    """Say which events are a division that no event before them was.

    Parameters
    ----------
    events
        ``t``, ``z``, ``y``, ``x``, in the order of their ranks.
    known
        The divisions.
    scale
        Voxel size (z, y, x) in um.
    radius, window
        Tolerance in um and in frames.

    Returns
    -------
    numpy.ndarray
        (N,).
    """
    free = np.ones(len(known.t), bool)
    right = np.zeros(len(events), bool)
    near = _near(
        events["t"].to_numpy(float),
        events[["z", "y", "x"]].to_numpy(float) * scale,
        known,
        radius,
        window,
    )
    for row, candidates in enumerate(near):
        mine = [(gap, one) for gap, one in candidates if free[one]]
        if mine:
            free[min(mine)[1]] = False
            right[row] = True
    return right


def _near(
    times: NDArray[np.float64],
    points: NDArray[np.float64],
    known: Divisions,
    radius: float,
    window: float,
) -> list[list[tuple[float, int]]]:
    """Divisions within reach of each place and moment, with how far they are in time."""
    found: list[list[tuple[float, int]]] = [[] for _ in times]
    if not len(times) or not len(known.t):
        return found
    tree = cKDTree(points)
    for one, (t, places) in enumerate(zip(known.t, known.places, strict=True)):
        rows = {row for place in tree.query_ball_point(places, radius) for row in place}
        for row in rows:
            gap = abs(float(times[row]) - float(t))
            if gap <= window + 1e-9:
                found[row].append((gap, one))
    return found


def _chance(
    known: Divisions, fov: Fov, radius: float, window: float, generator: np.random.Generator
) -> tuple[float, float]:
    """Share of random places, and of the cells, that are near a division."""
    shape = np.array(fov.shape)
    last = max(int(shape[0]) - 1, 1)  # an event needs a later frame
    times = generator.integers(0, last, _PLACES).astype(float)
    points = generator.random((_PLACES, 3)) * (shape[1:] - 1) * fov.scale
    places = np.mean([bool(one) for one in _near(times, points, known, radius, window)])
    cells = known.cells[known.cells["t"] < last]
    if cells.empty:
        return float(places), np.nan
    near = _near(
        cells["t"].to_numpy(float),
        cells[["z", "y", "x"]].to_numpy(float) * fov.scale,
        known,
        radius,
        window,
    )
    return float(places), float(np.mean([bool(one) for one in near]))


def by_rank(right: NDArray[np.bool_], divisions: int) -> pd.DataFrame:
    """Precision and recall of the first 1, 2, 3, ... events.

    Parameters
    ----------
    right
        Whether each is a division, in the order of their ranks, (N,).
    divisions
        How many divisions there are.

    Returns
    -------
    pandas.DataFrame
        ``rank``, ``right``, ``precision``, ``recall``.
    """
    rank = np.arange(1, len(right) + 1)
    hits = np.cumsum(right)
    return pd.DataFrame(
        {"rank": rank, "right": right, "precision": hits / rank, "recall": hits / divisions}
    )
