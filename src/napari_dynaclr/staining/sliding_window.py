"""A window that slides along Z: which slices it sees, and the mean where windows overlap.

Slices come one by one and leave as soon as no further window covers them, so that
memory holds a window's depth of them, however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from napari_dynaclr.staining.tiling import reflected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Plan:
    """Which slices the windows of a stack see, and which they predict.

    The mean of all windows that cover a slice is what VisCy computes at stride 1 (cytoland.txt,
    Inference using trained models; its factors at both ends of the stack are the numbers of
    windows there). At larger strides, the last window ends with the stack. Where a network
    predicts fewer slices than it sees (2.5D), or the stack is thinner than the window, the
    stack is continued by reflection, so that every slice is predicted.

    Attributes
    ----------
    slices
        Slices of the stack.
    depth
        Slices that a window sees.
    out_depth
        Slices that it predicts, in its middle.
    stride
        Slices from one window to the next.
    """

    slices: int
    depth: int
    out_depth: int
    stride: int = 1

    @property
    def is_continued(self) -> bool:
        """Whether the stack is thinner than what a window predicts."""
        return self.slices < self.out_depth

    @property
    def _unseen(self) -> tuple[int, int]:
        """Slices of a window before and after those that it predicts."""
        before = (self.depth - self.out_depth) // 2
        return before, self.depth - self.out_depth - before

    @property
    def _extra(self) -> int:
        return max(self.out_depth - self.slices, 0)

    @cached_property
    def _shown(self) -> NDArray[np.intp]:
        before, after = self._unseen
        low = self._extra // 2
        return reflected(self.slices, before + low, after + self._extra - low)

    @cached_property
    def starts(self) -> list[int]:
        """First predicted slice of each window, below 0 where the stack is continued."""
        low = -(self._extra // 2)
        last = self.slices + self._extra - self.out_depth
        found = list(range(0, last + 1, min(self.stride, self.out_depth)))
        if found[-1] != last:
            found.append(last)
        return [start + low for start in found]

    def seen(self, start: int) -> list[int]:
        """Return the slices of the stack that a window sees, in order."""
        place = start + self._extra // 2
        return [int(z) for z in self._shown[place : place + self.depth]]

    def predicted(self, start: int) -> list[tuple[int, int]]:
        """Return (place in the window's prediction, slice of the stack)."""
        everything = ((j, start + j) for j in range(self.out_depth))
        return [(j, z) for j, z in everything if 0 <= z < self.slices]

    @cached_property
    def last_use(self) -> list[int]:
        """Number of the last window that sees each slice."""
        found = [0] * self.slices
        for number, start in enumerate(self.starts):
            for z in self.seen(start):
                found[z] = number
        return found


def slide(
    slices: Iterable[torch.Tensor],
    plan: Plan,
    predict: Callable[[torch.Tensor], torch.Tensor],
    batch: int = 1,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Predict a stack whose slices come one after the other.

    Parameters
    ----------
    slices
        The slices of the stack, (C, Y, X) each.
    plan
        The windows.
    predict
        From windows (N, C, depth, Y, X) to predictions (N, K, out_depth, Y, X).
    batch
        Windows to predict at a time.

    Yields
    ------
    tuple
        (number of the slice, its prediction (K, Y, X)), in order.
    """
    ring: dict[int, torch.Tensor] = {}
    sums: dict[int, torch.Tensor] = {}
    counts: dict[int, int] = {}
    windows = [(start, plan.seen(start)) for start in plan.starts]
    source = iter(enumerate(slices))
    newest, finished = -1, 0
    for first in range(0, len(windows), batch):
        now = windows[first : first + batch]
        wanted = max(max(seen) for _, seen in now)
        while newest < wanted:
            newest, image = next(source)
            ring[newest] = image
        pixels = torch.stack([torch.stack([ring[z] for z in seen], dim=1) for _, seen in now])
        answer = predict(pixels)
        del pixels
        for z in [z for z in ring if plan.last_use[z] < first + len(now)]:
            del ring[z]
        for (start, _), one in zip(now, answer, strict=True):
            for place, z in plan.predicted(start):
                if z in sums:
                    sums[z] += one[:, place]
                else:
                    sums[z] = one[:, place].clone()
                counts[z] = counts.get(z, 0) + 1
        del answer
        done = first + len(now) == len(windows)
        until = plan.slices if done else max(windows[first + len(now)][0], 0)
        for z in range(finished, until):
            yield z, sums.pop(z).div_(counts.pop(z))
        finished = max(finished, until)
