"""Actions that are named in words: read, done, written, and listed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.tracking.correction.actions import ACTIONS
from napari_dynaclr.tracking.correction.corrector import Corrector, describe
from napari_dynaclr.tracking.correction.journal import ACCEPT
from napari_dynaclr.tracking.correction.store import NONE
from napari_dynaclr.tracking.correction.writing import write_corrections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.tracking.correction.corrector import Outcome
    from napari_dynaclr.tracking.correction.journal import Recorded
    from napari_dynaclr.tracking.correction.lineages import Lineages

CORRECTION_COLUMNS = [
    "fov_name", "action", "id", "other_id", "third_id", "t", "z", "y", "x", "radius", "replace",
    "kind", "by", "date",
]  # fmt: skip
"""A row per correction in force, in order; -1 where an action takes no further node."""

_CELLS = {
    "cut": (1, 1), "link": (2, 2), "swap": (2, 2), "merge": (2, 2), "divide": (3, 3),
    "undivide": (1, 2), "delete_track": (1, 1), "delete_node": (1, 1), "add": (0, 0),
    ACCEPT: (1, 2),
}  # fmt: skip
"""How many cells each action takes, at least and at most."""


@dataclass(frozen=True)
class Wish:
    """An action as somebody wrote it down.

    Attributes
    ----------
    action
        Its name.
    cells
        Its nodes, each as an id or as ``track@t``.
    place
        Of "add": (t, z, y, x), in pixels.
    radius, replace, kind
        As for :class:`~napari_dynaclr.tracking.correction.corrector.Corrector`.
    where
        What to call it in error messages.
    """

    action: str
    cells: tuple[str, ...] = ()
    place: tuple[float, float, float, float] | None = None
    radius: float = 5.0
    replace: bool = False
    kind: str = ""
    where: str = ""

    def check(self) -> None:
        """Refuse what can be no action.

        Raises
        ------
        InvalidInput
            If there is no such action, or it takes other cells.
        """
        if self.action not in _CELLS:
            known = ", ".join((*ACTIONS, ACCEPT))
            raise InvalidInput(
                f"{self.where}there is no action '{self.action}': choose of {known}."
            )
        least, most = _CELLS[self.action]
        if not least <= len(self.cells) <= most:
            count = str(least) if least == most else f"{least} or {most}"
            raise InvalidInput(
                f"{self.where}'{self.action}' takes {count} cell{'s' * (most > 1)}, each as its id "
                f"or as track@t: {len(self.cells)} given."
            )
        if (self.place is None) == (self.action == "add"):
            what = "needs a" if self.action == "add" else "takes no"
            raise InvalidInput(f"{self.where}'{self.action}' {what} place: t, y, x or t, z, y, x.")
        if self.action == ACCEPT and not self.kind:
            raise InvalidInput(f"{self.where}'{ACCEPT}' needs the kind of suspicion.")


def act(corrector: Corrector, wishes: Sequence[Wish], job: Job) -> None:
    """Do actions in order; those that a run before has done are not done again.

    Raises
    ------
    InvalidInput
        If one of them cannot be done; those before it are.
    """
    for wish in wishes:
        wish.check()
    done = _repeated(corrector, wishes)
    for wish, one in zip(wishes, done, strict=False):
        job.note(f"{wish.where}done already: {describe(one.correction)}")
    for wish in job.track(wishes[len(done) :], f"correct {corrector.fov.name}"):
        known = [one for one in corrector.corrections if _same(one, corrector, wish)]
        try:
            said = _do(corrector, wish).said
        except InvalidInput as error:
            if not known:
                raise InvalidInput(f"{wish.where}{error}") from None
            job.note(f"{wish.where}done already: {describe(known[-1].correction)}")
        else:
            if len(wishes) == 1:  # of a table, the list at the end says enough
                job.note(said)


def _repeated(corrector: Corrector, wishes: Sequence[Wish]) -> list[Recorded]:
    """Return what the same command has done before, if nothing was done since.

    It is looked for first, as a swap that is repeated is taken back; all of it, or as much
    as a run that was killed had done. A cell named ``track@t`` is the one that it named
    then, where more than one action has renumbered tracks since.
    """
    for count in range(min(len(wishes), len(corrector.corrections)), 0, -1):
        last = corrector.corrections[-count:]
        pairs = list(zip(last, wishes, strict=False))
        if all(_same(one, corrector, wish, then=count > 1) for one, wish in pairs):
            return last
    return []


def _same(one: Recorded, corrector: Corrector, wish: Wish, *, then: bool = False) -> bool:
    """Whether an action in force is the one that is wished for.

    Its cells are compared as nodes: ``track@t`` is the one it names today, or, where it
    names none any more or with ``then``, the one that it named when that was done.
    """
    made = one.correction
    if (made.action, made.kind, made.replace) != (wish.action, wish.kind, wish.replace):
        return False
    if wish.place is not None:
        (at,) = made.places
        return (at.t, at.z, at.y, at.x, made.radius) == (*wish.place, wish.radius)
    if len(made.places) != len(wish.cells):
        return False
    before = {f"{place.track_id}@{place.t}": place.id for place in made.places}
    nodes = []
    for cell in wish.cells:
        name = "".join(cell.split())
        if then and name in before:
            nodes.append(before[name])
            continue
        try:
            nodes.append(find(corrector.lineages, cell))
        except InvalidInput:
            nodes.append(before.get(name, NONE))
    ids = [place.id for place in made.places]
    # After a swap the names are swapped, too.
    return sorted(nodes) == sorted(ids) if wish.action == "swap" else nodes == ids


def _do(corrector: Corrector, wish: Wish) -> Outcome:
    if wish.place is not None:
        t, z, y, x = wish.place
        return corrector.add(int(t), z, y, x, wish.radius)
    nodes = [find(corrector.lineages, cell) for cell in wish.cells]
    return corrector.do(wish.action, *nodes, replace=wish.replace, kind=wish.kind)


def find(lineages: Lineages, cell: str) -> int:
    """Return the id of a node that is given as its id or as ``track@t``.

    Raises
    ------
    InvalidInput
        If it is neither, or there is none.
    """
    found = re.fullmatch(r"\s*(\d+)\s*(?:@\s*(\d+)\s*)?", cell)
    if not found:
        raise InvalidInput(f"'{cell}' names no cell: write its id, or track@t, such as 12@5.")
    if found[2] is None:
        return int(found[1])
    return lineages.node(int(found[1]), int(found[2]))


def write_all(dataset: Dataset, job: Job) -> pd.DataFrame:
    """Bring what is in force into the tracks of all FOVs, and list it."""
    write_corrections(dataset, job.track(dataset.fovs, "write corrections"), job)
    tables = [listed(Corrector(dataset, fov.name)) for fov in dataset.fovs]
    return pd.concat(tables, ignore_index=True)


def listed(corrector: Corrector) -> pd.DataFrame:
    """List the corrections of a FOV that are in force: :data:`CORRECTION_COLUMNS`."""
    rows = []
    for one in corrector.corrections:
        made = one.correction
        ids = [place.id for place in made.places] + [-1, -1]
        first = made.places[0]
        facts = (made.fov_name, made.action, *ids[:3], first.t, first.z, first.y, first.x)
        rows.append((*facts, made.radius, made.replace, made.kind, one.by, one.date))
    return pd.DataFrame(rows, columns=CORRECTION_COLUMNS)
