"""Run a network over the patches of cells: batches as large as fit, three things at a time.

One thread reads and normalises patches, a second one brings batches to the device, and
the network computes meanwhile.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from napari_dynaclr.core.background import read_ahead
from napari_dynaclr.core.device import Device, empty_cache, is_out_of_memory
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding import FrameEmbedding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.cell_patches import CellPatches

Precision = Literal["auto", "full", "mixed"]

_LARGEST = {Device.CPU: 64, Device.MPS: 128, Device.CUDA: 1024}
_FAST, _SLOW = 0.25, 1.0
"""Seconds of a batch below which the next is larger, above which smaller: to cancel in time."""


@dataclass(frozen=True)
class _Batch:
    pieces: list[CellPatches]
    pixels: torch.Tensor


class Inference:
    """A network on a device.

    Batches grow as long as they are quick and fit into the device's memory, and shrink
    where they do not. Mixed precision (float16) is used on CUDA, where it is faster; a
    batch whose result overflows is computed again in full precision.

    Parameters
    ----------
    network
        Patches (N, C, Z, Y, X) to embeddings (N, D), or to those and projections (N, P).
    device
        Where to compute.
    precision
        "auto", "full" or "mixed".
    batch_size
        Cells of a batch; found out if None.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        device: Device,
        precision: Precision = "auto",
        batch_size: int | None = None,
    ) -> None:
        self._device = torch.device(device.value)
        self._network = network.eval().to(self._device)
        on_cuda = device is Device.CUDA
        self._mixed = precision == "mixed" or (precision == "auto" and on_cuda)
        # CPUs are quick with bfloat16 at best.
        self._half = torch.bfloat16 if device is Device.CPU else torch.float16
        self._copies = torch.cuda.Stream() if on_cuda else None
        if on_cuda:
            torch.cuda.reset_peak_memory_stats()
        self._largest = batch_size or _LARGEST[device]
        self._grows = batch_size is None
        self.batch_size = batch_size or 4
        """Cells of the next batch."""

    def batches(self, cells: Iterator[CellPatches]) -> Iterator[_Batch]:
        """Put patches together to batches, across time points, and bring them to the device."""
        waiting: list[CellPatches] = []
        for piece in cells:
            waiting.append(piece)
            if sum(len(one.rows) for one in waiting) >= self.batch_size:
                yield self._bring(waiting)
                waiting = []
        if waiting:
            yield self._bring(waiting)

    def _bring(self, pieces: list[CellPatches]) -> _Batch:
        patches = torch.from_numpy(np.concatenate([piece.pixels for piece in pieces]))
        if self._mixed:
            # What the first convolution would make of it anyway; so half as much is moved.
            patches = patches.to(self._half)
        if self._copies is None:
            return _Batch(pieces, patches.to(self._device))
        with torch.cuda.stream(self._copies):
            there = patches.pin_memory().to(self._device, non_blocking=True)
        self._copies.synchronize()
        return _Batch(pieces, there)

    def close(self) -> None:
        """Let go of the network, so that its memory can be released."""
        del self._network

    def __call__(
        self, pixels: torch.Tensor, job: Job
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Embed patches that are on the device.

        Returns
        -------
        tuple
            Embeddings (N, D), and projections (N, P) or None.

        Raises
        ------
        InvalidInput
            If a single patch does not fit into memory, or the result is not finite.
        """
        found: list[list[NDArray[np.float32]]] = []
        start = 0
        while start < len(pixels):
            job.check()
            part = pixels[start : start + self._next(len(pixels) - start)]
            before = time.monotonic()
            try:
                found.append(self._compute(part))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._shrink(len(part))
                continue
            start += len(part)
            self._adapt(len(part), time.monotonic() - before)
        joined = [np.concatenate(outputs) for outputs in zip(*found, strict=True)]
        return joined[0], joined[1] if len(joined) > 1 else None

    def _next(self, left: int) -> int:
        """Cells to compute now; a few more than planned rather than a crumb at the end."""
        crumbs = self._grows and self.batch_size < left <= min(1.5 * self.batch_size, self._largest)
        return left if crumbs else min(left, self.batch_size)

    def _compute(self, part: torch.Tensor) -> list[NDArray[np.float32]]:
        outputs = self._forward(part, self._mixed)
        if self._mixed and not _finite(outputs):
            outputs = self._forward(part, mixed=False)
        if not _finite(outputs):
            raise InvalidInput(
                "The network gives NaN or infinite values for some patches: check the "
                "normalisation, and the images for extreme values."
            )
        return outputs

    def _forward(self, part: torch.Tensor, mixed: bool) -> list[NDArray[np.float32]]:
        kind = self._device.type
        with torch.inference_mode(), torch.autocast(kind, self._half, enabled=mixed):
            answer: Any = self._network(part if mixed else part.float())
        outputs = answer if isinstance(answer, tuple) else (answer,)
        return [np.asarray(one.float().cpu().numpy()) for one in outputs]

    def _shrink(self, failed: int) -> None:
        if failed == 1:
            raise InvalidInput(
                f"A single patch does not fit into the memory of {self._device.type}: choose the "
                "device cpu, or close what else uses it."
            )
        self.batch_size = self._largest = failed // 2
        empty_cache(self._device.type)

    def _adapt(self, done: int, seconds: float) -> None:
        if not self._grows or done < self.batch_size:
            return
        if seconds > _SLOW:
            self.batch_size = max(1, self.batch_size // 2)
        elif seconds < _FAST and self.batch_size * 2 <= self._largest and self._has_room():
            self.batch_size *= 2

    def _has_room(self) -> bool:
        """Whether twice the memory of the largest batch so far would leave some free."""
        if self._device.type != "cuda":
            return True
        free, _ = torch.cuda.mem_get_info()
        used = torch.cuda.max_memory_allocated()
        return bool(used < 0.5 * (free + torch.cuda.memory_reserved()))


def _finite(outputs: list[NDArray[np.float32]]) -> bool:
    return all(bool(np.isfinite(one).all()) for one in outputs)


def embed_cells(
    cells: Iterator[CellPatches], infer: Inference, expected: Mapping[int, int], job: Job
) -> Iterator[tuple[int, FrameEmbedding]]:
    """Embed patches, and yield a time point as soon as all its cells are done.

    Parameters
    ----------
    cells
        From :func:`~napari_dynaclr.embedding.cell_patches.read_cells`.
    infer
        The network.
    expected
        Cells of each time point.
    job
        For cancelling.

    Yields
    ------
    tuple
        (t, embedding of its cells).
    """
    parts: dict[int, list[FrameEmbedding]] = {}
    left = dict(expected)

    # Threads end when they are left, not only when somebody forgets the error that was raised.
    def batches() -> Iterator[_Batch]:
        with closing(read_ahead(cells, job, depth=3)) as ready:
            yield from infer.batches(ready)

    with closing(read_ahead(batches(), job, depth=1)) as ready:
        for batch in ready:
            vectors, projections = infer(batch.pixels, job)
            start = 0
            for piece in batch.pieces:
                here = slice(start, start + len(piece.rows))
                start = here.stop
                parts.setdefault(piece.t, []).append(
                    FrameEmbedding(
                        piece.rows,
                        vectors[here],
                        piece.at_border,
                        None if projections is None else projections[here],
                        piece.has_nan,
                    )
                )
                left[piece.t] -= len(piece.rows)
                if not left[piece.t]:
                    yield piece.t, _joined(parts.pop(piece.t))


def _joined(parts: list[FrameEmbedding]) -> FrameEmbedding:
    def join(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else np.concatenate(values)

    names = ("rows", "vectors", "at_border", "projections", "has_nan")
    return FrameEmbedding(*(join(name) for name in names))
