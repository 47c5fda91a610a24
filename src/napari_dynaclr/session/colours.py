"""Colours of cells: by time, track, state, prediction, confidence, well, FOV or any feature."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

UNKNOWN_COLOUR = "#8a8a8a"
"""Grey of cells of which there is nothing to say."""

_CATEGORIES = 4096
"""Shades kept for what has very many values, such as tracks; beyond that they repeat."""


class Kind(Enum):
    """What cells can be coloured by."""

    TIME = "time"
    TRACK = "track"
    RELIABILITY = "link reliability"
    STATE = "state"
    PREDICTION = "prediction"
    CONFIDENCE = "confidence"
    WELL = "well"
    FOV = "FOV"
    FEATURE = "feature"


@dataclass(frozen=True)
class ColourBy:
    """What the cells are coloured by.

    Attributes
    ----------
    kind
        The kind of value.
    name
        The task of a state, prediction or confidence; the name of a feature.
    """

    kind: Kind = Kind.TIME
    name: str = ""

    @property
    def title(self) -> str:
        """What a person reads, such as "prediction (infection)"."""
        return f"{self.kind.value} ({self.name})" if self.name else self.kind.value


@dataclass(frozen=True)
class Legend:
    """What the colours mean: either entries, or a range of a colour map.

    Attributes
    ----------
    title
        What is shown.
    entries
        (name, "#rrggbb") of each category.
    low, high
        The values at the ends of the colour map.
    colormap
        Its name in matplotlib; "" for categories.
    """

    title: str
    entries: tuple[tuple[str, str], ...] = ()
    low: float = 0.0
    high: float = 1.0
    colormap: str = ""


@dataclass(frozen=True)
class Palette:
    """Colours of all cells, few of them: a table and an index into it.

    Attributes
    ----------
    index
        Row of ``table`` per cell, (N,).
    table
        RGBA, (K, 4); the last row is for cells of which there is nothing to say.
    legend
        What they mean.
    """

    index: NDArray[np.int32]
    table: NDArray[np.uint8]
    legend: Legend

    @property
    def rgba(self) -> NDArray[np.uint8]:
        """Colour of every cell, (N, 4)."""
        return self.table.take(self.index, axis=0)  # ten times as fast as table[index]


def hex_rgba(colour: str) -> tuple[int, int, int, int]:
    """Return "#rrggbb" as four bytes, opaque."""
    return (int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16), 255)


def by_category(
    codes: NDArray[np.integer], names: Sequence[str], colours: Sequence[str], title: str
) -> Palette:
    """Colour by category.

    Parameters
    ----------
    codes
        Index into ``names`` per cell, -1 where there is none, (N,).
    names, colours
        Categories and their "#rrggbb".
    title
        What is shown.
    """
    table = np.array([hex_rgba(one) for one in (*colours, UNKNOWN_COLOUR)], np.uint8)
    table[-1, 3] = 150
    index = np.where(codes < 0, len(colours), codes).astype(np.int32)
    return Palette(index, table, Legend(title, tuple(zip(names, colours, strict=True))))


def by_value(
    values: NDArray[np.floating], title: str, colormap: str = "viridis", robust: bool = True
) -> Palette:
    """Colour by a number.

    Parameters
    ----------
    values
        NaN where there is none, (N,).
    title
        What is shown.
    colormap
        Name in matplotlib.
    robust
        Let the colours span the 1st to 99th percentile rather than all values.
    """
    known = np.isfinite(values)
    low, high = 0.0, 1.0
    if known.any():
        ends = [1, 99] if robust else [0, 100]
        low, high = map(float, np.percentile(values[known], ends))
    span = high - low if high > low else 1.0
    table = np.empty((257, 4), np.uint8)
    table[:256] = (colormaps[colormap](np.arange(256)) * 255).round()
    table[256] = (*hex_rgba(UNKNOWN_COLOUR)[:3], 150)
    shade = np.clip((values - low) / span * 255, 0, 255)
    index = np.where(known, np.nan_to_num(shade), 256).astype(np.int32)
    return Palette(index, table, Legend(title, low=low, high=high, colormap=colormap))


def distinct(count: int) -> list[str]:
    """Return colours that neighbours can be told apart by, however many are needed."""
    if count <= 10:
        base = colormaps["tab10"](np.arange(10))[:count]
    elif count <= 20:
        base = colormaps["tab20"](np.arange(20))[:count]
    else:
        # Hues in steps of the golden ratio never come close to the ones just before.
        base = colormaps["hsv"]((np.arange(count) * 0.618034) % 1.0)
        base[:, :3] = 0.25 + 0.75 * base[:, :3]
    return [f"#{int(r * 255):02x}{int(g * 255):02x}{int(b * 255):02x}" for r, g, b in base[:, :3]]


def by_track(keys: NDArray[np.int64], title: str) -> Palette:
    """Give every track a colour of its own, (N,) keys; beyond some thousands they repeat."""
    colours = distinct(_CATEGORIES)
    table = np.array([hex_rgba(one) for one in (*colours, UNKNOWN_COLOUR)], np.uint8)
    return Palette((keys % _CATEGORIES).astype(np.int32), table, Legend(title))
