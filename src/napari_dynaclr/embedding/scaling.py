"""Intensities of patches brought to the scale that a network was trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_dynaclr.core.normalize import EPSILON, Statistics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

Mode = Literal["mean-std", "cell-percentiles", "fov-percentiles", "batch-percentiles", "none"]

MODES: dict[Mode, str] = {
    "mean-std": "mean 0 and standard deviation 1 over the FOV",
    "cell-percentiles": "50th to 99th percentile of the cell's own patch to 0-1",
    "fov-percentiles": "50th to 99th percentile of the FOV to 0-1",
    "batch-percentiles": "50th to 99th percentile of 32 patches of a time point to 0-1, "
    "as VisCy's public configuration does: depends on which cells come together",
    "none": "as they are",
}
"""Ways to normalise a channel (dynaclr.txt, A.2.3 and B.1)."""

Range = Literal["dataset-range", "fov-range"]

RANGES: dict[Range, str] = {
    "dataset-range": "from the darkest to the brightest of the whole dataset, one scale for all "
    "wells",
    "fov-range": "from the darkest to the brightest of each FOV",
}
"""Ways to bring a channel to 0-1 and no further, as an imaging noise needs it."""

_HEADROOM = 0.3
"""Of the range between the 1st and 99th percentile, above it: bright cells are rare."""

GROUP = 32
"""Patches that share their percentiles in "batch-percentiles": VisCy's batch size."""


def scale_patches(
    patches: NDArray[Any],
    modes: Sequence[Mode | Range],
    statistics: Sequence[Statistics],
    pool: Executor,
    inner: int | None = None,
) -> NDArray[np.float32]:
    """Normalise patches, every channel in its way.

    Pixels without a finite value are set to the median of their patch; where a patch
    has none but these in a channel, to 0 on the scale of the result.

    Parameters
    ----------
    patches
        Pixels of one batch, (N, C, Z, Y, X).
    modes
        A key of :data:`MODES` or :data:`RANGES` for every channel.
    statistics
        Of the FOV (for "dataset-range", of the dataset), for every channel; used by "mean-std",
        "fov-percentiles", and the ranges.
    pool
        Threads among which the patches are divided.
    inner
        Side of the middle that "cell-percentiles" are of, in pixels; all of a patch if None.

    Returns
    -------
    numpy.ndarray
        Same shape.
    """
    result = np.empty(patches.shape, np.float32)
    dead = np.zeros(patches.shape[:2], bool)
    seen = _middle(patches.shape[-2:], inner)

    def fill(i: int) -> None:
        result[i] = patches[i]
        for c, (mode, known) in enumerate(zip(modes, statistics, strict=True)):
            dead[i, c] = _mend(result[i, c])
            if mode == "cell-percentiles":
                _stretch(result[i, c], *percentile_range(result[i, c][seen]))
            elif mode == "fov-percentiles":
                _stretch(result[i, c], known["median"], known["p99"])
            elif mode == "mean-std":
                result[i, c] -= np.float32(known["mean"])
                result[i, c] /= np.float32(known["std"] + EPSILON)
            elif mode in RANGES:
                scale_range(result[i, c], known)

    list(pool.map(fill, range(len(patches))))
    for c, mode in enumerate(modes):
        if mode == "batch-percentiles":
            _stretch(result[:, c], *percentile_range(result[:, c]))
    result[dead] = 0
    return result


def scale_range(image: NDArray[np.float32], statistics: Statistics) -> None:
    """Bring an image to 0-1, in place; what is darker or brighter than its range is cut off.

    Parameters
    ----------
    image
        Pixels of a channel, any shape.
    statistics
        Of what the range is of: "p1", "p99", "max".
    """
    low, high = statistics["p1"], statistics["p99"]
    high = min(statistics["max"], high + _HEADROOM * (high - low))
    _stretch(image, low, high)
    np.clip(image, 0, 1, out=image)


def _middle(shape: tuple[int, ...], side: int | None) -> tuple[Any, ...]:
    """Return what to index with for the middle of an image, of that side at most."""
    starts = [0 if side is None else max((n - side) // 2, 0) for n in shape]
    return (..., *(slice(start, n - start) for start, n in zip(starts, shape, strict=True)))


def has_gaps(image: NDArray[Any]) -> bool:
    """Return whether some pixels have no finite value.

    Parameters
    ----------
    image
        Any shape.
    """
    # A sum is quicker than to look at each; one that is too large proves nothing.
    with np.errstate(over="ignore", invalid="ignore"):
        return not np.isfinite(image.sum()) and not bool(np.isfinite(image).all())


def _mend(image: NDArray[np.float32]) -> bool:
    """Set what is not finite to the median of what is; return whether nothing is."""
    if not has_gaps(image):
        return False
    good = np.isfinite(image)
    image[~good] = np.median(image[good]) if good.any() else 0
    return not good.any()


def percentile_range(image: NDArray[np.float32]) -> tuple[float, float]:
    """Return the 50th and 99th percentile, interpolated as numpy does.

    Twelve times as fast: numpy looks for all ranks at once, which it cannot do with
    the processor's vectors. One after the other it can.

    Parameters
    ----------
    image
        Any shape, finite.
    """
    values = image.ravel()
    ranks = np.array([0.5, 0.99]) * (values.size - 1)
    first, second = np.floor(ranks).astype(int)
    part = np.partition(values, first)
    above = part[first + 1 :]
    low, after_low = part[first], above.min(initial=np.inf)
    if second > first:
        place = second - first - 1
        above.partition(place)
        high, after_high = above[place], above[place + 1 :].min(initial=np.inf)
    else:
        high, after_high = low, after_low
    return (
        _between(float(low), float(after_low), float(ranks[0] - first)),
        _between(float(high), float(after_high), float(ranks[1] - second)),
    )


def _between(below: float, above: float, weight: float) -> float:
    return below if weight == 0 else below + weight * (above - below)


def _stretch(image: NDArray[np.float32], low: float, high: float) -> None:
    """Bring ``low`` to 0 and ``high`` to 1, in place; a flat image is only shifted, as in MONAI."""
    image -= np.float32(low)
    if high > low:
        image /= np.float32(high - low)
