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

_GAP = 3
"""White pixels between patches."""


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
    pictures = np.stack([[patches[int(cells.index[cell])] for cell in row] for row in chosen])
    low, high = np.percentile(pictures, [1, 99.7], axis=(0, 1, 3, 4))
    grey = np.clip((np.moveaxis(pictures, 2, -1) - low) / np.maximum(high - low, 1e-9), 0, 1)
    mosaic = _mosaic(np.moveaxis(grey, -1, 1).reshape(-1, *grey.shape[1:4]))
    # One image: a grid of many axes takes a minute to lay out.
    count, rows = chosen.shape[1], len(mosaic) / (size + _GAP)
    figure = Figure(figsize=(count + 1, rows + 0.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(mosaic, cmap="gray", vmin=0, vmax=1)
    places = (np.arange(round(rows)) + 0.5) * (size + _GAP)
    labels = [f"{name}\n{channel}" for name in names for channel in channels]
    axes.set_yticks(places, labels, fontsize=8)
    axes.set_xticks([size / 2, len(mosaic[0]) - size / 2], ["low", "high"], fontsize=8)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure


def _mosaic(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Lay pictures (rows, columns, Y, X) out beside each other, white between them."""
    framed = np.pad(rows, [(0, 0), (0, 0), (0, _GAP), (0, _GAP)], constant_values=1.0)
    across: NDArray[np.floating] = np.moveaxis(framed, 2, 1)
    return across.reshape(len(rows) * framed.shape[2], -1)
