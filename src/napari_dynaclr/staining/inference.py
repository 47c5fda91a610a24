"""Run a network over windows of whole frames, in tiles as large as memory allows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from napari_dynaclr.core.device import Device
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.staining.tiling import Tile, tiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_dynaclr.core.job import Job

Precision = Literal["auto", "full", "mixed"]
Rotations = Literal["none", "mean", "median", "product"]

_SHARE = {Device.CPU: 0.25, Device.MPS: 0.3, Device.CUDA: 0.6}
"""Of all memory, what the activations of a network may take."""

_ENOUGH = {Device.CPU: 3e9, Device.MPS: 12e9, Device.CUDA: float("inf")}
"""Bytes beyond which larger tiles bring nothing; a computer's memory is for others, too."""

_TOGETHER = {Device.CPU: 256 * 256, Device.MPS: 1024 * 1024, Device.CUDA: 2048 * 2048}
"""Pixels of a slice up to which several windows go through a network at a time."""

_MOST = 64
_OVERLAP = 0.25
"""Of a tile, what it shares with its neighbour."""


@dataclass(frozen=True)
class Running:
    """How a network is run.

    Attributes
    ----------
    precision
        Mixed precision is float16, or bfloat16 on a CPU; "auto" takes it on CUDA.
    rotations
        How the predictions of an image turned by 0, 90, 180 and 270 degrees are put together.
    tile
        Side of the tiles in pixels; found out by memory if None.
    batch
        Windows at a time; found out by memory if None.
    """

    precision: Precision = "auto"
    rotations: Rotations = "none"
    tile: int | None = None
    batch: int | None = None


class Inference:
    """A network on a device.

    The first tile says how many bytes the network needs per pixel. From this and the
    size of the memory (not what happens to be free, so that a run that is resumed does as
    before) follow tile and batch. Where they do not fit after all, tiles are halved.

    Parameters
    ----------
    network
        From windows (N, C, Z, Y, X) to predictions (N, K, Z, Y, X).
    stride
        What Y and X of its input must be multiples of.
    device
        Where to compute.
    running
        How.
    """

    def __init__(
        self, network: torch.nn.Module, stride: int, device: Device, running: Running
    ) -> None:
        self.device = torch.device(device.value)
        self._kind, self._stride, self._running = device, stride, running
        self._network = network.eval().to(self.device)
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.to(memory_format=torch.channels_last)
        self._mixed = running.precision == "mixed" or (
            running.precision == "auto" and device is Device.CUDA
        )
        # CPUs are quick with bfloat16 at best.
        self._half = torch.bfloat16 if device is Device.CPU else torch.float16
        self._need: float | None = None
        self._tile = running.tile

    def close(self) -> None:
        """Let go of the network, so that its memory can be released."""
        del self._network

    def plan(self, window: tuple[int, ...], out: int, job: Job) -> tuple[int, torch.device]:
        """Settle how frames of some size are computed.

        Parameters
        ----------
        window
            (C, Z, Y, X) of a window.
        out
            Slices times channels of its prediction.
        job
            For cancelling.

        Returns
        -------
        tuple
            Windows to predict at a time, and the device that slices are to be on: the CPU where
            a window and its prediction would fill much of the device's memory.
        """
        channels, depth, height, width = window
        if self._need is None:
            self._need = self._measure(channels, depth)
            job.check()
        area = height * width
        budget = min(_memory(self._kind) * _SHARE[self._kind], _ENOUGH[self._kind])
        if self._tile is None:
            fits = budget / self._need
            if area > fits:
                side = int(fits**0.5) // self._stride * self._stride
                self._tile = max(side, 2 * self._stride)
        seen = min(area, self._tile**2 if self._tile else area)
        batch = self._running.batch or max(
            1, min(_MOST, int(budget / (self._need * seen)), _TOGETHER[self._kind] // area)
        )
        held = 4 * area * (channels * (depth + batch) + out * (1 + 2 * batch))
        store = self.device if held < 0.25 * _memory(self._kind) else torch.device("cpu")
        return batch, store

    def __call__(self, pixels: torch.Tensor, job: Job) -> torch.Tensor:
        """Predict windows of whole frames.

        Parameters
        ----------
        pixels
            Windows (N, C, Z, Y, X), normalised; Y and X are multiples of the stride.
        job
            For cancelling.

        Returns
        -------
        torch.Tensor
            Predictions (N, K, Z, Y, X) float32, on the device of ``pixels``.

        Raises
        ------
        InvalidInput
            If the smallest tile does not fit into memory, or the result is not finite.
        """
        while True:
            job.check()
            try:
                return self._predict(pixels, job)
            except torch.OutOfMemoryError:
                self._shrink(pixels.shape)
            except RuntimeError as error:  # what the CPU's allocator says
                if "allocate memory" not in str(error):
                    raise
                self._shrink(pixels.shape)

    def _predict(self, pixels: torch.Tensor, job: Job) -> torch.Tensor:
        shape = (pixels.shape[-2], pixels.shape[-1])
        side = self._tile or max(shape)
        parts = tiles(shape, side, int(side * _OVERLAP), self._stride)
        if len(parts) == 1:
            return self._compute(pixels.to(self.device)).to(pixels.device)
        whole: torch.Tensor | None = None
        for part in parts:
            job.check()
            answer = self._compute(pixels[..., part.y, part.x].to(self.device))
            answer *= _weights(part).to(self.device)
            if whole is None:
                size = (*answer.shape[:-2], *shape)
                whole = torch.zeros(size, dtype=answer.dtype, device=pixels.device)
            whole[..., part.y, part.x] += answer.to(pixels.device)
        assert whole is not None  # there is a tile for every frame
        return whole

    def _compute(self, part: torch.Tensor) -> torch.Tensor:
        answer = self._turned(part, self._mixed)
        if self._mixed and not bool(torch.isfinite(answer).all()):
            answer = self._turned(part, mixed=False)
        if not bool(torch.isfinite(answer).all()):
            raise InvalidInput(
                "The network gives NaN or infinite values: check the normalisation, and the "
                "images for extreme values."
            )
        return answer

    def _turned(self, part: torch.Tensor, mixed: bool) -> torch.Tensor:
        """Predict an image in the asked-for orientations."""
        if self._running.rotations == "none":
            return self._forward(part, mixed)
        answers = [
            torch.rot90(self._forward(torch.rot90(part, k, (-2, -1)), mixed), -k, (-2, -1))
            for k in range(4)
        ]
        return _COMBINE[self._running.rotations](torch.stack(answers))

    def _forward(self, part: torch.Tensor, mixed: bool) -> torch.Tensor:
        with torch.no_grad(), torch.autocast(self.device.type, self._half, enabled=mixed):
            answer: torch.Tensor = self._network(part)
        return answer.float()

    def _shrink(self, shape: torch.Size) -> None:
        now = self._tile or max(shape[-2:])
        if now <= self._stride:
            raise InvalidInput(
                f"A tile of {now} x {now} pixels does not fit into the memory of "
                f"{self.device.type}: choose the device cpu, or close what else uses it."
            ) from None
        self._tile = max(self._stride, min(now, max(shape[-2:])) // 2)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _measure(self, channels: int, depth: int) -> float:
        """Bytes of memory that a pixel in Y and X needs on its way through the network."""
        side = max(4 * self._stride, 128 // self._stride * self._stride)
        probe = torch.zeros((1, channels, depth, side, side), device=self.device)
        if self._kind is Device.CUDA:
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            self._turned(probe, self._mixed)
            used = float(torch.cuda.max_memory_allocated(self.device) - before)
        else:
            used = _activations(self._network, lambda: self._turned(probe, self._mixed))
        return max(used / side**2, 1.0)


def _weights(tile: Tile) -> torch.Tensor:
    return torch.from_numpy(tile.weights)


def _activations(network: torch.nn.Module, run: Callable[[], object]) -> float:
    """Return the bytes that a network takes for a run, where the device does not count them.

    The largest module's input, output and workspace, and what the encoder keeps for the
    decoder, which is less than that again.
    """
    most = 0

    def watch(_module: torch.nn.Module, given: Any, answer: Any) -> None:
        nonlocal most
        found = (one for one in (*given, answer) if isinstance(one, torch.Tensor))
        most = max(most, sum(one.numel() * one.element_size() for one in found))

    leaves = [one for one in network.modules() if not any(one.children())]
    hooks = [one.register_forward_hook(watch) for one in leaves]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return 2.5 * most


def _memory(device: Device) -> int:
    """Return all memory of a device in bytes."""
    if device is Device.CUDA:
        return int(torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
    if device is Device.MPS:
        return int(torch.mps.recommended_max_memory())
    if hasattr(os, "sysconf"):
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return 8 << 30


def _product(answers: torch.Tensor) -> torch.Tensor:
    return (answers.clamp_min(0) + 1e-9).log().sum(0).exp()


_COMBINE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mean": lambda answers: answers.mean(0),
    "median": lambda answers: answers.median(0).values,
    "product": _product,
}
