"""Workspace: the folder of results beside a dataset.

Results appear atomically, carry their provenance in ``runs.jsonl``, and a ledger
under ``progress/`` knows what is complete, so that a run can be killed at any
time and resumed by running it again.
"""

from __future__ import annotations

import errno
import json
import os
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from napari_dynaclr.core.atomic import remove, write_text
from napari_dynaclr.core.errors import InvalidInput, MissingInput, storage_errors
from napari_dynaclr.core.fov import Fov

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad
    import pandas as pd

FORMAT_VERSION = 1

ELSEWHERE = "choose another folder with --workspace"
"""What to do where the workspace cannot be written to."""


def now() -> str:
    """UTC time to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _is_read_only(path: Path) -> bool:
    """Whether the whole disk is mounted read-only; Windows does not tell."""
    return hasattr(os, "statvfs") and bool(os.statvfs(path).f_flag & os.ST_RDONLY)


class Workspace:
    """Results of one dataset on disk.

    Parameters
    ----------
    path
        The folder; created when something is first written.
    source
        The dataset the results belong to.
    """

    def __init__(self, path: Path, source: Path) -> None:
        self.path = path
        self.source = source
        self._check_format()

    def __repr__(self) -> str:
        return f"Workspace({str(self.path)!r})"

    def _check_format(self) -> None:
        file = self.path / "workspace.json"
        if self.path.is_file():
            raise InvalidInput(f"{self.path} is a file: choose a folder with --workspace.")
        if not file.exists():
            if self.path.is_dir() and any(p.name[0] != "." for p in self.path.iterdir()):
                raise InvalidInput(
                    f"{self.path} is not empty and no workspace: choose another folder."
                )
            return
        try:
            version = int(json.loads(file.read_text(encoding="utf-8"))["format_version"])
        except (ValueError, KeyError, TypeError):
            raise InvalidInput(f"{file} is damaged: restore it or choose another folder.") from None
        if version > FORMAT_VERSION:
            raise InvalidInput(
                f"{self.path} was written by a newer version of napari-dynaclr "
                f"(format {version}, this one knows {FORMAT_VERSION}): update napari-dynaclr."
            )

    def prepare(self, channels: list[str]) -> None:
        """Create the folder and ``workspace.json`` if they are not there yet.

        Raises
        ------
        StorageError
            If the place cannot be written to.
        """
        file = self.path / "workspace.json"
        with storage_errors(f"write to {self.path}", ELSEWHERE):
            self.path.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                about = {
                    "format_version": FORMAT_VERSION,
                    "source": os.path.relpath(self.source, self.path),
                    "channels": channels,
                    "created": now(),
                }
                write_text(file, json.dumps(about, indent=2) + "\n")
            if not os.access(self.path, os.W_OK):
                raise OSError(errno.EROFS if _is_read_only(self.path) else errno.EACCES, "refused")

    def lock(self) -> FileLock:
        """Lock for the few files that several processes of a cluster share."""
        return FileLock(self.path / ".lock")

    # -- what is complete -------------------------------------------------

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
        try:
            text = self._ledger(result, fov).read_text(encoding="utf-8")
            return str(json.loads(text)["key"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def require(self, result: str, fov: Fov, what: str, made_by: str) -> str:
        """Return :meth:`key` of an input.

        Raises
        ------
        MissingInput
            If that result is not there.
        """
        key = self.key(result, fov)
        if key is None:
            raise MissingInput(what, made_by, fov.name)
        return key

    def mark_complete(self, result: str, fov: Fov, key: str) -> None:
        """Record that the result of a FOV is published."""
        write_text(
            self._ledger(result, fov), json.dumps({"key": key, "finished": now()}, indent=2) + "\n"
        )

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

    # -- where things are -------------------------------------------------

    def plate(self, result: str) -> Path:
        """OME-Zarr plate of a result: "segmentation", "tracks" or "stain"."""
        return self.path / f"{result}.zarr"

    def tracks_csv(self, fov: Fov) -> Path:
        """Tracks table of a FOV, beside its label image."""
        return self.plate("tracks") / fov.name / "tracks.csv"

    def labels(self, result: str, fov: Fov) -> Fov:
        """Label images of a FOV: those of "segmentation", or of "tracks" by track id.

        Raises
        ------
        MissingInput
            If they have not been made.
        """
        what, made_by = {
            "segmentation": ("segmented cells", "segment"),
            "tracks": ("tracks", "track"),
        }[result]
        self.require(result, fov, what, made_by)
        return Fov(self.plate(result) / fov.name, fov.name)

    def tracks(self, fov: Fov) -> pd.DataFrame:
        """Tracks table of a FOV.

        Raises
        ------
        MissingInput
            If the FOV has not been tracked.
        """
        from napari_dynaclr.core.tables import read_tracks

        self.require("tracks", fov, "tracks", "track")
        return read_tracks(self.tracks_csv(fov))

    def shard(self, embedding: str, fov: Fov) -> Path:
        """AnnData shard of a FOV."""
        return self.path / "embeddings" / embedding / f"{fov.file_name}.zarr"

    def embedding(self, name: str, fov: Fov) -> ad.AnnData:
        """Embedding of a FOV, in memory.

        Raises
        ------
        MissingInput
            If the FOV has not been embedded.
        """
        from napari_dynaclr.core.shards import read_shard

        self.require(f"embeddings.{name}", fov, f"embedding '{name}'", "embed")
        return read_shard(self.shard(name, fov))

    @property
    def journal(self) -> Path:
        """The append-only journal of annotations."""
        return self.path / "annotations.jsonl"

    @property
    def annotations_csv(self) -> Path:
        """The current annotations, derived from the journal."""
        return self.path / "annotations.csv"

    def annotations(self) -> pd.DataFrame:
        """Return the current annotations.

        Raises
        ------
        InvalidInput
            If nothing has been annotated.
        """
        import pandas as pd

        # States are words, whatever they look like: "1" is no number, "None" is not blank.
        kinds = defaultdict(lambda: "str", dict.fromkeys("zyx", "float64"))
        kinds |= dict.fromkeys(["track_id", "t", "id", "parent_track_id", "parent_id"], "int64")
        try:
            return pd.read_csv(
                self.annotations_csv, dtype=kinds, keep_default_na=False, na_values=[""]
            )
        except FileNotFoundError:
            raise InvalidInput(
                "Nothing has been annotated yet: run 'annotate', or click cells in the viewer."
            ) from None

    def predictions(self, task: str) -> Path:
        """Predictions of a task, as CSV."""
        return self.path / "predictions" / f"{task}.csv"

    def classifier(self, task: str) -> Path:
        """Classifier of a task, saved with skops."""
        return self.path / "classifiers" / f"{task}.skops"

    def scores(self, task: str) -> dict[str, Any]:
        """Return the cross-validated scores of a task's classifier, by what was held out.

        Raises
        ------
        MissingInput
            If the task has not been classified.
        """
        try:
            text = self.classifier(task).with_suffix(".json").read_text(encoding="utf-8")
        except FileNotFoundError:
            raise MissingInput(f"classifier of '{task}'", "classify") from None
        return dict(json.loads(text)["cross_validation"])

    def evaluation(self, name: str) -> Path:
        """Figures of one evaluation, as CSV."""
        return self.path / "evaluation" / f"{name}.csv"

    # -- provenance -------------------------------------------------------

    def record(self, entry: dict[str, Any]) -> None:
        """Append one line to ``runs.jsonl``."""
        line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        with (self.path / "runs.jsonl").open("a+b") as file:
            # A line cut short by a crash must not swallow this one.
            file.seek(-min(file.tell(), 1), os.SEEK_END)
            file.write(line if file.read() in (b"", b"\n") else b"\n" + line)
            file.flush()
            os.fsync(file.fileno())

    def runs(self) -> list[dict[str, Any]]:
        """All recorded runs, oldest first; a line cut short by a crash is left out."""
        try:
            lines = (self.path / "runs.jsonl").read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found
