"""Which places and moments of a map over time count as events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import Field, field_validator
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.spatial import cKDTree

from napari_dynaclr.core.assign import nodes_at
from napari_dynaclr.core.params import Params, check_name
from napari_dynaclr.core.tables import EVENT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job

_FEW = 1000
"""Places of a frame that are looked at: the highest ones."""


class PickingParams(Params):
    """What counts as an event, whatever made the maps."""

    count: int = Field(
        50,
        title="Events",
        description="Likely events to list per FOV, at most; the likeliest come first.",
        ge=1,
        le=100_000,
    )
    name: str = Field(
        "",
        title="Name",
        description="Name of the events, to keep several lists beside each other; that of the "
        "method if left out.",
        json_schema_extra={"advanced": True},
    )
    score: float = Field(
        0.0,
        title="Lowest score",
        description="Places that score less are no events; scores of all FOVs and of earlier runs "
        "with the same weights can be compared.",
        ge=0,
        json_schema_extra={"advanced": True},
    )
    radius: float = Field(
        15.0,
        title="One place (um)",
        description="Within this distance, all that happens in the same while is one event.",
        gt=0,
        le=1000,
        json_schema_extra={"advanced": True},
    )
    window: float = Field(
        90.0,
        title="One while (min)",
        description="Within this time, all that happens at the same place is one event; where a "
        "movie does not say how far its frames are apart, in the frames before and after.",
        ge=0,
        le=100_000,
        json_schema_extra={"advanced": True},
    )
    border: float = Field(
        5.0,
        title="Border (um)",
        description="Places nearer to the edge of the image than this are no events: of a cell "
        "that is cut off, nobody can tell.",
        ge=0,
        le=1000,
        json_schema_extra={"advanced": True},
    )
    smoothing: float = Field(
        2.0,
        title="Smoothing (um)",
        description="Maps are blurred by this much before their peaks are looked for.",
        ge=0,
        le=100,
        json_schema_extra={"advanced": True},
    )
    reach: float = Field(
        10.0,
        title="Reach (um)",
        description="An event that lies on no tracked cell is given to the nearest one within "
        "this distance.",
        ge=0,
        le=1000,
        json_schema_extra={"advanced": True},
    )
    save_features: bool = Field(
        False,
        title="Save the features",
        description="Keep the representation of every pixel too, as features.zarr: 64 times as "
        "large as a channel of 8 bits.",
        json_schema_extra={"advanced": True, "speed_only": True},
    )

    @field_validator("name")
    @classmethod
    def _file_name(cls, name: str) -> str:
        return check_name(name) if name else name


def pick(
    dataset: Dataset, fov: Fov, plate: Path, params: PickingParams, tracked: bool, job: Job
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take the events of a FOV from its maps.

    Parameters
    ----------
    dataset, fov
        The movie.
    plate
        Where its maps are, (T, 1, Z, Y, X).
    params
        What counts as an event.
    tracked
        Whether there are tracks, to whose cells events are to be given.
    job
        Progress and cancelling.

    Returns
    -------
    tuple of pandas.DataFrame
        :data:`~napari_dynaclr.core.tables.EVENT_COLUMNS`, the highest score first; and ``t``,
        ``z``, ``y``, ``x``, ``score`` of what would be found, were the movie played backwards.
    """
    found: tuple[list[pd.DataFrame], list[pd.DataFrame]] = [], []
    depth, flat = fov.shape[1], False
    for t, maps in job.track(_maps(plate / fov.name), f"peaks of {fov.name}", total=fov.shape[0]):
        flat = maps.shape[0] < depth  # of a projection: in the middle, unless a cell is there
        for some, side in zip(found, (maps, -maps), strict=True):
            places = peaks(side.clip(0), fov.scale, params.smoothing, params.radius).assign(t=t)
            places = places[inside(places, fov.shape[2:], fov.scale, params.border)]
            if flat:
                places["z"] = (depth - 1) / 2
            some.append(places[places["score"] >= params.score])
    table, backwards = (_best(pd.concat(some, ignore_index=True), fov, params) for some in found)
    table["rank"] = np.arange(1, len(table) + 1)
    table["id"] = table["track_id"] = -1
    if tracked and len(table):
        tracks = dataset.workspace.tracks(fov, behind=True)
        labels = dataset.workspace.labels("tracks", fov, behind=True)
        points = table[["z", "y", "x"]].to_numpy(float)
        if flat:
            points[:, 0] = np.nan  # whatever cell lies above or below
        table["id"] = nodes_at(labels, tracks, table["t"].to_numpy(), points, params.reach)
        nodes = tracks.set_index("id")
        table["track_id"] = table["id"].map(nodes["track_id"]).fillna(-1).astype(np.int64)
        if flat:
            table["z"] = table["id"].map(nodes["z"]).fillna(table["z"])
    return table[EVENT_COLUMNS], backwards[["t", "z", "y", "x", "score"]]


def _best(table: pd.DataFrame, fov: Fov, params: PickingParams) -> pd.DataFrame:
    """Take the highest places of a FOV, as many as are wanted, each event once."""
    minutes = fov.frame_interval / 60 if fov.frame_interval else max(params.window, 1.0)
    kept = apart(table, fov.scale, minutes, params.radius, params.window, params.count)
    return table.iloc[kept].reset_index(drop=True)


def _maps(image: Path) -> Iterator[tuple[int, NDArray[np.float32]]]:
    import zarr

    array: Any = zarr.open_array(image / "0", mode="r")
    for t in range(array.shape[0]):
        yield t, np.asarray(array[t, 0], np.float32)


def peaks(
    maps: NDArray[np.float32],
    scale: tuple[float, float, float],
    smoothing: float,
    radius: float,
) -> pd.DataFrame:
    """Find where a map is higher than all around.

    Parameters
    ----------
    maps
        (Z, Y, X); of several slices, the highest counts.
    scale
        Voxel size (z, y, x) in um.
    smoothing
        Standard deviation of the blur, um.
    radius
        Largest distance in y and in x of two places of which the higher one is kept, um.

    Returns
    -------
    pandas.DataFrame
        ``z``, ``y``, ``x`` in pixels and ``score``, the height of the blurred map there, above 0;
        the highest first.
    """
    sigma = [smoothing / size for size in scale[1:]]
    blurred = gaussian_filter(maps, (0, *sigma))
    top = blurred.max(axis=0)
    # A third of it, so that of two events at the rims of one place neither hides a third.
    size = [max(3, 2 * round(radius / 3 / one) + 1) for one in scale[1:]]
    y, x = np.nonzero((top == maximum_filter(top, size, mode="constant")) & (top > 0))
    score = top[y, x]
    order = np.argsort(-score, kind="stable")[:_FEW]
    y, x = y[order], x[order]
    z = blurred[:, y, x].argmax(axis=0)
    return pd.DataFrame({"z": z.astype(float), "y": y, "x": x, "score": score[order]}).astype(float)


def inside(
    places: pd.DataFrame,
    shape: tuple[int, int],
    scale: tuple[float, float, float],
    border: float,
) -> NDArray[np.bool_]:
    """Say which places are away from the edges of the image.

    Parameters
    ----------
    places
        ``y`` and ``x`` in pixels.
    shape
        (Y, X) of the image.
    scale
        Voxel size (z, y, x) in um.
    border
        How far away, um.
    """
    away = np.ones(len(places), bool)
    for axis, size, pixel in zip("yx", shape, scale[1:], strict=True):
        place = places[axis].to_numpy(float)
        away &= (np.minimum(place, size - 1 - place) + 0.5) * pixel >= border
    return away


def apart(
    table: pd.DataFrame,
    scale: tuple[float, float, float],
    minutes: float,
    radius: float,
    window: float,
    count: int,
) -> NDArray[np.intp]:
    """Choose the highest of all that lie together in space and time.

    Parameters
    ----------
    table
        ``t``, ``z``, ``y``, ``x`` and ``score``.
    scale
        Voxel size (z, y, x) in um.
    minutes
        From one time point to the next.
    radius
        Two that are no further apart than this, in um, ...
    window
        ... and in minutes, are one.
    count
        How many to choose.

    Returns
    -------
    numpy.ndarray
        Rows, the highest score first, (at most ``count``,).
    """
    if table.empty:
        return np.zeros(0, np.intp)
    places = table[["z", "y", "x"]].to_numpy(float) * scale
    when = table["t"].to_numpy(float) * minutes
    order = np.argsort(-table["score"].to_numpy(float), kind="stable")
    tree = cKDTree(places)
    free = np.ones(len(table), bool)
    chosen: list[int] = []
    for row in order:
        if not free[row]:
            continue
        chosen.append(int(row))
        if len(chosen) == count:
            break
        near = np.asarray(tree.query_ball_point(places[row], radius), np.intp)
        free[near[np.abs(when[near] - when[row]) <= window + 1e-6]] = False
    return np.array(chosen, np.intp)
