"""Journals of what people did: every action is a line on disk before the next one.

The file only ever grows. A line either does something or takes an earlier line back, so
what holds now follows from reading it from the top, and a crash costs at most the
action it interrupted. Annotations and corrections of tracks are kept like this.
"""

from __future__ import annotations

import getpass
import json
import os
import uuid
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock

from napari_dynaclr.core.errors import InvalidInput, storage_errors
from napari_dynaclr.core.ledger import now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CANCEL = b"\x18"
"""Ends a line that a crash cut short, so that it is known to be void."""


class Keyed(Protocol):
    """An action that can be named."""

    @property
    def key(self) -> str:
        """Names the action."""


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


class ActionLog[A: Keyed](ABC):
    """An append-only file of actions, which can be undone and done again.

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
        self._done: list[A] = []
        self._undone: list[A] = []
        self._closing = b""
        self._read = 0
        self._lock: FileLock | None = None
        self.catch_up()

    @abstractmethod
    def _parse(self, entry: dict[str, Any]) -> A:
        """Return the action that a line of the file holds.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the line is damaged.
        """

    def _scope(self, action: A) -> object:
        """Return what is undone and done again by itself, apart from the rest of the file."""
        return None

    @property
    def position(self) -> int:
        """How much of the file has been read, in bytes."""
        return self._read

    def catch_up(self) -> None:
        """Read what has been appended since, by this or another process.

        Raises
        ------
        InvalidInput
            If a line other than the last is damaged.
        """
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

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other processes from the file, caught up with what they have written.

        What is read inside is true until what is appended inside is on disk. May be nested.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        with storage_errors(f"write to {self.path}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            locks = self.path.with_name(".locks")
            locks.mkdir(exist_ok=True)
            self._lock = self._lock or FileLock(locks / self.path.name)
            self._lock.acquire()
        try:
            with storage_errors(f"read {self.path}"):
                self.catch_up()
            yield
        finally:
            self._lock.release()

    def _apply(self, entry: dict[str, Any]) -> None:
        if entry["op"] == "set":
            action = self._parse(entry)
            scope = self._scope(action)
            self._done.append(action)
            self._undone = [one for one in self._undone if self._scope(one) != scope]
        elif entry["op"] == "undo":
            self._move(entry.get("of"), self._done, self._undone)
        elif entry["op"] == "redo":
            self._move(entry.get("of"), self._undone, self._done)
        else:
            raise ValueError(entry["op"])

    @staticmethod
    def _move(key: str | None, source: list[A], target: list[A]) -> None:
        """Move the named action (the last, if none is named); it may have moved already."""
        found = source[-1:] if key is None else [one for one in source if one.key == key]
        if key is None and not found:
            raise IndexError("there is no action to move")
        if found:
            source.remove(found[-1])
            target.append(found[-1])

    def _append(self, entry: dict[str, Any]) -> None:
        text = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
        with self.exclusive():
            with storage_errors(f"write to {self.path}"):
                _append_whole(self.path, self._closing + text)
            self._read += len(self._closing) + len(text)
            self._closing = b""
            self._apply(entry)

    def _record(self, facts: dict[str, Any]) -> str:
        """Append an action, with a key of its own and the time; on disk when this returns."""
        key = uuid.uuid4().hex[:12]
        self._append({"op": "set", "key": key, "date": now(), **facts})
        return key

    def undo(self, scope: object = None) -> A | None:
        """Take back the last action of a scope (of all, by default); None if there is none."""
        action = self._last(self._done, scope)
        if action is not None:
            self._append({"op": "undo", "of": action.key, "date": now()})
        return action

    def redo(self, scope: object = None) -> A | None:
        """Do the last undone action of a scope again; None if there is none."""
        action = self._last(self._undone, scope)
        if action is not None:
            self._append({"op": "redo", "of": action.key, "date": now()})
        return action

    def _last(self, actions: list[A], scope: object) -> A | None:
        return next((one for one in reversed(actions) if self._scope(one) == scope), None)
