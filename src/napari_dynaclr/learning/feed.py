"""Batches of samples cut out of frames: from memory where all frames fit, streamed where not.

An epoch of a large dataset goes through its movies in an order of its own, each frame read once;
samples of many frames wait in a pool, from which batches are drawn. So batches are mixed, and
memory stays bounded.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_dynaclr.core.background import read_ahead
from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job

    type Frame = NDArray[np.float16]

_AT_ONCE = 3
"""Batches under way: one in use, one that waits, one that is being made."""

_RAW = 4
"""Memory of a frame while it is read and normalised, relative to its pixels as float16."""


class Drawn(Protocol):
    """A sample that is to be cut."""

    @property
    def stretch(self) -> int:
        """Number of the stretch that it is of."""
        ...

    @property
    def times(self) -> tuple[int, ...]:
        """Time points of its frames, ascending."""
        ...


class Stretch(Protocol):
    """A part of a movie to learn from."""

    @property
    def first(self) -> int:
        """First time point."""
        ...

    @property
    def last(self) -> int:
        """Last time point."""
        ...

    @property
    def pixels(self) -> tuple[int, int]:
        """Pixels of a frame as it is read, and of what stays of it."""
        ...

    @property
    def block(self) -> int:
        """Frames that one read from disk brings."""
        ...

    def read(self, times: Sequence[int]) -> Iterator[tuple[int, Frame]]:
        """Read frames, normalised, at ascending time points."""
        ...


class Sampler[D: Drawn, S](Protocol):
    """Draws samples from stretches of movies."""

    def draw(self, rng: np.random.Generator) -> D:
        """Draw a sample."""
        ...

    def cut(self, draw: D, frames: Sequence[Frame]) -> S:
        """Cut a sample out of its frames."""
        ...


def stream[D: Drawn, S](
    stretch: Stretch, sampler: Sampler[D, S], draws: Sequence[D]
) -> Iterator[S]:
    """Cut samples of one stretch, each frame of which is read once.

    Parameters
    ----------
    stretch
        The stretch.
    sampler
        Cuts the samples.
    draws
        Its samples, in any order.
    """
    waiting = sorted(draws, key=lambda one: (one.times[-1], one.times[0]))
    first = [one.times[0] for one in waiting]
    # The earliest time that the samples from here on need.
    needed = np.minimum.accumulate(first[::-1])[::-1]
    times = sorted({t for one in draws for t in one.times})
    held: dict[int, Frame] = {}
    done = 0
    for t, frame in stretch.read(times):
        held[t] = frame
        while done < len(waiting) and waiting[done].times[-1] <= t:
            yield sampler.cut(waiting[done], [held[one] for one in waiting[done].times])
            done += 1
        if done < len(waiting):
            held = {one: kept for one, kept in held.items() if one >= needed[done]}


@dataclass(frozen=True)
class Needs:
    """What a feed needs to know of its samples to keep within its memory.

    Attributes
    ----------
    sample
        Bytes of a sample.
    painted
        Bytes that it needs besides in a batch.
    span
        Frames from its first to its last, at most.
    """

    sample: int
    span: int
    painted: int = 0


@dataclass(frozen=True)
class Share:
    """What of an epoch is one process's.

    Attributes
    ----------
    rank, ranks
        Which process, of how many.
    """

    rank: int = 0
    ranks: int = 1


class SampleFeed[D: Drawn, S]:
    """Batches of an epoch after the other; all processes get equally many.

    Parameters
    ----------
    stretches
        What to train with.
    sampler
        Draws and cuts the samples.
    size
        Samples of a batch.
    samples
        Samples of an epoch, of all processes together, at least.
    needs
        Memory of the samples.
    room
        Memory for pixels, bytes.
    seed
        Equal seeds and rooms give equal batches.
    job
        For cancelling.
    share
        Which process, of how many.

    Raises
    ------
    InvalidInput
        If the memory is too small for batches of that size.
    """

    def __init__(
        self,
        stretches: Sequence[Stretch],
        sampler: Sampler[D, S],
        size: int,
        samples: int,
        needs: Needs,
        room: float,
        seed: int,
        job: Job,
        share: Share | None = None,
    ) -> None:
        self._stretches, self._sampler = stretches, sampler
        self.size = size
        """Samples of a batch."""
        self._share = share or Share()
        self._batches_each = max(-(-samples // (size * self._share.ranks)), 1)
        self._seed, self._job = seed, job
        room -= _AT_ONCE * size * (needs.sample + needs.painted)
        raw = max(2 * one.pixels[0] for one in stretches)
        kept = max(2 * one.pixels[1] for one in stretches)
        whole = sum(2 * one.pixels[1] * (one.last - one.first + 1) for one in stretches)
        self.fits = whole + _RAW * raw <= room
        """Whether all frames are in memory at once."""
        window = needs.span * kept + _RAW * max(one.block for one in stretches) * raw
        self._pool = int((room - window) / needs.sample)
        if room <= 0 or (not self.fits and self._pool < 2 * size):
            raise InvalidInput(
                f"There is too little memory for batches of {size} patches: choose a smaller "
                "batch_size or patch_size, or allow more memory."
            )
        self._kept: dict[tuple[int, int], Frame] = {}
        self.epoch = 0
        """The epoch that the next iteration is of."""

    def __len__(self) -> int:
        return self._batches_each

    def __iter__(self) -> Iterator[Any]:
        # Nothing happens before the first batch is asked for: Lightning makes iterators early.
        with closing(read_ahead(self._batches(self.epoch), self._job, depth=1)) as batches:
            yield from islice(batches, len(self))

    def collate(self, samples: list[S], rng: np.random.Generator) -> Any:
        """Put a batch together.

        Parameters
        ----------
        samples
            Of the batch.
        rng
            For what is drawn with it.
        """
        raise NotImplementedError

    def load(self) -> None:
        """Read the frames now, if they all fit; with the first batch by default."""
        if not self.fits or self._kept:
            return
        for number, stretch in enumerate(self._job.track(self._stretches, "read images")):
            for t, frame in stretch.read(range(stretch.first, stretch.last + 1)):
                self._job.check()
                self._kept[number, t] = frame

    def _batches(self, epoch: int) -> Iterator[Any]:
        rank, ranks = self._share.rank, self._share.ranks
        rng = np.random.default_rng([self._seed, epoch])
        wanted = len(self) * self.size * ranks
        draws = [self._sampler.draw(rng) for _ in range(wanted)][rank::ranks]
        rng = np.random.default_rng([self._seed, epoch, rank])
        samples = self._from_memory(draws) if self.fits else self._streamed(draws, rng)
        while some := list(islice(samples, self.size)):
            yield self.collate(some, rng)

    def _from_memory(self, draws: Sequence[D]) -> Iterator[S]:
        self.load()
        for draw in draws:
            yield self._sampler.cut(draw, [self._kept[draw.stretch, t] for t in draw.times])

    def _streamed(self, draws: Sequence[D], rng: np.random.Generator) -> Iterator[S]:
        pool: list[S] = []
        for number in rng.permutation(len(self._stretches)).tolist():
            here = [one for one in draws if one.stretch == number]
            if not here:
                continue
            for sample in stream(self._stretches[number], self._sampler, here):
                self._job.check()
                pool.append(sample)
                if len(pool) >= self._pool:
                    yield _taken(pool, rng)
        while pool:
            yield _taken(pool, rng)


def _taken[S](pool: list[S], rng: np.random.Generator) -> S:
    """Take a sample out of the pool."""
    place = int(rng.integers(len(pool)))
    pool[place], pool[-1] = pool[-1], pool[place]
    return pool.pop()
