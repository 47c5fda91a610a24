"""Frames as the network sees them: normalised, and at the voxel size of its training.

Training and inference both go through here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.tracking.cellect.recipe import Normalization

_LOW, _HIGH = 1.0, 99.8
"""Percentiles that the normalisation "scaled" maps to 0 and 1."""
_BRIGHTEST = 10.0
"""What is brighter than so many times the upper percentile is not looked at closer."""
_SAMPLE = 1 << 20
"""Voxels at most that percentiles are taken of."""


def normalise(frame: NDArray[Any], how: Normalization) -> NDArray[np.float32]:
    """Bring a frame's intensities to what the network knows.

    Parameters
    ----------
    frame
        Of any shape.
    how
        "scaled": from percentiles 1 to 99.8 of the frame, then log(1 + x), for images of any
        microscope; "log": log(1 + x), the paper's for intensities without fixed limit; "none":
        the paper's for 8-bit images ("Training and inference").

    Returns
    -------
    numpy.ndarray
        The same shape; a frame of one intensity is all 0 when scaled.
    """
    image = np.asarray(frame, np.float32)
    if how == "none":
        return image
    if how == "log":
        return np.asarray(np.log1p(np.maximum(image, 0)))
    values = image.ravel()
    low, high = np.percentile(values[:: max(1, values.size // _SAMPLE)], (_LOW, _HIGH))
    if not high > low:
        return np.zeros_like(image)
    scaled = np.clip((image - np.float32(low)) / np.float32(high - low), 0, _BRIGHTEST)
    return np.asarray(np.log1p(scaled))


def resize(frame: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize a stack in Y and X, bilinear; smoothed before where it shrinks.

    Parameters
    ----------
    frame
        (Z, Y, X).
    size
        The new (Y, X).
    """
    if frame.shape[1:] == size:
        return frame
    image = torch.from_numpy(np.ascontiguousarray(frame))[:, None]
    resized = interpolate(image, size, mode="bilinear", antialias=True)
    result: NDArray[np.float32] = resized[:, 0].numpy()
    return result


def rescaled_size(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Return (Y, X) times a factor, in whole pixels."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
