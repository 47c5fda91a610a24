"""Cells along principal components, as pictures (dynaclr.txt, Fig. 2d)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from napari_dynaclr.core.patches import iter_patches

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job

_POOL = 0.02
"""Fraction of the cells, around each place on a component, that one is chosen from."""

_LEAST = 20
"""At least so many."""


def cells_along(
    components: NDArray[np.floating], count: int, usable: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Choose cells from the low to the high end of each component, others near their middle.

    The places are evenly spaced between the 1st and 99th percentile. Of the cells
    nearest to a place, the one is taken whose other components are nearest to their
    medians, in standard deviations.

    Parameters
    ----------
    components
        Coordinates of the cells on the components, (N, K).
    count
        Cells per component.
    usable
        Cells that may be chosen, (N,); all where there are too few of them.

    Returns
    -------
    numpy.ndarray
        Rows, (K, count), of rising coordinate; a cell stands there twice only where
        there are fewer than ``count``.
    """
    rows = np.flatnonzero(usable)
    if len(rows) < count:
        rows = np.arange(len(components))
    points = np.asarray(components[rows], np.float64)
    middle, spread = np.median(points, axis=0), points.std(axis=0)
    away = ((points - middle) / np.where(spread > 0, spread, 1)) ** 2
    pool = min(len(rows), max(_LEAST, round(_POOL * len(rows))))
    chosen = np.empty((points.shape[1], count), np.intp)
    for k in range(points.shape[1]):
        others = away.sum(axis=1) - away[:, k]
        low, high = np.percentile(points[:, k], [1, 99])
        taken: list[int] = []
        for place in np.linspace(low, high, count):
            near = np.argsort(np.abs(points[:, k] - place), kind="stable")[: pool + count]
            fresh = near[~np.isin(near, taken)][:pool]
            candidates = fresh if len(fresh) else near
            taken.append(int(candidates[others[candidates].argmin()]))
        chosen[k] = rows[np.array(taken)[np.argsort(points[taken, k], kind="stable")]]
    return chosen


def draw_patches(
    dataset: Dataset,
    cells: pd.DataFrame,
    chosen: NDArray[np.intp],
    names: Sequence[str],
    channels: Sequence[str],
    size: int,
    job: Job,
) -> Figure:
    """Draw patches of chosen cells: a row for each component and channel.

    Parameters
    ----------
    dataset
        Where the pixels are.
    cells
        ``fov_name``, ``t``, ``z``, ``y`` and ``x`` (pixels) of all cells.
    chosen
        Rows of it, (K, count), from :func:`cells_along`.
    names
        Of the components, (K,).
    channels
        To be shown, projected along z by their maximum.
    size
        Width and height of the patches in pixels.
    job
        For cancelling.
    """
    wanted = cells.iloc[np.unique(chosen)]
    patches: dict[int, NDArray[Any]] = {}
    for name, part in job.track(wanted.groupby("fov_name"), "read patches"):
        fov = dataset[str(name)]
        window = (fov.shape[1], size, size)
        for batch in iter_patches(fov, part, channels, window, job=job, allow_empty=True):
            for row, patch in zip(batch.rows, batch.patches, strict=True):
                patches[int(part.index[row])] = patch.max(axis=1)
    limits = [
        np.percentile([patch[c] for patch in patches.values()], [1, 99.7])
        for c in range(len(channels))
    ]
    count, rows = chosen.shape[1], len(names) * len(channels)
    figure = Figure(figsize=(count + 0.8, 1.05 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, count, squeeze=False)
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for k, name in enumerate(names):
        for c, channel in enumerate(channels):
            row = grid[k * len(channels) + c]
            row[0].set_ylabel(f"{name}\n{channel}", fontsize=7)
            for axes, cell in zip(row, chosen[k], strict=True):
                image = patches[int(cells.index[cell])][c]
                axes.imshow(image, cmap="gray", vmin=limits[c][0], vmax=limits[c][1])
    grid[0, 0].set_title("low", fontsize=8)
    grid[0, -1].set_title("high", fontsize=8)
    return figure
