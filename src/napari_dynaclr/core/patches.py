"""Patches: crops of single cells around their track centroids (dynaclr.txt, B.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job

Border = Literal["clamp", "pad"]


@dataclass(frozen=True)
class PatchBatch:
    """Patches of all requested cells of one time point.

    Attributes
    ----------
    t
        Time point.
    rows
        Positions of the cells in the tracks table, (N,).
    patches
        Pixels, (N, C, Z, Y, X).
    at_border
        Whether the window met the edge of the image, (N,).
    """

    t: int
    rows: NDArray[np.intp]
    patches: NDArray[Any]
    at_border: NDArray[np.bool_]


def iter_patches(
    fov: Fov,
    tracks: pd.DataFrame,
    channels: Sequence[str],
    size: tuple[int, int, int],
    border: Border = "clamp",
    job: Job | None = None,
    *,
    most: int | None = None,
    z_start: int | None = None,
    allow_empty: bool = False,
    fill_nan: bool = True,
) -> Iterator[PatchBatch]:
    """Crop every cell of a table, time point by time point.

    Each source chunk is read once; memory holds one time point (or as many as
    share a chunk), and ``most`` patches. No cell is dropped: at the border the window
    is moved inward ("clamp") or filled up by reflection ("pad"), and the cell is flagged.

    Parameters
    ----------
    fov
        Where the pixels are.
    tracks
        Needs ``t``, ``z``, ``y``, ``x`` (pixels); any order.
    channels
        Channels, in this order in the patches.
    size
        Patch size (z, y, x) in pixels; a window larger than the image is padded.
    border
        What to do where the window leaves the image.
    job
        For cancelling.
    most
        Cells of a batch; those of a time point that has more come in several.
    z_start
        First slice of every patch; by default patches are centred on their cells.
    allow_empty, fill_nan
        See :meth:`~napari_dynaclr.core.fov.Fov.frames`.

    Yields
    ------
    PatchBatch
        One per time point that has cells, or more, in ascending order of t.
    """
    times = tracks["t"].to_numpy()
    centres = tracks[["z", "y", "x"]].to_numpy(dtype=float, copy=True)
    order = np.argsort(times, kind="stable")
    wanted, first = np.unique(times[order], return_index=True)
    # Split at every start: the part before the first is empty, also when there are no cells.
    groups = dict(zip(wanted.tolist(), np.split(order, first)[1:], strict=True))
    slices = slice(None)
    if z_start is not None:
        slices = slice(z_start, z_start + size[0])
        centres[:, 0] = (size[0] - 1) / 2
    frames = fov.frames(
        channels, wanted.tolist(), allow_empty=allow_empty, fill_nan=fill_nan, slices=slices
    )
    for t, frame in frames:
        step = most or len(groups[t])
        for first_row in range(0, len(groups[t]), step):
            if job is not None:
                job.check()
            rows = groups[t][first_row : first_row + step]
            patches, at_border = crop(frame, centres[rows], size, border)
            yield PatchBatch(t, rows, patches, at_border)


def crop(
    frame: NDArray[Any],
    centres: NDArray[np.floating],
    size: tuple[int, int, int],
    border: Border = "clamp",
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Cut windows out of one time point.

    Parameters
    ----------
    frame
        Pixels, (C, Z, Y, X).
    centres
        Centre of each window (z, y, x) in pixels, (N, 3).
    size
        Window size (z, y, x).
    border
        "clamp" moves a window inward, "pad" reflects the image.

    Returns
    -------
    tuple
        Patches (N, C, z, y, x) and, per patch, whether the window met the edge (N,).
    """
    extent, window = np.asarray(frame.shape[1:], int), np.asarray(size, int)
    starts, at_border = _starts(centres, window, extent)
    if border == "clamp":
        # Where the window exceeds the image, clamping cannot help: pad evenly there.
        room = extent - window
        starts = np.where(room >= 0, np.clip(starts, 0, np.maximum(room, 0)), room // 2)
    low = np.maximum(-starts.min(axis=0, initial=0), 0)
    high = np.maximum((starts + window).max(axis=0, initial=0) - extent, 0)
    if low.any() or high.any():
        frame = np.pad(frame, [(0, 0), *zip(low, high, strict=True)], mode="symmetric")
        starts = starts + low
    patches = np.empty((len(starts), frame.shape[0], *size), dtype=frame.dtype)
    for patch, (z, y, x) in zip(patches, starts, strict=True):
        patch[:] = frame[:, z : z + size[0], y : y + size[1], x : x + size[2]]
    return patches, at_border


def meets_border(
    centres: NDArray[np.floating], size: tuple[int, ...], extent: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Return whether windows leave the image, (N,).

    Parameters
    ----------
    centres
        Centre of each window in pixels, (N, D).
    size, extent
        Of a window and of the image, in pixels, D each.
    """
    return _starts(centres, np.asarray(size, int), np.asarray(extent, int))[1]


def _starts(
    centres: NDArray[np.floating], window: NDArray[np.int_], extent: NDArray[np.int_]
) -> tuple[NDArray[np.int_], NDArray[np.bool_]]:
    """First pixels of windows, and whether they leave the image."""
    starts = np.floor(centres - (window - 1) / 2 + 0.5).astype(int)
    return starts, ((starts < 0) | (starts + window > extent)).any(axis=1)
