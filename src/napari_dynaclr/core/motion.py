"""How cells move, from segmented cells alone: what tracking them will be like."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_NEIGHBOURS = 8
_GRID = 400
_FAR = 1.5
"""How far cells are looked for, in distances between neighbours."""
_ROUNDS = 2
_FAMILY = 20.0
"""Daughters of cells that spread far are born from a round cell: no further apart, in um."""
_THRICE = 3.0
"""All cells together do not go so many median steps."""
_CROWD = 5
"""Cells of a frame that have to move as one to be taken for the stage."""
_EASY, _FAIR = 0.02, 0.1
"""Of so many cells another may be nearer, for linking to be easy, and to be fair."""
_LOST = 0.5
"""A frame in which fewer cells than this part of the usual are found again is a jump."""


@dataclass(frozen=True)
class Motion:
    """How the cells of one FOV move.

    Attributes
    ----------
    cells
        Mean number per time point that has any.
    diameter
        Median diameter of a cell, in um (of a disk or ball of its size).
    spacing
        Median distance from a cell to its nearest neighbour, in um; NaN for lone cells.
    density
        Cells per 10,000 um^2 (flat), or per 1e6 um^3 (with depth).
    step, far_step
        Median and 95th percentile of how far a cell goes in a frame, in um; NaN where cells go
        so far that none can be found again.
    found
        Fraction of cells that are found again within the reach of their neighbours.
    ambiguity
        Fraction of cells to whose place another cell comes nearer in the next frame than they do.
    empty, jumps
        Time points without cells, and those at which all cells have moved at once.
    verdict
        What this means, in a sentence or two.
    suggested
        Settings of a tracking method, by name: ``max_distance``, ``max_division_distance``.
    """

    cells: float
    diameter: float
    spacing: float
    density: float
    step: float
    far_step: float
    found: float
    ambiguity: float
    empty: list[int]
    jumps: list[int]
    verdict: str = ""
    suggested: dict[str, float] = field(default_factory=dict)


def survey(
    nodes: pd.DataFrame, scale: tuple[float, float, float], interval: float | None = None
) -> Motion:
    """Measure how cells move, before they are tracked.

    Steps are told from chance by counting: around the place of a cell, the next frame holds the
    cell itself and its neighbours, its own frame the neighbours only, which then are let step
    as far. The difference of how many lie within a distance is how many cells go no further (the
    self part of van Hove's correlation function).

    Parameters
    ----------
    nodes
        Segmented cells: ``t``, ``z``, ``y``, ``x`` and ``area`` in pixels.
    scale
        Voxel size (z, y, x) in um.
    interval
        Seconds between time points, if known: advice on how often to image is then in minutes.

    Returns
    -------
    Motion
        What was measured, a verdict, and settings.
    """
    place = nodes[["z", "y", "x"]].to_numpy(np.float64) * scale
    times = nodes["t"].to_numpy(np.int64)
    order = np.argsort(times, kind="stable")
    last = int(times.max()) if len(times) else -1
    starts = np.searchsorted(times[order], np.arange(last + 2))
    frames = [place[order[a:b]] for a, b in pairwise(starts)]
    flat = not len(place) or np.ptp(place[:, 0]) == 0
    area = nodes["area"].to_numpy(np.float64) * (np.prod(scale[1:]) if flat else np.prod(scale))
    size = float(np.median(area)) if len(area) else np.nan
    diameter = 2 * (size / np.pi) ** 0.5 if flat else (6 * size / np.pi) ** (1 / 3)
    near = [_others(frame) for frame in frames]
    nearest = np.concatenate([part[:, 0] for part in near]) if near else np.empty(0)
    nearest = nearest[np.isfinite(nearest)]
    spacing = float(np.median(nearest)) if len(nearest) else np.nan
    pairs = [t for t in range(last) if len(frames[t]) and len(frames[t + 1])]
    ahead = {t: _query(frames[t + 1], frames[t], _NEIGHBOURS) for t in pairs}
    reach = _FAR * spacing if np.isfinite(spacing) else _furthest(ahead)
    grid = np.linspace(0, reach, _GRID)
    curve = _self_part(ahead, near, grid)
    jumps = _jumps(frames, ahead, _THRICE * _reached(curve, grid, 0.5), spacing)
    usual = {t: part for t, part in ahead.items() if t + 1 not in jumps}
    curve = _self_part(usual, near, grid)
    ambiguity = np.nan
    for _ in range(_ROUNDS):
        if not len(curve) or not curve[-1]:
            break
        # The neighbours move as well, and come nearer than they were.
        near, ambiguity = _moved(frames, curve / curve[-1], grid, flat)
        curve = _self_part(usual, near, grid)
    found = float(curve[-1]) if len(curve) else np.nan
    extent = np.ptp(place, axis=0)[1 if flat else 0 :] if len(place) else np.ones(2)
    room = float(np.prod(np.maximum(extent, 1.0))) / (1e4 if flat else 1e6)
    filled = [len(frame) for frame in frames if len(frame)]
    cells = float(np.mean(filled)) if filled else 0.0
    known = bool(found > _LOST)
    measured = Motion(
        cells=cells,
        diameter=float(diameter),
        spacing=spacing,
        density=cells / room,
        step=_reached(curve, grid, 0.5) if known else np.nan,
        far_step=_reached(curve, grid, 0.95) if known else np.nan,
        found=found,
        ambiguity=ambiguity if known else np.nan,
        empty=[t for t in range(last) if not len(frames[t])],
        jumps=jumps,
    )
    return _judged(measured, interval)


def _query(
    cells: NDArray[np.float64], places: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Distances from places to the nearest cells, ascending, (N, count); inf where too few."""
    found: NDArray[np.float64] = cKDTree(cells).query(places, k=np.arange(1, count + 1))[0]
    return found


def _others(frame: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances of cells to the others of their frame, ascending, (N, neighbours)."""
    if not len(frame):
        return np.empty((0, _NEIGHBOURS))
    return _query(frame, frame, _NEIGHBOURS + 1)[:, 1:]


def _furthest(ahead: dict[int, NDArray[np.float64]]) -> float:
    if not ahead:
        return 1.0
    return max(max(float(part[:, 0].max()) for part in ahead.values()), 1e-6)


def _self_part(
    ahead: dict[int, NDArray[np.float64]],
    near: list[NDArray[np.float64]],
    grid: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Fraction of cells that go no further, by distance."""
    if not ahead:
        return np.empty(0)
    count = sum(len(part) for part in ahead.values())
    here = np.sort(np.concatenate([part.ravel() for part in ahead.values()]))
    there = np.sort(np.concatenate([near[t].ravel() for t in ahead]))
    curve = (np.searchsorted(here, grid, "right") - np.searchsorted(there, grid, "right")) / count
    return np.maximum.accumulate(np.clip(curve, 0, 1))


def _reached(curve: NDArray[np.float64], grid: NDArray[np.float64], part: float) -> float:
    """Distance that so many of the cells found go no further than."""
    return float(grid[np.argmax(curve >= part * curve[-1])]) if len(curve) else np.nan


def _moved(
    frames: list[NDArray[np.float64]],
    curve: NDArray[np.float64],
    grid: NDArray[np.float64],
    flat: bool,
) -> tuple[list[NDArray[np.float64]], float]:
    """Let all cells step at random: distances to the others, and how often one comes nearer."""
    generator = np.random.default_rng(0)
    near, nearer, total = [], 0, 0
    for frame in frames:
        if not len(frame):
            near.append(np.empty((0, _NEIGHBOURS)))
            continue
        length = np.interp(generator.random(len(frame)), curve, grid)
        way = generator.normal(size=frame.shape)
        way[:, 0] *= not flat
        stepped = frame + way * (length / np.linalg.norm(way, axis=1))[:, None]
        distance, index = cKDTree(stepped).query(frame, k=np.arange(1, _NEIGHBOURS + 2))
        distance[index == np.arange(len(frame))[:, None]] = np.inf
        near.append(np.sort(distance, axis=1)[:, :_NEIGHBOURS])
        nearer += int((distance.min(axis=1) < length).sum())
        total += len(frame)
    return near, nearer / max(total, 1)


def _jumps(
    frames: list[NDArray[np.float64]],
    ahead: dict[int, NDArray[np.float64]],
    far: float,
    spacing: float,
) -> list[int]:
    """Time points at which cells are not where any were before, or have moved one way."""
    times = [t for t in ahead if len(frames[t]) >= _CROWD]
    if not times:
        return []
    again = np.array([(ahead[t][:, 0] <= far).mean() for t in times])
    lost = again < _LOST * np.median(again)
    moved = []
    for t in times:
        distance, index = cKDTree(frames[t + 1]).query(frames[t])
        way = (frames[t + 1][index] - frames[t])[distance <= max(far, spacing / 2)]
        enough = len(way) >= _CROWD
        moved.append(float(np.linalg.norm(np.median(way, axis=0))) if enough else 0.0)
    return [t + 1 for t, a, b in zip(times, lost, moved, strict=True) if a or b > far]


def _judged(motion: Motion, interval: float | None) -> Motion:
    """Put figures into words, and into settings."""
    said, suggested = [], {}
    if not motion.cells:
        return replace(motion, verdict="There are no cells.")
    if np.isnan(motion.found):
        return replace(motion, verdict="There is one time point only: nothing to link.")
    often = "image more often"
    if np.isnan(motion.step):
        said.append(
            f"Cells go as far as their neighbours are away ({motion.spacing:.3g} um), or most are "
            f"not found again: {often}, or segment better."
        )
    else:
        alone = not np.isfinite(motion.spacing)
        ratio = 0.0 if alone else motion.step / motion.spacing
        if motion.ambiguity <= _EASY:
            word = "linking is easy"
        elif motion.ambiguity <= _FAIR:
            word = "linking is mostly safe"
        else:
            wanted = 0.25 / ratio
            every = f" (every {interval * wanted / 60:.2g} min)" if interval else ""
            word = f"many links will be guesses: {often}{every}"
        how = "are alone" if alone else f"move {ratio:.2f} of the distance to their neighbours"
        said.append(f"Cells {how}: {word}.")
        # Beyond twice the 95th percentile go 2 cells in 1,000 of the data sets looked at.
        reach = max(2 * motion.far_step, 0.5 * motion.diameter)
        suggested["max_distance"] = float(f"{max(reach, 0.1):.2g}")
        suggested["max_division_distance"] = float(
            f"{min(max(0.75 * motion.diameter, 0.1), _FAMILY):.2g}"
        )
    if motion.found < 0.9 and not np.isnan(motion.step):
        said.append(f"Only {motion.found:.0%} of the cells are found again in the next frame.")
    for what, times in (("no cells", motion.empty), ("all cells moved at once", motion.jumps)):
        if times:
            few = ", ".join(map(str, times[:5])) + (" ..." if len(times) > 5 else "")
            said.append(f"At time point {few}: {what}.")
    return replace(motion, verdict=" ".join(said), suggested=suggested)
