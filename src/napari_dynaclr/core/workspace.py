"""Workspace: the folder of results beside a dataset.

Results appear atomically, carry their provenance in ``runs.jsonl``, and a ledger
under ``progress/`` knows what is complete, so that a run can be killed at any
time and resumed by running it again.
"""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.atomic import recover_folder, write_text
from napari_dynaclr.core.errors import InvalidInput, MissingInput, storage_errors
from napari_dynaclr.core.fov import Fov
from napari_dynaclr.core.ledger import Ledger, now

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad
    import pandas as pd

FORMAT_VERSION = 1

ELSEWHERE = "choose another folder with --workspace"
"""What to do where the workspace cannot be written to."""


def _is_read_only(path: Path) -> bool:
    """Whether the whole disk is mounted read-only; Windows does not tell."""
    return hasattr(os, "statvfs") and bool(os.statvfs(path).f_flag & os.ST_RDONLY)


class Workspace(Ledger):
    """Results of one dataset on disk.

    Parameters
    ----------
    path
        The folder; created when something is first written.
    source
        The dataset the results belong to.
    """

    def __init__(self, path: Path, source: Path) -> None:
        super().__init__(path)
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

    # -- where things are -------------------------------------------------

    def plate(self, result: str) -> Path:
        """OME-Zarr plate of a result: "segmentation", "tracks", "stain", "events.tap.attribution".

        A dot stands for a folder.
        """
        return self.path / f"{result.replace('.', '/')}.zarr"

    def tracks_csv(self, fov: Fov) -> Path:
        """Tracks table of a FOV, beside its label image."""
        return self.plate("tracks") / fov.name / "tracks.csv"

    def labels(self, result: str, fov: Fov, *, behind: bool = False) -> Fov:
        """Label images of a FOV: those of "segmentation", or of "tracks" by track id.

        Parameters
        ----------
        result, fov
            Which.
        behind
            Take tracks as they are on disk, also where corrections are not in them yet.

        Raises
        ------
        MissingInput
            If they have not been made.
        """
        what, made_by = {
            "segmentation": ("segmented cells", "segment"),
            "tracks": ("tracks", "track"),
        }[result]
        self._require_readable(result, fov, what, made_by, behind)
        return Fov(self.plate(result) / fov.name, fov.name)

    def tracks(self, fov: Fov, *, behind: bool = False) -> pd.DataFrame:
        """Tracks table of a FOV.

        Parameters
        ----------
        fov
            The FOV.
        behind
            Take it as it is on disk, also where corrections are not in it yet.

        Raises
        ------
        MissingInput
            If the FOV has not been tracked, or corrections are not in its tracks yet.
        """
        from napari_dynaclr.core.tables import read_tracks

        self._require_readable("tracks", fov, "tracks", "track", behind)
        return read_tracks(self.tracks_csv(fov))

    def _require_readable(
        self, result: str, fov: Fov, what: str, made_by: str, behind: bool
    ) -> None:
        if not (behind and result == "tracks" and self.behind(fov)):
            self.require(result, fov, what, made_by)
            return
        if self.outdated(result, fov):
            raise MissingInput(what, made_by, fov.name, old=True)
        self.recover_corrected(fov)

    def recover_corrected(self, fov: Fov) -> None:
        """Finish putting corrected tracks in their place, if that was killed in the middle.

        Under the lock that whoever puts them there holds: a reader that comes at that moment
        waits, and finds them in place.
        """
        place = self.plate("tracks") / fov.name
        if not place.exists() and self.correcting(fov).exists():
            with self.lock():
                recover_folder(self.correcting(fov), place)

    def correcting(self, fov: Fov) -> Path:
        """Folder in which the tracks of a FOV are corrected, before they are published."""
        return self._partial("corrections", fov) / "image"

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

    def events_csv(self, name: str, fov: Fov) -> Path:
        """Table of the likely events of a FOV."""
        return self.path / "events" / name / f"{fov.file_name}.csv"

    def backwards_csv(self, name: str, fov: Fov) -> Path:
        """Table of what a search for events would find in a FOV, were it played backwards."""
        return self.path / "events" / name / "backwards" / f"{fov.file_name}.csv"

    def events(self, name: str, fov: Fov) -> pd.DataFrame:
        """Likely events of a FOV, the likeliest first.

        Parameters
        ----------
        name
            What they are called, such as "tap".
        fov
            The FOV.

        Returns
        -------
        pandas.DataFrame
            :data:`~napari_dynaclr.core.tables.EVENT_COLUMNS`.

        Raises
        ------
        MissingInput
            If they have not been looked for, or the FOV has been tracked again since.
        """
        from napari_dynaclr.core.tables import read_events

        self.require(f"events.{name}", fov, f"likely events '{name}'", "find")
        return read_events(self.events_csv(name, fov))

    def profile(self, name: str) -> Path:
        """Folder of the profiles of fields, wells and conditions that go by a name."""
        return self.path / "profiles" / name

    def profiles(self, name: str, level: str = "well") -> ad.AnnData:
        """Profiles of fields, wells or conditions, in memory.

        Parameters
        ----------
        name
            Such as "features".
        level
            "field", "well_time", "well" or "condition".

        Returns
        -------
        anndata.AnnData
            A row per profile: ``X`` (profiles, dimensions); what it is of in ``obs``; maps in
            ``obsm``.

        Raises
        ------
        MissingInput
            If there is no such profile.
        InvalidInput
            If there is no such level.
        """
        from napari_dynaclr.core.profiles import LEVELS, missing_profile
        from napari_dynaclr.core.shards import read_shard

        if level not in LEVELS:
            raise InvalidInput(f"There is no level '{level}': choose from {', '.join(LEVELS)}.")
        file = self.profile(name) / f"{level}.zarr"
        try:
            return read_shard(file)
        except FileNotFoundError:
            raise missing_profile(name) from None

    def trained(self, name: str) -> Path:
        """Weights of a network that was trained here; its training's files are beside it."""
        return self.path / "weights" / f"{name}.safetensors"

    @property
    def journal(self) -> Path:
        """The append-only journal of annotations."""
        return self.path / "annotations.jsonl"

    @property
    def corrections(self) -> Path:
        """The append-only journal of corrections of tracks."""
        return self.path / "corrections.jsonl"

    @property
    def annotations_csv(self) -> Path:
        """The current annotations, derived from the journal."""
        return self.path / "annotations.csv"

    def predictions(self, task: str) -> Path:
        """Predictions of a task, as CSV."""
        return self.path / "predictions" / f"{task}.csv"

    def set_aside(self, task: str) -> Path:
        """Predictions of a task for cells that were deleted since, as CSV."""
        return self.path / "predictions" / "set_aside" / f"{task}.csv"

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
