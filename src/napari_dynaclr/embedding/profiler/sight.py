"""Profilers looking at images: the channels and pixels of each, and their vectors together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_dynaclr.embedding.profiler.network import ProfilerNet


class Sight(nn.Module):
    """Represents images by one profiler or several, each of its own channels.

    Fluorescence and label-free channels have profilers of their own, whose representations
    are put together (sslprofiler.txt, 3.2.1).

    Parameters
    ----------
    networks
        The profilers.
    sides
        Width and height in pixels of what each sees of an image, in its middle, before that
        is brought to the size that it was trained with.
    """

    def __init__(self, networks: Sequence[ProfilerNet], sides: Sequence[int]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._sides = tuple(sides)

    def forward(self, patches: Tensor) -> Tensor:
        """Represent images (N, C, 1, Y, X) that are scaled to 0-1, as (N, dimensions)."""
        found, first = [], 0
        for network, side in zip(self.networks, self._sides, strict=True):
            channels = slice(first, first + network.config.channels)
            first = channels.stop
            seen = resized(middle(patches[:, channels, 0], side), network.config.side)
            found.append(network.represent(seen))
        return torch.cat(found, dim=1)


def middle(images: Tensor, side: int) -> Tensor:
    """Return the middle of images (..., Y, X), of a side or as much as there is of it."""
    height, width = (min(side, length) for length in images.shape[-2:])
    top, left = (images.shape[-2] - height) // 2, (images.shape[-1] - width) // 2
    return images[..., top : top + height, left : left + width]


def resized(images: Tensor, height: int, width: int | None = None) -> Tensor:
    """Bring images (N, C, Y, X) to a size in pixels, without aliasing; a square by default."""
    size = (height, height if width is None else width)
    if tuple(images.shape[-2:]) == size:
        return images
    # Float32: not all devices can do this with less.
    return functional.interpolate(images.float(), size, mode="bilinear", antialias=True)
