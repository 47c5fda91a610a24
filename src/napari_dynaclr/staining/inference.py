"""Run a network over windows of whole frames, in tiles as large as memory allows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from napari_dynaclr.core.device import Device, empty_cache, is_out_of_memory
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


@dataclass(frozen=True)
class Settled:
    """What the time points of an image have to be computed with, all of them.

    Attributes
    ----------
    tile
        Side of the tiles in pixels, 0 for whole frames.
    format
        Numbers that are computed with: "full" (float32), "float16" or "bfloat16".
    """

    tile: int | None = None
    format: str | None = None


def half_of(device: Device) -> str:
    """Return the numbers of mixed precision: CPUs are quick with bfloat16 at best."""
    return "bfloat16" if device is Device.CPU else "float16"


class Inference:
    """A network on a device.

    A small image says how many bytes the network needs per pixel. From this, the size of the
    memory (not what happens to be free) and the size of a frame follow tile and batch; frames
    that came before do not matter. Where they do not fit after all, fewer windows are
    computed at a time, and when that is one, tiles are halved; this is kept for what follows.

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
        self._half = torch.bfloat16 if half_of(device) == "bfloat16" else torch.float16
        self._need: float | None = None
        self._most: float = float("inf")
        """Pixels that go through the network at a time, all windows together."""
        self._largest: int | None = None
        """Side of the tiles that memory holds, where it was short."""
        self.begin(Settled())

    def close(self) -> None:
        """Let go of the network, so that its memory can be released."""
        del self._network

    def begin(self, settled: Settled) -> None:
        """Begin an image, or go on with one as it was begun.

        Parameters
        ----------
        settled
            What was settled for it; what is None is settled anew.
        """
        wanted = self._running.precision
        by_itself = wanted == "mixed" or (wanted == "auto" and self._kind is Device.CUDA)
        self._mixed = by_itself if settled.format is None else settled.format != "full"
        self._kept = settled.tile
        self._tile = self._fitting(settled.tile or self._running.tile)

    @property
    def settled(self) -> Settled:
        """What the image is computed with, as far as that is settled."""
        return Settled(self._tile or 0, half_of(self._kind) if self._mixed else "full")

    def _fitting(self, tile: int | None) -> int | None:
        return min(tile, self._largest) if tile and self._largest else tile or self._largest

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
        if self._kept is None and self._running.tile is None:
            fits = budget / self._need
            side = max(int(fits**0.5) // self._stride * self._stride, 2 * self._stride)
            self._tile = self._fitting(side if area > fits else None)
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
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Here, where what was computed so far is let go of.
            self._shrink(pixels.shape, job)

    def _predict(self, pixels: torch.Tensor, job: Job) -> torch.Tensor:
        shape = (pixels.shape[-2], pixels.shape[-1])
        side = self._tile or max(shape)
        parts = tiles(shape, side, int(side * _OVERLAP), self._stride)
        count = self._together(pixels.shape)
        if len(parts) == 1 and count >= len(pixels):
            return self._compute(pixels.to(self.device)).to(pixels.device)
        whole: torch.Tensor | None = None
        for part in parts:
            weights = _weights(part).to(self.device)
            for first in range(0, len(pixels), count):
                job.check()
                here = (slice(first, first + count), ..., part.y, part.x)
                answer = self._compute(pixels[here].to(self.device))
                answer *= weights
                if whole is None:
                    size = (len(pixels), *answer.shape[1:-2], *shape)
                    whole = torch.zeros(size, dtype=answer.dtype, device=pixels.device)
                whole[here] += answer.to(pixels.device)
        assert whole is not None  # there is a tile for every frame
        return whole

    def _together(self, shape: torch.Size) -> int:
        """Windows that go through the network at a time."""
        height, width = shape[-2:]
        side = self._tile or max(height, width)
        most = self._most // (min(side, height) * min(side, width))
        return int(max(1, min(shape[0], most)))

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

    def _shrink(self, shape: torch.Size, job: Job) -> None:
        """Compute less at a time: fewer windows, which changes nothing else, then less of each."""
        empty_cache(self.device.type)
        height, width = shape[-2:]
        now = min(self._tile or max(height, width), max(height, width))
        count = self._together(shape)
        area = min(now, height) * min(now, width)
        if count > 1:
            self._most = count // 2 * area
            return
        if now <= self._stride:
            raise InvalidInput(
                f"A tile of {now} x {now} pixels does not fit into the memory of "
                f"{self.device.type}: choose the device cpu, or close what else uses it."
            )
        side = max(self._stride, now // 2 // self._stride * self._stride)
        self._tile = self._largest = side
        self._most = min(self._most, area)
        job.note(
            f"The memory of {self.device.type} does not hold {now} x {now} pixels: tiles of "
            f"{side} x {side} from here on."
        )

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
