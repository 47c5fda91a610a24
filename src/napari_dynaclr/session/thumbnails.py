"""Thumbnails: small pictures of cells, channels laid over each other as in the viewer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.normalize import contrast
from napari_dynaclr.session.frames import ChunkCache, FovImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset

WIDTH_UM = 40.0
"""Width of a patch, unless another is asked for."""

_LEVELS = 256
_GREY = np.repeat(np.linspace(0.0, 1.0, _LEVELS, dtype=np.float32)[:, None], 3, axis=1)
_ROOM = 256_000_000
_LEAST, _MOST = 8, 1024
"""Pixels of a patch: fewer show nothing, more are not a patch."""


class Place(NamedTuple):
    """Where a cell is: FOV, time point, and position in pixels."""

    fov_name: str
    t: int
    z: float
    y: float
    x: float


@dataclass(frozen=True, eq=False)
class Look:
    """How a channel is shown.

    Attributes
    ----------
    channel
        Its name.
    limits
        Intensities shown as darkest and brightest; None for what suits the FOV.
    table
        Red, green and blue from 0 to 1 in equal steps between them, (256, 3).
    """

    channel: str
    limits: tuple[float, float] | None = None
    table: NDArray[np.float32] = field(default_factory=lambda: _GREY)


def thumbnails(
    dataset: Dataset,
    places: Sequence[Place],
    looks: Sequence[Look],
    width: float = WIDTH_UM,
    cache: ChunkCache | None = None,
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Cut the surroundings of cells out of their images, one after the other.

    Cells of the same plane come together, so that each is decoded once; the first
    asked for comes first. Channels are added up, as light is. Where an image cannot
    be read, or a FOV lacks a channel, it stays black: one damaged chunk must not cost
    all pictures.

    Parameters
    ----------
    dataset
        Where the images are.
    places
        The cells; the plane nearest to each is shown.
    looks
        Channels, and how to show them.
    width
        Width and height of what is shown, in um.
    cache
        Where chunks are kept for other views; a small one of its own if omitted.

    Yields
    ------
    tuple
        Index into ``places``, and the picture, (Y, X, 3).
    """
    cache = cache or ChunkCache(_ROOM)
    planes: dict[tuple[str, int, int], list[int]] = {}
    for i, place in enumerate(places):
        planes.setdefault((place.fov_name, place.t, round(place.z)), []).append(i)
    images: dict[tuple[str, str], FovImage | None] = {}
    limits: dict[tuple[str, str], tuple[float, float]] = {}
    for (name, t, z), cells in planes.items():
        fov = dataset.whole[name]
        rows, columns = (min(max(round(width / step), _LEAST), _MOST) for step in fov.scale[1:])
        light = np.zeros((len(cells), rows, columns, 3), np.float32)
        for look in looks:
            key = (name, look.channel)
            if key not in images:
                known = look.channel in fov.channels
                images[key] = FovImage(fov, look.channel, cache) if known else None
            image = images[key]
            if image is None:
                continue
            try:
                low, high = look.limits or limits.get(key) or contrast(dataset, fov, look.channel)
                plane = image[t, min(max(z, 0), image.shape[1] - 1)]
            except InvalidInput:
                continue
            limits[key] = (low, high)
            for i, picture in zip(cells, light, strict=True):
                seen, there = _window(plane.shape, places[i], (rows, columns))
                picture[seen] += _shown(plane[there], low, high, look.table)
        pictures = (np.clip(light, 0.0, 1.0) * 255).round().astype(np.uint8)
        yield from zip(cells, pictures, strict=True)


def _window(
    shape: tuple[int, ...], place: Place, size: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Which part of a picture shows which part of a plane, with the cell in the middle.

    Patches for a network are moved or filled up at the border; for an eye, what is
    outside stays black.
    """
    seen, there = [], []
    for centre, width, extent in zip((place.y, place.x), size, shape[-2:], strict=True):
        start = round(centre - (width - 1) / 2)
        low, high = (min(max(edge, 0), extent) for edge in (start, start + width))
        there.append(slice(low, high))
        seen.append(slice(low - start, high - start))
    return (seen[0], seen[1]), (there[0], there[1])


def _shown(
    pixels: NDArray[np.generic], low: float, high: float, table: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Colours of pixels, (..., 3)."""
    span = high - low if high > low else 1.0
    level = (np.nan_to_num(np.asarray(pixels, np.float32)) - low) * ((_LEVELS - 1) / span)
    return table[np.clip(level, 0, _LEVELS - 1).astype(np.intp)]
