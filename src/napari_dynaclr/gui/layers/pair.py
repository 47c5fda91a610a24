"""The cells that were chosen to be corrected, as points named A and B."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.session.session import Session

COLOURS = {"A": "#35c9ff", "B": "#ffb52e"}
"""Of the first and the second cell, in the image and in the dock."""

_ELSEWHEN = 0.45
"""Opacity of a cell that is seen at another time point than its own."""


@dataclass(frozen=True)
class Pair:
    """Points to draw.

    Attributes
    ----------
    data
        (t, z, y, x) in pixels, (N, 4), all at the time point on screen.
    colour
        RGBA from 0 to 1, (N, 4).
    text
        RGBA of what is written beside them, (N, 4).
    names
        What is written beside each.
    """

    data: NDArray[np.floating]
    colour: NDArray[np.floating]
    text: NDArray[np.floating]
    names: list[str]


def pair(session: Session) -> Pair:
    """Place the chosen cells in the frame on screen; of another time point, faint and with it.

    Parameters
    ----------
    session
        What is chosen and on screen.
    """
    corrections, cells = session.corrections, session.cells
    places, colours, names = [], [], []
    chosen = zip(COLOURS.items(), (corrections.a, corrections.b), strict=True)
    for (name, hexed), node in chosen if corrections.active else ():
        row = corrections.row_of(node)
        if row < 0:
            continue
        t = int(cells.t[row])
        here = t == session.frame
        rgb = [int(hexed[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        places.append([session.frame, *cells.position[row]])
        colours.append([*rgb, 1.0 if here else _ELSEWHEN])
        names.append(name if here else f"{name}, t={t}")
    colour = np.array(colours, float).reshape(-1, 4)
    text = np.column_stack([colour[:, :3], np.ones(len(colour))])
    return Pair(np.array(places, float).reshape(-1, 4), colour, text, names)
