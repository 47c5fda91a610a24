"""TrackMate's XML, read only: spots, and the tracks that were not filtered out.

The file is read as a stream, without a tree in memory. A document type is refused: TrackMate
writes none, and entities declared in one are how an XML file fills the memory or reads others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError, XMLParser

import numpy as np
import pandas as pd

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.tables import validate_tracks
from napari_dynaclr.tracking.exchange.found import Found
from napari_dynaclr.tracking.exchange.geff import micrometers
from napari_dynaclr.tracking.tracklets import tracklets

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov

_SPOT = ("FRAME", "POSITION_Z", "POSITION_Y", "POSITION_X", "RADIUS")
_BLOCK = 1 << 20


class _Collector:
    """What the parser tells of the file's elements: spots and links, as lists of numbers."""

    def __init__(self) -> None:
        self.is_trackmate = False
        self.unit = "pixel"
        self.sizes: list[float] = []
        self.spots: list[tuple[float, ...]] = []
        self.links: list[tuple[int, int, int]] = []
        self.kept: set[int] | None = None
        self._track = -1

    def start(self, tag: str, about: dict[str, str]) -> None:
        if tag == "TrackMate":
            self.is_trackmate = True
        elif tag == "Model":
            self.unit = about.get("spatialunits", "pixel")
        elif tag == "Spot":
            self.spots.append((int(about["ID"]), *(float(about.get(k, "nan")) for k in _SPOT)))
        elif tag == "Track":
            self._track = int(about["TRACK_ID"])
        elif tag == "Edge":
            ends = int(about["SPOT_SOURCE_ID"]), int(about["SPOT_TARGET_ID"])
            self.links.append((*ends, self._track))
        elif tag == "FilteredTracks":
            self.kept = set()
        elif tag == "TrackID" and self.kept is not None:
            self.kept.add(int(about["TRACK_ID"]))
        elif tag == "ImageData":
            names = ("voxeldepth", "pixelheight", "pixelwidth")
            self.sizes = [float(about.get(name, "nan")) for name in names]

    def doctype(self, *_about: object) -> None:
        raise InvalidInput("it declares a document type, which TrackMate does not")

    def close(self) -> None:
        """Nothing to hand back: the lists are the result."""


def read_trackmate(path: Path, fov: Fov) -> Found:
    """Read the spots of TrackMate's tracks, with their links, splits and gaps.

    Parameters
    ----------
    path
        The file.
    fov
        The FOV that it is of.

    Raises
    ------
    InvalidInput
        If it is no file of TrackMate, or holds no tracks.
    """
    held = _parse(path)
    spots = pd.DataFrame(held.spots, columns=["id", *_SPOT]).astype({"id": np.int64})
    if not spots["id"].is_unique:
        raise InvalidInput(f"{path} has two spots of the same ID: save it from TrackMate again.")
    links = np.array(held.links, np.int64).reshape(-1, 3)
    if held.kept is not None:
        links = links[np.isin(links[:, 2], list(held.kept))]
    if not len(links):
        raise InvalidInput(f"{path} has no tracks: link the spots in TrackMate, and save again.")
    lone = ~spots["id"].isin(links[:, :2].ravel())
    notes = []
    if lone.any():
        notes.append(f"{path.name}: {int(lone.sum())} spots outside of tracks were left out.")
    spots = spots[~lone].reset_index(drop=True)
    size, factor = _pixel(held, fov)
    place = spots[["POSITION_Z", "POSITION_Y", "POSITION_X"]].fillna(0.0).to_numpy() / size
    rows = pd.Index(spots["id"]).get_indexer(links[:, :2].ravel()).reshape(-1, 2)
    if (rows < 0).any():
        raise InvalidInput(f"{path} has a link to a spot that is not there: save it again.")
    times = spots["FRAME"].to_numpy()
    rows = np.where(times[rows[:, :1]] > times[rows[:, 1:]], rows[:, ::-1], rows)
    rows, dropped = _without_merges(rows, place)
    if dropped:
        notes.append(
            f"{path.name}: cells become one {dropped} times; the nearest link was kept of each."
        )
    track, parent = tracklets(times, rows, path)
    table = pd.DataFrame(place, columns=["z", "y", "x"]).assign(
        t=times,
        id=spots["id"],
        track_id=track,
        parent_track_id=parent,
        radius=spots["RADIUS"] * factor,
    )
    return Found(validate_tracks(table, path), notes=tuple(notes))


def _parse(path: Path) -> _Collector:
    collector = _Collector()
    parser = XMLParser(target=collector)
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                parser.feed(block)
        parser.close()
    except (ParseError, InvalidInput, KeyError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InvalidInput(f"{path} is no readable XML of TrackMate: {reason}.") from None
    if not collector.is_trackmate:
        raise InvalidInput(f"{path} is XML, but not of TrackMate: choose another file.")
    return collector


def _pixel(held: _Collector, fov: Fov) -> tuple[NDArray[np.float64], float]:
    """Return a pixel (z, y, x) in the file's unit, and how many um that unit is."""
    unit = micrometers(held.unit)
    scale = np.asarray(fov.scale)
    if unit is None:
        return np.ones(3), float(scale[2])
    said = np.array(held.sizes)
    # What the file says of its image holds also where the FOV's voxel size was never set.
    size = said if len(said) == 3 and (said > 0).all() else scale / unit
    return size, float(scale[2] / size[2])


def _without_merges(
    rows: NDArray[np.int64], place: NDArray[np.float64]
) -> tuple[NDArray[np.int64], int]:
    """Keep of the links to one spot the shortest, and say how many went."""
    length = np.linalg.norm(place[rows[:, 0]] - place[rows[:, 1]], axis=1)
    order = np.lexsort((length, rows[:, 1]))
    _, first = np.unique(rows[order, 1], return_index=True)
    kept = np.sort(order[first])
    return rows[kept], len(rows) - len(kept)
