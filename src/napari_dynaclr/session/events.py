"""Likely events: a ranked list of places, where in it a person is, and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_dynaclr.core.tables import read_csv
from napari_dynaclr.core.tasks import find_task
from napari_dynaclr.session.cells import READING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.session.session import Session

MOST = 500
"""Events in a list at most: more than a person looks at in one go."""

DIVISION, DIVIDES, DIVIDES_NOT = "division", "mitosis", "interphase"
"""Task and states that accepted and rejected events are annotated with."""

_COLUMNS = ("t", "z", "y", "x", "score", "id", "track_id")
"""What is read of the table of a search."""

_REACH = 10.0
"""In um: how far from its place the cell of an event may be, where the search named none."""


@dataclass(frozen=True)
class Event:
    """A place and a time at which something is likely to happen.

    Attributes
    ----------
    fov_name, t
        Field, and time point: the earlier one of the two that were compared.
    position
        (z, y, x) in pixels.
    score
        How likely, in the method's own unit; higher is likelier.
    id, track
        Node and track of the cell, -1 where the search knew of none.
    by_chance
        Share that is expected to have no direction in time, 0-1, of this event and all before it
        in the list that was read; None where it is not known what is found backwards.
    """

    fov_name: str
    t: int
    position: tuple[float, float, float]
    score: float
    id: int = -1
    track: int = -1
    by_chance: float | None = None

    @property
    def key(self) -> tuple[str, int, tuple[float, float, float]]:
        """What tells it from others."""
        return self.fov_name, self.t, self.position


@dataclass(frozen=True)
class EventList:
    """Likely events, the likeliest first.

    Attributes
    ----------
    name
        Of the search that found them.
    places
        The events.
    position
        Which of them is looked at, -1 for none yet.
    total
        How many there are, also those that are too many to be listed.
    tracks
        By FOV: key of the tracks that their cells are of, "" where there were none.
    missing
        FOVs in scope in which nothing was looked for, or before what it was made from changed.
    """

    name: str = ""
    places: tuple[Event, ...] = ()
    position: int = -1
    total: int = 0
    tracks: dict[str, str] | None = None
    missing: tuple[str, ...] = ()

    @property
    def current(self) -> Event | None:
        """The event that is looked at."""
        return self.places[self.position] if 0 <= self.position < len(self.places) else None

    def at(self, position: int) -> EventList:
        """Return the list with another event looked at."""
        return replace(self, position=position)

    def renewed(self, found: EventList) -> EventList:
        """Return another list; who looks at an event that is in it goes on looking at it."""
        before = self.current
        keys = [one.key for one in found.places]
        known = before is not None and before.key in keys
        return found.at(keys.index(before.key) if before is not None and known else -1)

    def of(self, fov_name: str) -> list[tuple[int, Event]]:
        """Return the events of a FOV with their positions in the list."""
        return [(i, one) for i, one in enumerate(self.places) if one.fov_name == fov_name]


def event_names(dataset: Dataset) -> list[str]:
    """Names of the searches whose events a dataset has; touches the disk."""
    folder = dataset.workspace.path / "events"
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def read_events(dataset: Dataset, name: str, fov_names: Sequence[str], job: Job) -> EventList:
    """Read the likely events of some FOVs as one list; in a job.

    Parameters
    ----------
    dataset
        The dataset.
    name
        Of the search.
    fov_names
        The FOVs.
    job
        Progress and cancelling.

    Returns
    -------
    EventList
        The :data:`MOST` likeliest; FOVs without a search that still holds are left out.
    """
    from napari_dynaclr.embedding.events.stopping import false_share

    workspace, result = dataset.workspace, f"events.{name}"
    found: list[Event] = []
    backwards: list[NDArray[np.float64]] = []
    tracks: dict[str, str] = {}
    missing: list[str] = []
    for fov_name in job.track(fov_names, "read events"):
        fov = dataset.whole[fov_name]
        if not name or workspace.key(result, fov) is None or workspace.outdated(result, fov):
            missing.append(fov_name)
            continue
        tracks[fov_name] = workspace.made_from(result, fov).get("tracks", "")
        table = workspace.events(name, fov)
        columns = (table[one].tolist() for one in _COLUMNS)
        found += [
            Event(fov_name, int(t), (z, y, x), float(score), int(node), int(track))
            for t, z, y, x, score, node, track in zip(*columns, strict=True)
        ]
        file = workspace.backwards_csv(name, fov)
        if file.exists():  # it is not, of searches by earlier versions
            backwards.append(read_csv(file, "table of events")["score"].to_numpy(float))
    found.sort(key=lambda one: -one.score)  # stable: of equal ones, in their own order
    if found and len(backwards) == len(tracks):
        share = false_share(np.array([one.score for one in found]), np.concatenate(backwards))
        found = [replace(one, by_chance=float(of)) for one, of in zip(found, share, strict=True)]
    return EventList(name, tuple(found[:MOST]), -1, len(found), tracks, tuple(missing))


class Events:
    """The likely events that a viewer lists, and what clicks and keys do to them.

    Parameters
    ----------
    session
        Whose cells and annotations they meet.

    Attributes
    ----------
    found
        The list.
    active
        Whether clicks and keys are for the events.
    """

    changed = Signal()
    """Other events, or another is looked at."""
    mode_changed = Signal()
    """Clicks and keys are for the events, or not any more."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.found = EventList()
        self.active = False
        session.dataset_changed.connect(self._closed)
        session.task_changed.connect(self._task_changed)
        session.corrections.mode_changed.connect(self._corrected)

    def set_active(self, active: bool) -> None:
        """Have clicks and keys go through the events, or not any more."""
        if active != self.active:
            self.active = active
            if active:
                self._session.set_state("")
                self._session.corrections.set_active(False)
            self.mode_changed.emit()

    def set_found(self, found: EventList) -> None:
        """Show other events, or look at another of them."""
        if found is not self.found:
            self.found = found
            self.changed.emit()

    def row_of(self, event: Event) -> int:
        """Row of the cell that an event is about; -1 where none is near, or none are known.

        The cell that the search named, if its tracks are still those; else the nearest one.
        """
        session, cells = self._session, self._session.cells
        key = cells.keys.get(event.fov_name, "")
        if event.id >= 0 and key and key == (self.found.tracks or {}).get(event.fov_name):
            row = int(cells.find(event.fov_name, [event.id])[0])
            if row >= 0:
                return row
        rows = cells.at(event.fov_name, event.t)
        if session.dataset is None or not len(rows):
            return -1
        scale = np.array(session.dataset.whole[event.fov_name].scale)
        away = np.linalg.norm((cells.position[rows] - event.position) * scale, axis=1)
        nearest = int(away.argmin())
        return int(rows[nearest]) if away[nearest] <= _REACH else -1

    def track_of(self, event: Event) -> int:
        """Track of the cell that an event is about; -1 where none is near.

        Of a FOV whose cells are not at hand, the one that the search named.
        """
        if event.fov_name not in self._session.cells.fovs:
            return event.track
        row = self.row_of(event)
        return int(self._session.cells.track[row]) if row >= 0 else -1

    def verdict(self, event: Event) -> str:
        """State of the task "division" that the cell of an event was given, "" for none."""
        row = self.row_of(event)
        if row < 0:
            return ""
        cells = self._session.cells
        given = self._session.marks.get(event.fov_name, int(cells.id[row]), DIVISION)
        return given.state if given is not None else ""

    def judge(self, event: Event, state: str) -> bool:
        """Annotate the cell of an event as dividing or not; it is on disk before it is shown.

        Returns
        -------
        bool
            Whether there is a cell to annotate; if not, the user is told.
        """
        session, row = self._session, self.row_of(event)
        if session.annotator is None or row < 0:
            session.say(self.hindrance(event))
            return False
        task = find_task(DIVISION, session.tasks)
        session.annotator.give(session.cells, np.array([row]), task, state, session.describe(row))
        return True

    def hindrance(self, event: Event | None = None) -> str:
        """Why nothing can be annotated here, in one line; "" if it can.

        Parameters
        ----------
        event
            That one is looked at; None for the FOV on screen as a whole.
        """
        session = self._session
        if session.fov is None:
            return "Open a dataset first."
        name = session.fov.name if event is None else event.fov_name
        if name not in session.cells.fovs:
            if session.awaits_cells:
                return READING
            if name not in session.fovs_in(session.scope):
                return "This event is in another FOV: choose it again to go there."
            return f"FOV {name} is not tracked: events can be looked at, not accepted."
        if event is not None and self.row_of(event) < 0:
            return "No tracked cell is near this event: there is nothing to annotate."
        return ""

    def _closed(self) -> None:
        self.set_found(EventList())

    def _task_changed(self) -> None:
        if self._session.state:  # who chooses a state wants to annotate with clicks
            self.set_active(False)

    def _corrected(self) -> None:
        if self._session.corrections.active:
            self.set_active(False)
