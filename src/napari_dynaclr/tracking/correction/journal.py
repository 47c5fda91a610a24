"""The journal of corrections: every action is a line on disk before the next one."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.action_log import ActionLog, default_annotator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ACCEPT = "accept"
"""The action that says: somebody has looked at this place, and it is right."""


@dataclass(frozen=True)
class Place:
    """A node, and where it was when it was corrected, to find it again on other tracks.

    Attributes
    ----------
    id, track_id, t
        The node, its track then, and its time point.
    z, y, x
        Centre in pixels.
    """

    id: int
    track_id: int
    t: int
    z: float
    y: float
    x: float


@dataclass(frozen=True)
class Correction:
    """One action of a person on the tracks of a FOV.

    Attributes
    ----------
    fov_name
        The FOV.
    made_on
        Key of the tracks it was made on: with other tracks, ids mean other cells.
    action
        Name of a function of :mod:`napari_dynaclr.tracking.correction.actions`, or "accept".
    places
        Its nodes, in the order that the function takes them; of "add", the new one.
    before
        Of "cut" and "swap": what came before each of them, None where nothing did. It says
        whether there is on other tracks what was wrong on these.
    reached, size
        What it acted on besides its nodes, None where there was nothing, as
        :func:`~napari_dynaclr.tracking.correction.reach.reach` has it; so that it does not
        hit other cells on other tracks. Actions of earlier versions have none.
    replace
        Of "link": what the earlier cell went on as was cut.
    radius, area
        Of "add": radius in um, area in pixels.
    kind
        Of "accept": what the place was suspected of.
    replays
        Key of the action on other tracks that this one repeats.
    """

    fov_name: str
    made_on: str
    action: str
    places: tuple[Place, ...]
    before: tuple[Place | None, ...] = ()
    reached: tuple[Place | None, ...] = ()
    size: int = 0
    replace: bool = False
    radius: float = 0.0
    area: int = 0
    kind: str = ""
    replays: str = ""

    def same_as(self, other: Correction) -> bool:
        """Whether both do the same to the same cells of the same tracks."""
        return self._meaning() == other._meaning()

    def _meaning(self) -> tuple[object, ...]:
        # What was added has a new id every time; it is the place that counts.
        added = self.action == "add"
        nodes = [(0 if added else one.id, one.t) for one in self.places]
        where = [(one.z, one.y, one.x) for one in self.places] if added else []
        what = (self.fov_name, self.made_on, self.action, self.replace, self.radius, self.kind)
        return (*what, tuple(nodes), tuple(where))


@dataclass(frozen=True)
class Recorded:
    """A correction in the journal.

    Attributes
    ----------
    key
        Names the action.
    correction
        What was done.
    by, date
        Who, and when (UTC).
    """

    key: str
    correction: Correction
    by: str
    date: str


class Corrections(ActionLog[Recorded]):
    """Corrections of the tracks of one dataset; undone and done again FOV by FOV.

    Parameters
    ----------
    path
        The file; created by the first action.

    Raises
    ------
    InvalidInput
        If a line other than the last is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._all: dict[str, Recorded] = {}
        super().__init__(path)

    def _parse(self, entry: dict[str, Any]) -> Recorded:
        facts = dict(entry["correction"])
        facts["places"] = tuple(Place(**place) for place in facts["places"])
        for name in ("before", "reached"):
            facts[name] = tuple(place and Place(**place) for place in facts.get(name, ()))
        return Recorded(entry["key"], Correction(**facts), entry["by"], entry["date"])

    def _scope(self, action: Recorded) -> object:
        return action.correction.fov_name, action.correction.made_on

    def _apply(self, entry: dict[str, Any]) -> None:
        super()._apply(entry)
        if entry["op"] == "set":
            self._all[entry["key"]] = self._done[-1]

    def add(self, correction: Correction, by: str = "") -> Recorded:
        """Record an action; on disk when this returns."""
        key = self._record({"by": by or default_annotator(), "correction": asdict(correction)})
        return self._all[key]

    def in_force(self, fov_name: str, made_on: str) -> list[Recorded]:
        """Return what has been done to some tracks and not been undone, in order."""
        scope = (fov_name, made_on)
        return [one for one in self._done if self._scope(one) == scope]

    def last(self, fov_name: str, made_on: str, *, undone: bool = False) -> Recorded | None:
        """Return what would be undone next, or done again (``undone``)."""
        return self._last(self._undone if undone else self._done, (fov_name, made_on))

    def ever(self, fov_name: str, made_on: str) -> list[Recorded]:
        """Return what has ever been done to some tracks, what was undone too."""
        scope = (fov_name, made_on)
        return [one for one in self._all.values() if self._scope(one) == scope]

    def waiting(self, fov_name: str, made_on: str) -> list[Recorded]:
        """Return what was done to earlier tracks of a FOV, and not to these yet.

        Parameters
        ----------
        fov_name
            The FOV.
        made_on
            Key of its tracks now.

        Returns
        -------
        list of Recorded
            In order. What was repeated on tracks in between counts as it stood last:
            not, if it was undone there.
        """
        done = {one.key for one in self._done}
        latest: dict[str, Recorded] = {}
        here: set[str] = set()
        for one in self._all.values():
            if one.correction.fov_name != fov_name:
                continue
            origin = self._origin(one)
            latest[origin] = one
            if one.correction.made_on == made_on:
                here.add(origin)
        return [one for origin, one in latest.items() if origin not in here and one.key in done]

    def _origin(self, action: Recorded) -> str:
        while action.correction.replays in self._all:
            action = self._all[action.correction.replays]
        return action.key


def digest(actions: Sequence[Recorded]) -> str:
    """Short hash of the actions that change tracks, in order; "" if there are none."""
    keys = [one.key for one in actions if one.correction.action != ACCEPT]
    return hashlib.sha256(",".join(keys).encode()).hexdigest()[:16] if keys else ""
