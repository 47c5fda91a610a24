"""Linking by integer linear programming: whole windows of frames at once, divisions included."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import Field
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from napari_dynaclr.tracking.assignment import LinkingParams
from napari_dynaclr.tracking.candidates import (
    division_cost,
    number_tracks,
    read_cells,
    say_if_out_of_reach,
    steps,
)
from napari_dynaclr.tracking.matching import match
from napari_dynaclr.tracking.movie import Linked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.tracking.candidates import Cells, Steps
    from napari_dynaclr.tracking.movie import Movie

_NEAREST, _NEAREST_LATER = 5, 2
"""Candidates of a cell at most: in the frame before, and in one further back."""
_EDGE = 1.0
"""What it costs a track to begin or to end, in squares of the largest step; a link within reach
costs up to 1, so that cells rather go on."""
_MISSED = 0.5
"""What every frame costs in which a cell is missed,"""
_MISSED_IN_ALL = 1.0
"""and what the longest gap costs at most, so that one of any length allowed is worth closing."""
_DIVIDE = 0.2
"""What a perfect division costs; how far the daughters went does not count, as cells that have
just divided are thrown apart (with their steps, fewer true divisions of the simulated plates are
found)."""
_BATCH = 2000
"""Variables that are solved together."""


class FlowParams(LinkingParams):
    """Settings of linking by flow."""

    window: int = Field(
        12,
        title="Window (frames)",
        description="So many frames are decided on together; at least twice the overlap.",
        ge=3,
        le=1000,
        json_schema_extra={"advanced": True},
    )
    overlap: int = Field(
        4,
        title="Overlap (frames)",
        description="The last frames of a window are decided on again in the next; more than the "
        "longest gap.",
        ge=1,
        le=500,
        json_schema_extra={"advanced": True},
    )
    time_limit: float = Field(
        60.0,
        title="Time limit (s)",
        description="The longest time for one group of cells in a window. If it runs out, the best "
        "links found until then are kept, or steps and gaps only; a note says so.",
        gt=0,
        le=86_400,
        json_schema_extra={"advanced": True},
    )


class _Moves(NamedTuple):
    """What may happen: a cell goes on as another, or divides into two.

    ``other`` is the second daughter, -1 where there is none.
    """

    before: NDArray[np.intp]
    after: NDArray[np.intp]
    other: NDArray[np.intp]
    cost: NDArray[np.float64]

    def only(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> _Moves:
        return _Moves(self.before[which], self.after[which], self.other[which], self.cost[which])


def link(movie: Movie, params: FlowParams, job: Job) -> Linked:
    """Link the cells of one FOV.

    In every window of frames, choose links, gaps, divisions, beginnings and ends at the least
    cost in total, so that every cell comes from one cell or begins, and goes on as one, divides,
    or ends. What lies before the overlap with the next window is then settled.

    Raises
    ------
    InvalidInput
        If a label stands twice at a time point, or a cell has no position.
    """
    # A gap that begins before the overlap has to end in it.
    overlap = max(params.overlap, params.max_gap + 1)
    window = max(params.window, 2 * overlap)
    cells = read_cells(movie.nodes, movie.fov.scale)
    near = steps(cells, 1, params.max_distance, nearest=_NEAREST)
    say_if_out_of_reach(cells, near, params.max_distance, movie.fov.name, job)
    moves = _moves(cells, near, params)
    before, mother = np.full((2, len(cells.t)), -1, np.intp)
    taken = np.zeros(len(cells.t), bool)
    slow = 0
    starts = range(0, max(cells.frames - overlap, 1), window - overlap)
    for start in job.track(starts, f"solve {movie.fov.name}"):
        stop = start + window
        settled = stop - overlap if stop < cells.frames else stop
        open_ = (cells.t[moves.before] >= start) & (cells.t[moves.after] < stop)
        free = open_ & ~taken[moves.after] & ~((moves.other >= 0) & taken[moves.other])
        chosen, late = _solve(moves.only(free), params.time_limit, job)
        slow += late
        kept = chosen.only(cells.t[chosen.before] < settled)
        single = kept.other < 0
        before[kept.after[single]] = kept.before[single]
        for daughter in (kept.after[~single], kept.other[~single]):
            mother[daughter] = kept.before[~single]
        taken |= (before >= 0) | (mother >= 0)
    if slow:
        job.note(
            f"FOV {movie.fov.name}: {slow} groups of cells took longer than "
            f"{params.time_limit:g} s; their links may not be the best, and lack divisions. Raise "
            "time_limit, or lower max_distance."
        )
    return Linked(number_tracks(movie.nodes, cells, before, mother))


def _moves(cells: Cells, near: Steps, params: FlowParams) -> _Moves:
    """List what may happen, with its cost beyond that of an end and a beginning."""
    square = params.max_distance**2
    parts = [(near.before, near.after, np.full(len(near.after), -1), near.squared / square)]
    missed = min(_MISSED, _MISSED_IN_ALL / max(params.max_gap, 1))
    for lag in range(2, params.max_gap + 2):
        gap = steps(cells, lag, params.max_distance * lag**0.5, nearest=_NEAREST_LATER)
        cost = gap.squared / (lag * square) + missed * (lag - 1)
        parts.append((gap.before, gap.after, np.full(len(gap.after), -1), cost))
    if params.max_division_distance:
        born = steps(cells, 1, params.max_division_distance, nearest=_NEAREST)
        one, other = _pairs(born.before)
        mother, first, second = born.before[one], born.after[one], born.after[other]
        unlike = division_cost(cells, mother, first, second, params.max_division_distance)
        likely = unlike < 1
        cost = _DIVIDE + unlike[likely]
        parts.append((mother[likely], first[likely], second[likely], cost))
    moves = _Moves(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    # A link saves an end and a beginning; a division an end and two beginnings.
    saved = np.where(moves.other >= 0, 3 * _EDGE, 2 * _EDGE)
    worth = moves._replace(cost=moves.cost - saved)
    return worth.only(worth.cost < 0)


def _pairs(group: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All pairs of places that hold the same number."""
    order = np.argsort(group, kind="stable")
    sorted_ = group[order]
    one, other = [], []
    for shift in range(1, len(order)):
        same = np.flatnonzero(sorted_[shift:] == sorted_[:-shift])
        if not len(same):
            break
        one.append(order[same])
        other.append(order[same + shift])
    if not one:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    return np.concatenate(one), np.concatenate(other)


def _solve(moves: _Moves, limit: float, job: Job) -> tuple[_Moves, int]:
    """Choose moves at the least cost; how many groups ran out of time."""
    if not len(moves.cost):
        return moves, 0
    divides = np.flatnonzero(moves.other >= 0)
    # Every cell is left by one move at most, and reached by one at most.
    count = int(max(moves.before.max(), moves.after.max(), moves.other.max())) + 1
    places = np.concatenate([moves.before, count + moves.after, count + moves.other[divides]])
    move = np.concatenate([np.arange(len(moves.cost)), np.arange(len(moves.cost)), divides])
    _, place = np.unique(places, return_inverse=True)
    width, height = len(moves.cost), int(place.max()) + 1
    table = coo_matrix((np.ones(len(move)), (place, move)), (height, width)).tocsc()
    joined = coo_matrix((np.ones(len(move)), (place, height + move)), (height + width,) * 2)
    _, group = connected_components(joined, directed=False)
    order = np.argsort(group[height:], kind="stable")
    _, first = np.unique(group[height:][order], return_index=True)
    _, batch = np.unique(first // _BATCH, return_index=True)
    chosen, late = [], 0
    for part in np.split(order, first[batch][1:]):
        job.check()
        rows = table[:, part].tocsr()
        rows = rows[np.diff(rows.indptr) > 0]
        found = milp(
            moves.cost[part],
            integrality=np.ones(len(part)),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(rows, ub=1),
            options={"time_limit": limit},
        )
        late += found.status == 1
        if found.x is None:  # out of time: the steps and gaps alone, which are an assignment
            single = part[moves.other[part] < 0]
            cost = moves.cost[single] + 2 * _EDGE
            chosen.append(single[match(moves.after[single], moves.before[single], cost, 2 * _EDGE)])
            continue
        chosen.append(part[found.x > 0.5])
    return moves.only(np.concatenate(chosen)), late
