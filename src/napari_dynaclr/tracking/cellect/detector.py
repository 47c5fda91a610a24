"""The network run over a frame, block by block, keeping only what is known of its cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from napari_dynaclr.core.blocks import plan
from napari_dynaclr.core.device import Device, empty_cache, is_out_of_memory
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.tracking.cellect.candidates import Cells, in_pixels
from napari_dynaclr.tracking.cellect.centres import Centres, find_centres
from napari_dynaclr.tracking.cellect.dedupe import kept_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.blocks import Block
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.tracking.cellect.architecture import CellectConfig
    from napari_dynaclr.tracking.cellect.model import Cellect
    from napari_dynaclr.tracking.cellect.network import Maps

_HALO = (4, 32, 32)
"""Voxels (z, y, x) around each block that the network sees as well."""
_DEPTH = 32
"""Slices of a block, at most: as in the paper's code."""
_SMALLEST = 128
"""Side of the smallest block in Y and X: half of it is halo."""
_VOXELS = {Device.CPU: 1 << 21, Device.MPS: 1 << 21, Device.CUDA: 1 << 23}
"""Of a block, for a network of 8 channels, which takes about 1.2 kB for each."""


class Seen(NamedTuple):
    """What the network has seen in a frame.

    Attributes
    ----------
    voxels
        Centres of its cells (z, y, x), (N, 3).
    confidence
        How sure each centre is; 1 for given ones, (N,).
    cells
        The cells, in the same order, on the CPU.
    inside
        What is no background, (Z, Y, X); None where centres were given.
    """

    voxels: NDArray[np.int64]
    confidence: NDArray[np.float32]
    cells: Cells
    inside: NDArray[np.bool_] | None


class Detector:
    """Finds the cells of frames, or looks at given ones.

    Parameters
    ----------
    model
        With its weights. Its network goes to the device, its MLPs stay on the CPU.
    device
        Where to compute.
    precision
        Mixed precision is float16, or bfloat16 on a CPU; "auto" takes it on CUDA.
    block
        Side of a block in Y and X; by memory if None.
    """

    def __init__(
        self,
        model: Cellect,
        device: Device,
        precision: Literal["auto", "full", "mixed"] = "auto",
        block: int | None = None,
    ) -> None:
        self._model = model.eval()
        self._device = torch.device(device.value)
        model.net.to(self._device)
        self._kind = device
        self._mixed = precision == "mixed" or (precision == "auto" and device is Device.CUDA)
        # CPUs are quick with bfloat16 at best.
        self._half = torch.bfloat16 if device is Device.CPU else torch.float16
        self.side = block
        """Side of a block in Y and X; None until the first frame has been looked at."""

    def close(self) -> None:
        """Let go of the model, so that its memory can be released."""
        del self._model

    def no_cells(self) -> Cells:
        """Return what there is in an empty frame."""
        return _no_cells(self._model.config.embedding)

    def look(
        self,
        first: NDArray[np.float32],
        second: NDArray[np.float32],
        spacing: tuple[float, float, float],
        job: Job,
        given: NDArray[np.int64] | None = None,
    ) -> Seen:
        """Look at the cells of a frame.

        Parameters
        ----------
        first, second
            The frame and the one after, normalised, (Z, Y, X).
        spacing
            See :func:`~napari_dynaclr.tracking.cellect.candidates.in_pixels`.
        job
            For cancelling between blocks.
        given
            Centres (z, y, x) of known cells, (N, 3); found by the network if None, each cell
            once.

        Raises
        ------
        InvalidInput
            If the smallest block does not fit into memory.
        """
        if self.side is None:
            self.side = self._largest(first.shape)
        while True:
            try:
                return self._look(first, second, spacing, job, given)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            empty_cache(self._kind.value)
            if self.side <= _SMALLEST:
                raise InvalidInput(
                    f"A block of {self.side} x {self.side} pixels does not fit into the memory of "
                    f"'{self._kind.value}': close other programs, or choose another device."
                ) from None
            self.side = max(_SMALLEST, min(self.side, max(first.shape[1:])) // 2)

    def _largest(self, shape: tuple[int, ...]) -> int:
        config: CellectConfig = self._model.config
        voxels = _VOXELS[self._kind] * 8 // config.base
        side = int((voxels / min(shape[0], _DEPTH)) ** 0.5)
        return max(side // config.stride * config.stride, _SMALLEST)

    def _look(
        self,
        first: NDArray[np.float32],
        second: NDArray[np.float32],
        spacing: tuple[float, float, float],
        job: Job,
        given: NDArray[np.int64] | None,
    ) -> Seen:
        z, y, x = first.shape
        side = self.side or _SMALLEST
        inside = np.zeros((z, y, x), bool) if given is None else None
        found: list[tuple[Centres, Cells]] = []
        rows: list[NDArray[np.intp]] = []
        for block in plan((z, y, x), (_DEPTH, side, side), _HALO, self._model.config.stride):
            job.check()
            here = None if given is None else _within(given, block)
            if given is not None and here is not None:
                if not len(here):
                    continue
                rows.append(here)
            maps = self._see(np.stack([first[block.read], second[block.read]]))
            if given is None or here is None:
                centres = _kept(find_centres(maps), block)
            else:
                chosen = given[here] - _start(block)
                centres = Centres(chosen, np.ones(len(here), np.float32))
            cells = self._cells(maps, centres, block, spacing)
            found.append((centres._replace(voxels=centres.voxels + _start(block)), cells))
            if inside is not None:
                classes = maps.segmentation[0].argmax(0).permute(2, 0, 1)[block.inner]
                inside[block.keep] = (classes > 0).cpu().numpy()
        seen = _joined(found, self._model.config.embedding)
        if given is not None:
            order = np.argsort(np.concatenate(rows)) if rows else np.zeros(0, np.intp)
            return Seen(given, seen.confidence[order], seen.cells.take(order), None)
        # In an order that does not tell the blocks, so that nothing after depends on them.
        seen = _taken(seen, np.lexsort(seen.voxels.T[::-1]))
        once = kept_once(
            seen.cells, seen.confidence, self._model.intra, self._model.config.candidates
        )
        return _taken(seen, once)._replace(inside=inside)

    def _cells(
        self, maps: Maps, centres: Centres, block: Block, spacing: tuple[float, float, float]
    ) -> Cells:
        """Read cells off the maps of a block, whose distances count from the frame's corner."""
        with torch.inference_mode():
            cells = self._model.cells_at(maps, 0, centres.voxels, spacing, embedded=False)
        start = in_pixels(centres.voxels + _start(block), spacing)
        return Cells(start, cells.embedding.cpu(), cells.size.cpu(), cells.division.cpu())

    def _see(self, frames: NDArray[np.float32]) -> Maps:
        """Run the network over two frames (2, Z, Y, X); in full precision where half overflows."""
        pixels = torch.from_numpy(frames).permute(0, 2, 3, 1)[None].to(self._device)
        maps = self._forward(pixels, mixed=self._mixed)
        if self._mixed and not all(bool(torch.isfinite(one).all()) for one in maps):
            maps = self._forward(pixels, mixed=False)
        return maps

    def _forward(self, pixels: torch.Tensor, *, mixed: bool) -> Maps:
        kind = self._device.type
        with torch.inference_mode(), torch.autocast(kind, self._half, enabled=mixed):
            maps: Maps = self._model.net.see(pixels)
        return maps


def _start(block: Block) -> NDArray[np.int64]:
    return np.array([side.start for side in block.read], np.int64)


def _within(voxels: NDArray[np.int64], block: Block) -> NDArray[np.intp]:
    """Return the rows of voxels in the part of the frame that a block is kept of."""
    inside = np.ones(len(voxels), bool)
    for axis, side in enumerate(block.keep):
        inside &= (voxels[:, axis] >= side.start) & (voxels[:, axis] < side.stop)
    return np.flatnonzero(inside)


def _kept(centres: Centres, block: Block) -> Centres:
    here = _within(centres.voxels + _start(block), block)
    return Centres(centres.voxels[here], centres.confidence[here])


def _taken(seen: Seen, rows: NDArray[np.intp]) -> Seen:
    return Seen(seen.voxels[rows], seen.confidence[rows], seen.cells.take(rows), seen.inside)


def _no_cells(length: int) -> Cells:
    return Cells(
        np.zeros((0, 3), np.float32), torch.zeros(0, length), torch.zeros(0), torch.zeros(0, 2)
    )


def _joined(found: list[tuple[Centres, Cells]], length: int) -> Seen:
    """Put together what was found in blocks; there may be none."""
    if not found:
        none = np.zeros((0, 3), np.int64)
        return Seen(none, np.zeros(0, np.float32), _no_cells(length), None)
    cells = Cells(
        np.concatenate([one.position for _, one in found]),
        torch.cat([one.embedding for _, one in found]),
        torch.cat([one.size for _, one in found]),
        torch.cat([one.division for _, one in found]),
    )
    return Seen(
        np.concatenate([one.voxels for one, _ in found]),
        np.concatenate([one.confidence for one, _ in found]),
        cells,
        None,
    )
