"""What an action reaches beyond the cells that it is given: what it does there, it does unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_dynaclr.tracking.correction.store import NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.tracking.correction.lineages import Lineages


def reach(lineages: Lineages, action: str, rows: Sequence[int]) -> tuple[list[int], int]:
    """Return what an action would act on besides its own nodes.

    Parameters
    ----------
    lineages
        The forest, before the action.
    action
        Its name.
    rows
        Rows of its nodes.

    Returns
    -------
    rows : list of int
        Of "delete_track": the first and the last node of the track; of "merge": the end and
        the start that are joined; of "undivide": the mother's last node and her daughters;
        of "link" and "divide": what comes before each later cell, and with "link" what the
        earlier one goes on as. -1 where there is none.
    size : int
        Of "delete_track": how many nodes the track has; else 0.
    """
    if action == "delete_track":
        chain = lineages.chain(lineages.first(rows[0]))
        return [chain[0], chain[-1]], len(chain)
    if action == "merge":
        return [lineages.last(rows[0]), lineages.first(rows[1])], 0
    if action == "undivide":
        mother = lineages.last(rows[0])
        return [mother, *lineages.daughters(mother)], 0
    if action == "link":
        return [lineages.before(rows[1]), lineages.after(rows[0])], 0
    if action == "divide":
        return [lineages.before(row) for row in rows[1:]], 0
    return [], 0


def reaches_otherwise(
    action: str, nodes: Sequence[int], then: tuple[Sequence[int], int], now: tuple[list[int], int]
) -> str:
    """Say in what an action would reach other cells than it did; "" if it would not.

    Parameters
    ----------
    action
        Its name.
    nodes
        Ids of its own nodes now.
    then
        Ids of what it reached, as they are now (-1: no such cell any more), and the size.
    now
        The same of today, as ids.
    """
    (old, size), (new, count) = then, now
    if action == "delete_track":
        # Segmented anew, a track may have a gap more or less; it is the same from end to end.
        if list(old) != new or 10 * abs(count - size) > size:
            return f"its track is another now, of {count} time points instead of {size}."
    elif action == "merge":
        if list(old) != new:
            return "the tracks end and begin elsewhere now."
    elif action == "undivide":
        if old[0] != new[0] or set(old) != set(new) or NONE in old:
            return "it divides otherwise now."
    # Nothing is lost where there is no link now, or the one that is wished for.
    elif any(b not in (a, NONE, *nodes) for a, b in zip(old, new, strict=False)):
        return "it is linked otherwise now."
    return ""
