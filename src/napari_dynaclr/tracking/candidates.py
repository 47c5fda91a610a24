"""Which cell may have become which: the candidates that our linkers choose among."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job

_NEAREST = 10
"""Candidates of a cell at most, so that memory stays in proportion to the cells."""

_MOST = 0.5
"""Less of the cells than this within reach is worth a note."""


class Cells(NamedTuple):
    """The cells of one FOV, ordered by time and label.

    Attributes
    ----------
    t
        Time points, (N,).
    place
        Centroids z, y, x in um, (N, 3).
    size
        Logarithm of the area, (N,).
    order
        Row of each cell in the table, (N,).
    starts
        First cell of every time point from 0 to the last, and N, (T + 1,).
    """

    t: NDArray[np.int64]
    place: NDArray[np.float64]
    size: NDArray[np.float64]
    order: NDArray[np.intp]
    starts: NDArray[np.intp]

    def at(self, t: int) -> slice:
        """Cells of a time point."""
        return slice(int(self.starts[t]), int(self.starts[t + 1]))

    @property
    def frames(self) -> int:
        """Time points, up to the last that has a cell."""
        return len(self.starts) - 1


class Steps(NamedTuple):
    """Pairs of cells, one of which may have become the other.

    Attributes
    ----------
    before, after
        Cells, (M,).
    squared
        Squared distances in um^2, (M,).
    """

    before: NDArray[np.intp]
    after: NDArray[np.intp]
    squared: NDArray[np.float64]


def read_cells(nodes: pd.DataFrame, scale: tuple[float, float, float]) -> Cells:
    """Take the cells out of a table of nodes.

    Parameters
    ----------
    nodes
        ``t``, ``label``, ``z``, ``y``, ``x`` in pixels, and ``area`` if known; in any order.
    scale
        Voxel size (z, y, x) in um.

    Raises
    ------
    InvalidInput
        If a label stands twice at a time point, or a centroid is no number.
    """
    t, label = nodes["t"].to_numpy(np.int64), nodes["label"].to_numpy()
    order = np.lexsort((label, t))
    t, label = t[order], label[order]
    twice = np.flatnonzero((t[1:] == t[:-1]) & (label[1:] == label[:-1]))
    if len(twice):
        raise InvalidInput(
            f"Label {label[twice[0]]} stands more than once at time point {t[twice[0]]}: give "
            "every cell of a time point a label of its own."
        )
    place = nodes[["z", "y", "x"]].to_numpy(np.float64)[order] * scale
    bad = np.flatnonzero(~np.isfinite(place).all(axis=1))
    if len(bad):
        raise InvalidInput(
            f"Cell {label[bad[0]]} at time point {t[bad[0]]} has no position: correct the table."
        )
    area = nodes["area"].to_numpy(np.float64)[order] if "area" in nodes else np.ones(len(t))
    frames = int(t[-1]) + 1 if len(t) else 0
    starts = np.searchsorted(t, np.arange(frames + 1))
    return Cells(t, place, np.log(np.maximum(area, 1)), order, starts)


def steps(
    cells: Cells,
    lag: int,
    reach: float,
    before: NDArray[np.bool_] | None = None,
    after: NDArray[np.bool_] | None = None,
    nearest: int = _NEAREST,
) -> Steps:
    """Find the pairs of cells some frames apart that are within reach of each other.

    Parameters
    ----------
    cells
        All cells.
    lag
        Frames from one to the other.
    reach
        Largest distance in um.
    before, after
        Cells that may stand first and second, (N,); all by default.
    nearest
        Candidates of each later cell at most.

    Returns
    -------
    Steps
        Ordered by the later cell, then by distance.
    """
    found: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]] = []
    bound = np.nextafter(reach, np.inf)  # the search leaves out what lies on its bound
    for t in range(lag, cells.frames):
        old, new = _among(cells, t - lag, before), _among(cells, t, after)
        if not len(old) or not len(new):
            continue
        tree = cKDTree(cells.place[old], balanced_tree=False, compact_nodes=False)
        distance, index = tree.query(
            cells.place[new], k=np.arange(1, nearest + 1), distance_upper_bound=bound
        )
        row, rank = np.nonzero(np.isfinite(distance))
        found.append((old[index[row, rank]], new[row], distance[row, rank] ** 2))
    if not found:
        nothing = np.empty(0, np.intp)
        return Steps(nothing, nothing, np.empty(0))
    return Steps(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _among(cells: Cells, t: int, wanted: NDArray[np.bool_] | None) -> NDArray[np.intp]:
    here = cells.at(t)
    index = np.arange(here.start, here.stop)
    return index if wanted is None else index[wanted[here]]


def division_cost(
    cells: Cells,
    mother: NDArray[np.intp],
    one: NDArray[np.intp],
    other: NDArray[np.intp],
    reach: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Say how unlike a division it is that a mother becomes two daughters.

    Daughters lie on either side of where their mother was, and are of one size; a cell that is
    found again beside another is neither. Whether they are smaller than she was depends on
    what was segmented (the chromosomes of a dividing cell, or its body), and does not count.

    Parameters
    ----------
    cells
        All cells.
    mother, one, other
        Mothers and their daughters, (M,).
    reach
        Largest distance of a daughter from her mother, in um; one, or (M,).

    Returns
    -------
    numpy.ndarray
        (M,), 0 for a perfect division. It is 1 where the daughters' midpoint is a third of
        ``reach`` from the mother, or one daughter 2.7 times as large as the other.
    """
    aside = (cells.place[one] + cells.place[other]) / 2 - cells.place[mother]
    unlike = cells.size[one] - cells.size[other]
    cost: NDArray[np.float64] = 9 * (aside**2).sum(axis=1) / np.square(reach) + unlike**2
    return cost


def say_if_out_of_reach(cells: Cells, near: Steps, reach: float, name: str, job: Job) -> None:
    """Note it if most cells have no other within reach in the frame before.

    Parameters
    ----------
    cells
        All cells.
    near
        Pairs of successive frames within reach.
    reach
        Largest step in um.
    name
        The FOV.
    job
        To which the note goes.
    """
    counts = np.diff(cells.starts)
    later = [t for t in range(1, cells.frames) if counts[t] and counts[t - 1]]
    total = int(counts[later].sum())
    found = len(np.unique(near.after))
    if not total or found >= _MOST * total:
        return
    nearest = [
        cKDTree(cells.place[cells.at(t - 1)]).query(cells.place[cells.at(t)])[0] for t in later
    ]
    job.note(
        f"FOV {name}: only {found / total:.0%} of the cells have another within the largest step "
        f"({reach:g} um) in the frame before; half of them have one within "
        f"{np.median(np.concatenate(nearest)):.3g} um. Raise max_distance, or check the pixel size."
    )


def number_tracks(
    nodes: pd.DataFrame,
    cells: Cells,
    before: NDArray[np.intp],
    mother: NDArray[np.intp],
) -> pd.DataFrame:
    """Give every cell the number of its track.

    Parameters
    ----------
    nodes
        The table that the cells come from.
    cells
        From :func:`read_cells`.
    before
        The cell that each cell is the continuation of, (N,); -1 for none.
    mother
        The cell that each cell is a daughter of, (N,); -1 for none.

    Returns
    -------
    pandas.DataFrame
        The nodes with ``track_id``, from 1 in order of first time point and label, and
        ``parent_track_id`` (-1 for none).
    """
    # Cells are ordered by time: the first cell of a track is where all its cells point to.
    first = np.where(before >= 0, before, np.arange(len(before)))
    while True:
        further = first[first]
        if np.array_equal(further, first):
            break
        first = further
    _, track = np.unique(first, return_inverse=True)
    of_first = mother[first]
    parent = np.where(of_first >= 0, track[of_first] + 1, -1)
    track_id, parent_id = np.empty((2, len(nodes)), np.int64)
    track_id[cells.order], parent_id[cells.order] = track + 1, parent
    return nodes.reset_index(drop=True).assign(track_id=track_id, parent_track_id=parent_id)
