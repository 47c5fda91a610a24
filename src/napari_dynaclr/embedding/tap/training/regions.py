"""Patches of which it is known what happens in them, where cells have been tracked (Fig. 2a)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.embedding.tap.training.feed import Draw

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.embedding.tap.training.movies import Stretch

REGIONS = ("background", "interphase", "division")
"""What is told apart: patches without a cell, around a cell that does not divide, and around one
that does."""

_FAR = 2
"""Frames from a division, beyond the step of a pair, at which a cell does not divide."""

_TRIES = 20
"""Places that are tried for one that is background."""


def region_draws(
    stretch: Stretch, number: int, tracks: pd.DataFrame, side: int, rng: np.random.Generator
) -> dict[str, list[Draw]]:
    """Find pairs of patches of each region in a stretch.

    Parameters
    ----------
    stretch
        Where.
    number
        Of the stretch, for the draws.
    tracks
        Of its FOV, :data:`~napari_dynaclr.core.tables.TRACK_COLUMNS`.
    side
        Of the patches, in pixels.
    rng
        For their order, and for where there is background.

    Returns
    -------
    dict
        Draws by region; all divisions, and as many as there are frames of the others, at least.
    """
    return {
        "background": _background(stretch, number, tracks, side, rng),
        "interphase": _interphase(stretch, number, tracks, side, rng),
        "division": _divisions(stretch, number, tracks, side),
    }


def mothers(tracks: pd.DataFrame) -> pd.DataFrame:
    """Return the last node of every track that divides, and ``born``, when its daughters are.

    Parameters
    ----------
    tracks
        :data:`~napari_dynaclr.core.tables.TRACK_COLUMNS`.
    """
    starts = tracks.sort_values("t").groupby("track_id").first()
    children = starts[starts["parent_track_id"] >= 0].groupby("parent_track_id")["t"]
    born = children.min()[children.size() > 1].rename("born")
    ends = tracks.sort_values("t").groupby("track_id").last()
    return ends.join(born, how="inner").reset_index(names="track_id")


def _divisions(stretch: Stretch, number: int, tracks: pd.DataFrame, side: int) -> list[Draw]:
    """Pairs that have a division between their frames, around the mother's last place."""
    step = stretch.place.step
    found: list[Draw] = []
    rows = mothers(tracks)
    for born, end, centre in zip(rows["born"], rows["t"], _centres(rows), strict=True):
        for t in range(int(born) - step, int(end) + 1):
            found += _around(stretch, number, t, centre, side)
    return found


def _interphase(
    stretch: Stretch, number: int, tracks: pd.DataFrame, side: int, rng: np.random.Generator
) -> list[Draw]:
    """Pairs around cells that are there in both frames, without a division nearby."""
    step = stretch.place.step
    dividing = mothers(tracks)
    ends = tracks.groupby("track_id")["t"].max()
    starts = tracks.groupby("track_id")["t"].min()
    stays = tracks["t"] + step <= tracks["track_id"].map(ends)
    born = tracks["parent_track_id"] >= 0
    young = born & (tracks["t"] < tracks["track_id"].map(starts) + _FAR)
    rows = tracks[stays & ~young]
    rows = rows.iloc[rng.permutation(len(rows))]
    found: list[Draw] = []
    for t, centre in zip(rows["t"].tolist(), _centres(rows), strict=True):
        near = dividing[dividing["t"].between(t - _FAR, t + step + _FAR)]
        if not _near(near, centre[1], centre[2], side).any():
            found += _around(stretch, number, t, centre, side)
        if len(found) >= stretch.last - stretch.first + 1:
            break
    return found


def _background(
    stretch: Stretch, number: int, tracks: pd.DataFrame, side: int, rng: np.random.Generator
) -> list[Draw]:
    """Pairs of patches that no cell reaches into, as far as centres and their areas tell."""
    _, _, height, width = stretch.place.fov.shape
    area = tracks["area"].median() if "area" in tracks else np.nan
    # Cells are about as wide as their nuclei, and half the patch from its middle to its edge.
    radius = float(np.sqrt(area / np.pi)) if np.isfinite(area) else side / 4
    found: list[Draw] = []
    for t in stretch.starts():
        cells = tracks[tracks["t"].isin([t, t + stretch.place.step])]
        for _ in range(_TRIES):
            y, x = rng.uniform(side / 2, height - side / 2), rng.uniform(side / 2, width - side / 2)
            if not _near(cells, y, x, side / 2 + radius).any():
                z = int(rng.integers(stretch.place.slices))
                found.append(_at(stretch, number, t, z, y, x, side))
                break
    return found


def _near(cells: pd.DataFrame, y: float, x: float, reach: float) -> pd.Series:
    """Which cells are within reach of a place, along both axes."""
    return ((cells["y"] - y).abs() < reach) & ((cells["x"] - x).abs() < reach)


def _centres(cells: pd.DataFrame) -> NDArray[np.float64]:
    return cells[["z", "y", "x"]].to_numpy(np.float64)


def _around(
    stretch: Stretch, number: int, t: int, centre: NDArray[np.float64], side: int
) -> list[Draw]:
    """Put a pair around a cell (z, y, x), if the stretch has its frames."""
    if not stretch.first <= t <= stretch.last - stretch.place.step:
        return []
    z, y, x = (float(one) for one in centre)
    here = int(np.clip(round(z), 0, stretch.place.slices - 1))  # 0 of a projection
    return [_at(stretch, number, t, here, y, x, side)]


def _at(stretch: Stretch, number: int, t: int, z: int, y: float, x: float, side: int) -> Draw:
    times = (t, t + stretch.place.step)
    return Draw(number, times, z, (round(y - side / 2), round(x - side / 2)))
