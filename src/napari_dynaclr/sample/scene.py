"""Which cell owns which pixel: outlines, territories and nuclei of one slice.

Every cell is star-shaped around its nucleus: in direction theta the nucleus ends
at radius n(theta) and the body, if it had all the room it wants, at b(theta). A
pixel at radius r belongs to the cell with the smallest depth
q = (r - n) / (b - n), if that is below 1. So a nucleus (q <= 0) always belongs to
its own cell, neighbours meet in a common border, and bodies never overlap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.sample.params import PIXEL_UM
from napari_dynaclr.sample.population import HARMONICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.sample.cell import Snapshot

ANGLES = 256
_THETA = np.arange(ANGLES) * (2 * math.pi / ANGLES)
_WAVES = np.exp(1j * np.outer(np.arange(1, HARMONICS + 1), _THETA))
_TURNS = np.float32(ANGLES / (2 * math.pi))

NUCLEUS_HEIGHT_UM = 4.2
"""Half the height of a spread cell's nucleus."""
GROUND_UM = -4.5
"""Where the glass is, relative to the middle of the stack."""
CELL_HEIGHT_UM = 10.0
"""Height of a spread cell above its nucleus' place on the glass."""


@dataclass(frozen=True)
class Scene:
    """Owned pixels of one slice on a canvas, as flat arrays.

    Attributes
    ----------
    shape
        Height and width of the canvas in pixels.
    pixel
        (P,) flat index of every pixel that belongs to a cell.
    owner
        (P,) position of its cell in the list of cells.
    depth
        (P,) 0 or less in the nucleus, 1 at the free edge of the body.
    free, edge
        (P,) distance in pixels, roughly, to where the body would end if it were alone,
        and to where it does end: there, or at the border with a neighbour.
    inside
        (P,) distance to the nucleus' edge in pixels, positive inside.
    along, across
        (P,) coordinates in the cell's own frame in pixels, which turns with it.
    """

    shape: tuple[int, int]
    pixel: NDArray[np.intp]
    owner: NDArray[np.intp]
    depth: NDArray[np.float32]
    free: NDArray[np.float32]
    edge: NDArray[np.float32]
    inside: NDArray[np.float32]
    along: NDArray[np.float32]
    across: NDArray[np.float32]


def radii(
    cell: Snapshot, height_um: float | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Outline of the nucleus and of the body in :data:`ANGLES` directions.

    Parameters
    ----------
    cell
        The cell.
    height_um
        Height of the slice over the middle of the stack in um, or None for a flat
        picture, which shows the cell at its widest.

    Returns
    -------
    nucleus, body : (ANGLES,) array
        Radii in pixels, in the cell's own frame; zeros where the slice misses them.
    """
    stretch = math.sqrt(cell.nucleus_aspect)
    long, short = cell.nucleus_radius * stretch, cell.nucleus_radius / stretch
    nucleus = long * short / np.hypot(short * np.cos(_THETA), long * np.sin(_THETA))
    dent = 0.035 * (1.0 - cell.condensation)
    nucleus *= 1.0 + dent * np.cos(3 * _THETA + 7 * cell.look[3])
    nucleus *= 1.0 + 0.7 * dent * np.cos(4 * _THETA + 9 * cell.look[4])
    wave = (cell.outline @ _WAVES).real
    if cell.dead:
        # Blebs: irregular bulges on a round body.
        shift = 40.0 * cell.outline
        bumps = np.cos(3 * _THETA + shift.real[0]) + np.cos(5 * _THETA + shift.real[1])
        bumps = np.abs(bumps + np.cos(4 * _THETA + shift.imag[0]))
        wave = 0.2 * wave + 0.12 * cell.rounding * (bumps - 0.8)
    else:
        wave = (wave + 0.13 * np.cos(2 * _THETA)) * (1.0 - 0.93 * cell.rounding)
    body = cell.body_radius * np.maximum(1.0 + wave, 0.5)
    if height_um is not None:
        nucleus, body = _cut(cell, nucleus, body, height_um)
    else:
        body = np.maximum(body, nucleus + 3.5)
    return nucleus.astype(np.float32), body.astype(np.float32)


def _cut(
    cell: Snapshot, nucleus: NDArray[np.float64], body: NDArray[np.float64], height_um: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Radii of an ellipsoid nucleus in a dome (or, when round, in a ball) at a height."""
    ball = cell.body_radius * PIXEL_UM
    bottom = GROUND_UM + 0.8 * (cell.look[5] - 0.5)
    middle = bottom + NUCLEUS_HEIGHT_UM + (ball - NUCLEUS_HEIGHT_UM) * 0.45 * cell.rounding
    half = NUCLEUS_HEIGHT_UM + cell.condensation * (
        min(cell.nucleus_radius * PIXEL_UM, 5.5) - NUCLEUS_HEIGHT_UM
    )
    flat = math.sqrt(max(0.0, 1.0 - ((height_um - middle) / half) ** 2))
    nucleus = nucleus * flat
    over = height_um - bottom
    dome = math.sqrt(max(0.0, 1.0 - over / CELL_HEIGHT_UM)) if over > -0.3 else 0.0
    sphere = math.sqrt(max(0.0, 1.0 - ((height_um - middle) / max(ball, 1.0)) ** 2))
    body = body * (dome + (sphere - dome) * cell.rounding)
    return nucleus, np.where(nucleus > 0, np.maximum(body, nucleus + 2.0), body)


def compose(
    cells: Sequence[Snapshot], size: int, pad: int, height_um: float | None = None
) -> Scene:
    """Give every pixel of a slice to the cell it belongs to.

    Parameters
    ----------
    cells
        The cells of one frame.
    size
        Height and width of the field in pixels.
    pad
        Margin of the canvas around the field in pixels, so that light from just
        outside the field is there to be blurred into it.
    height_um
        Height of the slice, or None for a flat picture; see :func:`radii`.
    """
    side = size + 2 * pad
    best = np.ones((side, side), np.float32)
    second = np.ones((side, side), np.float32)
    owner = np.full((side, side), -1, np.int32)
    nuclei = np.zeros((len(cells), ANGLES), np.float32)
    bodies = np.zeros((len(cells), ANGLES), np.float32)
    for index, cell in enumerate(cells):
        nuclei[index], bodies[index] = nucleus, body = radii(cell, height_um)
        reach = float(body.max()) + 1.0
        y, x = cell.y + pad, cell.x + pad
        top, bottom = max(0, math.ceil(y - reach)), min(side, math.floor(y + reach) + 1)
        left, right = max(0, math.ceil(x - reach)), min(side, math.floor(x + reach) + 1)
        if reach <= 1.0 or top >= bottom or left >= right:
            continue
        dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
        dx = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x)
        bins = _bins(dy, dx, cell.angle)
        inner = nucleus[bins]
        depth = np.hypot(dy, dx)
        depth -= inner
        depth /= np.maximum(body - nucleus, 1.0)[bins]
        # A round cell is stiff: its neighbours give way, down to their nuclei.
        np.putmask(depth, depth >= 1.0, np.float32(9.0))
        np.multiply(depth, np.float32(_claim(cell)), out=depth, where=(depth > 0) & (depth < 1))
        window = (slice(top, bottom), slice(left, right))
        mine = depth < best[window]
        np.copyto(second[window], best[window], where=mine)
        np.copyto(best[window], depth, where=mine)
        np.copyto(owner[window], index, where=mine)
        np.copyto(second[window], np.minimum(second[window], depth), where=~mine)
    return _flatten(cells, pad, nuclei, bodies, best, second, owner)


def _claim(cell: Snapshot) -> float:
    """Factor on a cell's depth in the contest for a pixel; the smallest depth wins."""
    return 1.0 - 0.75 * cell.rounding


def _bins(
    dy: NDArray[np.float32], dx: NDArray[np.float32], angle: float | NDArray[np.float32]
) -> NDArray[np.intp]:
    """Direction of each offset in the cell's own frame, as an index into its radii."""
    theta = np.arctan2(dy, dx) - np.asarray(angle, np.float32)
    return np.rint(theta * _TURNS).astype(np.intp) & (ANGLES - 1)


def _flatten(
    cells: Sequence[Snapshot],
    pad: int,
    nuclei: NDArray[np.float32],
    bodies: NDArray[np.float32],
    best: NDArray[np.float32],
    second: NDArray[np.float32],
    owner: NDArray[np.int32],
) -> Scene:
    pixel = np.flatnonzero(owner >= 0)
    who = owner.ravel()[pixel].astype(np.intp)
    places = np.array([(c.y + pad, c.x + pad, c.angle) for c in cells], np.float32).reshape(-1, 3)
    rows, columns = np.divmod(pixel, best.shape[1])
    dy = rows.astype(np.float32) - places[who, 0]
    dx = columns.astype(np.float32) - places[who, 1]
    bins = _bins(dy, dx, places[who, 2])
    inner, span = nuclei[who, bins], (bodies - nuclei)[who, bins]
    claim = np.array([_claim(cell) for cell in cells], np.float32)[who]
    depth, rival = best.ravel()[pixel], second.ravel()[pixel]
    # Half, since the distance to a shared border is covered from both sides.
    shared = 0.5 * (rival - depth) / claim * span
    depth = np.where(depth > 0, depth / claim, depth)
    free = (1.0 - depth) * span
    cos, sin = np.cos(places[:, 2])[who], np.sin(places[:, 2])[who]
    return Scene(
        shape=(best.shape[0], best.shape[1]),
        pixel=pixel,
        owner=who,
        depth=depth,
        free=free,
        edge=np.where(rival < 1.0, np.minimum(free, shared), free),
        inside=np.where(inner > 0, inner - np.hypot(dy, dx), np.float32(-99.0)),
        along=cos * dx + sin * dy,
        across=cos * dy - sin * dx,
    )
