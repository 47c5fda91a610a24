"""Tracks of other tools, taken as they are: ultrack, CTC, GEFF, TrackMate, napari."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.tables import read_tracks
from napari_dynaclr.tracking.exchange.ctc import ctc_folder, read_ctc
from napari_dynaclr.tracking.exchange.found import Found
from napari_dynaclr.tracking.exchange.geff import read_geff
from napari_dynaclr.tracking.exchange.points import cells_under, draw_discs
from napari_dynaclr.tracking.exchange.tables import read_table
from napari_dynaclr.tracking.exchange.trackmate import read_trackmate
from napari_dynaclr.tracking.movie import Linked, Movie
from napari_dynaclr.tracking.nodes import frame_nodes, relabel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job

_FORMATS = "a CSV (ultrack, VisCy, napari), a CTC folder, a .geff, TrackMate's .xml or a plate"


class ImportTracksParams(Params):
    """Where the tracks are, and what their cells look like."""

    path: str = Field(
        "",
        title="Tracks",
        description="A CSV of ultrack, VisCy or napari, a folder of the Cell Tracking Challenge, "
        "a .geff, TrackMate's .xml, an OME-Zarr plate with tracks beside its label images, or "
        "a folder with one of these per FOV, named row_column_fov.",
        json_schema_extra={"path": "any", "filter": "Tracks (*.csv *.xml)"},
    )
    cells: Literal["own", "segmented"] = Field(
        "own",
        title="Cells",
        description="own: the file's label images, and discs where it has points only; "
        "segmented: the segmented cell under each point.",
    )
    radius: float = Field(
        5.0,
        title="Radius (um)",
        description="Radius of the discs for points whose file gives none, and for those that "
        "lie in no cell.",
        gt=0,
        le=1000,
    )
    name: str = Field(
        "",
        title="Label channel",
        description="Channel of the label images in a plate; the first if empty.",
        json_schema_extra={"advanced": True},
    )


def needs_segmentation(params: ImportTracksParams) -> bool:
    """Whether points are to lie in segmented cells."""
    return params.cells == "segmented"


def input_key(fov: Fov, params: ImportTracksParams) -> str:
    """Identify the files by place and date, so that edited tracks are taken anew."""
    place = _place(params)
    own = _of_fov(place, fov) or (place / fov.name if (place / fov.name).exists() else place)
    beside = own.parent.glob(f"{own.stem}.*") if own.is_file() else own.rglob("*")
    files = [own, *beside]
    newest = max(file.stat().st_mtime_ns for file in files)
    return "|".join([str(own.resolve()), str(len(files)), str(newest)])


def link(movie: Movie, params: ImportTracksParams, job: Job) -> Linked:
    """Read the tracks of a FOV, and give each of its nodes pixels.

    Raises
    ------
    InvalidInput
        If the file cannot be read, or is not of this FOV.
    """
    found = _read(movie.fov, params, job)
    for note in found.notes:
        job.note(note)
    table = _numbered(found.table)
    _check_inside(table, movie.fov)
    painter = _Painter(movie, table, found, params)
    if params.cells == "own" and "area" in table:
        return Linked(table, painter.frames)
    return Linked(_measured(painter, table, movie.fov, job), painter.frames)


def _place(params: ImportTracksParams) -> Path:
    if not params.path:
        raise InvalidInput(f"Which tracks? Give their path: {_FORMATS}.")
    place = Path(params.path).expanduser()
    if not place.exists():
        raise InvalidInput(f"{place} does not exist: check the path of the tracks.")
    return place


def _of_fov(place: Path, fov: Fov) -> Path | None:
    """Return what a folder with one per FOV holds for this one, or None."""
    if not place.is_dir() or place.suffix in (".zarr", ".geff") or ctc_folder(place):
        return None
    names = [fov.file_name, *(f"{fov.file_name}{end}" for end in (".csv", ".geff", ".xml"))]
    return next((place / name for name in names if (place / name).exists()), None)


def _read(fov: Fov, params: ImportTracksParams, job: Job) -> Found:
    """Read the tracks of a FOV, whatever they are kept in."""
    place = _place(params)
    own = _of_fov(place, fov)
    only = own is not None or fov.is_only
    place = own or place
    kind = place.suffix.lower()
    if place.is_file() and kind in (".csv", ".txt"):
        return read_table(place, fov.name, only=only)
    folder = ctc_folder(place) if place.is_dir() else None
    if folder is not None or kind in (".xml", ".geff"):
        if not only:
            raise InvalidInput(
                f"{place} is of one FOV and the dataset has several: give a folder that holds one "
                "per FOV, named row_column_fov."
            )
        if folder is not None:
            return read_ctc(folder, fov, job)
        return read_geff(place, fov) if kind == ".geff" else read_trackmate(place, fov)
    if place.is_dir() and _is_zarr(place):
        return _read_plate(place, fov, params)
    raise InvalidInput(f"{place} holds no tracks of FOV {fov.name}: give {_FORMATS}.")


def _is_zarr(place: Path) -> bool:
    return any((place / name).exists() for name in (".zgroup", ".zattrs", "zarr.json"))


def _read_plate(place: Path, fov: Fov, params: ImportTracksParams) -> Found:
    """Read a plate of label images with a table of tracks in each FOV, as ultrack writes it."""
    plate = open_dataset(place)
    alone = fov.name not in plate.fov_names and len(plate.fov_names) == 1 and fov.is_only
    source = plate.fovs[0] if alone else plate[fov.name]
    files = sorted(source.path.glob("*.csv"))
    if len(files) != 1:
        raise InvalidInput(
            f"{source.path} holds {len(files)} CSV files: exactly one table of tracks has to lie "
            "beside the label image."
        )
    if source.shape != fov.shape:
        raise InvalidInput(
            f"The label image of FOV {fov.name} has shape {source.shape}, the FOV has {fov.shape} "
            "(T, Z, Y, X): give tracks of this FOV."
        )
    channel = params.name or source.channels[0]
    source.find(channel)

    def labels(times: Iterable[int]) -> Iterator[tuple[int, NDArray[Any]]]:
        for t, frame in source.frames([channel], times, allow_empty=True):
            yield t, frame[0]

    return Found(read_tracks(files[0]), labels)


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """Give each node a number within its time point, for its pixels, and tracks from 1 on."""
    kept = [name for name in ("area", "radius", "reliability") if name in table]
    table = table[["t", "z", "y", "x", "id", "track_id", "parent_track_id", *kept]].copy()
    table["label"] = table.groupby("t").cumcount() + 1
    if (table["track_id"] < 1).any():  # 0 is the background of a label image
        lift = 1 - table["track_id"].min()
        table["source_id"] = table["track_id"]
        has_parent = table["parent_track_id"] >= table["track_id"].min()
        table["parent_track_id"] = (table["parent_track_id"] + lift).where(has_parent, -1)
        table["track_id"] += lift
    return table


def _check_inside(table: pd.DataFrame, fov: Fov) -> None:
    for axis, size in zip("tzyx", fov.shape, strict=True):
        wrong = table[(table[axis] < -0.5) | (table[axis] > size - 0.5)]
        if len(wrong):
            raise InvalidInput(
                f"The tracks have a cell at {axis} = {wrong[axis].iloc[0]:g}, and FOV {fov.name} "
                f"ends at {size - 1} ({len(wrong)} cells lie outside): give tracks of this FOV, in "
                "pixels or with their unit."
            )


class _Painter:
    """The label images of imported tracks: pixels carry the node's ``label``."""

    def __init__(
        self, movie: Movie, table: pd.DataFrame, found: Found, params: ImportTracksParams
    ) -> None:
        self._movie, self._labels, self._cells = movie, found.labels, params.cells
        radius = table["radius"] if "radius" in table else pd.Series(np.nan, table.index)
        table = table.assign(radius=radius.where(radius > 0, params.radius))
        self._by_time = dict(iter(table.groupby("t")))
        self.has_cells = params.cells == "segmented" or found.labels is not None
        """Whether there are label images, so that a node without pixels in them is remarkable."""
        self.bare = 0
        """Nodes that had no pixels of their own, so far."""

    def frames(self, times: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint32]]]:
        for t, base in self._bases(times):
            rows = self._by_time.get(t)
            yield t, np.zeros(base.shape, np.uint32) if rows is None else self._paint(base, rows)

    def _bases(self, times: Iterable[int]) -> Iterator[tuple[int, NDArray[Any]]]:
        if self._cells == "segmented":
            return self._movie.labels(times)
        if self._labels is not None:
            return self._labels(times)
        return ((t, np.zeros(self._movie.fov.shape[1:], np.uint32)) for t in times)

    def _paint(self, base: NDArray[Any], rows: pd.DataFrame) -> NDArray[np.uint32]:
        places, numbers = rows[["z", "y", "x"]].to_numpy(float), rows["label"].to_numpy()
        if self._cells == "segmented":
            image = cells_under(base, places, numbers)
        elif self._labels is not None:
            given = rows["source_id" if "source_id" in rows else "track_id"].to_numpy()
            pairs = pd.DataFrame({"label": given, "track_id": numbers})
            image = relabel(base, pairs[given > 0])  # 0 is the background
        else:
            image = np.zeros(base.shape, np.uint32)
        bare = ~np.isin(numbers, image)
        if bare.any():
            self.bare += int(bare.sum())
            radii = rows["radius"].to_numpy(float)[bare]
            draw_discs(image, places[bare], radii, numbers[bare], self._movie.fov.scale)
        return image


def _measured(painter: _Painter, table: pd.DataFrame, fov: Fov, job: Job) -> pd.DataFrame:
    """Add ``area``; say what had to be drawn."""
    times = range(fov.shape[0])
    areas = pd.concat(
        [
            frame_nodes(image, t)[["t", "label", "area"]]
            for t, image in job.track(painter.frames(times), f"cells {fov.name}", total=len(times))
        ],
        ignore_index=True,
    )
    table = table.drop(columns="area", errors="ignore").merge(
        areas, on=["t", "label"], how="left", validate="1:1"
    )
    hidden = table[table["area"].isna()]
    if len(hidden):
        row = hidden.iloc[0]
        raise InvalidInput(
            f"Track {row['track_id']:.0f} has the place of another cell at time point "
            f"{row['t']:.0f} (y = {row['y']:g}, x = {row['x']:g}; {len(hidden)} such cells): leave "
            "one of the two out."
        )
    if painter.has_cells and painter.bare > len(table) / 2:
        raise InvalidInput(
            f"{painter.bare} of {len(table)} cells of the tracks of FOV {fov.name} have no pixels "
            "in the label images: give label images and tracks that belong together."
        )
    if painter.has_cells and painter.bare:
        job.note(f"{painter.bare} cells of FOV {fov.name} had no pixels and are drawn as discs.")
    return table.astype({"area": np.int64})
