"""What each correction would do to the chosen cells, said in a line before it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_dynaclr.session.cells import Cells

ACTIONS = (
    "cut", "link", "swap", "merge", "divide", "undivide", "delete_node", "delete_track",
)  # fmt: skip
"""Corrections of chosen cells, in the order in which they are offered."""

_CHOOSE = "click a cell first"
_SECOND = "Shift+click a second cell first"


@dataclass(frozen=True)
class Plan:
    """A correction of the chosen cells.

    Attributes
    ----------
    text
        What it will do, or why it cannot be done now.
    nodes
        Ids of the nodes that it is about, in the order in which the corrector takes them;
        empty where it cannot be done.
    replace
        Of a link: whether the earlier cell is cut from what it goes on as now.
    """

    text: str
    nodes: tuple[int, ...] = ()
    replace: bool = False

    @property
    def possible(self) -> bool:
        """Whether it can be done."""
        return bool(self.nodes)


@dataclass(frozen=True)
class _Node:
    """A chosen cell, with what is before and after it."""

    row: int
    id: int
    track: int
    t: int
    first: bool
    last: bool
    parent: int
    """Track that its own was born from, -1 if none."""
    daughters: tuple[int, ...]
    """Tracks that its own divided into."""


def _node(cells: Cells, fov_name: str, node: int) -> _Node | None:
    row = int(cells.find(fov_name, [node])[0])
    if row < 0:
        return None
    track = int(cells.track[row])
    own = cells.of_track(fov_name, track)
    return _Node(
        row,
        node,
        track,
        int(cells.t[row]),
        bool(own[0] == row),
        bool(own[-1] == row),
        cells.parent_of(fov_name, track),
        tuple(cells.daughters(fov_name, track)),
    )


def plans(cells: Cells, fov_name: str, a: int | None, b: int | None) -> dict[str, Plan]:
    """Say what each of :data:`ACTIONS` would do; quick, also for a million cells.

    Parameters
    ----------
    cells
        The cells.
    fov_name
        The FOV of the chosen ones.
    a, b
        Node ids of the first and the second chosen cell, or None.
    """
    one = _node(cells, fov_name, a) if a is not None else None
    two = _node(cells, fov_name, b) if b is not None else None
    if one is None:
        return {name: Plan(_CHOOSE) for name in ACTIONS}
    found = {
        "cut": _cut(cells, fov_name, one),
        "undivide": _undivide(cells, fov_name, one),
        "delete_node": _delete_node(cells, fov_name, one),
        "delete_track": _delete_track(cells, fov_name, one),
    }
    if two is None:
        found |= {name: Plan(_SECOND) for name in ("link", "swap", "merge", "divide")}
    else:
        early, late = (one, two) if one.t <= two.t else (two, one)
        found |= {
            "link": _link(early, late),
            "swap": _swap(cells, fov_name, one, two),
            "merge": _merge(cells, fov_name, one, two),
            "divide": _divide(cells, fov_name, early, late),
        }
    return {name: found[name] for name in ACTIONS}


def _cut(cells: Cells, fov_name: str, one: _Node) -> Plan:
    if not one.first:
        text = f"track {one.track} ends before t={one.t}; the rest becomes a track of its own"
        return Plan(text, (one.id,))
    if one.parent < 0:
        return Plan(f"track {one.track} begins here: there is no link to cut")
    text = f"track {one.track} is no longer a daughter of track {one.parent}"
    sisters = [other for other in cells.daughters(fov_name, one.parent) if other != one.track]
    if len(sisters) == 1:
        text += f", which goes on as what is {sisters[0]} now"
    return Plan(text, (one.id,))


def _link(early: _Node, late: _Node) -> Plan:
    if early.t == late.t:
        return Plan("both cells are at the same time point")
    if early.track == late.track:
        return Plan("both cells are of the same track")
    text = f"track {early.track} goes on at t={late.t} as what is track {late.track} now"
    if not late.first:
        text += ", which ends before that"
    if not early.last:
        text += "; what it goes on as now becomes a track of its own"
    elif early.daughters:
        text += "; its daughters become tracks of their own"
    return Plan(text, (early.id, late.id), replace=not early.last or bool(early.daughters))


def _swap(cells: Cells, fov_name: str, one: _Node, two: _Node) -> Plan:
    if one.track == two.track:
        return Plan("both cells are of the same track")
    t, pair, before = max(one.t, two.t), [], []
    for node in (one, two):
        rows = cells.of_track(fov_name, node.track)
        here = rows[cells.t[rows] == t]
        if not len(here):
            return Plan(f"track {node.track} has no cell at t={t}")
        pair.append(int(cells.id[here[0]]))
        before.append(node.track if here[0] > rows[0] else node.parent)
    if before[0] == before[1]:
        return Plan("neither has a past, or both have the same: there is nothing to swap")
    text = f"from t={t} on, tracks {one.track} and {two.track} change places"
    return Plan(text, (pair[0], pair[1]))


def _merge(cells: Cells, fov_name: str, one: _Node, two: _Node) -> Plan:
    if one.track == two.track:
        return Plan("both cells are of the same track")
    spans = {node.track: cells.t[cells.of_track(fov_name, node.track)] for node in (one, two)}
    early, late = sorted((one, two), key=lambda node: int(spans[node.track][0]))
    end, start = int(spans[early.track][-1]), int(spans[late.track][0])
    if end >= start:
        return Plan(f"track {late.track} begins before track {early.track} ends")
    if early.daughters:
        return Plan(f"track {early.track} divides: remove the division first")
    if late.parent >= 0:
        return Plan(f"track {late.track} is a daughter: cut it from its mother first")
    gap = start - end - 1
    over = f" over a gap of {gap} time point{'s' * (gap > 1)}" if gap else ""
    text = f"tracks {early.track} and {late.track} become one{over}"
    return Plan(text, (early.id, late.id))


def _divide(cells: Cells, fov_name: str, early: _Node, late: _Node) -> Plan:
    if early.t == late.t:
        return _divide_into(cells, fov_name, early, late)
    if early.track == late.track:
        return Plan("both cells are of the same track")
    rows = cells.of_track(fov_name, early.track)
    after = rows[cells.t[rows] > early.t]
    if len(after):
        other = int(cells.id[after[0]])
    elif len(early.daughters) == 1:
        other = int(cells.id[cells.of_track(fov_name, early.daughters[0])[0]])
    elif early.daughters:
        return Plan(f"track {early.track} has two daughters: remove that division first")
    else:
        return Plan(f"track {early.track} ends at t={early.t}: link it to the other daughter first")
    text = f"track {early.track} divides after t={early.t}; one daughter is track {late.track}"
    return Plan(text, (early.id, other, late.id))


def _divide_into(cells: Cells, fov_name: str, one: _Node, two: _Node) -> Plan:
    """Two daughters were chosen: the mother is what one of them comes from."""
    mothers = [_before(cells, fov_name, node) for node in (one, two)]
    known = [row for row in mothers if row >= 0]
    if not known:
        return Plan("neither cell comes from another: choose the mother and a daughter")
    if len(known) == 2:
        return Plan("both cells come from others: cut one of them first")
    mother = known[0]
    text = (
        f"track {cells.track[mother]} divides after t={cells.t[mother]} into the cells of "
        f"tracks {one.track} and {two.track}"
    )
    return Plan(text, (int(cells.id[mother]), one.id, two.id))


def _before(cells: Cells, fov_name: str, node: _Node) -> int:
    """Row of the cell before a cell, in its track or its mother's; -1 if there is none."""
    if not node.first:
        return node.row - 1
    above = cells.of_track(fov_name, node.parent) if node.parent >= 0 else None
    return int(above[-1]) if above is not None and len(above) else -1


def _undivide(cells: Cells, fov_name: str, one: _Node) -> Plan:
    mother = one.track if one.daughters else one.parent
    rows = cells.of_track(fov_name, mother) if mother >= 0 else None
    if rows is None or not len(rows):
        return Plan(f"track {one.track} neither divides nor comes from a division")
    daughters = " and ".join(map(str, cells.daughters(fov_name, mother)))
    return Plan(
        f"track {mother} ends undivided; {daughters} have no mother", (int(cells.id[rows[-1]]),)
    )


def _delete_node(cells: Cells, fov_name: str, one: _Node) -> Plan:
    text = f"the cell of track {one.track} at t={one.t} goes"
    if not (one.first or one.last):
        text += "; the track goes on over the gap"
    elif one.first and one.last:
        text = f"track {one.track} goes: this is its only cell"
    return Plan(text, (one.id,))


def _delete_track(cells: Cells, fov_name: str, one: _Node) -> Plan:
    count = len(cells.of_track(fov_name, one.track))
    if count == 1:
        return Plan(f"track {one.track} goes, 1 cell", (one.id,))
    return Plan(f"track {one.track} goes, all {count:,} cells", (one.id,))
