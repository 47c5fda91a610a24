"""Watching a network as it is trained: on patches that it does not learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_dynaclr.core.channels import prediction_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.staining.training.images import Frames

PATCHES = 128
"""Patches that are watched: enough for steady figures, few enough to take little time."""

_FRAMES = 32
"""Frames that they are of."""


class Watch:
    """Some patches, as they are, measured after every epoch.

    Parameters
    ----------
    frames
        All frames.
    rows
        Those to choose from, ascending: of the FOVs that are held out, if any.
    size
        (Z, Y, X) of a patch that the network sees.
    room
        Memory for patches, bytes.
    seed
        For the choice.
    held_out
        Whether they are not trained with: only then has a loss on them a meaning.
    job
        Progress and cancelling.
    """

    def __init__(
        self,
        frames: Frames,
        rows: NDArray[np.intp],
        size: tuple[int, int, int],
        room: float,
        seed: int,
        held_out: bool,
        job: Job,
    ) -> None:
        rng = np.random.default_rng(seed)
        one = 2 * len(frames.channels.names) * int(np.prod(size))
        count = int(np.clip(room / one, 1, PATCHES))
        few = min(count, _FRAMES, len(rows))
        chosen = rows[np.unique(np.linspace(0, len(rows) - 1, few).round().astype(int))]
        each = -(-count // len(chosen))
        patches = []
        for row in job.track(chosen, "read images to validate with"):
            start = int(rng.integers(frames.size(row)[0] - size[0] + 1))
            slices = slice(start, start + size[0])
            for _, frame in frames.read(np.array([row]), slices):
                for _ in range(each):
                    y, x = (
                        int(rng.integers(there - side + 1))
                        for there, side in zip(frame.shape[2:], size[1:], strict=True)
                    )
                    patches.append(frame[:, :, y : y + size[1], x : x + size[2]].copy())
        self.patches: NDArray[np.float16] = np.stack(patches)
        """(N, C, Z, Y, X): source, then targets."""
        self.names = frames.channels.names
        self.held_out = held_out
        self.shown = int(np.argmax(self.patches[:, -1].std(axis=(1, 2, 3), dtype=np.float32)))
        """The patch to be shown, the one with the most to be seen."""
        self._job = job

    def batches(self, size: int) -> Iterator[torch.Tensor]:
        """Iterate over the patches, in batches of float32."""
        for start in range(0, len(self.patches), size):
            self._job.check()
            yield torch.from_numpy(self.patches[start : start + size]).float()


class Correlation:
    """Pearson's correlation of each stained channel, over all pixels of several batches.

    Parameters
    ----------
    count
        Channels.
    """

    def __init__(self, count: int) -> None:
        self._sums = torch.zeros(5, count, dtype=torch.float64)
        self._pixels = 0

    def add(self, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Take in a batch, (B, C, Z, Y, X) each."""
        x, y = (one.detach().cpu().double() for one in (prediction, target))
        parts = (x, y, x * x, y * y, x * y)
        self._sums += torch.stack([one.sum((0, 2, 3, 4)) for one in parts])
        self._pixels += x[:, 0].numel()

    def value(self) -> list[float]:
        """Return the correlation of each channel; 0 where one of both is of one value."""
        x, y, xx, yy, xy = self._sums / max(self._pixels, 1)
        spread = ((xx - x * x) * (yy - y * y)).clamp_min(0).sqrt()
        found = torch.where(spread > 1e-12, (xy - x * y) / spread.clamp_min(1e-12), 0.0)
        return [float(one) for one in found]


def stained_pictures(
    names: tuple[str, ...], patch: torch.Tensor, prediction: torch.Tensor
) -> dict[str, NDArray[np.float32]]:
    """Show a patch, its stains, and what the network makes of it, each (Y, X) from 0 to 1.

    Parameters
    ----------
    names
        Of source and targets.
    patch
        Source and targets, (C, Z, Y, X).
    prediction
        (targets, Z, Y, X); shown in the contrast of the targets.
    """
    middle = patch.shape[1] // 2
    images = patch[:, middle].cpu().numpy()
    limits = [_limits(image) for image in images]
    shown = {
        name: _grey(image, *limit) for name, image, limit in zip(names, images, limits, strict=True)
    }
    stains = prediction[:, prediction.shape[1] // 2].float().cpu().numpy()
    for name, image, limit in zip(names[1:], stains, limits[1:], strict=True):
        shown[prediction_of(name)] = _grey(image, *limit)
    return shown


def masked_pictures(
    name: str, patch: torch.Tensor, hidden: torch.Tensor, filled: torch.Tensor
) -> dict[str, NDArray[np.float32]]:
    """Show a patch, what the network sees of it, and what it fills in, each (Y, X) from 0 to 1.

    Parameters
    ----------
    name
        Of the channel.
    patch, filled
        (Z, Y, X).
    hidden
        True where it is hidden, (Y, X).
    """
    middle = patch.shape[0] // 2
    image, guess = (one[middle].float().cpu().numpy() for one in (patch, filled))
    mask = hidden.cpu().numpy()
    low, high = _limits(image)
    seen = _grey(image, low, high)
    return {
        name: seen,
        f"{name} (seen)": np.where(mask, np.float32(0), seen),
        f"{name} (filled in)": np.where(mask, _grey(guess, low, high), seen),
    }


def _limits(image: NDArray[np.float32]) -> tuple[float, float]:
    low, high = (float(one) for one in np.percentile(image, [0.5, 99.5]))
    return low, max(high, low + 1e-6)


def _grey(image: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    return ((image - low) / (high - low)).clip(0, 1).astype(np.float32)
