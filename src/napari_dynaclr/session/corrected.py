"""Cells and label images as they are after corrections that are not written to them yet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.shards import places
from napari_dynaclr.session.cells import Cells, Prediction, taken
from napari_dynaclr.session.frames import per_axis
from napari_dynaclr.tracking.correction.drawing import ball

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import DTypeLike, NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.session.frames import FovImage
    from napari_dynaclr.tracking.correction.lineages import Lineages


def with_tracks(cells: Cells, fov_name: str, tracks: pd.DataFrame) -> Cells:
    """Return cells with those of a FOV linked otherwise, some gone or added; in a job.

    Maps, predictions and all else that is known of a node stay with its id; of nodes that
    are new, nothing is known.

    Parameters
    ----------
    cells
        The cells.
    fov_name
        The FOV.
    tracks
        Its tracks as they are now, in the order of a valid tracks table.

    Returns
    -------
    Cells
        The same object where the FOV is not among them, or nothing differs.
    """
    old = cells.rows_of(fov_name)
    if fov_name not in cells.fovs:
        return cells
    if _is_same(cells, old, tracks):
        behind = cells.behind - {fov_name}
        return replace(cells, behind=behind).index() if behind != cells.behind else cells
    known = places(cells.id[old], tracks["id"].to_numpy(np.int64))

    def spliced(values: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([values[: old.start], new.astype(values.dtype), values[old.stop :]])

    def carried(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return spliced(values, taken(values[old], known))

    reliability = cells.reliability
    if len(reliability):
        said = "reliability" in tracks
        new = tracks["reliability"].to_numpy(np.float32) if said else taken(reliability[old], known)
        reliability = spliced(reliability, new)
    place = tracks[["z", "y", "x"]].to_numpy(np.float32)
    return replace(
        cells,
        fov=spliced(cells.fov, np.full(len(tracks), cells.fovs.index(fov_name))),
        track=spliced(cells.track, tracks["track_id"].to_numpy()),
        t=spliced(cells.t, tracks["t"].to_numpy()),
        id=spliced(cells.id, tracks["id"].to_numpy()),
        parent=spliced(cells.parent, tracks["parent_track_id"].to_numpy()),
        position=spliced(cells.position, place),
        maps={name: carried(values) for name, values in cells.maps.items()},
        predictions={
            task: Prediction(one.states, carried(one.probability))
            for task, one in cells.predictions.items()
        },
        reliability=reliability,
        behind=cells.behind - {fov_name},
    ).index()


def _is_same(cells: Cells, rows: slice, tracks: pd.DataFrame) -> bool:
    return all(
        np.array_equal(values[rows], tracks[name].to_numpy())
        for name, values in (
            ("id", cells.id),
            ("track_id", cells.track),
            ("parent_track_id", cells.parent),
        )
    )


@dataclass(frozen=True)
class Disc:
    """A cell that was added by hand: a ball, or a disc in a single slice.

    Attributes
    ----------
    centre
        (z, y, x) in pixels.
    radius
        In um.
    track
        The track it is of.
    """

    centre: tuple[float, float, float]
    radius: float
    track: int


@dataclass(frozen=True)
class Changes:
    """How a label image differs from the one on disk.

    Attributes
    ----------
    tracks
        By time point: the track ids that are on disk, ascending, and what they are now.
    discs
        By time point: cells that were added.
    """

    tracks: Mapping[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = field(default_factory=dict)
    discs: Mapping[int, tuple[Disc, ...]] = field(default_factory=dict)

    @property
    def times(self) -> set[int]:
        """Time points that differ."""
        return {*self.tracks, *self.discs}


def changes_of(lineages: Lineages) -> Changes:
    """Compare the tracks as they are corrected with the label images of the tracker; in a job."""
    tracks: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    discs: dict[int, tuple[Disc, ...]] = {}
    for t in lineages.changed_times():
        before, now = lineages.renamed(t)
        differ = before != now
        order = np.argsort(before[differ])
        if len(order):
            tracks[t] = (before[differ][order], now[differ][order])
    drawn = lineages.drawn
    columns = (drawn[name].tolist() for name in ("t", "z", "y", "x", "radius", "track_id"))
    for t, z, y, x, radius, track in zip(*columns, strict=True):
        discs[t] = (*discs.get(t, ()), Disc((z, y, x), radius, track))
    return Changes(tracks, discs)


class TrackLabels:
    """Label image of a FOV by track id, as corrected: the one on disk stays as it is.

    Like :class:`~napari_dynaclr.session.frames.FovImage`, an array (T, Z, Y, X).

    Parameters
    ----------
    image
        The image on disk.
    source
        Where that is.
    """

    ndim = 4

    def __init__(self, image: FovImage, source: Fov) -> None:
        self.image, self.source = image, source
        self.changes = Changes()
        self._scale = source.scale
        self.shape = image.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels."""
        return self.image.dtype

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.image.size

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :, :, :], dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        if not self.changes.times:
            return self.image[key]
        times, *below = per_axis(key)
        wanted = np.arange(self.shape[0])[times]
        if np.ndim(wanted):
            return np.stack([self._at(int(t), below) for t in wanted])
        return self._at(int(wanted), below)

    def _at(self, t: int, below: list[Any]) -> NDArray[Any]:
        """Pixels of one time point; ``below`` are keys for z, y and x."""
        if t not in self.changes.times:
            return self.image[(t, *below)]
        discs = self.changes.discs.get(t, ())
        # Where a cell is to be drawn, all of the time point is needed.
        pixels = self.image[t] if discs else self.image[(t, *below)]
        if t in self.changes.tracks:
            before, after = self.changes.tracks[t]
            table = np.arange(max(int(pixels.max(initial=0)), int(before[-1])) + 1)
            table[before] = after
            pixels = table.astype(self.dtype)[pixels]
        if not discs:
            return np.asarray(pixels)
        pixels = pixels.copy()
        for disc in discs:
            where, inside = ball(pixels.shape, disc.centre, disc.radius, self._scale)
            pixels[where][inside & (pixels[where] == 0)] = disc.track
        return np.asarray(pixels[tuple(below)])

    def holds(self, t: int, z: int) -> bool:
        """Whether a plane can be shown without reading it."""
        return self.image.holds(t, z)

    def load(self, t: int, z: int) -> None:
        """Have the chunk of a plane read, if it is not held; in a job."""
        self.image.load(t, z)
