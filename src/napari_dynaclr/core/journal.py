"""The journal of annotations: every click is a line on disk before the next one.

The file only ever grows. A line either sets states or undoes an earlier line, so
the current states follow from reading it from the top, and a crash costs at most
the click it interrupted.
"""

from __future__ import annotations

import getpass
import json
import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from napari_dynaclr.core.errors import InvalidInput, storage_errors
from napari_dynaclr.core.tasks import UNKNOWN as UNKNOWN
from napari_dynaclr.core.workspace import now

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_CANCEL = b"\x18"
"""Ends a line that a crash cut short, so that it is known to be void."""


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


def default_annotator() -> str:
    """Name of the user of this computer."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _append_whole(path: Path, data: bytes) -> None:
    """Append to a file and sync it; nothing is appended if the disk refuses a part."""
    with path.open("ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


class Journal:
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

    def __init__(self, path: Path) -> None:
        self.path = path
        self._done: list[Action] = []
        self._undone: list[Action] = []
        self._closing = b""
        self._read = 0
        self._catch_up()

    def _catch_up(self) -> None:
        """Read what has been appended since, by this or another process."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        lines = data.split(b"\n")
        self._read += len(data)
        self._closing = b"" if data else self._closing
        for number, line in enumerate(lines, start=1):
            cut_short = number == len(lines)  # no line feed after it: a crash
            if not line.strip():
                continue
            try:
                self._apply(json.loads(line))
                self._closing = b"\n" if cut_short else b""
            except (ValueError, KeyError, TypeError, IndexError):
                if cut_short:
                    self._closing = _CANCEL + b"\n"
                elif not line.endswith(_CANCEL):
                    raise InvalidInput(
                        f"{self.path}, line {number} is damaged: restore the file from a backup "
                        "or delete that line."
                    ) from None

    def _apply(self, entry: dict[str, Any]) -> None:
        if entry["op"] == "set":
            marks = tuple(Mark(**mark) for mark in entry["marks"])
            self._done.append(Action(entry["key"], marks, entry["annotator"], entry["date"]))
            self._undone.clear()
        elif entry["op"] == "undo":
            self._move(entry.get("of"), self._done, self._undone)
        elif entry["op"] == "redo":
            self._move(entry.get("of"), self._undone, self._done)
        else:
            raise ValueError(entry["op"])

    @staticmethod
    def _move(key: str | None, source: list[Action], target: list[Action]) -> None:
        """Move the named action (the last, if none is named); it may have moved already."""
        found = source[-1:] if key is None else [one for one in source if one.key == key]
        if key is None and not found:
            raise IndexError("there is no action to move")
        if found:
            source.remove(found[-1])
            target.append(found[-1])

    def _append(self, entry: dict[str, Any]) -> None:
        text = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
        with storage_errors(f"write to {self.path}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            locks = self.path.with_name(".locks")
            locks.mkdir(exist_ok=True)
            with FileLock(locks / self.path.name):
                self._catch_up()
                _append_whole(self.path, self._closing + text)
                self._read += len(self._closing) + len(text)
        self._closing = b""
        self._apply(entry)

    def add(self, marks: Sequence[Mark], annotator: str = "") -> None:
        """Record one action; on disk when this returns. No marks, no action."""
        if marks:
            self._append(
                {
                    "op": "set",
                    "key": uuid.uuid4().hex[:12],
                    "annotator": annotator or default_annotator(),
                    "date": now(),
                    "marks": [vars(mark) for mark in marks],
                }
            )

    def undo(self) -> Action | None:
        """Take back the last action; None if there is none."""
        if not self._done:
            return None
        action = self._done[-1]
        self._append({"op": "undo", "of": action.key, "date": now()})
        return action

    def redo(self) -> Action | None:
        """Do the last undone action again; None if there is none."""
        if not self._undone:
            return None
        action = self._undone[-1]
        self._append({"op": "redo", "of": action.key, "date": now()})
        return action

    @property
    def position(self) -> int:
        """How much of the file has been read, in bytes."""
        return self._read

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
