"""Where fields lie in their well, and how a square of them becomes one of nine."""

from __future__ import annotations

import math
from itertools import batched
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov

SIDE = 3
"""Fields along each side of the square that every well is brought to (Section 3.3.2)."""


def in_square(fovs: Sequence[Fov], order: str) -> list[int]:
    """Find the order in which the fields of a well fill a square, row by row.

    Parameters
    ----------
    fovs
        The fields of one well.
    order
        "auto" to read their places from the metadata of the dataset; "rows" or "snake" to go
        by their numbers.

    Returns
    -------
    list of int
        Positions in ``fovs``, from the upper left to the lower right.

    Raises
    ------
    InvalidInput
        If there are not 9 or 16 of them, or their places are not known or no square.
    """
    count, well = len(fovs), fovs[0].well
    if count not in (SIDE**2, (SIDE + 1) ** 2):
        raise InvalidInput(
            f"Well {well} has {count} fields: only 9 or 16 in a square can be concatenated. "
            "Use across_fields=mean."
        )
    side = math.isqrt(count)
    if order == "auto":
        return _by_place(fovs, side)
    numbers = sorted(range(count), key=lambda i: _number(fovs[i].name.rpartition("/")[2]))
    rows = [list(row) for row in batched(numbers, side)]
    if order == "snake":
        rows[1::2] = [row[::-1] for row in rows[1::2]]
    return [i for row in rows for i in row]


def _number(name: str) -> tuple[int, str]:
    digits = "".join(one for one in name if one.isdigit())
    return int(digits) if digits else -1, name


def _by_place(fovs: Sequence[Fov], side: int) -> list[int]:
    unknown = InvalidInput(
        f"Where the fields of well {fovs[0].well} lie is not in the dataset, or no square of "
        f"{side} x {side}: give their order with field_order=rows or snake, or use "
        "across_fields=mean."
    )
    found = [corner(fov) for fov in fovs]
    if any(one is None for one in found):
        raise unknown
    places = np.array(found, np.float64)
    rows = [list(row) for row in batched(np.argsort(places[:, 0], kind="stable").tolist(), side)]
    rows = [sorted(row, key=lambda i: places[i, 1]) for row in rows]
    y = places[np.array(rows), 0]
    x = places[np.array(rows), 1]
    # Stages are not exact: a row or column may waver by less than half a step.
    step_y = np.diff(y.mean(axis=1)).min()
    step_x = np.diff(x.mean(axis=0)).min()
    straight = np.ptp(y, axis=1).max() < step_y / 2 and np.ptp(x, axis=0).max() < step_x / 2
    if step_y <= 0 or step_x <= 0 or not straight:
        raise unknown
    return [i for row in rows for i in row]


def corner(fov: Fov) -> tuple[float, float] | None:
    """Return where a field lies in its well (y, x), in the dataset's unit, or None.

    That is the translation of OME-Zarr, of the image and of its full resolution together.
    """
    image = fov.attributes.get("multiscales", [{}])[0]
    level = (image.get("datasets") or [{}])[0]
    moved = [
        [float(value) for value in one["translation"]]
        for about in (level, image)
        for one in about.get("coordinateTransformations") or []
        if _is_translation(one)
    ]
    if not moved:
        return None
    y, x = np.sum([one[-2:] for one in moved], axis=0)
    return float(y), float(x)


def _is_translation(one: Any) -> bool:
    return (
        isinstance(one, dict) and one.get("type") == "translation" and bool(one.get("translation"))
    )


def to_nine(fields: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring the vectors of a square of fields to one of three by three.

    Of 16 fields, the vectors between them are found by bilinear interpolation, as images are
    resized: both squares cover the same area. The paper says "interpolated" and no more.

    Parameters
    ----------
    fields
        Row by row, (9 or 16, D).

    Returns
    -------
    array
        (9, D).
    """
    side = math.isqrt(len(fields))
    if side == SIDE:
        return fields
    weights = np.zeros((SIDE, side), np.float32)
    for row, at in enumerate((np.arange(SIDE) + 0.5) * side / SIDE - 0.5):
        low = int(np.floor(at))
        weights[row, low], weights[row, low + 1] = low + 1 - at, at - low
    square = fields.reshape(side, side, -1)
    made = np.einsum("ry,cx,yxd->rcd", weights, weights, square)
    return np.asarray(made.reshape(SIDE**2, -1), np.float32)
