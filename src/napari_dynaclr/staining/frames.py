"""Stacks of any size through a network: resampled, continued at the edges, and brought back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import pad

from napari_dynaclr.staining.resampling import Restack, resize
from napari_dynaclr.staining.sliding_window import Plan, slide
from napari_dynaclr.staining.tiling import padding, reflected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.staining.architecture import StainerConfig
    from napari_dynaclr.staining.inference import Inference, Settled


class _Short(Exception):
    """A stack ended before its last slice."""


class Frames:
    """Stains stacks with a network.

    Parameters
    ----------
    infer
        The network.
    config
        Its shape.
    z_stride
        Slices from one window to the next.
    zeros
        Continue images as VisCy does, see :class:`~napari_dynaclr.staining.stainer.How`.
    """

    def __init__(
        self, infer: Inference, config: StainerConfig, z_stride: int = 1, zeros: bool = False
    ) -> None:
        self._infer, self._config = infer, config
        self._z_stride, self._zeros = z_stride, zeros

    def close(self) -> None:
        """Let go of the network."""
        self._infer.close()

    def begin(self, settled: Settled) -> None:
        """Begin an image, or go on with one, see :meth:`Inference.begin`."""
        self._infer.begin(settled)

    @property
    def settled(self) -> Settled:
        """What the image is computed with."""
        return self._infer.settled

    def stain(
        self,
        slices: Iterable[NDArray[np.float32]],
        shape: tuple[int, ...],
        size: tuple[int, int, int],
        together: int,
        job: Job,
    ) -> Iterator[NDArray[np.float32]]:
        """Stain one stack as its slices come.

        Parameters
        ----------
        slices
            Normalised slices, (C, Y, X) each; fewer than there should be end it early.
        shape
            (Z, Y, X) of the stack.
        size
            (Z, Y, X) that it is stained at.
        together
            Slices to hand on at a time.
        job
            For cancelling.

        Yields
        ------
        numpy.ndarray
            Slices in order, (K, some slices, Y, X) float32.
        """
        config = self._config
        sides = [padding(n, self._multiple) for n in size[1:]]
        high, wide = (n + sum(side) for n, side in zip(size[1:], sides, strict=True))
        batch, store = self._infer.plan(
            (config.in_channels, config.depth, high, wide),
            config.out_channels * config.out_depth,
            job,
        )
        plan = Plan(size[0], config.depth, config.out_depth, self._z_stride)

        def ready() -> Iterator[torch.Tensor]:
            count = 0
            for image in slices:
                count += 1
                yield resize(torch.from_numpy(image).to(store), (size[1], size[2]))
            if count < shape[0]:
                raise _Short

        images = (self._continued(one, sides) for one in Restack(shape[0], size[0])(ready()))
        (top, _), (left, _) = sides
        here = (..., slice(top, top + size[1]), slice(left, left + size[2]))
        answers = (
            one[here] for _, one in slide(images, plan, lambda x: self._infer(x, job), batch)
        )
        waiting: list[NDArray[np.float32]] = []
        try:
            for answer in Restack(size[0], shape[0])(answers):
                back = resize(answer, (shape[1], shape[2]))
                waiting.append(back.to("cpu", copy=True).contiguous().numpy())
                if len(waiting) == together:
                    yield np.stack(waiting, axis=1)
                    waiting = []
        except _Short:
            return
        if waiting:
            yield np.stack(waiting, axis=1)

    @property
    def _multiple(self) -> int:
        return self._config.reference_stride if self._zeros else self._config.stride

    def _continued(self, image: torch.Tensor, sides: list[tuple[int, int]]) -> torch.Tensor:
        """Continue a slice to the network's multiple."""
        (top, bottom), (left, right) = sides
        if not (top or bottom or left or right):
            return image
        if self._zeros:
            return pad(image, (left, right, top, bottom))
        rows, columns = (
            torch.from_numpy(reflected(n, *side)).to(image.device)
            for n, side in zip(image.shape[-2:], sides, strict=True)
        )
        return image[:, rows][:, :, columns]
