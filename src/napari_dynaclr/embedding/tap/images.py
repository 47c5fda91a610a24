"""Frames as a TAP network sees them: of one channel, each normalised by itself.

Training and inference both go through here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.embedding.tap.recipe import Stacks

_LOW, _HIGH = 1.0, 99.8
"""Percentiles of a frame that become 0 and 1."""
_SAMPLE = 1 << 22
"""Pixels at most that percentiles are taken of."""


def read(
    fov: Fov, channel: str, times: Iterable[int], *, allow_empty: bool = True
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Read frames of one channel as all that a TAP network sees is made from.

    NaN stay, for :func:`project` to pass over and :func:`normalise` to fill: filled before, those
    of one slice would show in the projection.

    Parameters
    ----------
    fov, channel, times, allow_empty
        As of :meth:`~napari_dynaclr.core.fov.Fov.frames`.

    Yields
    ------
    tuple
        Time point, and its pixels (Z, Y, X) as they were recorded.
    """
    for t, frame in fov.frames([channel], times, allow_empty=allow_empty, fill_nan=False):
        yield t, frame[0]


def prepare(image: NDArray[Any], stacks: Stacks) -> NDArray[np.float32]:
    """Make of a frame what a TAP network sees.

    Parameters
    ----------
    image
        Pixels of one channel as they were recorded, (Z, Y, X).
    stacks
        "slices": each slice stays; "max": their maximum projection.

    Returns
    -------
    numpy.ndarray
        (Z, Y, X), or (1, Y, X) of a projection; see :func:`normalise`.
    """
    return normalise(project(image) if stacks == "max" else image)


def project(image: NDArray[Any]) -> NDArray[Any]:
    """Project a stack (Z, Y, X) to its maximum (1, Y, X); NaN only where there is nothing else."""
    if len(image) == 1:
        return image
    return np.fmax.reduce(image, axis=0, keepdims=True)


def normalise(image: NDArray[Any]) -> NDArray[np.float32]:
    """Bring percentiles 1 and 99.8 of a frame to 0 and 1; what is beyond is not clipped.

    Percentiles are those of the public code; the paper names none.

    Parameters
    ----------
    image
        One frame, of any shape: a stack is scaled as a whole, so that its slices stay as bright
        beside each other as they were.

    Returns
    -------
    numpy.ndarray
        The same shape. Pixels without a finite value get the frame's median. Where the
        percentiles are the same, as of few bright spots on an even ground, minimum and maximum
        take their place. A frame of one intensity, or without any finite value, is all 0.
    """
    pixels = np.array(image, np.float32)
    good = np.isfinite(pixels)
    whole = bool(good.all())
    values = pixels.ravel() if whole else pixels[good]
    if not values.size:
        return np.zeros_like(pixels)
    # An odd step does not keep to the columns of an image, most of which are of even width.
    sample = values[:: (values.size // _SAMPLE) | 1]
    low, middle, high = (float(v) for v in np.percentile(sample, (_LOW, 50, _HIGH)))
    if not high > low:
        low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.zeros_like(pixels)
    if not whole:
        pixels[~good] = middle
    pixels -= np.float32(low)
    pixels /= np.float32(high - low)
    return pixels
