"""Batches for the training of TAP: pairs of patches of the same place at two time points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.embedding.tap.training.movies import BLOCK
from napari_dynaclr.learning.feed import Needs, SampleFeed, Share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.tap.training.movies import Stretch

    type Patches = NDArray[np.float16]

_BYTES = 2
_FLOATS = 16
"""Bytes a pixel of a batch while it is augmented: the places of its pixels, and its copies."""


@dataclass(frozen=True)
class Drawing:
    """How pairs are drawn.

    Attributes
    ----------
    side
        Of the patches that the network sees, in pixels; no image is smaller.
    wide
        Of the crops that they are augmented from; beyond the edges of an image they show its
        reflection.
    foreground, changing
        Part of the pairs that are drawn where there is something, and where that changes between
        the images, the more the more often; the others are drawn anywhere.
    """

    side: int
    wide: int
    foreground: float = 0.0
    changing: float = 0.0


@dataclass(frozen=True)
class Draw:
    """A pair that is to be cut.

    Attributes
    ----------
    stretch
        Number of the stretch that it is of.
    times
        Of its frames.
    z
        Slice.
    origin
        Where the crop begins, (y, x); may be outside of the image.
    """

    stretch: int
    times: tuple[int, int]
    z: int
    origin: tuple[int, int]


class Sampler:
    """Draws pairs from stretches of movies; all datasets alike, however large.

    Parameters
    ----------
    stretches
        What they are of.
    drawing
        How.
    """

    def __init__(self, stretches: Sequence[Stretch], drawing: Drawing) -> None:
        self._stretches, self._drawing = stretches, drawing
        self._pairs: dict[int, list[tuple[int, int]]] = {}

    def _starts(self) -> list[list[tuple[int, int]]]:
        """List stretch and time of all pairs, by dataset; all frames have been read by now."""
        if not self._pairs:
            for number, one in enumerate(self._stretches):
                if starts := one.starts():
                    of = self._pairs.setdefault(one.place.number, [])
                    of += [(number, t) for t in starts]
        return list(self._pairs.values())

    def draw(self, rng: np.random.Generator) -> Draw:
        """Draw a pair."""
        starts = self._starts()
        of = starts[int(rng.integers(len(starts)))]
        number, t = of[int(rng.integers(len(of)))]
        return self.place(number, t, rng)

    def place(self, number: int, t: int, rng: np.random.Generator) -> Draw:
        """Draw where a pair is cut, of a stretch by number and the time point of its first frame.

        Both frames have been read, and are of more than one value.
        """
        stretch = self._stretches[number]
        times = (t, t + stretch.place.step)
        _, _, height, width = stretch.place.fov.shape
        side, wide = self._drawing.side, self._drawing.wide
        first, second = (stretch.content[one] for one in times)
        total = self._liking(first, second, rng).cumsum(dtype=np.float64)
        if total[-1] > 0:
            block = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
            z, *corner = np.unravel_index(min(block, first.size - 1), first.shape)
            # Anywhere in the patch but at its edges.
            middle = np.array(corner) * BLOCK + BLOCK / 2 + rng.uniform(-0.33, 0.33, 2) * side
        else:
            z, middle = rng.integers(len(first)), rng.random(2) * (height, width)
        room = np.array([height - side, width - side])
        origin = np.round(middle - side / 2).clip(0, room).astype(int) - (wide - side) // 2
        return Draw(number, times, int(z), (int(origin[0]), int(origin[1])))

    def _liking(
        self, first: NDArray[np.float32], second: NDArray[np.float32], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """How likely each block is to be drawn, relative to the others; all 0 for anywhere."""
        chance = rng.random()
        if chance < self._drawing.foreground:
            return first + second
        if chance < self._drawing.foreground + self._drawing.changing:
            # Squared, as cells that move change a little, and those that divide much.
            return (second - first) ** 2
        return np.zeros_like(first)

    def cut(self, draw: Draw, frames: Sequence[NDArray[np.float16]]) -> Patches:
        """Cut a pair, (2, 1, wide, wide), out of its two frames, (Z, Y, X) each."""
        return cut_pair(draw, frames, self._drawing.wide)


def cut_pair(draw: Draw, frames: Sequence[NDArray[np.float16]], side: int) -> Patches:
    """Cut a pair out of its two frames.

    Parameters
    ----------
    draw
        What to cut.
    frames
        (Z, Y, X) each.
    side
        Of the crop.

    Returns
    -------
    numpy.ndarray
        (2, 1, side, side).
    """
    y, x = (
        _reflected(start, side, length)
        for start, length in zip(draw.origin, frames[0].shape[1:], strict=True)
    )
    return np.stack([frame[draw.z][np.ix_(y, x)] for frame in frames])[:, None]


def _reflected(start: int, count: int, length: int) -> NDArray[np.int64]:
    """Return indices of so many pixels in an image that is continued by reflection."""
    period = max(2 * (length - 1), 1)
    places = np.arange(start, start + count) % period
    return np.minimum(places, period - places).clip(0, length - 1)


class Feed(SampleFeed[Draw, "Patches"]):
    """Batches (B, 2, 1, wide, wide), float16; from memory or streamed, as the base class says.

    Parameters
    ----------
    stretches
        What to train with.
    drawing
        How pairs are drawn.
    size
        Pairs of a batch.
    pairs
        Pairs of an epoch, of all processes together, at least.
    room
        Memory for pixels, bytes.
    seed
        Equal seeds and rooms give equal batches.
    job
        For cancelling.
    share
        Which process, of how many.
    """

    def __init__(
        self,
        stretches: Sequence[Stretch],
        drawing: Drawing,
        size: int,
        pairs: int,
        room: float,
        seed: int,
        job: Job,
        share: Share | None = None,
    ) -> None:
        pixels = 2 * drawing.wide**2
        needs = Needs(
            sample=_BYTES * pixels,
            painted=_FLOATS * pixels,
            span=1 + max(one.place.step for one in stretches),
        )
        sampler = Sampler(stretches, drawing)
        super().__init__(stretches, sampler, size, pairs, needs, room, seed, job, share)

    def look(self) -> None:
        """Read all frames once, to know where there is something; kept if they fit."""
        self.load()
        if not self.fits:
            for one in self._job.track(self._stretches, "look over the images"):
                for _ in one.read(range(one.first, one.last + 1)):
                    self._job.check()

    def collate(self, samples: list[Patches], rng: np.random.Generator) -> Patches:
        """Stack pairs."""
        return np.stack(samples)
