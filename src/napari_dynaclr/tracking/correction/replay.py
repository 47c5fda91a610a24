"""Corrections of earlier tracks of a FOV, repeated on those of today."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.annotations import REACH
from napari_dynaclr.core.assign import nodes_at
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.tracking.correction.corrector import describe
from napari_dynaclr.tracking.correction.engine import read_engine
from napari_dynaclr.tracking.correction.reach import reach, reaches_otherwise
from napari_dynaclr.tracking.correction.store import NONE

if TYPE_CHECKING:
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.tracking.correction.corrector import Corrector, Outcome
    from napari_dynaclr.tracking.correction.journal import Correction, Place, Recorded


def replay(dataset: Dataset, corrector: Corrector) -> tuple[list[Outcome], list[str]]:
    """Repeat what waits of the corrections of a FOV, as new actions of the journal.

    Cells are found again by place, as annotations are: the one under it, else the nearest
    within 10 um. A link that was cut is cut only where there is the same one, and futures
    are swapped only where they are as wrong as they were: another method may have had it
    right. What acts on more than its own cells, such as on all of a track, is left out
    where that would be others than it was.

    Parameters
    ----------
    dataset
        The dataset.
    corrector
        Of the FOV; what is done is done through it.

    Returns
    -------
    done : list of Outcome
        What was repeated.
    left_out : list of str
        What was not, and why, a line each.
    """
    waiting = corrector.waiting
    found = _find(dataset, corrector, waiting)
    done, left_out = [], []
    for action in waiting:
        try:
            outcome = _repeat(corrector, action, found)
        except InvalidInput as error:
            left_out.append(f"{describe(action.correction)}: {error}")
            continue
        done.append(outcome)
        if action.correction.action == "add":
            found.added[action.correction.places[0].id] = outcome.action.correction.places[0].id
    return done, left_out


@dataclass(frozen=True)
class _Found:
    """Nodes of today: by place, and of cells that were added by the id that they had."""

    nodes: dict[Place, int]
    added: dict[int, int] = field(default_factory=dict)

    def __getitem__(self, place: Place) -> int:
        return self.added.get(place.id, self.nodes[place])


def _find(dataset: Dataset, corrector: Corrector, actions: list[Recorded]) -> _Found:
    """Return the node of today at every place of some actions, -1 where there is none."""
    places = {
        place
        for made in (one.correction for one in actions)
        for place in (*made.places, *made.before, *made.reached)
        if place is not None
    }
    if not places:
        return _Found({})
    ordered = sorted(places, key=lambda place: (place.t, place.id))
    engine = read_engine(dataset, corrector.fov)
    times = np.array([place.t for place in ordered])
    points = np.array([[place.z, place.y, place.x] for place in ordered])
    nodes = nodes_at(engine.labels, engine.tracks, times, points, REACH)
    return _Found(dict(zip(ordered, map(int, nodes), strict=True)))


def _repeat(corrector: Corrector, action: Recorded, found: _Found) -> Outcome:
    correction = action.correction
    if correction.action == "add":
        (place,) = correction.places
        at = (place.t, place.z, place.y, place.x)
        return corrector.add(*at, correction.radius, replays=action.key)
    for place in correction.places:
        if found[place] == NONE:
            raise InvalidInput(f"no cell is at its place at t={place.t} any more.")
    nodes = [found[place] for place in correction.places]
    _refuse_right_links(corrector, correction.before, nodes, found)
    _refuse_other_reach(corrector, correction, nodes, found)
    return corrector.do(
        correction.action,
        *nodes,
        replace=correction.replace,
        kind=correction.kind,
        replays=action.key,
    )


def _refuse_right_links(
    corrector: Corrector,
    before: tuple[Place | None, ...],
    nodes: list[int],
    found: _Found,
) -> None:
    """Refuse where the links that were wrong are others now."""
    lineages = corrector.lineages
    for place, node in zip(before, nodes, strict=False):
        row = lineages.before(lineages.row(node))
        now = lineages.value("id", row) if row != NONE else NONE
        if now != (NONE if place is None else found[place]):
            raise InvalidInput("it is linked otherwise now.")


def _refuse_other_reach(
    corrector: Corrector, made: Correction, nodes: list[int], found: _Found
) -> None:
    """Refuse where the action would hit cells that it did not hit then."""
    if not made.reached:
        return
    lineages = corrector.lineages
    rows, size = reach(lineages, made.action, [lineages.row(node) for node in nodes])
    now = [lineages.value("id", row) if row != NONE else NONE for row in rows]
    then = [NONE if place is None else found[place] for place in made.reached]
    fault = reaches_otherwise(made.action, nodes, (then, made.size), (now, size))
    if fault:
        raise InvalidInput(fault)
