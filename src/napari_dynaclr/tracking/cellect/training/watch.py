"""Watching CELLECT as it is trained: on patches that it does not learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_dynaclr.learning.feed import stream
from napari_dynaclr.tracking.cellect.training.detections import matched
from napari_dynaclr.tracking.cellect.training.feed import Sampler
from napari_dynaclr.tracking.cellect.training.samples import IGNORED, collate
from napari_dynaclr.tracking.cellect.training.targets import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.tracking.cellect.network import Maps
    from napari_dynaclr.tracking.cellect.training.feed import Drawing
    from napari_dynaclr.tracking.cellect.training.frames import Stretch
    from napari_dynaclr.tracking.cellect.training.samples import Batch, Sample, Seen

PATCHES = 130
"""Patches that are watched, at most, as in the paper (Methods, Training and inference)."""

_BYTES = 6
"""Of a voxel, in three frames."""


class Watch:
    """Some samples, as they are, measured after every epoch.

    Parameters
    ----------
    stretches
        What they are drawn from: what is held out, if anything is.
    drawing
        How they are drawn.
    most
        Samples, at most: not more than are learned from in between.
    room
        Memory for pixels, bytes.
    seed
        For the draw.
    held_out
        Whether they are not trained with: only then has a loss on them a meaning.
    job
        Progress and cancelling.
    """

    def __init__(
        self,
        stretches: Sequence[Stretch],
        drawing: Drawing,
        most: int,
        room: float,
        seed: int,
        held_out: bool,
        job: Job,
    ) -> None:
        self._job = job
        self.held_out = held_out
        rng = np.random.default_rng(seed)
        count = int(np.clip(room / (_BYTES * np.prod(drawing.size)), 1, min(PATCHES, most)))
        sampler = Sampler(stretches, drawing)
        draws = [sampler.draw(rng) for _ in range(count)]
        self.samples: list[Sample] = []
        for number in job.track(range(len(stretches)), "read images to validate with"):
            here = [one for one in draws if one.stretch == number]
            self.samples += stream(stretches[number], sampler, here) if here else []
        cells = [int(one.first.inside.sum()) for one in self.samples]
        self.shown = int(np.argmax(cells))
        """The sample to be shown, the one with the most cells."""

    def batches(self, size: int) -> Iterator[Batch]:
        """Iterate over the samples, in batches."""
        for start in range(0, len(self.samples), size):
            self._job.check()
            yield collate(self.samples[start : start + size])


@dataclass
class CentreScore:
    """Counts which centres were found, over several frames."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def add(self, voxels: NDArray[np.int64], seen: Seen) -> None:
        """Take in a frame.

        Parameters
        ----------
        voxels
            Centres that were found (z, y, x), (N, 3). Right is the first within the radius of a
            cell; within that of a cell whose own centre is outside, none counts.
        seen
            The cells.
        """
        cell = matched(voxels, seen).cell
        found = np.unique(cell[cell >= 0])
        ours = int(seen.inside[found].sum())
        beyond = int((~seen.inside[cell[cell >= 0]]).sum())
        self.right += ours
        self.wrong += len(cell) - ours - beyond
        self.missed += int(seen.inside.sum()) - ours

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where there is nothing to find."""
        all_of_it = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / all_of_it if all_of_it else 1.0


def pictures(
    channel: str, image: torch.Tensor, maps: Maps, levels: torch.Tensor, item: int
) -> dict[str, NDArray[np.float32]]:
    """Show a frame, its centres as the network sees them, and where they are.

    Parameters
    ----------
    channel
        Name of what the frame is of.
    image
        The frame, (Y, X, Z).
    maps
        Of the network.
    levels
        The true levels, (Y, X, Z).
    item
        Which of the maps are those of the frame.

    Returns
    -------
    dict
        Pictures (Y, X) from 0 to 1, the brightest of all slices.
    """
    seen = image.float().amax(-1).cpu().numpy()
    low, high = (float(one) for one in np.percentile(seen, [0.5, 99.5]))
    grey = ((seen - low) / max(high - low, 1e-6)).clip(0, 1)
    scores = torch.softmax(maps.levels[item].float(), 0)
    centres = 1 - scores[0].amin(-1)
    levels = torch.where(levels == IGNORED, 0, levels)
    true = levels.amax(-1).float() / LEVELS
    return {
        channel: grey.astype(np.float32),
        "centres": centres.cpu().numpy().astype(np.float32),
        "true centres": true.cpu().numpy().astype(np.float32),
    }
