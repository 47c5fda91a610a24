"""The journal of annotations: every click is a line on disk before the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.action_log import ActionLog
from napari_dynaclr.core.action_log import default_annotator as default_annotator
from napari_dynaclr.core.tasks import UNKNOWN as UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Mark:
    """One cell at one time point given a state.

    Attributes
    ----------
    fov_name, id
        The node.
    track_id, t
        Its track and time point, to find it again if ids change.
    z, y, x
        Where it was marked, in pixels.
    task, state
        Such as "infection" and "infected"; an empty state takes the mark away.
    made_on
        Key of the tracks the mark was made on: with other tracks, ids mean other cells.
    carried
        Whether the state follows from a mark on another cell of the lineage, rather
        than from a look at this one.
    """

    fov_name: str
    id: int
    track_id: int
    t: int
    z: float
    y: float
    x: float
    task: str
    state: str
    made_on: str = ""
    carried: bool = False


@dataclass(frozen=True)
class Action:
    """What one click (or one import) did.

    Attributes
    ----------
    key
        Names the action.
    marks
        The states it set.
    annotator, date
        Who, and when (UTC).
    """

    key: str
    marks: tuple[Mark, ...]
    annotator: str
    date: str


class Journal(ActionLog[Action]):
    """Annotations of one dataset.

    Parameters
    ----------
    path
        The file; created by the first action.

    Raises
    ------
    InvalidInput
        If a line other than the last is damaged.
    """

    def _parse(self, entry: dict[str, Any]) -> Action:
        marks = tuple(Mark(**mark) for mark in entry["marks"])
        return Action(entry["key"], marks, entry["annotator"], entry["date"])

    def add(self, marks: Sequence[Mark], annotator: str = "") -> None:
        """Record one action; on disk when this returns. No marks, no action."""
        if marks:
            self._record(
                {
                    "annotator": annotator or default_annotator(),
                    "marks": [vars(mark) for mark in marks],
                }
            )

    def latest(self) -> list[tuple[Mark, Action]]:
        """Return the last mark on each node for each task, in order, and the action it is from.

        With other tracks an id means another cell: a mark on it there is a mark of its
        own. Marks that took one away are among them.
        """
        found: dict[tuple[str, int, str, str], tuple[Mark, Action]] = {}
        for action in self._done:
            for mark in action.marks:
                place = (mark.fov_name, mark.id, mark.task, mark.made_on)
                found.pop(place, None)
                found[place] = (mark, action)
        return list(found.values())

    def states(self) -> dict[tuple[str, int, str], tuple[Mark, Action]]:
        """Return the mark in force for each (fov_name, id, task), and the action it is from."""
        found: dict[tuple[str, int, str], tuple[Mark, Action]] = {}
        for action in self._done:
            for mark in action.marks:
                place = (mark.fov_name, mark.id, mark.task)
                found.pop(place, None)  # the last mark comes last, also in the order
                found[place] = (mark, action)
        return {place: entry for place, entry in found.items() if entry[0].state}

    def new_only(self, marks: Iterable[Mark]) -> list[Mark]:
        """Leave out marks that are in force already, so that an import can be repeated."""
        known = {
            place: (mark.state, mark.made_on, mark.carried)
            for place, (mark, _) in self.states().items()
        }
        return [
            mark
            for mark in marks
            if known.get((mark.fov_name, mark.id, mark.task))
            != (mark.state, mark.made_on, mark.carried)
        ]
