"""Augmentation of patches, a batch at a time on the device that trains.

The defaults are those of dynaclr.txt, Table 1; cytoland.txt, Data Augmentations, has others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class ChannelAugmentation:
    """What differs from channel to channel.

    Attributes
    ----------
    intensity
        Probability of scaling the intensity.
    noise
        Largest standard deviation of the noise, in normalised units.
    """

    intensity: float = 0.5
    noise: float = 0.2


LABEL_FREE = ChannelAugmentation(intensity=0.5, noise=0.2)
"""For phase, DIC and bright field."""

FLUORESCENCE = ChannelAugmentation(intensity=0.7, noise=0.5)
"""For fluorescent reporters."""


@dataclass(frozen=True)
class Ranges:
    """Parameters, those of Table 1 by default.

    Attributes
    ----------
    zoom, rotation
        Largest scaling along x and y each, largest angle in radians.
    shear
        Range of the shear.
    affine
        Probability of zoom and of rotation; shearing is always applied.
    flip
        Probability of a reflection, along x and along y.
    zoom_z
        Largest scaling along z.
    gamma, contrast
        Range of the exponent, and its probability.
    intensity
        Largest relative change of intensity.
    blur
        Range of the standard deviation in pixels; always applied.
    noisy
        Probability of noise.
    """

    zoom: float = 0.3
    rotation: float = math.pi
    shear: tuple[float, float] = (0.0, 0.01)
    affine: float = 0.8
    flip: float = 0.0
    zoom_z: float = 0.0
    gamma: tuple[float, float] = (0.8, 1.2)
    contrast: float = 0.5
    intensity: float = 0.5
    blur: tuple[float, float] = (0.25, 0.75)
    noisy: float = 0.5


def wide_side(side: int, ranges: Ranges | None = None) -> int:
    """Return the side of a crop from which no rotation, zoom or shear brings in padding.

    Parameters
    ----------
    side
        Side of the patch that the network gets, in pixels.
    ranges
        Parameters of the augmentation.
    """
    ranges = ranges or Ranges()
    diagonal = (
        math.sqrt(2)
        if ranges.rotation >= math.pi / 4
        else math.cos(ranges.rotation) + (math.sin(ranges.rotation))
    )
    reach = (1 + ranges.zoom) * (1 + max(map(abs, ranges.shear))) * diagonal
    wide = math.ceil((side - 1) * reach) + 3
    return wide + (wide - side) % 2  # the same number of pixels on both sides


def deep_side(depth: int, ranges: Ranges) -> int:
    """Return the slices of a crop from which no zoom along z brings in padding.

    Parameters
    ----------
    depth
        Slices of the patch that the network gets.
    ranges
        Parameters of the augmentation.
    """
    return 1 + math.ceil((depth - 1) * (1 + ranges.zoom_z) - 1e-9)


@dataclass
class Augmentation:
    """Augments batches; every patch by its own draw, all channels of a patch moved alike.

    Parameters
    ----------
    channels
        One per channel whose intensities are changed, the first of a patch; what comes behind
        them, such as the target of a stainer, is moved only.
    side
        Side of the patches that come out, in pixels; what goes in is wider (:func:`wide_side`).
    ranges
        Parameters.
    depth
        Slices of the patches that come out, if other than of those that go in
        (:func:`deep_side`).
    """

    channels: Sequence[ChannelAugmentation]
    side: int
    ranges: Ranges = field(default_factory=Ranges)
    depth: int | None = None

    def __call__(self, patches: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Augment patches.

        Parameters
        ----------
        patches
            Normalised, (B, C, Z, Y, X), float.
        generator
            Of the same device as the patches.

        Returns
        -------
        torch.Tensor
            (B, C, Z, side, side).
        """
        few = len(self.channels)
        draw = _Draw(patches[:, :few], generator)
        patches = self._move(self._zoom_z(patches, draw), draw)
        if few == patches.shape[1]:
            return self._change(patches, draw, generator)
        changed = self._change(patches[:, :few], draw, generator)
        return torch.cat([changed, patches[:, few:]], dim=1)

    def middle(self, patches: torch.Tensor) -> torch.Tensor:
        """Cut what the network sees of a patch, as it is.

        Parameters
        ----------
        patches
            As wide as those that are augmented, (B, C, Z, Y, X).

        Returns
        -------
        torch.Tensor
            (B, C, Z, side, side), float32.
        """
        size = (self.depth or patches.shape[2], self.side, self.side)
        for axis, length in enumerate(size, 2):
            patches = patches.narrow(axis, (patches.shape[axis] - length) // 2, length)
        return patches.float()

    def _change(
        self, patches: torch.Tensor, draw: _Draw, generator: torch.Generator
    ) -> torch.Tensor:
        patches = self._contrast(patches, draw)
        patches = self._scale(patches, draw)
        patches = self._blur(patches, draw)
        return self._add_noise(patches, draw, generator)

    def _zoom_z(self, patches: torch.Tensor, draw: _Draw) -> torch.Tensor:
        """Scale along z, as far as the slices go, and crop to the depth."""
        there, wanted = patches.shape[2], self.depth or patches.shape[2]
        if not self.ranges.zoom_z or wanted == 1:
            return self._middle_slices(patches, wanted)
        zoom = 1 + draw.uniform(-self.ranges.zoom_z, self.ranges.zoom_z)
        zoom = zoom.clamp_max((there - 1) / (wanted - 1))
        steps = torch.arange(wanted, device=patches.device) - (wanted - 1) / 2
        places = (there - 1) / 2 + zoom[:, None] * steps
        # Linear between slices: each is weighed by how near it is.
        near = torch.arange(there, device=patches.device) - places[..., None]
        return torch.einsum("bcz...,bdz->bcd...", patches.float(), (1 - near.abs()).clamp_min(0))

    def _middle_slices(self, patches: torch.Tensor, wanted: int) -> torch.Tensor:
        return patches.narrow(2, (patches.shape[2] - wanted) // 2, wanted)

    def _move(self, patches: torch.Tensor, draw: _Draw) -> torch.Tensor:
        """Rotate, zoom and shear in the plane, and crop to the side."""
        ranges, (count, _, depth) = self.ranges, patches.shape[:3]
        angle = draw.uniform(0, ranges.rotation) * draw.coin(ranges.affine)
        zoomed = draw.coin(ranges.affine)
        zoom = [1 + draw.uniform(-ranges.zoom, ranges.zoom) * zoomed for _ in range(2)]
        shear = [draw.uniform(*ranges.shear) for _ in range(2)]
        cos, sin = torch.cos(angle), torch.sin(angle)
        turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
        one = torch.ones_like(angle)
        slant = torch.stack(
            [torch.stack([one, shear[0]], -1), torch.stack([shear[1], one], -1)], -2
        )
        if ranges.flip:
            zoom = [one * (1 - 2 * draw.coin(ranges.flip)) for one in zoom]
        move = turn @ slant @ torch.diag_embed(torch.stack(zoom, -1))
        flat = patches.reshape(count, -1, *patches.shape[3:]).float()
        return _sample(flat, move, self.side).reshape(count, -1, depth, self.side, self.side)

    def _contrast(self, patches: torch.Tensor, draw: _Draw) -> torch.Tensor:
        """Raise the intensities, between their lowest and highest, to a power."""
        low, high = self.ranges.gamma
        gamma = 1 + (draw.uniform(low, high, channels=True) - 1) * draw.coin(
            self.ranges.contrast, channels=True
        )
        least = patches.amin(dim=(2, 3, 4), keepdim=True)
        span = (patches.amax(dim=(2, 3, 4), keepdim=True) - least).clamp_min(1e-7)
        return ((patches - least) / span) ** _wide(gamma) * span + least

    def _scale(self, patches: torch.Tensor, draw: _Draw) -> torch.Tensor:
        chance = torch.tensor([one.intensity for one in self.channels], device=patches.device)
        change = draw.uniform(-self.ranges.intensity, self.ranges.intensity, channels=True)
        return patches * _wide(1 + change * draw.coin(chance, channels=True))

    def _blur(self, patches: torch.Tensor, draw: _Draw) -> torch.Tensor:
        """Smooth every patch and channel by its own width, in the plane."""
        from monai.networks.layers import gaussian_1d

        low, high = self.ranges.blur
        if high <= 0:
            return patches
        sigma = draw.uniform(low, high, channels=True)
        count, channels, depth, height, width = patches.shape
        radius = math.ceil(4 * high)
        # One kernel per width: gaussian_1d makes them one at a time, of its own length.
        kernels = torch.stack(
            [_padded(gaussian_1d(one, truncated=4.0), radius) for one in sigma.reshape(-1)]
        ).to(patches)
        weight = kernels.repeat_interleave(depth, dim=0)[:, None]
        flat = patches.reshape(1, count * channels * depth, height, width)
        flat = functional.pad(flat, (radius, radius, radius, radius), mode="replicate")
        groups = flat.shape[1]
        flat = functional.conv2d(flat, weight[..., None], groups=groups)
        flat = functional.conv2d(flat, weight[:, :, None], groups=groups)
        return flat.reshape(patches.shape)

    def _add_noise(
        self, patches: torch.Tensor, draw: _Draw, generator: torch.Generator
    ) -> torch.Tensor:
        most = torch.tensor([one.noise for one in self.channels], device=patches.device)
        sigma = draw.uniform(0, 1, channels=True) * most
        sigma = sigma * draw.coin(self.ranges.noisy, channels=True)
        noise = torch.randn(
            patches.shape, generator=generator, device=patches.device, dtype=patches.dtype
        )
        return patches + _wide(sigma) * noise


class _Draw:
    """Random numbers for a batch: (B,), or (B, C) for each channel."""

    def __init__(self, patches: torch.Tensor, generator: torch.Generator) -> None:
        self._shape, self._device, self._generator = patches.shape, patches.device, generator

    def uniform(self, low: float, high: float, *, channels: bool = False) -> torch.Tensor:
        shape = self._shape[: 2 if channels else 1]
        return low + (high - low) * torch.rand(
            shape, generator=self._generator, device=self._device
        )

    def coin(self, chance: float | torch.Tensor, *, channels: bool = False) -> torch.Tensor:
        return (self.uniform(0, 1, channels=channels) < chance).float()


def _sample(images: torch.Tensor, move: torch.Tensor, side: int) -> torch.Tensor:
    """Draw squares out of images, about the middle, linear between pixels.

    As MONAI's AffineTransform does, which computes in float64: Apple's GPUs (MPS) have none.

    Parameters
    ----------
    images
        (B, C, Y, X), float32.
    move
        Steps in an image, (y, x) pixels, of a step along y and along x in the square, (B, 2, 2).
    side
        Of the squares, pixels.
    """
    # PyTorch counts from -1 to 1, middle of the first pixel to that of the last, and x before y:
    # about the middle, nothing is left to be shifted.
    share = torch.tensor(
        [(side - 1) / max(length - 1, 1) for length in images.shape[2:]],
        dtype=torch.float32,
        device=images.device,
    )
    theta = images.new_zeros(len(images), 2, 3)
    theta[:, :, :2] = (move * share[:, None]).flip(1, 2)
    grid = functional.affine_grid(theta, [*images.shape[:2], side, side], align_corners=True)
    return functional.grid_sample(images, grid, align_corners=True)


def _wide(values: torch.Tensor) -> torch.Tensor:
    """Spread (B, C) over the pixels."""
    return values[:, :, None, None, None]


def _padded(kernel: torch.Tensor, radius: int) -> torch.Tensor:
    rest = radius - (len(kernel) - 1) // 2
    return functional.pad(kernel / kernel.sum(), (rest, rest))
