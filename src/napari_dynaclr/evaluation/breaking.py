"""Tracks broken on purpose: identities exchanged between neighbours, and tracks cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.evaluation.trajectories import Trajectories


@dataclass(frozen=True)
class Broken:
    """What was done to the tracks.

    Attributes
    ----------
    tracks
        Track of every cell after the damage, (N,).
    swapped
        Links that join different cells: rows before and after, (S, 2), the two of an
        exchange one after the other.
    cut
        True links that were taken away, (C, 2).
    kept
        True links between successive frames that are left, (K, 2).
    """

    tracks: NDArray[np.int64]
    swapped: NDArray[np.intp]
    cut: NDArray[np.intp]
    kept: NDArray[np.intp]


def break_tracks(
    cells: Trajectories, swaps: float, cuts: float, reach: float, seed: int, job: Job
) -> Broken:
    """Exchange identities of neighbours, and cut tracks, at random places.

    After an exchange both tracks go on as the other cell, as where a tracker mixes two
    cells up. No place is damaged twice.

    Parameters
    ----------
    cells
        The true tracks.
    swaps
        Fraction of the links between successive frames that is to join other cells.
    cuts
        Fraction of the links that is taken away.
    reach
        Largest distance in um of two cells that are exchanged.
    seed
        For the places.
    job
        Progress and cancelling.
    """
    generator = np.random.default_rng(seed)
    before, after = cells.adjacent()
    follower = np.full(len(cells.cells), -1, np.intp)
    track = cells.cells["track"].to_numpy()
    same = np.flatnonzero(track[1:] == track[:-1])
    follower[same] = same + 1
    order = generator.permutation(len(before))
    wanted = round(swaps * len(before) / 2)
    partners = _neighbours(cells, before, reach, job)
    free = np.ones(len(before), bool)
    pairs: list[tuple[int, int]] = []
    for link in order:
        if len(pairs) == wanted:
            break
        other = next((one for one in partners.get(int(link), ()) if free[one]), None)
        if free[link] and other is not None:
            pairs.append((int(link), other))
            free[[link, other]] = False
    swapped = np.empty((2 * len(pairs), 2), np.intp)
    for i, (one, other) in enumerate(pairs):
        swapped[2 * i] = before[one], after[other]
        swapped[2 * i + 1] = before[other], after[one]
    left = order[free[order]][: round(cuts * len(before))]
    free[left] = False
    follower[swapped[:, 0]] = swapped[:, 1]
    follower[before[left]] = -1
    return Broken(
        _follow(follower),
        swapped,
        np.stack([before[left], after[left]], axis=1),
        np.stack([before[free], after[free]], axis=1),
    )


def _neighbours(
    cells: Trajectories, before: NDArray[np.intp], reach: float, job: Job
) -> dict[int, list[int]]:
    """Links that begin near each link in the same frame, the nearest first."""
    place = cells.cells[["z", "y", "x"]].to_numpy(float)
    link = np.full(len(place), -1, np.intp)
    link[before] = np.arange(len(before))
    found: dict[int, list[int]] = {}
    for rows in job.track(cells.frames.values(), "break tracks"):
        here = rows[link[rows] >= 0]
        if len(here) < 2:
            continue
        tree = cKDTree(place[here])
        count = min(len(here), 5)  # one of the four nearest is free, but where most are broken
        distance, near = tree.query(place[here], count, distance_upper_bound=reach)
        for row, others, far in zip(here, near, distance, strict=True):
            near_links = [
                int(link[here[i]])
                for i, d in zip(others, far, strict=True)
                if np.isfinite(d) and here[i] != row
            ]
            if near_links:
                found[int(link[row])] = near_links
    return found


def _follow(follower: NDArray[np.intp]) -> NDArray[np.int64]:
    """Give every chain of cells a number, that of its first cell."""
    first = np.arange(len(follower), dtype=np.int64)
    has = np.flatnonzero(follower >= 0)
    first[follower[has]] = has
    while True:  # twice as far back every time
        further = first[first]
        if np.array_equal(further, first):
            return first
        first = further
