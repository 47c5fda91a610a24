"""Ledger of a workspace: what of each FOV is complete, what it was made from, who is at work.

A result is there once it has its entry under ``progress/``: a run can be killed at any time.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from napari_dynaclr.core.atomic import remove, write_text
from napari_dynaclr.core.errors import InvalidInput, MissingInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_dynaclr.core.fov import Fov

AHEAD = "ahead"
"""Stands for corrections that have never been written into the tracks."""


def now() -> str:
    """UTC time to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Ledger:
    """What is complete in a folder of results.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def lock(self) -> FileLock:
        """Lock for the few files that several processes of a cluster share."""
        locks = self.path / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        return FileLock(locks / "plates")

    def _ledger(self, result: str, fov: Fov) -> Path:
        return self.path / "progress" / result / f"{fov.file_name}.json"

    def key(self, result: str, fov: Fov) -> str | None:
        """Return what the complete result of a FOV was made from, or None.

        Parameters
        ----------
        result
            Name of the result, such as "tracks" or "embeddings.features".
        fov
            The FOV.
        """
        entry = self._entry(result, fov)
        return str(entry["key"]) if "key" in entry else None

    def finished(self, result: str, fov: Fov) -> str:
        """Return when the result of a FOV was published, UTC, or "" if it is not there."""
        return str(self._entry(result, fov).get("finished", ""))

    def _entry(self, result: str, fov: Fov) -> dict[str, Any]:
        try:
            return dict(json.loads(self._ledger(result, fov).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return {}

    def outdated(self, result: str, fov: Fov) -> bool:
        """Whether a result was made from another earlier result than is there now."""
        return any(
            self.key(name, fov) != key or self.outdated(name, fov)
            for name, key in self.made_from(result, fov).items()
        )

    def made_from(self, result: str, fov: Fov) -> dict[str, str]:
        """Keys of the earlier results that the result of a FOV was made from, by name."""
        return dict(self._entry(result, fov).get("inputs", {}))

    def require(self, result: str, fov: Fov, what: str, made_by: str) -> str:
        """Return :meth:`key` of an input.

        Raises
        ------
        MissingInput
            If that result is not there, or an earlier stage has been run again since; of
            tracks, also if corrections made since are not in them yet.
        """
        key = self.key(result, fov)
        if key is None:
            raise MissingInput(what, made_by, fov.name)
        if self.outdated(result, fov):
            raise MissingInput(what, made_by, fov.name, old=True)
        if result == "tracks" and self.behind(fov):
            raise MissingInput(what, "correct", fov.name, behind=True)
        return key

    def mark_complete(
        self, result: str, fov: Fov, key: str, inputs: dict[str, str] | None = None
    ) -> None:
        """Record that the result of a FOV is published.

        Parameters
        ----------
        result, fov
            What is complete.
        key
            From :func:`~napari_dynaclr.core.runs.result_key`.
        inputs
            Keys of the earlier results of the same FOV that it was made from.
        """
        entry = {"key": key, "inputs": inputs or {}, "finished": now()}
        write_text(self._ledger(result, fov), json.dumps(entry, indent=2) + "\n")

    def amend(self, result: str, fov: Fov, **facts: object) -> None:
        """Note facts of a published result, which is then as new; a None takes a fact away.

        Parameters
        ----------
        result, fov
            What is complete.
        **facts
            By name; what JSON can hold.
        """
        entry = {**self._entry(result, fov), **facts, "finished": now()}
        entry = {name: fact for name, fact in entry.items() if fact is not None}
        write_text(self._ledger(result, fov), json.dumps(entry, indent=2) + "\n")

    def edited(self, result: str, fov: Fov) -> bool:
        """Whether cells were taken from a result, or are missing in it, since it was made."""
        return bool(self._entry(result, fov).get("edited"))

    # -- corrections of tracks ---------------------------------------------

    def _heads(self, fov: Fov) -> Path:
        return self.path / "progress" / "tracks" / f"{fov.file_name}.corrected.json"

    def heads(self, fov: Fov) -> dict[str, str]:
        """Which corrections the tracks of a FOV should have, by the key of the tracks.

        A digest of them; :data:`AHEAD` where there are others than were ever written.
        """
        try:
            return dict(json.loads(self._heads(fov).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return {}

    def set_head(self, fov: Fov, key: str, digest: str) -> None:
        """Note which corrections the tracks under a key should have."""
        heads = self.heads(fov)
        if heads.get(key) != digest:
            write_text(self._heads(fov), json.dumps({**heads, key: digest}, indent=2) + "\n")

    def corrected(self, fov: Fov) -> str:
        """Digest of the corrections that are in the tracks of a FOV; "" if there are none."""
        return str(self._entry("tracks", fov).get("corrections", ""))

    def behind(self, fov: Fov) -> bool:
        """Whether the tracks of a FOV lack corrections that were made, or have some undone."""
        head = self.heads(fov).get(self.key("tracks", fov) or "")
        return head is not None and head != self.corrected(fov)

    @contextmanager
    def claim(self, result: str, fov: Fov) -> Iterator[None]:
        """Keep other processes from the same result of the same FOV.

        Raises
        ------
        InvalidInput
            If another process is at work on it.
        """
        busy = (
            f"Another process is working on the {result} of FOV {fov.name}: wait for it, or "
            "give every process FOVs of its own with --fov."
        )
        with self._held(f"{result}.{fov.file_name}", busy):
            yield

    @contextmanager
    def claim_training(self, name: str) -> Iterator[None]:
        """Keep other processes from training a network of the same name.

        Raises
        ------
        InvalidInput
            If another process is at work on it.
        """
        busy = f"Another process is training '{name}': wait for it, or choose another name."
        with self._held(f"weights.{name}", busy):
            yield

    @contextmanager
    def _held(self, name: str, busy: str) -> Iterator[None]:
        locks = self.path / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / name, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise InvalidInput(busy) from None
        try:
            yield
        finally:
            lock.release()

    def forget(self, pattern: str, fov: Fov) -> None:
        """Mark results of a FOV as not there, because what they were kept in was replaced."""
        for file in (self.path / "progress").glob(f"{pattern}/{fov.file_name}.json"):
            file.unlink()

    def partial(self, result: str, fov: Fov, key: str) -> Path:
        """Folder for the unfinished result of a FOV.

        What an earlier, interrupted run left there under the same key is kept;
        anything else is cleared away.
        """
        folder = self._partial(result, fov)
        stamp = folder / "key"
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != key:
            remove(folder)
            write_text(stamp, key)
        return folder

    def tidy(self, result: str, fov: Fov) -> None:
        """Remove what a run that was killed after its last step left of a complete result."""
        left = self._partial(result, fov)
        if left.exists():
            remove(left)

    def _partial(self, result: str, fov: Fov) -> Path:
        return self.path / ".partial" / result / fov.file_name
