"""What a person can do to tracks: each action by name, made of elementary edits.

Nodes are given by id. Of two parts that a cut leaves, the earlier one keeps its track id
and the later one gets a new one; where tracks are joined, the later part takes the id of
the earlier one. A division with one daughter left is none: she goes on as her mother's
track. What cannot be done is refused with one line, and nothing has changed then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.tracking.correction.journal import ACCEPT
from napari_dynaclr.tracking.correction.store import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_dynaclr.tracking.correction.draft import Draft, Edit
    from napari_dynaclr.tracking.correction.journal import Correction
    from napari_dynaclr.tracking.correction.lineages import Lineages


def cut(lineages: Lineages, node: int) -> Edit:
    """Cut the link before a node.

    The rest of its track, from there on, is a track of its own; a daughter is cut from
    her mother.

    Raises
    ------
    InvalidInput
        If nothing comes before it.
    """
    row = lineages.row(node)
    before = lineages.before(row)
    if before == NONE:
        raise InvalidInput(f"{_say(lineages, row)} has nothing before it: there is no link to cut.")
    with lineages.edit() as draft:
        draft.detach(row)
        draft.heal(before)
    return draft.edit


def link(lineages: Lineages, parent: int, child: int, *, replace: bool = False) -> Edit:
    """Link a cell to one at a later time point: they are the same cell.

    What was linked before the later one is cut from it.

    Parameters
    ----------
    lineages
        The forest.
    parent, child
        The earlier and the later node.
    replace
        What to do where the earlier one goes on or divides already: cut that, or (False)
        refuse.

    Raises
    ------
    InvalidInput
        If they are linked already, the later one is not later, or the earlier one goes on.
    """
    above, row = lineages.row(parent), lineages.row(child)
    _refuse_backwards(lineages, above, row)
    before = lineages.before(row)
    if before == above:
        raise InvalidInput(
            f"{_say(lineages, above)} and {_say(lineages, row)} are linked already: nothing to do."
        )
    after = lineages.after(above)
    if not replace and (after != NONE or lineages.daughters(above)):
        how = f"goes on to t={lineages.value('t', after)}" if after != NONE else "divides"
        raise InvalidInput(
            f"{_say(lineages, above)} {how} already: cut that first, replace it, or add a division."
        )
    with lineages.edit() as draft:
        if after != NONE:
            draft.detach(after)
        for daughter in lineages.daughters(above):
            draft.detach(daughter)
        _move(draft, lineages, row, above, daughter=False)
    return draft.edit


def swap(lineages: Lineages, one: int, other: int) -> Edit:
    """Exchange the futures of two tracks, from a time point on.

    Parameters
    ----------
    lineages
        The forest.
    one, other
        Two nodes of that time point. What comes before each comes before the other then.

    Raises
    ------
    InvalidInput
        If they are not of one time point, or there is nothing to exchange.
    """
    first, second = lineages.row(one), lineages.row(other)
    times = lineages.value("t", first), lineages.value("t", second)
    if first == second:
        raise InvalidInput("Both are the same cell: choose two cells of one time point.")
    if times[0] != times[1]:
        raise InvalidInput(
            f"The cells are of t={times[0]} and t={times[1]}: choose two of the same time point."
        )
    above = lineages.before(first), lineages.before(second)
    if above[0] == above[1]:
        what = "Neither has anything before it" if above[0] == NONE else "They are sisters"
        raise InvalidInput(f"{what}: there is nothing to swap.")
    tracks = lineages.value("track_id", first), lineages.value("track_id", second)
    with lineages.edit() as draft:
        draft.replace(first, second, above[0])
        draft.replace(second, first, above[1])
        draft.rename(first, tracks[1])
        draft.rename(second, tracks[0])
        draft.follow(first, above[1])
        draft.follow(second, above[0])
    return draft.edit


def merge(lineages: Lineages, end: int, start: int) -> Edit:
    """Join two fragments of a track; time points may lie between them.

    Parameters
    ----------
    lineages
        The forest.
    end, start
        Any node of the earlier and any of the later fragment.

    Raises
    ------
    InvalidInput
        If they overlap in time, the earlier one divides or the later one has a mother.
    """
    above, row = lineages.last(lineages.row(end)), lineages.first(lineages.row(start))
    if lineages.value("track_id", above) == lineages.value("track_id", row):
        raise InvalidInput(
            f"Both are of track {lineages.value('track_id', row)} already: nothing to merge."
        )
    if lineages.value("t", above) >= lineages.value("t", row):
        raise InvalidInput(
            f"{_say(lineages, above)} ends after {_say(lineages, row)} has begun: cut what is too "
            "long first, or link two of their cells."
        )
    if lineages.daughters(above):
        raise InvalidInput(f"{_say(lineages, above)} divides: remove the division first.")
    if lineages.before(row) != NONE:
        raise InvalidInput(f"{_say(lineages, row)} is a daughter: cut her from her mother first.")
    with lineages.edit() as draft:
        draft.attach(above, row)
    return draft.edit


def divide(lineages: Lineages, mother: int, one: int, other: int) -> Edit:
    """Add a division.

    Parameters
    ----------
    lineages
        The forest.
    mother
        The last node of the mother.
    one, other
        The first nodes of the daughters; one may be what the mother goes on as so far.
        What was linked before them is cut from them.

    Raises
    ------
    InvalidInput
        If the daughters are not two later nodes, or the mother goes on as neither of them.
    """
    above = lineages.row(mother)
    rows = lineages.row(one), lineages.row(other)
    if rows[0] == rows[1]:
        raise InvalidInput("Both daughters are the same cell: choose two.")
    for row in rows:
        _refuse_backwards(lineages, above, row)
    after, daughters = lineages.after(above), set(lineages.daughters(above))
    if daughters == set(rows):
        raise InvalidInput(f"{_say(lineages, above)} divides into them already: nothing to do.")
    if after not in (NONE, *rows) or daughters - set(rows):
        how = f"goes on to t={lineages.value('t', after)}" if after != NONE else "divides"
        raise InvalidInput(
            f"{_say(lineages, above)} {how} otherwise: cut that first, or choose its next cell as "
            "one of the daughters."
        )
    with lineages.edit() as draft:
        # First what the mother goes on as: it must not be her track any more.
        for row in sorted(rows, key=lambda row: row != after):
            if row not in lineages.daughters(above):
                _move(draft, lineages, row, above, daughter=True)
    return draft.edit


def undivide(lineages: Lineages, mother: int, keep: int | None = None) -> Edit:
    """Remove a division.

    Parameters
    ----------
    lineages
        The forest.
    mother
        Any node of the mother.
    keep
        First node of the daughter that is the same cell as the mother and goes on as her
        track; without it all daughters are tracks of their own then.

    Raises
    ------
    InvalidInput
        If the mother does not divide, or that is no daughter of hers.
    """
    above = lineages.last(lineages.row(mother))
    kept = NONE if keep is None else lineages.row(keep)
    daughters = lineages.daughters(above)
    if not daughters:
        raise InvalidInput(f"{_say(lineages, above)} does not divide: there is nothing to remove.")
    if keep is not None and kept not in daughters:
        raise InvalidInput(
            f"{_say(lineages, kept)} is no daughter of track {lineages.value('track_id', above)}: "
            "choose one, or none."
        )
    with lineages.edit() as draft:
        for row in daughters:
            if row != kept:
                draft.detach(row)
        draft.heal(above)
    return draft.edit


def delete_track(lineages: Lineages, node: int) -> Edit:
    """Delete all nodes of a node's track; its daughters are tracks of their own then."""
    first = lineages.first(lineages.row(node))
    chain = lineages.chain(first)
    before = lineages.before(first)
    with lineages.edit() as draft:
        for daughter in lineages.daughters(chain[-1]):
            draft.detach(daughter)
        draft.detach(first)
        draft.heal(before)
        for row in chain:
            draft.remove(row)
    return draft.edit


def delete_node(lineages: Lineages, node: int) -> Edit:
    """Delete a cell at one time point.

    Its track goes on over the gap: the node before is linked to the one after, or to the
    daughters. To split it there, cut it as well.
    """
    row = lineages.row(node)
    before, after = lineages.before(row), lineages.after(row)
    if after == NONE and not lineages.continues(row):
        return delete_track(lineages, node)  # the only one of its track
    with lineages.edit() as draft:
        if after != NONE:
            draft.replace(row, after, before)
            draft.follow(after, before)
        elif lineages.daughters(row):
            draft.hand_over(row, before)
        else:
            draft.detach(row, own_track=False)
        draft.remove(row)
    return draft.edit


def add(
    lineages: Lineages, node: int, t: int, place: Sequence[float], radius: float, area: int = 0
) -> Edit:
    """Add a cell that was missed, as a track of its own.

    Parameters
    ----------
    lineages
        The forest.
    node
        Its id, which no node has ever had.
    t
        Time point.
    place
        Its centre (z, y, x) in pixels.
    radius
        In um.
    area
        In pixels.

    Raises
    ------
    InvalidInput
        If there is such a node already.
    """
    if node in lineages:
        raise InvalidInput(f"There is a cell with the id {node} already: reload the tracks.")
    with lineages.edit() as draft:
        draft.create(node, t, place, radius, area)
    return draft.edit


def perform(lineages: Lineages, correction: Correction) -> Edit:
    """Do what a line of the journal says.

    Raises
    ------
    InvalidInput
        If it cannot be done, or there is no such action.
    """
    nodes = [place.id for place in correction.places]
    name = correction.action
    if name == ACCEPT:
        with lineages.edit() as draft:  # nothing changes
            pass
        return draft.edit
    if name == "add":
        (place,) = correction.places
        at = (place.z, place.y, place.x)
        return add(lineages, place.id, place.t, at, correction.radius, correction.area)
    if name == "link":
        return link(lineages, *nodes, replace=correction.replace)
    if name not in _PLAIN:
        raise InvalidInput(
            f"There is no correction '{name}': there are {', '.join(ACTIONS)}, {ACCEPT}."
        )
    return _PLAIN[name](lineages, *nodes)


_PLAIN: dict[str, Callable[..., Edit]] = {
    one.__name__: one for one in (cut, swap, merge, divide, undivide, delete_track, delete_node)
}

ACTIONS = ("cut", "link", "swap", "merge", "divide", "undivide", "delete_track", "delete_node",
           "add")  # fmt: skip
"""Names of all actions that change tracks."""


def _move(draft: Draft, lineages: Lineages, row: int, above: int, *, daughter: bool) -> None:
    """Cut a node from what comes before it, and link it to another one."""
    before = lineages.before(row)
    # As a daughter, what comes from the middle of a track needs an id of its own.
    draft.detach(row, own_track=daughter)
    if before != above:
        draft.heal(before)
    draft.attach(above, row, daughter=daughter)


def _refuse_backwards(lineages: Lineages, above: int, row: int) -> None:
    early, late = lineages.value("t", above), lineages.value("t", row)
    if early >= late:
        raise InvalidInput(
            f"A link goes from an earlier to a later time point, not from t={early} to t={late}: "
            "choose the earlier cell first."
        )


def _say(lineages: Lineages, row: int) -> str:
    return f"Track {lineages.value('track_id', row)} at t={lineages.value('t', row)}"
