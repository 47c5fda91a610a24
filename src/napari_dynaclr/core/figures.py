"""What every picture of results shares; figures are drawn without a display."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.atomic import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


def save_figure(figure: Figure, file: Path) -> Path:
    """Write a figure as PNG, atomically, and return the file."""
    with atomic_file(file) as temporary:
        figure.savefig(temporary, dpi=150)
    return file


def zoom_on_most(axes: Axes, points: NDArray[np.floating]) -> int:
    """Set the limits of a map so that a few stray cells do not squeeze it into a corner.

    Parameters
    ----------
    axes
        The map's.
    points
        Cells on the map, (N, 2).

    Returns
    -------
    int
        Number of cells that lie outside.
    """
    low, high = np.percentile(points, [2, 98], axis=0)
    low, high = low - 0.3 * (high - low), high + 0.3 * (high - low)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    return int(((points < low) | (points > high)).any(axis=1).sum())
