"""Images made worse on purpose, as other microscopes might have made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

NEUTRAL = {"blur": 0.0, "noise": 0.0, "contrast": 1.0, "magnification": 1.0}
"""Kinds of perturbation, and the level of each that changes nothing."""

UNITS = {
    "blur": "blur (standard deviation, pixels)",
    "noise": "noise (of the image's standard deviation)",
    "contrast": "contrast (exponent)",
    "magnification": "magnification (factor)",
}
"""What the levels are."""


def perturb(frame: NDArray[Any], kind: str, level: float, seed: int = 0) -> NDArray[np.float32]:
    """Make an image worse.

    Parameters
    ----------
    frame
        Raw pixels, (C, Z, Y, X).
    kind
        - "blur": Gaussian, within slices; ``level`` is its standard deviation in pixels;
        - "noise": normal noise is added; ``level`` is its standard deviation, as a multiple
          of that of the channel;
        - "contrast": an exponent, of intensities between the channel's minimum (0) and maximum
          (1). (Stretching in proportion would be undone by normalisation.)
        - "magnification": see :func:`magnify`.
    level
        How much; that in :data:`NEUTRAL` changes nothing.
    seed
        Makes noise repeatable.

    Returns
    -------
    numpy.ndarray
        (C, Z, Y, X), of another size if magnified.
    """
    image = frame.astype(np.float32)
    if level == NEUTRAL[kind]:
        return image
    change: dict[str, Callable[[], NDArray[Any]]] = {
        "blur": lambda: ndimage.gaussian_filter(image, (0, 0, level, level), mode="reflect"),
        "noise": lambda: _noisy(image, level, seed),
        "contrast": lambda: _bent(image, level),
        "magnification": lambda: magnify(image, level),
    }
    return change[kind]().astype(np.float32, copy=False)


def _noisy(image: NDArray[np.float32], level: float, seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).standard_normal(image.shape, np.float32)
    spread = image.std(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
    return image + noise * (level * spread).astype(np.float32)


def _bent(image: NDArray[np.float32], exponent: float) -> NDArray[np.float32]:
    low, high = (f(image, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    span = np.maximum(high - low, np.finfo(np.float32).tiny)
    bent: NDArray[np.float32] = low + span * ((image - low) / span) ** exponent
    return bent


def magnify(image: NDArray[Any], factor: float, *, labels: bool = False) -> NDArray[Any]:
    """Show slices as they look at another magnification.

    Parameters
    ----------
    image
        (..., Y, X).
    factor
        Above 1, the middle is shown, enlarged, with as many pixels as there were; below 1 all is
        shown with fewer pixels, averaged so that no pattern comes up.
    labels
        Whether pixels are labels, which are not to be mixed.

    Returns
    -------
    numpy.ndarray
        (..., Y', X').
    """
    height, width = image.shape[-2:]
    if factor > 1:
        image = image[..., _middle(height, factor), _middle(width, factor)]
    elif not labels and factor < 1:
        blur = 0.5 * (1 / factor - 1)
        around = (*(0,) * (image.ndim - 2), blur, blur)
        image = ndimage.gaussian_filter(image.astype(np.float32), around)
    shape = (height, width) if factor > 1 else tuple(
        max(1, round(size * factor)) for size in (height, width)
    )  # fmt: skip
    zoom = [1.0] * (image.ndim - 2) + [
        new / old for new, old in zip(shape, image.shape[-2:], strict=True)
    ]
    found: NDArray[Any] = ndimage.zoom(
        image, zoom, order=0 if labels else 1, mode="nearest", grid_mode=True
    )
    return found


def _middle(size: int, factor: float) -> slice:
    shown = max(1, round(size / factor))
    return slice((size - shown) // 2, (size - shown) // 2 + shown)
