"""Linking by sparse linear assignment: frame to frame, then gaps and divisions together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from napari_dynaclr.core.params import Params
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

_ALONE = 2.0
"""Cost of a cell without a link, in squares of the largest step: no cell within reach is left
for the sake of shorter steps of others. Costs are below 1, so that any number above is the same
to a cell that has but one candidate."""


class LinkingParams(Params):
    """Settings that our linkers share."""

    max_distance: float = Field(
        15.0,
        title="Largest step (um)",
        description="A cell moves no further than this between two frames, in um. 'evaluate "
        "--method motion' suggests it from the data.",
        gt=0,
        le=1000,
    )
    max_gap: int = Field(
        2,
        title="Longest gap (frames)",
        description="A cell may be missed in this many frames; 0 closes no gaps.",
        ge=0,
        le=50,
    )
    max_division_distance: float = Field(
        12.0,
        title="Largest daughter distance (um)",
        description="A daughter appears no further than this from her mother; 0 finds no "
        "divisions.",
        ge=0,
        le=1000,
    )


class AssignmentParams(LinkingParams):
    """Settings of linking by assignment."""


def link(movie: Movie, params: AssignmentParams, job: Job) -> Linked:
    """Link the cells of one FOV.

    Raises
    ------
    InvalidInput
        If a label stands twice at a time point, or a cell has no position.
    """
    cells = read_cells(movie.nodes, movie.fov.scale)
    near = steps(cells, 1, params.max_distance)
    say_if_out_of_reach(cells, near, params.max_distance, movie.fov.name, job)
    job.check()
    return Linked(number_tracks(movie.nodes, cells, *assign(cells, near, params)))


def assign(
    cells: Cells, near: Steps, params: LinkingParams
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Link cells in two assignments (as u-track does: Jaqaman et al., Nat. Methods 2008).

    The first links each frame with the next, at the least sum of squared steps. The second
    gives the cells that have no cell before them to those that have none after them, some
    frames earlier, or to a mother: a cell whose link it shares, halfway between the daughters.

    Parameters
    ----------
    cells
        From :func:`~napari_dynaclr.tracking.candidates.read_cells`.
    near
        Pairs of successive frames within the largest step.
    params
        Settings.

    Returns
    -------
    tuple
        The cell that each cell continues, (N,), and the cell that each is a daughter of,
        (N,); -1 for none.
    """
    reach = params.max_distance
    before, after, mother = np.full((3, len(cells.t)), -1, np.intp)
    chosen = match(near.after, near.before, near.squared / reach**2, _ALONE)
    before[near.after[chosen]] = near.before[chosen]
    after[near.before[chosen]] = near.after[chosen]

    ends, starts = after < 0, before < 0
    late, early, cost, divides = [], [], [], []
    for lag in range(2, params.max_gap + 2):
        # What wanders at random goes the root of the time as far.
        gap = steps(cells, lag, reach * lag**0.5, ends, starts)
        late.append(gap.after)
        early.append(gap.before)
        cost.append(gap.squared / (lag * reach**2))
        divides.append(np.zeros(len(gap.after), bool))
    if params.max_division_distance:
        birth = steps(cells, 1, params.max_division_distance, ~ends, starts)
        late.append(birth.after)
        early.append(birth.before)
        cost.append(
            division_cost(
                cells, birth.before, after[birth.before], birth.after, params.max_division_distance
            )
        )
        divides.append(np.ones(len(birth.after), bool))
    if not late:
        return before, mother
    new, old, birth_here = map(np.concatenate, (late, early, divides))
    chosen = match(new, old, np.concatenate(cost), 1.0)
    new, old, birth_here = new[chosen], old[chosen], birth_here[chosen]
    before[new[~birth_here]] = old[~birth_here]
    new, old = new[birth_here], old[birth_here]
    sister = after[old]
    before[sister] = -1
    mother[sister] = mother[new] = old
    return before, mother
