"""Patches of cells as a network takes them: read, cropped, normalised, in the background."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.normalize import statistics
from napari_dynaclr.core.patches import iter_patches
from napari_dynaclr.embedding.scaling import GROUP, Mode, Range, has_gaps, scale_patches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.normalize import Level, Statistics
    from napari_dynaclr.core.patches import Border

PIECE_BYTES = 32 << 20
"""Memory of the patches that are read at a time."""


@dataclass(frozen=True)
class Window:
    """Which pixels around a cell a network sees.

    Attributes
    ----------
    channels
        Channels, in the network's order.
    size
        (z, y, x) in pixels.
    z_start
        First slice; None for the middle of the stack.
    modes
        How each channel is normalised, see :data:`~napari_dynaclr.embedding.scaling.MODES` and
        :data:`~napari_dynaclr.embedding.scaling.RANGES`.
    allow_empty
        Take frames of nothing but zeros or NaN as they are.
    border
        What to do where a patch leaves the image, see
        :func:`~napari_dynaclr.core.patches.iter_patches`.
    inner
        Side of the middle of a patch that "cell-percentiles" are of, in pixels: of a wider
        patch, that which the network will see. All of it if None.
    """

    channels: tuple[str, ...]
    size: tuple[int, int, int]
    z_start: int | None
    modes: tuple[Mode | Range, ...]
    allow_empty: bool = False
    border: Border = "pad"
    inner: int | None = None

    @property
    def most(self) -> int:
        """Cells that are read at a time."""
        if "batch-percentiles" in self.modes:
            return GROUP
        return max(1, PIECE_BYTES // (4 * len(self.channels) * int(np.prod(self.size))))


@dataclass(frozen=True)
class CellPatches:
    """Normalised patches of some cells of one time point.

    Attributes
    ----------
    t
        Time point.
    rows
        Positions of the cells in the tracks table, (N,).
    pixels
        Patches, (N, C, Z, Y, X) float32.
    at_border
        Whether a patch met the edge of the image, (N,).
    has_nan
        Whether a patch had pixels without a finite value, which were filled, (N,).
    """

    t: int
    rows: NDArray[np.intp]
    pixels: NDArray[np.float32]
    at_border: NDArray[np.bool_]
    has_nan: NDArray[np.bool_]


def read_cells(
    dataset: Dataset,
    fov: Fov,
    tracks: pd.DataFrame,
    times: Sequence[int],
    window: Window,
    job: Job,
) -> Iterator[CellPatches]:
    """Return the patches of all cells of some time points, one after the other.

    Statistics of the FOV are computed before this returns; the patches are read as
    they are asked for, in whatever thread that is.

    Parameters
    ----------
    dataset, fov
        Where the pixels are.
    tracks
        Tracks table of the FOV.
    times
        Time points, ascending.
    window
        What is to be seen.
    job
        Progress of the statistics, and cancelling.

    Raises
    ------
    InvalidInput
        If the FOV has no such channel, too few slices, or statistics that lack what
        the normalisation needs.
    """
    z_start, known = prepare_fov(dataset, fov, window, job)
    return _read(fov, tracks, times, window, z_start, known)


def prepare_fov(
    dataset: Dataset, fov: Fov, window: Window, job: Job
) -> tuple[int, list[Statistics]]:
    """Return the first slice of a FOV's patches, and its statistics for each channel.

    Statistics are computed where there are none yet.

    Raises
    ------
    InvalidInput
        If the FOV has too few slices, or statistics that lack what the normalisation needs.
    """
    first = first_slice(fov, window.size[0], window.z_start)
    return first, find_statistics(dataset, fov, window.channels, window.modes, job)


def first_slice(fov: Fov, depth: int, start: int | None) -> int:
    """Return the first of the slices that a network sees.

    Parameters
    ----------
    fov
        The FOV.
    depth
        Slices that it takes.
    start
        The first one, if it is chosen; None for the middle of the stack.

    Raises
    ------
    InvalidInput
        If the FOV has too few.
    """
    there = fov.shape[1]
    if depth > there:
        raise InvalidInput(
            f"The network takes {depth} slices, FOV {fov.name} has {there}: choose weights for "
            "images of that depth."
        )
    if start is not None and start + depth > there:
        raise InvalidInput(
            f"FOV {fov.name} has {there} slices, too few for {depth} from slice {start} on: set "
            f"z_start to {there - depth} or less."
        )
    return (there - depth) // 2 if start is None else start


_NEEDS: dict[str, tuple[str, ...]] = {
    "mean-std": ("mean", "std"),
    "fov-percentiles": ("median", "p99"),
    "fov-range": ("p1", "p99", "max"),
    "dataset-range": ("p1", "p99", "max"),
}


def find_statistics(
    dataset: Dataset,
    fov: Fov,
    channels: Sequence[str],
    modes: Sequence[Mode | Range],
    job: Job,
) -> list[Statistics]:
    """Return the statistics that each channel's normalisation needs; empty if it needs none.

    They are computed where there are none yet, of all channels in one pass.

    Parameters
    ----------
    dataset, fov
        Where the pixels are.
    channels, modes
        Each channel, and how it is normalised.
    job
        Progress and cancelling.

    Raises
    ------
    InvalidInput
        If those that are there lack something.
    """
    pairs = list(zip(channels, modes, strict=True))
    levels: dict[Level, list[str]] = {"fov": [], "dataset": []}
    for channel, mode in pairs:
        if mode in _NEEDS:
            levels["dataset" if mode == "dataset-range" else "fov"].append(channel)
    found: dict[str, Statistics] = {}
    for level, wanted in levels.items():
        found |= statistics(dataset, fov, wanted, level, job) if wanted else {}
    for channel, mode in pairs:
        lacks = [name for name in _NEEDS.get(mode, ()) if name not in found[channel]]
        if lacks:
            raise InvalidInput(
                f"FOV {fov.name}: the normalisation statistics of {channel} lack {lacks[0]}: "
                f"choose another normalisation than {mode}."
            )
    return [found.get(channel, {}) for channel in channels]


def _read(
    fov: Fov,
    tracks: pd.DataFrame,
    times: Sequence[int],
    window: Window,
    z_start: int,
    known: Sequence[Statistics],
) -> Iterator[CellPatches]:
    place = np.flatnonzero(tracks["t"].isin(times))
    batches = iter_patches(
        fov,
        tracks.iloc[place],
        window.channels,
        window.size,
        window.border,
        most=window.most,
        z_start=z_start,
        allow_empty=window.allow_empty,
        fill_nan=False,
    )
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 16)) as pool:
        for batch in batches:
            whole = np.array([not has_gaps(patch) for patch in batch.patches])
            pixels = scale_patches(batch.patches, window.modes, known, pool, window.inner)
            yield CellPatches(batch.t, place[batch.rows], pixels, batch.at_border, ~whole)
