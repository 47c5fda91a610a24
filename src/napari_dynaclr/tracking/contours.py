"""Where cells are and where one ends: what ultrack chooses its cells from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALLEST = 8
"""Pixels of the smallest region that a hierarchy is made of."""

_NOISE = 4.0
"""Standard deviations of noise that a cell is brighter by, at least."""


def foreground_and_contours(
    nuclei: NDArray[Any],
    membrane: NDArray[Any] | None,
    scale: tuple[float, float, float],
    diameters: tuple[float, float],
    sensitivity: float = 1.0,
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Make the two maps of one time point.

    The foreground is generous: light above what surrounds it within a few diameters. The
    contours are high where light falls off from the brightest place nearby, where the
    foreground is narrow, and, with a membrane channel, where membranes are.

    Parameters
    ----------
    nuclei, membrane
        Intensities (Z, Y, X), bright on dark; Z may be 1.
    scale
        Voxel size (z, y, x) in um.
    diameters
        Smallest and largest diameter of a cell in um.
    sensitivity
        Above 1 finds dimmer cells.

    Returns
    -------
    tuple
        Foreground, and contours from 0 to 1, both (Z, Y, X).
    """
    flat = nuclei.shape[0] == 1
    voxel = np.asarray(scale[1:] if flat else scale, float)
    image = np.asarray(nuclei[0] if flat else nuclei, np.float32)
    if image.min() == image.max():
        return np.zeros(nuclei.shape, bool), np.zeros(nuclei.shape, np.float32)
    small, large = (diameter / voxel for diameter in diameters)
    smooth = ndimage.gaussian_filter(image, 0.08 * small)
    floor = _floor(smooth, large)
    signal = np.maximum(smooth - floor, 0)
    # Otsu on roots: bright mitotic cells must not lift the threshold above the dim ones.
    root = np.sqrt(signal)
    least = 0.6 * float(threshold_otsu(root)) ** 2 / sensitivity
    mask = signal > max(least, _NOISE * _noise(image, smooth, 0.08 * small))
    mask = _without_specks(mask, 0.25 * region_size(diameters[0], scale, flat=flat))
    parts = [1 - _of_brightest(signal, small), 1 - _of_brightest(_depth(mask, voxel), small)]
    if membrane is not None:
        walls = np.asarray(membrane[0] if flat else membrane, np.float32)
        walls = ndimage.gaussian_filter(walls, 0.04 * small)
        parts.append(_of_brightest(np.maximum(walls - _floor(walls, large), 0), large))
    contours = np.mean(parts, axis=0, dtype=np.float32)
    contours[~mask] = 1
    if flat:
        return mask[np.newaxis], contours[np.newaxis]
    return mask, contours


def region_size(diameter: float, scale: tuple[float, float, float], *, flat: bool) -> int:
    """Return the pixels of a disc, or the voxels of a ball, at least as many as a region needs.

    Parameters
    ----------
    diameter
        In um.
    scale
        Voxel size (z, y, x) in um.
    flat
        Whether there is one slice only.
    """
    size = np.pi / 4 * diameter**2 / (scale[1] * scale[2])
    if not flat:
        size = np.pi / 6 * diameter**3 / np.prod(scale)
    return max(_SMALLEST, round(float(size)))


def _noise(
    image: NDArray[np.float32], smooth: NDArray[np.float32], sigma: NDArray[np.floating]
) -> float:
    """Estimate the standard deviation of the noise that is left after smoothing."""
    residue = float(np.median(np.abs(image - smooth))) / 0.6745
    left = np.minimum(1.0, 1 / np.sqrt(2 * np.sqrt(np.pi) * np.maximum(sigma, 1e-6)))
    return residue * float(np.prod(left))


def _floor(image: NDArray[np.float32], diameter: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return what remains when everything of a cell's size is cut off."""
    around = ndimage.gaussian_filter(image, diameter)
    return np.asarray(ndimage.gaussian_filter(np.minimum(image, around), diameter))


def _depth(mask: NDArray[np.bool_], voxel: NDArray[np.floating]) -> NDArray[np.float32]:
    """Distance to the edge in um, slice by slice: a stack is often thinner than a cell."""
    if mask.ndim == 2:
        return np.asarray(ndimage.distance_transform_edt(mask, sampling=voxel), np.float32)
    return np.stack([_depth(plane, voxel[1:]) for plane in mask])


def _of_brightest(
    image: NDArray[np.float32], diameter: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Divide by the maximum within a diameter, smoothed so that it has no steps."""
    size = np.maximum(1, np.round(diameter)).astype(int) | 1
    top = ndimage.gaussian_filter(ndimage.maximum_filter(image, tuple(size)), 0.25 * diameter)
    return np.asarray(np.clip(image / np.maximum(top, 1e-12), 0, 1), np.float32)


def _without_specks(mask: NDArray[np.bool_], smallest: float) -> NDArray[np.bool_]:
    cross = ndimage.generate_binary_structure(2, 1)
    planes = mask if mask.ndim == 3 else mask[np.newaxis]
    opened = np.stack(
        [ndimage.binary_fill_holes(ndimage.binary_opening(plane, cross)) for plane in planes]
    ).reshape(mask.shape)
    labels, _ = ndimage.label(opened)
    keep = np.bincount(labels.ravel()) >= max(_SMALLEST, smallest)
    keep[0] = False
    return np.asarray(keep[labels])
