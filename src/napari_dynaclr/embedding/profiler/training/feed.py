"""Batches for a profiler: images and their partners, from memory, or block by block.

Where not all fits into memory, an epoch goes through the wells in stretches of time, all fields
of a well together; partners are drawn among what is in memory. So every chunk of the images is
read once an epoch.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.background import read_ahead
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.profiler.training.positives import Partner, Positives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.profiler.training.units import Places
    from napari_dynaclr.embedding.training.cells import Pixels

    type Read = Callable[[NDArray[np.intp], bool], Pixels]

_AT_ONCE = 3
"""Blocks in memory: one in use, one that waits, one that is being read."""

_STRETCHES = 4
"""Stretches in a block, at least: several wells come together."""


@dataclass(frozen=True)
class Images:
    """A batch, (B, C, Y, X) float16 each.

    Attributes
    ----------
    image
        Images to learn from.
    partner
        Another one of the same well for each; None without local aggregation.
    """

    image: NDArray[np.float16]
    partner: NDArray[np.float16] | None = None

    def __len__(self) -> int:
        return len(self.image)


class Feed:
    """Batches of an epoch after the other; all processes get equally many.

    Parameters
    ----------
    places
        Where and when all units are.
    rows
        Those to learn from, ascending, (N,).
    window
        Minutes that partners are apart at most; None without local aggregation.
    read
        From rows, and whether to report progress, to their pixels.
    each
        Bytes of an image.
    size
        Images of a batch; fewer where there are fewer.
    looks
        How often an epoch comes to each unit.
    room
        Memory for images, bytes.
    seed
        Equal seeds and rooms give equal batches.
    job
        For cancelling.
    rank, ranks
        Which process, of how many.

    Raises
    ------
    InvalidInput
        If there are fewer than two units with a partner for each process, or a batch does not
        fit into memory.
    """

    def __init__(
        self,
        places: Places,
        rows: NDArray[np.intp],
        window: float | None,
        read: Read,
        each: int,
        size: int,
        looks: int,
        room: float,
        seed: int,
        job: Job,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._places, self._window, self._read = places, window, read
        self._looks, self._seed, self._job = looks, seed, job
        self._rank, self._ranks = rank, ranks
        self._rows = rows
        if window is not None:
            self.best = Positives(places.take(rows), window).best
            """The best partner of each row."""
            self.units = int((self.best > Partner.NONE).sum())
            """Units that are learned from."""
        else:
            self.best = np.full(len(rows), Partner.OTHER_FIELD, np.int64)
            self.units = len(rows)
        self.size = min(size, self.units // ranks)
        """Images of a batch."""
        if self.size < 2:
            raise InvalidInput(_too_few(self.units, len(rows), window))
        needed = float(_AT_ONCE * 2 * self.size * each)
        if needed > 0.8 * room:
            raise InvalidInput(
                f"Batches of {self.size} images need {needed / 1e9:.2g} of {room / 1e9:.2g} GB: "
                "choose a smaller batch_size or patch_size, or allow more memory."
            )
        room -= needed
        self.fits = each * len(rows) <= room
        """Whether all images are in memory at once."""
        self._most = max(int(room / each / _AT_ONCE), 2)
        self._stretches = [] if self.fits else self._find_stretches()
        self._pixels: Pixels | None = None
        self.epoch = 0
        """The epoch that the next iteration is of."""

    def __len__(self) -> int:
        return max(self.units * self._looks // (self.size * self._ranks), 1)

    def __iter__(self) -> Iterator[Images]:
        # Nothing happens before the first batch is asked for: Lightning makes iterators early.
        with closing(read_ahead(self._batches(self.epoch), self._job, depth=1)) as batches:
            yield from islice(batches, len(self))

    def load(self) -> None:
        """Read the images now, if they all fit; with the first batch by default."""
        if self.fits and self._pixels is None:
            self._pixels = self._read(self._rows, True)

    def pixels(self, rows: NDArray[np.intp]) -> NDArray[np.float16]:
        """Return some images (N, C, Y, X): from memory where all are there, else read for it.

        Parameters
        ----------
        rows
            Which, ascending; of those to learn from or not.
        """
        self.load()
        if self._pixels is not None and np.isin(rows, self._rows).all():
            return _plane(self._pixels.at(rows))
        return _plane(self._read(rows, False).patches)

    def _batches(self, epoch: int) -> Iterator[Images]:
        waiting: list[Images] = []
        for pixels, image, partner in self._blocks(epoch):
            start = 0
            while start < len(image):
                step = self.size - sum(map(len, waiting))
                here = slice(start, start + step)
                start += step
                waiting.append(
                    Images(
                        _plane(pixels.at(image[here])),
                        None if partner is None else _plane(pixels.at(partner[here])),
                    )
                )
                if sum(map(len, waiting)) == self.size:
                    yield _joined(waiting)
                    waiting = []

    def _blocks(
        self, epoch: int
    ) -> Iterator[tuple[Pixels, NDArray[np.intp], NDArray[np.intp] | None]]:
        if self.fits:
            self.load()
            assert self._pixels is not None
            yield self._pixels, *self._draw(self._rows, epoch)
            return
        with closing(read_ahead(self._read_blocks(epoch), self._job, depth=1)) as blocks:
            yield from blocks

    def _read_blocks(
        self, epoch: int
    ) -> Iterator[tuple[Pixels, NDArray[np.intp], NDArray[np.intp] | None]]:
        """Read blocks; again from the start if they were too few for the epoch."""
        turn = found = 0
        while turn == 0 or found:
            order = np.random.default_rng([self._seed, epoch, turn]).permutation(
                len(self._stretches)
            )
            for number, block in enumerate(self._pack([self._stretches[i] for i in order])):
                image, partner = self._draw(block, epoch, turn, number)
                found += len(image)
                if len(image):
                    yield self._read(block, False), image, partner
                if found >= len(self) * self.size:  # reading on ahead would be for nothing
                    return
            turn += 1
        raise InvalidInput(
            "No image has a partner among those that fit into memory together: allow more memory."
        )

    def _draw(
        self, block: NDArray[np.intp], *seed: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp] | None]:
        """Draw images and partners from a block: all rows of it, as often as is wanted."""
        generator = np.random.default_rng([self._seed, *seed])
        among = np.arange(len(block), dtype=np.intp)
        positives = None
        if self._window is not None:
            positives = Positives(self._places.take(block), self._window)
            among = np.flatnonzero(positives.best > Partner.NONE)
        drawn = [generator.permutation(among) for _ in range(self._looks)]
        image = np.concatenate(drawn)[self._rank :: self._ranks]
        if positives is None or not len(image):
            return block[image], None
        return block[image], block[positives.draw(image, generator)]

    def _find_stretches(self) -> list[NDArray[np.intp]]:
        """Divide the wells into stretches of time that fit into a part of a block."""
        places = self._places.take(self._rows)
        room = max(self._most // _STRETCHES, 1)
        found: list[NDArray[np.intp]] = []
        generator = np.random.default_rng(self._seed)
        for well in np.unique(places.well):
            # At random within a time point: where it is too large, each part has all fields.
            here = generator.permutation(np.flatnonzero(places.well == well))
            here = here[np.argsort(places.minutes[here], kind="stable")]
            _, counts = np.unique(places.minutes[here], return_counts=True)
            start = taken = 0
            for count in counts:
                if taken and taken + count > room:
                    found.append(here[start : start + taken])
                    start, taken = start + taken, 0
                taken += int(count)
                while taken > room:
                    found.append(here[start : start + room])
                    start, taken = start + room, taken - room
            if taken:
                found.append(here[start : start + taken])
        return [np.sort(self._rows[one]) for one in found]

    def _pack(self, stretches: list[NDArray[np.intp]]) -> list[NDArray[np.intp]]:
        """Put stretches together to blocks that fit into memory."""
        packed: list[list[NDArray[np.intp]]] = [[]]
        for one in stretches:
            if packed[-1] and sum(map(len, packed[-1])) + len(one) > self._most:
                packed.append([])
            packed[-1].append(one)
        return [np.sort(np.concatenate(part)) for part in packed]


def _too_few(units: int, there: int, window: float | None) -> str:
    if window is None or units == there:
        return f"There are {there} images to learn from: at least 2 for each process are needed."
    return (
        f"{units} of {there} images have another one of their well within {window:g} min: local "
        "aggregation needs another field, cell or time point of the same well. Take more FOVs or "
        "a longer time_window, or do without (local_aggregation=False)."
    )


def _plane(patches: NDArray[np.float16]) -> NDArray[np.float16]:
    """Drop the axis of the slices, of which there is one."""
    return patches[:, :, 0]


def _joined(parts: list[Images]) -> Images:
    if len(parts) == 1:
        return parts[0]
    partners: list[Any] = [one.partner for one in parts]
    return Images(
        np.concatenate([one.image for one in parts]),
        None if partners[0] is None else np.concatenate(partners),
    )
