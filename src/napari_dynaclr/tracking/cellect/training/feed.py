"""Batches for the training of CELLECT: what is drawn, and how it is cut out of frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.learning.feed import Needs, SampleFeed, Share
from napari_dynaclr.tracking.cellect.training.samples import Sample, collate, make_sample, turned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.tracking.cellect.training.frames import Stretch
    from napari_dynaclr.tracking.cellect.training.samples import Batch

_BYTES = 2
_FRAMES = 3

_PAINTED = 24
"""Bytes a voxel of a batch, of all maps that are painted of two frames."""


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


class Feed(SampleFeed[Draw, Sample]):
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
        self._drawing = drawing
        voxels = int(np.prod(drawing.size))
        needs = Needs(
            sample=_BYTES * _FRAMES * voxels,
            painted=_PAINTED * voxels,
            span=2 * drawing.interval + 1,
        )
        sampler = Sampler(stretches, drawing)
        super().__init__(
            stretches, sampler, size, samples, needs, room, seed, job, Share(rank, ranks)
        )

    def collate(self, samples: list[Sample], rng: np.random.Generator) -> Batch:
        """Paint the maps of some samples, turned by chance where that is asked for."""
        turn = self._drawing.turn
        return collate([turned(one, rng) if turn else one for one in samples])


def _mothers(stretch: Stretch, t: int) -> NDArray[np.int64]:
    points = stretch.place.points
    rows = points.at(t)
    return rows[points.dividing(rows, t + 1)]
