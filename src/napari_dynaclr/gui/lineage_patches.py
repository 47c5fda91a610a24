"""Stand-in for session.thumbnails, until that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_dynaclr.core.normalize import contrast
from napari_dynaclr.core.patches import iter_patches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job


def read_patches(
    dataset: Dataset,
    cells: Sequence[tuple[str, int, float, float, float]],
    channels: Sequence[str],
    size: int,
    job: Job,
) -> list[NDArray[np.uint8]]:
    """Read patches."""
    found: list[NDArray[np.uint8]] = [np.zeros((size, size, 3), np.uint8)] * len(cells)
    for name in {cell[0] for cell in cells}:
        fov = dataset.whole[name]
        at = [i for i, cell in enumerate(cells) if cell[0] == name]
        table = pd.DataFrame([cells[i][1:] for i in at], columns=["t", "z", "y", "x"])
        low, high = np.array([contrast(dataset, fov, channel) for channel in channels]).T
        for batch in iter_patches(fov, table, channels, (1, size, size), "pad", job):
            for row, patch in zip(batch.rows, batch.patches, strict=True):
                grey = (patch[:, 0] - low[:, None, None]) / (high - low)[:, None, None]
                grey = np.clip(grey, 0, 1).mean(axis=0)
                found[at[row]] = np.repeat((grey * 255).astype(np.uint8)[..., None], 3, axis=2)
    return found
