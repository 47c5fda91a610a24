"""FovWriter: one FOV of an OME-Zarr plate of results, written time point by time point."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.atomic import TEMPORARY, remove, replace_folder, write_csv, write_text
from napari_dynaclr.core.job import Part
from napari_dynaclr.core.multiscale import ome_attributes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    import zarr
    from numpy.typing import DTypeLike, NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.workspace import Workspace


class FovWriter:
    """Write an image result of one FOV, resumable, published when complete.

    The array grows in a hidden folder; :meth:`publish` moves it into the plate, so
    that other tools only ever see complete FOVs. An interrupted run under the same
    key continues after the last finished time point.

    Parameters
    ----------
    workspace
        Where to write.
    result
        Name of the result, which is the plate's name too.
    fov
        The source FOV: gives name, shape, scale and OME-Zarr version.
    key
        What the result is made from (:func:`~napari_dynaclr.core.runs.result_key`).
    channels
        Channel names.
    dtype
        Data type of the pixels.
    inputs
        Keys of the earlier results of the FOV that this one is made from.
    slices
        Slices in a chunk; all of a stack by default.
    depth
        Slices of the result; as many as the source has by default.
    """

    def __init__(
        self,
        workspace: Workspace,
        result: str,
        fov: Fov,
        key: str,
        channels: Sequence[str],
        dtype: DTypeLike = np.uint32,
        inputs: dict[str, str] | None = None,
        slices: int | None = None,
        depth: int | None = None,
    ) -> None:
        self._depth = depth or fov.shape[1]
        self._workspace, self._result, self._fov, self._key = workspace, result, fov, key
        self._channels = list(channels)
        self._inputs = inputs
        self._dtype, self._slices = np.dtype(dtype), slices
        self._folder = workspace.partial(result, fov, key)
        self._image = self._folder / "image"
        self._progress = self._folder / "progress.json"
        self._begun = self._folder / "begun.json"
        if self._progress.exists() and not self._image.is_dir():
            self._take_back()
        if not (self._progress.exists() and self._image.is_dir()):
            self._create()
        self._array = self._open()
        self.notes: list[Any] = list(json.loads(self._progress.read_text(encoding="utf-8")))
        self.begun: dict[str, Any] = {}
        """What the FOV was begun with, see :meth:`remember`."""
        if self._begun.exists():
            self.begun = dict(json.loads(self._begun.read_text(encoding="utf-8")))

    def restart(self) -> None:
        """Begin the FOV anew: what was written of it goes."""
        # First what says how far it is, for a run that is killed here.
        self._progress.unlink(missing_ok=True)
        self._begun.unlink(missing_ok=True)
        remove(self._image)
        self._create()
        self._array = self._open()
        self.notes, self.begun = [], {}

    def remember(self, facts: Mapping[str, Any]) -> None:
        """Keep what all time points have to be made with, for the run that goes on.

        Parameters
        ----------
        facts
            By name; what JSON can hold. Found again in :attr:`begun`.
        """
        self.begun.update(facts)
        write_text(self._begun, json.dumps(self.begun))

    def _take_back(self) -> None:
        """Go on with what was published without some time points; they are missing again."""
        if is_without(self._workspace.key(self._result, self._fov), self._key):
            copy = self._folder / "copy"
            remove(copy)
            # Copied, so that what is published stays as it is until there is better.
            shutil.copytree(self._workspace.plate(self._result) / self._fov.name, copy)
            copy.rename(self._image)

    def _create(self) -> None:
        from iohub.ngff import TransformationMeta, open_ome_zarr

        dtype, slices = self._dtype, self._slices

        (t, _, y, x), z = self._fov.shape, self._depth
        # A result in slices is read one by one, and whole (VisCy's chunks); a label image in 2D.
        side = 1024 if slices is None else max(y, x)
        scale = TransformationMeta(
            type="scale", scale=[self._fov.frame_interval or 1.0, 1.0, *self._fov.scale]
        )
        with open_ome_zarr(
            self._image,
            layout="fov",
            mode="w",
            channel_names=self._channels,
            version=self._fov.ome_version,
            disable_path_checking=True,
        ) as position:
            position.create_zeros(
                "0",
                shape=(t, len(self._channels), z, y, x),
                dtype=dtype,
                chunks=(1, 1, slices or z, min(y, side), min(x, side)),
                transform=[scale],
            )
        write_text(self._progress, "[]")

    def _open(self) -> zarr.Array[Any]:
        import zarr

        return zarr.open_array(self._image / "0", mode="r+")

    @property
    def scratch(self) -> Path:
        """Folder for what is needed on the way, gone when the FOV is complete."""
        return self._folder / "scratch"

    @property
    def next_time(self) -> int:
        """First time point still to be written."""
        return len(self.notes)

    @property
    def missing(self) -> list[int]:
        """Time points still to be written: those left out, and those after the last one."""
        left_out = [t for t, note in enumerate(self.notes) if note is None]
        return [*left_out, *range(self.next_time, self._fov.shape[0])]

    def write(self, t: int, frame: NDArray[np.generic], note: Any = 0) -> None:
        """Write one time point and note that it is there.

        Parameters
        ----------
        t
            :attr:`next_time`, or one that was left out; time points come in order.
        frame
            Pixels, (C, Z, Y, X).
        note
            What to keep for this time point, found again in :attr:`notes`; what JSON can hold.
        """
        self._check_order(t)
        self._array[t] = frame
        self.finish(t, note)

    def write_slices(self, t: int, start: int, slices: NDArray[np.generic]) -> None:
        """Write some slices of a time point, which counts once :meth:`finish` is called.

        Parameters
        ----------
        t
            As for :meth:`write`.
        start
            The first of the slices.
        slices
            Pixels, (C, some slices, Y, X).
        """
        self._check_order(t)
        self._array[t, :, start : start + slices.shape[1]] = slices

    def finish(self, t: int, note: Any = 0) -> None:
        """Note that all slices of a time point are there.

        Parameters
        ----------
        t, note
            As for :meth:`write`.
        """
        self._check_order(t)
        self._set_note(t, note)

    def leave_out(self, t: int) -> None:
        """Go on without a time point that cannot be made now; a later run makes it.

        Parameters
        ----------
        t
            As for :meth:`write`.
        """
        self._check_order(t)
        self._set_note(t, None)

    def _check_order(self, t: int) -> None:
        if t not in self.missing:
            raise ValueError(f"time point {t} is there already")
        if t > self.next_time:
            raise ValueError(f"time point {t} out of order: {self.next_time} is next")

    def _set_note(self, t: int, note: Any) -> None:
        self.notes[t : t + 1] = [note]
        write_text(self._progress, json.dumps(self.notes))

    def part(self, t: int) -> Part:
        """Describe a time point that has been written, for those who want to look."""
        return Part(self._result, self._fov.name, t, self._image)

    def publish(
        self, tables: Mapping[str, pd.DataFrame] | None = None, *, without: bool = False
    ) -> None:
        """Move the finished FOV into its plate and mark it complete.

        Parameters
        ----------
        tables
            CSV files to lie beside the image, by file name.
        without
            Publish also without the time points that were left out. The FOV then has a key
            that says so (:func:`is_without`), and a later run goes on with them.

        Raises
        ------
        ValueError
            If time points are missing.
        """
        missing = self.missing
        if missing and not (without and self.next_time == self._fov.shape[0]):
            raise ValueError(f"time points {missing} are missing")
        for name, table in (tables or {}).items():
            write_csv(self._image / name, table)
        for stray in list(self._image.rglob("*")):
            if _STRAY.search(stray.name) or TEMPORARY.search(stray.name):
                stray.unlink()
        plate = self._workspace.plate(self._result)
        with self._workspace.lock():
            # What was there is void from here on, also if this run is killed.
            self._workspace.forget(self._result, self._fov)
            # Metadata last: a plate never lists a FOV that is not there.
            replace_folder(self._image, plate / self._fov.name)
            list_position(plate, self._fov)
        key = f"{self._key}{_WITHOUT}{','.join(map(str, missing))}" if missing else self._key
        self._workspace.mark_complete(self._result, self._fov, key, self._inputs)
        if not missing:
            remove(self._folder)


_WITHOUT = " without "


def is_without(published: str | None, key: str) -> bool:
    """Whether what is published under a key lacks time points of what another key stands for.

    Parameters
    ----------
    published
        From :meth:`~napari_dynaclr.core.workspace.Workspace.key`.
    key
        From :func:`~napari_dynaclr.core.runs.result_key`.
    """
    return published is not None and published.startswith(key + _WITHOUT)


# What zarr leaves behind when it is killed in the middle of a chunk.
_STRAY = re.compile(r"\.[0-9a-f]{32}\.partial$")


def list_position(plate: Path, fov: Fov) -> None:
    """Enter a FOV in the metadata of its plate and well, creating them as needed."""
    row, column, name = fov.name.split("/")
    path = f"{row}/{column}"
    version = fov.ome_version
    well = _group(plate / path, version).get("well", {"images": []})
    if name not in [image["path"] for image in well["images"]]:
        well["images"].append({"acquisition": 0, "path": name})
    about = _group(plate, version).get(
        "plate", {"acquisitions": [{"id": 0}], "rows": [], "columns": [], "wells": []}
    )
    for kind, entry in (("rows", row), ("columns", column)):
        if {"name": entry} not in about[kind]:
            about[kind].append({"name": entry})
    if path not in [entry["path"] for entry in about["wells"]]:
        about["wells"].append(
            {
                "path": path,
                "rowIndex": about["rows"].index({"name": row}),
                "columnIndex": about["columns"].index({"name": column}),
            }
        )
    _group(plate / row, version)
    _group(plate / path, version, {"well": {"version": version, **well}})
    _group(plate, version, {"plate": {"version": version, **about}})


def _group(path: Path, version: str, ome: dict[str, Any] | None = None) -> dict[str, Any]:
    """Open or create a Zarr group, add OME metadata to it, and return what it has."""
    import zarr

    group = zarr.open_group(path, mode="a", zarr_format=3 if version == "0.5" else 2)
    if ome is not None:
        group.attrs.update({"ome": {"version": version, **ome}} if version == "0.5" else ome)
    return ome_attributes(path)
