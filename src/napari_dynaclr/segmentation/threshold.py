"""Nuclei by local and global threshold, split by a distance-transform watershed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from napari_dynaclr.core.channels import named_after
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov


class ThresholdParams(Params):
    """Settings of segmentation by threshold."""

    channel: str = Field(
        "",
        title="Nuclei channel",
        description="Channel with bright nuclei; if empty, the one named after nuclei.",
        json_schema_extra={"choices": "channels"},
    )
    diameter: float = Field(
        12.0,
        title="Nucleus diameter (um)",
        description="Typical diameter of a nucleus; all lengths follow from it.",
        gt=0,
        le=1000,
    )
    sensitivity: float = Field(
        1.0,
        title="Sensitivity",
        description="Above 1 finds dimmer nuclei, below 1 only brighter ones.",
        ge=0.1,
        le=10,
    )
    min_size: float = Field(
        0.15,
        title="Smallest size",
        description="Drop objects smaller than this fraction of a typical nucleus.",
        ge=0,
        le=1,
    )
    empty_frames: Literal["error", "skip"] = Field(
        "error",
        title="Empty frames",
        description="Stop at a frame of nothing but zeros or NaN, or leave it without cells.",
        json_schema_extra={"advanced": True},
    )


def nuclei_channel(channels: list[str], wanted: str = "") -> str:
    """Return the channel to segment.

    Raises
    ------
    InvalidInput
        If none is named and none looks like nuclei.
    """
    if wanted:
        return wanted
    found = named_after("nuclei", channels)
    if found is not None:
        return found
    raise InvalidInput(
        f"No channel is named after nuclei: choose one of {', '.join(channels)} with channel=."
    )


def channels_read(fov: Fov, params: ThresholdParams) -> list[str]:
    """Return the channels that are segmented."""
    return [nuclei_channel(fov.channels, params.channel)]


def segment_fov(fov: Fov, start: int, params: ThresholdParams) -> Iterator[NDArray[np.uint32]]:
    """Yield the label image (Z, Y, X) of each time point from ``start`` on."""
    channel = nuclei_channel(fov.channels, params.channel)
    times = range(start, fov.shape[0])
    for _, frame in fov.frames([channel], times, allow_empty=params.empty_frames == "skip"):
        yield segment_frame(frame[0], fov.scale, params)


def segment_frame(
    image: NDArray[Any], scale: tuple[float, float, float], params: ThresholdParams
) -> NDArray[np.uint32]:
    """Segment one time point.

    Parameters
    ----------
    image
        Intensities (Z, Y, X), nuclei bright; Z may be 1.
    scale
        Voxel size (z, y, x) in um.
    params
        Settings.

    Returns
    -------
    numpy.ndarray
        Labels (Z, Y, X), 1 to n; 0 is background.
    """
    flat = image.shape[0] == 1
    values = np.asarray(image[0] if flat else image, np.float32)
    if values.min() == values.max():
        return np.zeros(image.shape, np.uint32)
    voxel = np.asarray(scale[1:] if flat else scale, float)
    diameter = params.diameter / voxel  # in pixels, per axis
    smooth = ndimage.gaussian_filter(values, 0.06 * diameter)
    signal, mask = _foreground(smooth, diameter, params.sensitivity)
    objects = _split(mask, voxel, params.diameter)
    if not flat:
        objects = _trim(objects, signal)
    # A stack may be thinner than a nucleus: then only that much of it can be seen.
    whole = _typical_size(np.minimum(diameter, values.shape))
    labels = _drop_small(objects, params.min_size * whole)
    return labels[np.newaxis] if flat else labels


def _foreground(
    smooth: NDArray[np.float32], diameter: NDArray[np.floating], sensitivity: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the light above the background, and where there is more than around it."""
    # The background is what remains when everything of a nucleus' size is cut off.
    surroundings = ndimage.gaussian_filter(smooth, 1.5 * diameter)
    floor = ndimage.gaussian_filter(np.minimum(smooth, surroundings), 1.5 * diameter)
    signal = smooth - floor
    # Bright mitotic nuclei must not lift the threshold above the dim ones: Otsu on roots.
    root = np.sqrt(np.maximum(signal, 0))
    above = float(threshold_otsu(root)) ** 2 / sensitivity
    mask = signal > np.maximum(above * 0.75, (surroundings - floor) / sensitivity)
    # Slice by slice: a flat nucleus lies in one or two of them.
    cross = ndimage.generate_binary_structure(2, 1)
    opened = ndimage.binary_opening(mask, cross if mask.ndim == 2 else cross[np.newaxis])
    return signal, np.asarray(_fill_holes(opened), dtype=bool)


def _trim(objects: NDArray[np.int32], signal: NDArray[np.float32]) -> NDArray[np.int32]:
    """Keep what is brighter than half of an object's own brightness.

    Light of a nucleus reaches slices above and below it; half of the maximum is
    where the object ends.
    """
    inside = np.flatnonzero(objects)
    label, value = objects.ravel()[inside], signal.ravel()[inside]
    order = np.lexsort((value, label))
    count = np.bincount(label)
    # The 90th percentile of each object: its brightness without the brightest specks.
    last = np.cumsum(count) - 1
    place = np.maximum(last - np.round(0.1 * count).astype(int), 0)
    bright = value[order][place]
    trimmed = objects.copy()
    trimmed.ravel()[inside[value < 0.5 * bright[label]]] = 0
    return trimmed


def _fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if mask.ndim == 2:
        return np.asarray(ndimage.binary_fill_holes(mask))
    return np.stack([ndimage.binary_fill_holes(plane) for plane in mask])


def _split(
    mask: NDArray[np.bool_], voxel: NDArray[np.floating], diameter: float
) -> NDArray[np.int32]:
    """Split touching nuclei at the necks of the distance transform."""
    if mask.ndim == 3 and mask.shape[0] * voxel[0] < diameter:
        # Thinner than a nucleus: the next slice is near everywhere, only the plane tells.
        planes = [ndimage.distance_transform_edt(plane, sampling=voxel[1:]) for plane in mask]
        distance = np.stack(planes)
    else:
        distance = ndimage.distance_transform_edt(mask, sampling=voxel)
    distance = ndimage.gaussian_filter(np.asarray(distance, np.float32), 0.08 * diameter / voxel)
    objects, _ = ndimage.label(mask)
    reach = np.maximum(1, np.round(0.3 * diameter / voxel)).astype(int)
    peaks = peak_local_max(
        distance, footprint=_ellipsoid(reach), labels=objects, exclude_border=False
    )
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.reshape(-1, mask.ndim).T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-distance, markers, mask=mask), np.int32)


def _ellipsoid(radii: NDArray[np.integer]) -> NDArray[np.bool_]:
    grid = np.ogrid[tuple(slice(-radius, radius + 1) for radius in radii)]
    return np.asarray(sum((g / r) ** 2 for g, r in zip(grid, radii, strict=True)) <= 1.0)


def _typical_size(diameter: NDArray[np.floating]) -> float:
    """Pixels of an ellipse, or voxels of an ellipsoid, of that diameter."""
    shape = np.pi / 4 if len(diameter) == 2 else np.pi / 6
    return float(shape * np.prod(diameter))


def _drop_small(labels: NDArray[np.int32], smallest: float) -> NDArray[np.uint32]:
    """Remove small objects and number the others."""
    sizes = np.bincount(labels.ravel())
    keep = sizes >= smallest
    keep[0] = False
    new = np.zeros(len(sizes), np.uint32)
    new[keep] = np.arange(1, int(keep.sum()) + 1)
    return new[labels]
