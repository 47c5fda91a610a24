"""Corrector: what a person does to the tracks of one FOV, one action after the other."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.ledger import AHEAD
from napari_dynaclr.core.tables import node_id
from napari_dynaclr.tracking.correction.actions import perform
from napari_dynaclr.tracking.correction.drawing import ball, corrected_labels
from napari_dynaclr.tracking.correction.engine import engine_key, method_labels, read_engine
from napari_dynaclr.tracking.correction.journal import (
    ACCEPT,
    Correction,
    Corrections,
    Place,
    digest,
)
from napari_dynaclr.tracking.correction.lineages import Lineages
from napari_dynaclr.tracking.correction.reach import reach
from napari_dynaclr.tracking.correction.store import NONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.tracking.correction.draft import Edit
    from napari_dynaclr.tracking.correction.journal import Recorded

_LINKS = ("cut", "swap")
"""Actions on the links before their nodes."""


@dataclass(frozen=True)
class Outcome:
    """What an action did.

    Attributes
    ----------
    said
        In one line.
    ids
        Nodes whose row of the table is another now, has come or has gone, (N,). What
        another process has done in the meantime is among it.
    times
        Time points whose label images are others now.
    action
        As the journal has it.
    """

    said: str
    ids: NDArray[np.int64]
    times: frozenset[int]
    action: Recorded = field(repr=False)


class Corrector:
    """The tracks of one FOV, corrected by a person.

    Every action is in the journal on disk before its method returns, and is done to the
    tracks in memory. :meth:`write` brings them into the workspace for all that follows.
    Methods take ids of nodes; they raise :class:`~napari_dynaclr.core.errors.InvalidInput`
    with one line where something cannot be done, and then nothing has changed.

    Parameters
    ----------
    dataset
        The dataset.
    fov_name
        The FOV, ``row/column/fov``.
    by
        Who corrects; the user of this computer by default.

    Raises
    ------
    MissingInput
        If the FOV has not been tracked, or its tracks are out of date.
    """

    def __init__(self, dataset: Dataset, fov_name: str, *, by: str = "") -> None:
        self._dataset, self._by = dataset, by
        self.fov = dataset.whole[fov_name]
        self._journal = Corrections(dataset.workspace.corrections)
        self._engine = read_engine(dataset, self.fov)
        self.lineages = Lineages(self._engine.tracks)
        self._done: list[tuple[Recorded, Edit | None]] = []
        self.refused: list[str] = []
        """Actions of the journal that could not be done, a line each; none but by damage."""
        self._catch_up()

    # -- asking -----------------------------------------------------------

    @property
    def key(self) -> str:
        """Key of the tracks that are corrected."""
        return self._engine.key

    @property
    def tracks(self) -> pd.DataFrame:
        """The corrected tracks as a table, columns as in ``tracks.csv``."""
        return self.lineages.tracks

    @property
    def corrections(self) -> list[Recorded]:
        """Actions in force, in order; those that accept a place, too."""
        return [one for one, _ in self._done]

    @property
    def waiting(self) -> list[Recorded]:
        """Actions on earlier tracks of this FOV that have not been repeated on these."""
        return self._journal.waiting(self.fov.name, self.key)

    @property
    def can_undo(self) -> bool:
        """Whether there is an action to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is an action to do again."""
        return self._journal.last(self.fov.name, self.key, undone=True) is not None

    @property
    def undone(self) -> Recorded | None:
        """The action that :meth:`redo` would do again; None if there is none."""
        return self._journal.last(self.fov.name, self.key, undone=True)

    @property
    def source(self) -> Fov:
        """The label images of the method, wherever they are: a write moves them once."""
        return method_labels(self._dataset.workspace, self.fov, self.key)

    @property
    def behind(self) -> bool:
        """Whether there are actions that :meth:`write` has not brought into the workspace."""
        return self._dataset.workspace.behind(self.fov)

    def labels(self, t: int) -> NDArray[np.uint32]:
        """Return the label image of a time point by the tracks of today, (Z, Y, X)."""
        ((_, frame),) = self.source.frames(["labels"], [t], allow_empty=True)
        return corrected_labels(frame[0], self.lineages, t, self.fov.scale)[0]

    # -- actions ----------------------------------------------------------

    def cut(self, node: int) -> Outcome:
        """Cut the link before a node: :func:`~napari_dynaclr.tracking.correction.actions.cut`."""
        return self.do("cut", node)

    def link(self, parent: int, child: int, *, replace: bool = False) -> Outcome:
        """Link a node to a later one; ``replace``: cut what the earlier one goes on as."""
        return self.do("link", parent, child, replace=replace)

    def swap(self, one: int, other: int) -> Outcome:
        """Exchange the futures of two tracks from the time point of two nodes on."""
        return self.do("swap", one, other)

    def merge(self, end: int, start: int) -> Outcome:
        """Join two fragments, each given by any of its nodes; a gap may lie between."""
        return self.do("merge", end, start)

    def divide(self, mother: int, one: int, other: int) -> Outcome:
        """Add a division of a node into two later ones."""
        return self.do("divide", mother, one, other)

    def undivide(self, mother: int, keep: int | None = None) -> Outcome:
        """Remove a division; the daughter ``keep`` goes on as the mother, the others do not."""
        return self.do("undivide", mother, *([] if keep is None else [keep]))

    def delete_track(self, node: int) -> Outcome:
        """Delete the whole track of a node."""
        return self.do("delete_track", node)

    def delete_node(self, node: int) -> Outcome:
        """Delete one node; its track goes on over the gap."""
        return self.do("delete_node", node)

    def accept(self, kind: str, node: int, other: int | None = None) -> Outcome:
        """Say that a suspected place is right, so that it is not asked about again.

        Parameters
        ----------
        kind
            What it was suspected of, as in the queue of suspects.
        node, other
            The place's nodes.
        """
        return self.do(ACCEPT, node, *([] if other is None else [other]), kind=kind)

    def add(
        self, t: int, z: float, y: float, x: float, radius_um: float, *, replays: str = ""
    ) -> Outcome:
        """Add a cell that was missed, as a disc (in 3D a ball) where there is background.

        Parameters
        ----------
        t
            Time point.
        z, y, x
            Its centre in pixels.
        radius_um
            Its radius in um.
        replays
            Key of the action on other tracks that this one repeats.

        Raises
        ------
        InvalidInput
            If that is outside the image, or another cell is there.
        """
        count, *shape = self.fov.shape
        place = np.array([z, y, x], float)
        inside = (np.rint(place) >= 0).all() and (np.rint(place) < shape).all()
        if not (0 <= t < count and inside):
            raise InvalidInput(
                f"t={t}, z={z:g}, y={y:g}, x={x:g} is outside FOV {self.fov.name}: choose a place "
                "in the image."
            )
        if not 0 < radius_um < np.inf:
            raise InvalidInput(f"A cell cannot have a radius of {radius_um:g} um: give it more.")
        with self._catching_up() as seen:
            labels = self.labels(t)
            there = labels[tuple(np.rint(place).astype(int))]
            if there:
                raise InvalidInput(
                    f"Track {there} is at this place at t={t} already: choose a place in the "
                    "background."
                )
            where, ball_ = ball(labels.shape, (z, y, x), radius_um, self.fov.scale)
            correction = Correction(
                self.fov.name,
                self.key,
                "add",
                (Place(self._free_id(t), -1, t, float(z), float(y), float(x)),),
                radius=float(radius_um),
                area=int((ball_ & (labels[where] == 0)).sum()),
                replays=replays,
            )
            return self._record(correction, seen)

    def undo(self) -> Outcome | None:
        """Take back the last action on this FOV; None if there is none."""
        return self._turn("undo")

    def redo(self) -> Outcome | None:
        """Do the last undone action on this FOV again; None if there is none."""
        return self._turn("redo")

    def write(self, job: Job | None = None) -> bool:
        """Bring all corrections into the tracks of the workspace and what was made from them.

        Returns
        -------
        bool
            Whether there was anything to write.
        """
        from napari_dynaclr.tracking.correction.writing import write_corrections

        return write_corrections(self._dataset, [self.fov], job)

    def do(
        self, action: str, *nodes: int, replace: bool = False, kind: str = "", replays: str = ""
    ) -> Outcome:
        """Do an action by its name.

        Parameters
        ----------
        action
            One of :data:`~napari_dynaclr.tracking.correction.actions.ACTIONS` but "add", or
            "accept".
        *nodes
            Ids, in the order of the method of that name.
        replace, kind
            As for :meth:`link` and :meth:`accept`.
        replays
            Key of the action on other tracks that this one repeats.
        """
        with self._catching_up() as seen:
            rows = [self.lineages.row(node) for node in nodes]
            links = [self.lineages.before(row) for row in rows] if action in _LINKS else []
            reached, size = reach(self.lineages, action, rows)
            correction = Correction(
                self.fov.name,
                self.key,
                action,
                tuple(self._place(row) for row in rows),
                self._places(links),
                self._places(reached),
                size,
                replace=replace,
                kind=kind,
                replays=replays,
            )
            return self._record(correction, seen)

    # -- how --------------------------------------------------------------

    def _record(self, correction: Correction, seen: list[Edit]) -> Outcome:
        """Do it in memory, then write it down; if the disk refuses, it has not been done."""
        edit = perform(self.lineages, correction)
        try:
            with self._marked(changes=correction.action != ACCEPT):
                action = self._journal.add(correction, self._by)
                self._done.append((action, edit))
        except BaseException:
            self.lineages.apply(edit.inverse())
            raise
        return _outcome("", action, [*seen, edit])

    def _turn(self, way: str) -> Outcome | None:
        scope = (self.fov.name, self.key)
        with self._catching_up() as seen:
            action = self._journal.last(*scope, undone=way == "redo")
            if action is None:
                return None
            with self._marked(changes=action.correction.action != ACCEPT):
                turn = self._journal.undo if way == "undo" else self._journal.redo
                turn(scope)
                seen += self._catch_up()
        return _outcome(f"{way}: ", action, seen)

    @contextmanager
    def _catching_up(self) -> Iterator[list[Edit]]:
        """Keep others from the journal, and do first what they have done meanwhile."""
        if engine_key(self._dataset.workspace, self.fov) != self.key:
            raise InvalidInput(
                f"FOV {self.fov.name} has been tracked again: open its tracks anew to correct them."
            )
        with self._journal.exclusive():
            yield self._catch_up()

    def _catch_up(self) -> list[Edit]:
        """Bring the forest to what the journal says; the edits that were needed."""
        wanted = self._journal.in_force(self.fov.name, self.key)
        same = 0
        while (
            same < min(len(wanted), len(self._done)) and self._done[same][0].key == wanted[same].key
        ):
            same += 1
        edits = []
        while len(self._done) > same:
            _, edit = self._done.pop()
            if edit is not None:
                self.lineages.apply(edit.inverse())
                edits.append(edit)
        for action in wanted[same:]:
            try:
                edit = perform(self.lineages, action.correction)
                edits.append(edit)
            except InvalidInput as error:
                edit = None
                self.refused.append(f"{describe(action.correction)}: {error}")
            self._done.append((action, edit))
        return edits

    @contextmanager
    def _marked(self, *, changes: bool) -> Iterator[None]:
        """Mark the tracks on disk as behind the journal before it is written to."""
        workspace = self._dataset.workspace
        if not changes:
            yield
            return
        workspace.set_head(self.fov, self.key, AHEAD)
        yield
        now = digest(self.corrections)
        if now == workspace.corrected(self.fov):  # all that was done since has been undone
            workspace.set_head(self.fov, self.key, now)

    def _place(self, row: int) -> Place:
        names = ("id", "track_id", "t", "z", "y", "x")
        return Place(*(self.lineages.value(name, row) for name in names))

    def _places(self, rows: list[int]) -> tuple[Place | None, ...]:
        return tuple(self._place(row) if row != NONE else None for row in rows)

    def _free_id(self, t: int) -> int:
        """Return an id for a new node that no node has ever had, also if it was undone."""
        known = [int(one) for one in self.lineages.ids_at(t)]
        for action in self._journal.ever(self.fov.name, self.key):
            known += [place.id for place in action.correction.places if place.t == t]
        number = max([node_id(t, 0), *(i for i in known if i < node_id(t + 1, 0))]) + 1
        while self.lineages.ever(number):
            number += 1
        return number


def describe(correction: Correction) -> str:
    """Say in one line what an action did, and where."""
    first, *more = correction.places
    what = correction.action.replace("_", " ")
    where = f"track {first.track_id}" if first.track_id >= 0 else f"y={first.y:g}, x={first.x:g}"
    others = "".join(f", track {one.track_id} at t={one.t}" for one in more)
    kind = f" ({correction.kind})" if correction.kind else ""
    return f"{what}{kind} {where} at t={first.t}{others}"


def _outcome(way: str, action: Recorded, edits: list[Edit]) -> Outcome:
    ids = np.unique(np.concatenate([np.zeros(0, np.int64), *(one.ids for one in edits)]))
    times = frozenset().union(*(one.times for one in edits))
    return Outcome(way + describe(action.correction), ids, times, action)
