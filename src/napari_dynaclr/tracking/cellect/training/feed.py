"""Batches for the training of CELLECT: from memory where all frames fit, streamed where not.

An epoch of a large dataset goes through its movies in an order of its own, each frame read once;
patches of many frames wait in a pool, from which batches are drawn. So batches are mixed, and
memory stays bounded.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.background import read_ahead
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.tracking.cellect.training.samples import collate, make_sample, turned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.tracking.cellect.training.frames import Stretch
    from napari_dynaclr.tracking.cellect.training.samples import Batch, Sample

_BYTES = 2
_FRAMES = 3
_AT_ONCE = 3
"""Batches under way: one in use, one that waits, one that is being made."""

_PAINTED = 24
"""Bytes a voxel of a batch, of all maps that are painted of two frames."""

_RAW = 4
"""Memory of a frame while it is read and normalised, relative to what stays of it."""


@dataclass(frozen=True)
class Drawing:
    """How samples are drawn.

    Attributes
    ----------
    size
        (Z, Y, X) of the patches, no larger than any image.
    interval
        Longest interval between the frames of a sample.
    divisions
        Part of the samples that are drawn around a division, where there are any.
    turn
        Whether patches are reflected and turned.
    """

    size: tuple[int, int, int]
    interval: int
    divisions: float
    turn: bool


@dataclass(frozen=True)
class Draw:
    """A sample that is to be cut.

    Attributes
    ----------
    stretch
        Number of the stretch that it is of.
    times
        Of its frames.
    origin
        Where the patch begins, (z, y, x).
    """

    stretch: int
    times: tuple[int, int, int]
    origin: tuple[int, int, int]


class Sampler:
    """Draws samples from stretches of movies.

    Parameters
    ----------
    stretches
        What they are of.
    drawing
        How.
    """

    def __init__(self, stretches: Sequence[Stretch], drawing: Drawing) -> None:
        self._stretches, self._drawing = stretches, drawing
        self._starts = [(number, t) for number, one in enumerate(stretches) for t in one.starts()]
        self._mothers = [
            (number, t, tuple(one.place.points.position[row]))
            for number, one in enumerate(stretches)
            for t in one.starts()
            for row in _mothers(one, t)
        ]

    def draw(self, rng: np.random.Generator) -> Draw:
        """Draw a sample."""
        drawing = self._drawing
        near = self._mothers and rng.random() < drawing.divisions
        if near:
            number, t, centre = self._mothers[int(rng.integers(len(self._mothers)))]
        else:
            number, t = self._starts[int(rng.integers(len(self._starts)))]
            centre = None
        stretch = self._stretches[number]
        longest = min(drawing.interval, stretch.last - t)
        # Around a division, the next frame is the one that shows the daughters.
        interval = 1 if near else int(rng.integers(longest)) + 1
        room = np.array(stretch.place.fov.shape[1:]) - np.array(drawing.size)
        if centre is None:
            # Beyond the image, so that its edges, where cells are cut off, are seen often enough.
            beyond = np.array(drawing.size) // 4
            origin = rng.integers(-beyond, room + beyond + 1)
        else:
            origin = np.round(np.array(centre) - rng.uniform(0.2, 0.8, 3) * drawing.size)
        origin = origin.astype(int).clip(0, room)
        z, y, x = (int(one) for one in origin)
        return Draw(number, stretch.times(t, interval), (z, y, x))

    def cut(self, draw: Draw, frames: Sequence[NDArray[np.float16]]) -> Sample:
        """Cut a sample out of its three frames, (Z, Y, X) each."""
        place = self._stretches[draw.stretch].place
        window = tuple(
            slice(start, start + side)
            for start, side in zip(draw.origin, self._drawing.size, strict=True)
        )
        images = np.stack([frame[window] for frame in frames])
        whole = place.fov.shape[1:]
        return make_sample(images, place.points, draw.times, draw.origin, place.fov.scale, whole)

    def stream(self, number: int, draws: Sequence[Draw]) -> Iterator[Sample]:
        """Cut samples of one stretch, each frame of which is read once.

        Parameters
        ----------
        number
            Of the stretch.
        draws
            Its samples, in any order.
        """
        waiting = sorted(draws, key=lambda one: (one.times[-1], one.times[0]))
        first = [one.times[0] for one in waiting]
        # The earliest time that the samples from here on need.
        needed = np.minimum.accumulate(first[::-1])[::-1]
        times = sorted({t for one in draws for t in one.times})
        held: dict[int, NDArray[np.float16]] = {}
        done = 0
        for t, frame in self._stretches[number].place.read(times):
            held[t] = frame
            while done < len(waiting) and waiting[done].times[-1] <= t:
                yield self.cut(waiting[done], [held[one] for one in waiting[done].times])
                done += 1
            if done < len(waiting):
                held = {one: kept for one, kept in held.items() if one >= needed[done]}


class Feed:
    """Batches of an epoch after the other; all processes get equally many.

    Parameters
    ----------
    stretches
        What to train with.
    drawing
        How samples are drawn.
    size
        Samples of a batch.
    samples
        Samples of an epoch, of all processes together, at least.
    room
        Memory for pixels, bytes.
    seed
        Equal seeds and rooms give equal batches.
    job
        For cancelling.
    rank, ranks
        Which process, of how many.

    Raises
    ------
    InvalidInput
        If the memory is too small for batches of that size.
    """

    def __init__(
        self,
        stretches: Sequence[Stretch],
        drawing: Drawing,
        size: int,
        samples: int,
        room: float,
        seed: int,
        job: Job,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._stretches, self._drawing = stretches, drawing
        self._sampler = Sampler(stretches, drawing)
        self.size = size
        """Samples of a batch."""
        self._batches_each = max(-(-samples // (size * ranks)), 1)
        self._seed, self._job = seed, job
        self._rank, self._ranks = rank, ranks
        voxels = int(np.prod(drawing.size))
        one = _BYTES * _FRAMES * voxels
        room -= _AT_ONCE * size * (one + _PAINTED * voxels)
        largest = max(_frame(stretch) for stretch in stretches)
        whole = sum(_frame(stretch) * (stretch.last - stretch.first + 1) for stretch in stretches)
        self.fits = whole + _RAW * largest <= room
        """Whether all frames are in memory at once."""
        window = (2 * drawing.interval + 1 + _RAW * self._block()) * largest
        self._pool = int((room - window) / one)
        if room <= 0 or (not self.fits and self._pool < 2 * size):
            raise InvalidInput(
                f"There is too little memory for batches of {size} patches: choose a smaller "
                "batch_size or patch_size, or allow more memory."
            )
        self._kept: dict[tuple[int, int], NDArray[np.float16]] = {}
        self.epoch = 0
        """The epoch that the next iteration is of."""

    def _block(self) -> int:
        """Frames that one read from disk brings."""
        return max(one.place.fov.find(one.place.channel)[0].time_chunk for one in self._stretches)

    def __len__(self) -> int:
        return self._batches_each

    def __iter__(self) -> Iterator[Batch]:
        # Nothing happens before the first batch is asked for: Lightning makes iterators early.
        with closing(read_ahead(self._batches(self.epoch), self._job, depth=1)) as batches:
            yield from islice(batches, len(self))

    def load(self) -> None:
        """Read the frames now, if they all fit; with the first batch by default."""
        if not self.fits or self._kept:
            return
        for number, stretch in enumerate(self._job.track(self._stretches, "read images")):
            for t, frame in stretch.place.read(range(stretch.first, stretch.last + 1)):
                self._job.check()
                self._kept[number, t] = frame

    def _batches(self, epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([self._seed, epoch])
        wanted = len(self) * self.size * self._ranks
        draws = [self._sampler.draw(rng) for _ in range(wanted)][self._rank :: self._ranks]
        rng = np.random.default_rng([self._seed, epoch, self._rank])
        samples = self._from_memory(draws) if self.fits else self._streamed(draws, rng)
        while some := list(islice(samples, self.size)):
            yield collate([turned(one, rng) if self._drawing.turn else one for one in some])

    def _from_memory(self, draws: Sequence[Draw]) -> Iterator[Sample]:
        self.load()
        for draw in draws:
            yield self._sampler.cut(draw, [self._kept[draw.stretch, t] for t in draw.times])

    def _streamed(self, draws: Sequence[Draw], rng: np.random.Generator) -> Iterator[Sample]:
        pool: list[Sample] = []
        for number in rng.permutation(len(self._stretches)).tolist():
            here = [one for one in draws if one.stretch == number]
            if not here:
                continue
            for sample in self._sampler.stream(number, here):
                self._job.check()
                pool.append(sample)
                if len(pool) >= self._pool:
                    yield _taken(pool, rng)
        while pool:
            yield _taken(pool, rng)


def _mothers(stretch: Stretch, t: int) -> NDArray[np.int64]:
    points = stretch.place.points
    rows = points.at(t)
    return rows[points.dividing(rows, t + 1)]


def _frame(stretch: Stretch) -> int:
    """Bytes of a frame."""
    return _BYTES * int(np.prod(stretch.place.fov.shape[1:]))


def _taken(pool: list[Sample], rng: np.random.Generator) -> Sample:
    """Take a sample out of the pool."""
    place = int(rng.integers(len(pool)))
    pool[place], pool[-1] = pool[-1], pool[place]
    return pool.pop()
