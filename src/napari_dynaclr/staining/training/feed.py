"""Batches for training: crops of frames, from memory where all frames fit, streamed where not.

An epoch of a large dataset goes through its frames in an order of its own, each read once;
crops of many frames wait in a pool, from which batches are drawn. So batches are mixed, and
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
from napari_dynaclr.staining.training.images import BLOCK, label_map

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.staining.training.images import Frames

    Crops = NDArray[np.float16]
    Cut = tuple[Crops, NDArray[np.float64]]

_BYTES = 2
_AT_ONCE = 3
"""Batches, and frames, under way: one in use, one that waits, one that is being made."""

_RAW = 4
"""Memory of a frame while it is read and normalised, relative to what stays of it."""

_FLOOR = 0.1
"""Part of the crops that are drawn wherever, so that background is learned, too."""


@dataclass(frozen=True)
class Cropping:
    """What crops are.

    Attributes
    ----------
    size
        (Z, Y, X): wider and deeper than what the network sees, where the images allow it.
    labelled
        Whether they are drawn in proportion to labelling, or anywhere alike.
    """

    size: tuple[int, int, int]
    labelled: bool

    def origin(
        self, frame: Crops, where: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[int, ...]:
        """Draw where a crop begins, (z, y, x), in a frame (C, Z, Y, X) and its label map."""
        room = [there - one for there, one in zip(frame.shape[1:], self.size, strict=True)]
        if not self.labelled or rng.random() < _FLOOR:
            return tuple(int(rng.integers(one + 1)) for one in room)
        block = rng.choice(where.size, p=where.ravel() / where.sum())
        corner = np.array(np.unravel_index(block, where.shape)) * BLOCK
        middle = corner + rng.integers(0, BLOCK, 2) - np.array(self.size[1:]) // 2
        y, x = (int(np.clip(one, 0, most)) for one, most in zip(middle, room[1:], strict=True))
        return int(rng.integers(room[0] + 1)), y, x

    def cut(self, frame: Crops, origin: tuple[int, ...]) -> Crops:
        """Cut a crop (C, Z, Y, X) out of a frame."""
        inside = tuple(
            slice(start, start + one) for start, one in zip(origin, self.size, strict=True)
        )
        return frame[(slice(None), *inside)]

    def widened(self, frame: Crops) -> Crops:
        """Continue a frame that is smaller than a crop by reflection, in the plane."""
        less = [
            max(one - side, 0) for one, side in zip(self.size[1:], frame.shape[2:], strict=True)
        ]
        if not any(less):
            return frame
        padding = [(0, 0), (0, 0), *((one // 2, one - one // 2) for one in less)]
        return np.pad(frame, padding, mode="reflect")


class Feed:
    """Batches of an epoch after the other; all processes get equally many.

    Parameters
    ----------
    frames
        All frames.
    rows
        Those to train with, (N,).
    cropping
        What crops are.
    size
        Crops of a batch.
    crops
        Crops of an epoch, of all processes together, at least.
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
        frames: Frames,
        rows: NDArray[np.intp],
        cropping: Cropping,
        size: int,
        crops: int,
        room: float,
        seed: int,
        job: Job,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._frames, self._rows, self._cropping = frames, rows, cropping
        self.size = size
        """Crops of a batch."""
        self._batches_each = max(-(-crops // (size * ranks)), 1)
        self._seed, self._job = seed, job
        self._rank, self._ranks = rank, ranks
        self._weights = _weights(frames, rows, cropping.labelled)
        count = len(frames.channels.names)
        one = _BYTES * count * int(np.prod(cropping.size))
        sizes = [_BYTES * count * int(np.prod(frames.size(row))) for row in rows]
        room -= _AT_ONCE * size * one
        self.fits = sum(sizes) + _RAW * max(sizes) <= room
        """Whether all frames are in memory at once."""
        self._runs = [] if self.fits else frames.runs(rows)
        # What a read brings, and is held beside the pool.
        self._thickness = self._slab(room / 2) if self._runs else 0
        self._pool = int(room / 2 / one)
        if room <= 0 or (not self.fits and (self._pool < 2 * size or not self._thickness)):
            raise InvalidInput(
                f"There is too little memory for batches of {size} patches: choose a smaller "
                "batch_size or patch_size, or allow more memory."
            )
        self._kept: dict[int, Cut] = {}
        self.epoch = 0
        """The epoch that the next iteration is of."""

    def __len__(self) -> int:
        return self._batches_each

    def __iter__(self) -> Iterator[Crops]:
        # Nothing happens before the first batch is asked for: Lightning makes iterators early.
        with closing(read_ahead(self._batches(self.epoch), self._job, depth=1)) as batches:
            yield from islice(batches, len(self))

    def load(self) -> None:
        """Read the frames now, if they all fit; with the first batch by default."""
        if not self.fits or self._kept:
            return
        for run in self._job.track(self._frames.runs(self._rows), "read images"):
            for row, frame in self._frames.read(run):
                self._job.check()
                self._kept[row] = self._located(frame)

    def _located(self, frame: Crops) -> Cut:
        """Return a frame with its label map."""
        frame = self._cropping.widened(frame)
        return frame, label_map(frame) if self._cropping.labelled else np.ones((1, 1))

    def _slab(self, room: float) -> int:
        """Slices that are read of a frame: as many as there is memory for; 0 for too few."""
        of_runs = []
        for run in self._runs:
            _, height, width = self._frames.size(run[0])
            one = _BYTES * len(self._frames.channels.names) * height * width * len(run) * _RAW
            of_runs.append(int(room / one))
        thickness = min(of_runs)
        return thickness if thickness >= self._cropping.size[0] else 0

    # -- what is drawn ----------------------------------------------------

    def _batches(self, epoch: int) -> Iterator[Crops]:
        if self.fits:
            self.load()
            yield from self._from_memory(epoch)
        else:
            yield from self._streamed(epoch)

    def _from_memory(self, epoch: int) -> Iterator[Crops]:
        rng = np.random.default_rng([self._seed, epoch])
        wanted = len(self) * self.size * self._ranks
        rows = np.repeat(self._rows, _spread(self._weights, wanted, rng))
        rows = rng.permutation(rows)[self._rank :: self._ranks]
        rng = np.random.default_rng([self._seed, epoch, self._rank])
        for start in range(0, len(rows), self.size):
            yield np.stack(
                [self._crop(self._kept[row], rng) for row in rows[start : start + self.size]]
            )

    def _crop(self, cut: Cut, rng: np.random.Generator) -> Crops:
        frame, where = cut
        return self._cropping.cut(frame, self._cropping.origin(frame, where, rng))

    def _streamed(self, epoch: int) -> Iterator[Crops]:
        rng = np.random.default_rng([self._seed, epoch])
        order = [self._runs[i] for i in rng.permutation(len(self._runs))]
        if len(order) >= self._ranks:
            order = order[self._rank :: self._ranks]
        rng = np.random.default_rng([self._seed, epoch, self._rank])
        wanted = len(self) * self.size
        rows = np.concatenate(order)
        share = self._weights[np.searchsorted(self._rows, rows)]
        counts = dict(zip(rows.tolist(), _spread(share / share.sum(), wanted, rng), strict=True))
        pool: list[Crops] = []
        for run in order:
            chosen = np.array([row for row in run if counts[row]], np.intp)
            if not len(chosen):
                continue
            for row, frame in self._frames.read(chosen, self._slices(run[0], rng)):
                cut = self._located(frame)
                for _ in range(counts[row]):
                    pool.append(self._crop(cut, rng).copy())
                    if len(pool) >= self._pool:
                        yield _drawn(pool, self.size, rng)
        while pool:
            yield _drawn(pool, self.size, rng)

    def _slices(self, row: int, rng: np.random.Generator) -> slice:
        """Draw which slices of a frame are read."""
        depth = self._frames.size(row)[0]
        start = int(rng.integers(max(depth - self._thickness, 0) + 1))
        return slice(start, start + self._thickness)


def _weights(frames: Frames, rows: NDArray[np.intp], labelled: bool) -> NDArray[np.float64]:
    """How often frames are drawn, summing to 1: all datasets alike (VSCyto2D, Data pooling)."""
    number = np.array([frames.places[one].number for one in frames.place[rows]])
    weights = np.ones(len(rows))
    if labelled:
        weights = _FLOOR + (1 - _FLOOR) * frames.labelled[rows]
    for one in np.unique(number):
        weights[number == one] /= weights[number == one].sum()
    found: NDArray[np.float64] = weights / weights.sum()
    return found


def _spread(weights: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw ``count`` in proportion to weights, as evenly as whole numbers allow."""
    edges = np.cumsum(weights) * count
    edges[-1] = count
    return np.diff(np.floor(edges + rng.random()), prepend=0).astype(np.intp)


def _drawn(pool: list[Crops], size: int, rng: np.random.Generator) -> Crops:
    """Take a batch out of the pool."""
    found = []
    for _ in range(size):
        place = int(rng.integers(len(pool)))
        pool[place], pool[-1] = pool[-1], pool[place]
        found.append(pool.pop())
    return np.stack(found)
