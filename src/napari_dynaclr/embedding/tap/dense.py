"""Dense features: the TAP representations of every pixel of a frame (tap.txt, 2).

A frame of any size is computed in blocks, which overlap by what the network sees around a pixel
and lie where the deepest level of the U-Net has its pixels: so the result is the same as of the
frame in one piece, up to rounding, and memory is that of a block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from napari_dynaclr.core.blocks import Block, plan
from napari_dynaclr.core.device import Device, device_memory, empty_cache, is_out_of_memory
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.embedding.tap.network import pad

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.embedding.tap.checkpoint import LoadedTap
    from napari_dynaclr.embedding.tap.network import TimeArrowNet

Precision = Literal["auto", "full", "mixed"]

_BYTES = 64
"""Memory that a pixel of a block takes, for each map of the U-Net at full resolution."""
_BUDGET = 1 << 30
"""Memory of a block on a CPU or Apple's GPU; on CUDA a quarter of what is free."""
_LARGEST = 4096
_SMALLEST = 32
"""Sides of blocks that are worth while, without the overlap."""


class Tile(NamedTuple):
    """Part of a frame.

    Attributes
    ----------
    y, x
        Where it is in the frame.
    z
        Representations of its pixels, (features, height, width), float32, on the device.
    """

    y: slice
    x: slice
    z: torch.Tensor


class Extractor:
    """A TAP network on a device, for the dense features of frames.

    Parameters
    ----------
    loaded
        The network, which goes to the device.
    device
        Where to compute.
    precision
        Mixed precision is float16, or bfloat16 on a CPU; "auto" takes it on CUDA.
    block
        Side of a block, pixels, with the overlap; by memory if None.
    """

    def __init__(
        self,
        loaded: LoadedTap,
        device: Device,
        precision: Precision = "auto",
        block: int | None = None,
    ) -> None:
        self._kind = device
        self._device = torch.device(device.value)
        network = loaded.network.eval().to(self._device)
        if device is not Device.MPS:  # a fourth faster; to MPS it makes no difference
            network = network.to(memory_format=torch.channels_last)
        self.network: TimeArrowNet = network
        """The network, on the device."""
        self._mixed = precision == "mixed" or (precision == "auto" and device is Device.CUDA)
        # CPUs are quick with bfloat16 at best.
        self._half = torch.bfloat16 if device is Device.CPU else torch.float16
        config = network.config
        self._halo = -(-config.reach // config.stride) * config.stride
        self._side = block or self._by_memory()

    @property
    def features(self) -> int:
        """Length of a pixel's representation."""
        return int(self.network.config.features)

    def _by_memory(self) -> int:
        budget = _BUDGET
        if self._kind is Device.CUDA:
            budget = torch.cuda.mem_get_info()[0] // 4
        side = int((budget / (_BYTES * self.network.config.maps)) ** 0.5)
        return min(side, _LARGEST)

    def plane(self, image: NDArray[np.float32], job: Job) -> NDArray[np.float32]:
        """Represent the pixels of an image.

        Parameters
        ----------
        image
            Normalised, (Y, X).
        job
            For cancelling between blocks.

        Returns
        -------
        numpy.ndarray
            (features, Y, X).

        Raises
        ------
        InvalidInput
            See :meth:`tiles`.
        """
        found = np.empty((self.features, *image.shape), np.float32)
        for y, x, z in self.tiles(image, job):
            found[:, y, x] = z.cpu().numpy()
        return found

    def tiles(self, image: NDArray[np.float32], job: Job) -> Iterator[Tile]:
        """Represent the pixels of an image, part by part.

        Parameters
        ----------
        image
            Normalised, (Y, X).
        job
            For cancelling between blocks.

        Raises
        ------
        InvalidInput
            If the smallest block does not fit into memory, or the result is not finite.
        """
        stride, halo = self.network.config.stride, self._halo
        height, width = image.shape
        padded, (top, left) = pad(torch.from_numpy(image)[None, None], stride)
        shape = (1, *padded.shape[-2:])
        side = max(self._side, 2 * halo + _SMALLEST)
        todo = plan(shape, (1, side, side), (0, halo, halo), stride)[::-1]
        while todo:
            job.check()
            block = todo.pop()
            try:
                z = self._represent(padded, block)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                todo += self._halved(block, shape)
                continue
            y, rows = _unpadded(block.keep[1], top, height)
            x, columns = _unpadded(block.keep[2], left, width)
            yield Tile(y, x, z[..., rows, columns])

    def _represent(self, image: torch.Tensor, block: Block) -> torch.Tensor:
        """Compute a block of a padded image (1, 1, Y, X); what is kept of it, (F, h, w)."""
        pixels = image[(..., *block.read[1:])].to(self._device)
        z = self._forward(pixels, self._mixed)
        if self._mixed and not bool(torch.isfinite(z).all()):
            z = self._forward(pixels, mixed=False)
        kept = z[(0, ..., *block.inner[1:])].clone()
        if not bool(torch.isfinite(kept).all()):
            raise InvalidInput(
                "The TAP network gives NaN or infinite values: check the weights, and the images "
                "for extreme values."
            )
        return kept

    def _forward(self, pixels: torch.Tensor, mixed: bool) -> torch.Tensor:
        network, kind = self.network, self._device.type
        if self._kind is not Device.MPS:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), torch.autocast(kind, self._half, enabled=mixed):
            return network.project(network.backbone(pixels)).float()

    def _halved(self, block: Block, shape: tuple[int, ...]) -> list[Block]:
        """Divide a block that memory was too short for, and let the next ones be as small."""
        empty_cache(self._kind.value)
        _, y, x = block.keep
        long = 1 if y.stop - y.start >= x.stop - x.start else 2
        whole = block.keep[long]
        stride = self.network.config.stride
        half = -(-(whole.stop - whole.start) // (2 * stride)) * stride
        if half < _SMALLEST:
            raise InvalidInput(
                f"A block of {y.stop - y.start} x {x.stop - x.start} pixels does not fit into the "
                f"memory of '{self._kind.value}': close other programs, or choose another device."
            )
        self._side = half + 2 * self._halo
        found = []
        for part in (slice(whole.start + half, whole.stop), slice(whole.start, whole.start + half)):
            keep = list(block.keep)
            read = list(block.read)
            keep[long] = part
            start, stop = part.start - self._halo, part.stop + self._halo
            read[long] = slice(max(start, 0), min(stop, shape[long]))
            found.append(Block((read[0], read[1], read[2]), (keep[0], keep[1], keep[2])))
        return found

    def close(self) -> None:
        """Let go of the network, so that its memory can be released."""
        del self.network


def _unpadded(kept: slice, before: int, size: int) -> tuple[slice, slice]:
    """Return where part of a padded axis is in the image, and which of it is not padding."""
    start, stop = max(kept.start, before), min(kept.stop, before + size)
    return slice(start - before, stop - before), slice(start - kept.start, stop - kept.start)


def frame_features(
    loaded: LoadedTap,
    image: NDArray[np.float32],
    device: Device = Device.CPU,
    job: Job | None = None,
    precision: Precision = "auto",
) -> NDArray[np.float32]:
    """Represent every pixel of a frame.

    Parameters
    ----------
    loaded
        The network.
    image
        From :func:`~napari_dynaclr.embedding.tap.images.prepare`, (Z, Y, X); each slice is an
        image by itself.
    device
        Where to compute.
    job
        For cancelling.
    precision
        See :class:`Extractor`.

    Returns
    -------
    numpy.ndarray
        (features, Z, Y, X): 128 bytes for each pixel with 32 features, and a block beside them.

    Raises
    ------
    InvalidInput
        See :meth:`Extractor.tiles`.
    """
    with device_memory(device):
        extractor = Extractor(loaded, device, precision)
        found = np.empty((extractor.features, *image.shape), np.float32)
        for place, plane in enumerate(image):
            found[:, place] = extractor.plane(plane, job or Job())
        return found
