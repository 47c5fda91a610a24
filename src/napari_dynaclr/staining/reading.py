"""Slices of a FOV one after the other, normalised, and what is wrong with some time points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import UnreadablePixels
from napari_dynaclr.core.fov import nothing_but
from napari_dynaclr.core.normalize import (
    GRID,
    Level,
    Statistics,
    statistics,
    statistics_at,
)
from napari_dynaclr.staining.intensities import Intensities, Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job


@dataclass(frozen=True)
class Source:
    """What a network sees of a FOV.

    Attributes
    ----------
    channels
        Channels, in the network's order.
    mode
        How each is normalised.
    level
        Over what its statistics are taken.
    skip_empty
        Whether a time point of nothing but zeros or NaN is left empty rather than an error.
    """

    channels: tuple[str, ...]
    mode: Mode
    level: Level
    skip_empty: bool = False


@dataclass(frozen=True)
class Slice:
    """A slice of a time point, (C, Y, X), normalised."""

    t: int
    image: NDArray[np.float32]


@dataclass(frozen=True)
class End:
    """The end of a time point, and why it has no image, if it has none.

    Attributes
    ----------
    t
        Time point.
    empty
        "zeros", "NaN" or "one value" where it holds nothing else.
    error
        Why it cannot be read.
    """

    t: int
    empty: str = ""
    error: UnreadablePixels | None = None


def intensities(
    dataset: Dataset, fov: Fov, source: Source, job: Job
) -> dict[int, list[Intensities]]:
    """Return how each time point of a FOV is to be normalised, an entry per channel.

    Statistics are computed where there are none yet; time points that cannot be read are
    left out of them. With one entry for the whole FOV, it is that of time point -1.

    Raises
    ------
    InvalidInput
        If there is no such channel, or the statistics lack what the normalisation needs.
    UnreadablePixels
        If no time point can be read.
    """

    def settle(known: dict[str, Statistics], where: str) -> list[Intensities]:
        return [
            Intensities.of(known[channel], source.mode, f"{where}, channel {channel}")
            for channel in source.channels
        ]

    for channel in source.channels:
        fov.find(channel)
    if source.mode == "none":
        return {-1: [Intensities.of({}, "none", fov.name)] * len(source.channels)}
    found = statistics(dataset, fov, source.channels, source.level, job, lenient=True)
    if source.level != "timepoint":
        return {-1: settle(found, f"FOV {fov.name}")}
    times = sorted(set.intersection(*(set(found[channel]) for channel in source.channels)))
    return {
        t: settle({c: found[c][t] for c in source.channels}, f"FOV {fov.name}, time point {t}")
        for t in times
    }


def read_slices(
    fov: Fov, times: Sequence[int], source: Source, how: dict[int, list[Intensities]]
) -> Iterator[Slice | End]:
    """Read time points slice by slice, each chunk once.

    A time point that holds one value everywhere shows nothing, and is said to be empty; other
    than one of zeros or NaN, it is never an error.

    Parameters
    ----------
    fov
        Where the pixels are.
    times
        Time points, ascending.
    source
        What to read.
    how
        From :func:`intensities`.

    Yields
    ------
    Slice or End
        The slices of a time point from the first to the last, and its end; the end alone,
        or after some slices, where it cannot be read.

    Raises
    ------
    InvalidInput
        At an empty time point, unless these are to be skipped.
    """
    left = list(times)
    while left:
        try:
            for t, slabs in _stacks(fov, list(left), source.channels):
                scale = how.get(-1) or how.get(t) or _late(fov, t, source)
                empty = [""] * len(source.channels)
                seen = [False] * len(source.channels)
                flat = Flat(len(source.channels))
                for slab in slabs:
                    flat.see(slab)
                    for c, image in enumerate(slab):
                        empty[c] = empty[c] if seen[c] else nothing_but(image)
                        seen[c] |= not empty[c]
                    for z in range(slab.shape[1]):
                        yield Slice(t, scaled(slab[:, z], scale))
                what = next((e for e, s in zip(empty, seen, strict=True) if not s), "")
                if what and not source.skip_empty:
                    fov.refuse_empty(source.channels[seen.index(False)], t, what)
                left.remove(t)
                yield End(t, what or ("one value" if flat else ""))
        except UnreadablePixels as error:
            lost = [t for t in left if t in error.times]
            left = [t for t in left if t not in error.times]
            for t in lost:
                yield End(t, error=error)


class Flat:
    """Whether all that is seen of an image has one value, in every channel.

    Parameters
    ----------
    channels
        How many there are.
    """

    def __init__(self, channels: int) -> None:
        self._values: list[float | None] = [None] * channels
        self._flat = True

    def see(self, slab: NDArray[Any]) -> None:
        """Look at pixels, (C, ...); NaN and infinite ones do not count."""
        for c, image in enumerate(slab):
            if not self._flat:
                return
            # Mostly, a few pixels tell.
            self._flat = self._same(c, image[..., ::GRID, ::GRID]) and self._same(c, image)

    def _same(self, c: int, image: NDArray[Any]) -> bool:
        import numpy as np

        values = image[np.isfinite(image)] if image.dtype.kind == "f" else image
        if not values.size:
            return True
        known = self._values[c]
        if known is None:
            known = self._values[c] = values.flat[0]
        return bool((values == known).all())

    def __bool__(self) -> bool:
        return self._flat


def scaled(image: NDArray[Any], how: Sequence[Intensities]) -> NDArray[np.float32]:
    """Normalise an image (C, ...), each channel in its way."""
    import numpy as np

    return np.stack([scale(one) for scale, one in zip(how, image, strict=True)])


def _stacks(
    fov: Fov, times: Sequence[int], channels: Sequence[str]
) -> Iterator[tuple[int, Iterable[NDArray[Any]]]]:
    """Time points, and pieces (C, slices, Y, X) of each.

    Time points that share chunks are read together, as a whole.
    """
    if fov.reads_apart(channels):
        for t in times:
            yield t, (slab for _, slab in fov.slabs(channels, t))
    else:
        for t, frame in fov.frames(channels, times, allow_empty=True, fill_nan=False):
            yield t, [frame]


def _late(fov: Fov, t: int, source: Source) -> list[Intensities]:
    """How a time point is normalised that could not be read when the statistics were made."""
    found = statistics_at(fov, source.channels, t)
    where = f"FOV {fov.name}, time point {t}"
    return [
        Intensities.of(found[channel], source.mode, f"{where}, channel {channel}")
        for channel in source.channels
    ]
