"""Augmentation of pairs (tap.txt, 2, Augmentations), a batch at a time where it is trained.

What could betray the order of two frames without anything having happened, such as a drift or
fading, is drawn for each frame by itself; what must not, such as a rotation, for both alike.
The paper gives probabilities and no ranges: those here are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TapRanges:
    """How far pairs are changed.

    Attributes
    ----------
    chance
        Probability of each change.
    zoom, zoom_apart
        Largest relative scaling of both frames, and of each besides.
    shift
        Largest translation of each frame along y and x, in pixels.
    elastic
        Largest displacement of a pixel by the elastic deformation of both, in pixels.
    bend
        Pixels over which the deformation changes.
    contrast, contrast_apart
        Largest relative change of the contrast of both frames, and of each besides.
    brightness, brightness_apart
        Largest addition to both frames, and to each besides, in normalised intensity.
    noise, noise_apart
        Largest standard deviation of the noise in both frames, and of that in each besides.
    """

    chance: float = 0.5
    zoom: float = 0.2
    zoom_apart: float = 0.03
    shift: float = 4.0
    elastic: float = 3.0
    bend: int = 24
    contrast: float = 0.4
    contrast_apart: float = 0.2
    brightness: float = 0.2
    brightness_apart: float = 0.1
    noise: float = 0.1
    noise_apart: float = 0.05

    def wide(self, side: int) -> int:
        """Return the side of a crop from which a patch comes without running over its edge.

        Parameters
        ----------
        side
            Side of the patch, in pixels.
        """
        reach = (side - 1) * (1 + self.zoom) * (1 + self.zoom_apart) * math.sqrt(2)
        wide = math.ceil(reach + 2 * (self.shift + self.elastic)) + 2
        return wide + (wide - side) % 2  # the same number of pixels on both sides


class TapAugmentation:
    """Augments pairs, each by its own draw.

    Parameters
    ----------
    side
        Side of the patches that come out, in pixels; what goes in is wider
        (:meth:`TapRanges.wide`).
    ranges
        How far; None to cut the middle out only.
    """

    def __init__(self, side: int, ranges: TapRanges | None) -> None:
        self.side, self.ranges = side, ranges

    def __call__(self, pairs: Tensor, generator: torch.Generator) -> Tensor:
        """Augment pairs.

        Parameters
        ----------
        pairs
            Normalised, (B, 2, C, Y, X), float.
        generator
            Of the same device as the pairs.

        Returns
        -------
        torch.Tensor
            (B, 2, C, side, side), float32.
        """
        pairs = pairs.float()
        if self.ranges is None:
            return self.middle(pairs)
        draw = _Draw(len(pairs), self.ranges.chance, pairs.device, generator)
        moved = self._move(pairs, self._places(draw, self.ranges))
        return self._change(moved, draw, self.ranges)

    def middle(self, pairs: Tensor) -> Tensor:
        """Cut out the middle of pairs, (B, 2, C, Y, X), as it is."""
        for axis in (-2, -1):
            start = (pairs.shape[axis] - self.side) // 2
            pairs = pairs.narrow(axis, start, self.side)
        return pairs.float()

    def _places(self, draw: _Draw, ranges: TapRanges) -> Tensor:
        """Say where each pixel comes from, (B, 2, side, side, 2), (y, x) pixels off the middle."""
        steps = torch.arange(self.side, device=draw.device) - (self.side - 1) / 2
        plain = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)
        angle = draw.by_chance(draw.between(0, 2 * math.pi))
        zoom = 1 + draw.by_chance(draw.between(-ranges.zoom, ranges.zoom))
        cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
        turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
        flip = 1 - 2 * torch.stack([draw.coin(), draw.coin()], -1)
        places = torch.einsum("bij,yxj->byxi", turn * flip[:, None], plain)
        places = places + self._bent(draw, ranges)
        apart = 1 + draw.by_chance_apart(draw.apart(-ranges.zoom_apart, ranges.zoom_apart))
        shift = draw.by_chance_apart(draw.apart(-ranges.shift, ranges.shift, 2))
        return places[:, None] * apart[:, :, None, None, None] + shift[:, :, None, None]

    def _bent(self, draw: _Draw, ranges: TapRanges) -> Tensor:
        """Draw elastic deformations, (B, side, side, 2) pixels."""
        knots = self.side // ranges.bend + 2
        coarse = draw.between(-1, 1, 2, knots, knots) * draw.between(0, ranges.elastic, 1, 1, 1)
        coarse = draw.by_chance(coarse)
        fine = functional.interpolate(
            coarse, (self.side, self.side), mode="bicubic", align_corners=True
        )
        # Between its knots, a cubic can go beyond them.
        return fine.clamp(-ranges.elastic, ranges.elastic).permute(0, 2, 3, 1)

    def _move(self, pairs: Tensor, places: Tensor) -> Tensor:
        # PyTorch counts from -1 to 1, middle of the first pixel to that of the last, x before y.
        half = torch.tensor([(one - 1) / 2 for one in pairs.shape[-2:]], device=pairs.device)
        grid = (places / half).flip(-1).flatten(0, 1)
        # What is bent over the edge of a crop sees its reflection.
        moved = functional.grid_sample(
            pairs.flatten(0, 1), grid, padding_mode="reflection", align_corners=True
        )
        return moved.unflatten(0, pairs.shape[:2])

    def _change(self, pairs: Tensor, draw: _Draw, ranges: TapRanges) -> Tensor:
        def both(most: float, apart: float, least: float = -1.0) -> tuple[Tensor, Tensor]:
            together = draw.by_chance(draw.between(least * most, most))[:, None]
            return together, draw.by_chance_apart(draw.apart(least * apart, apart))

        one, each = both(ranges.contrast, ranges.contrast_apart)
        contrast = (1 + one) * (1 + each)
        one, each = both(ranges.brightness, ranges.brightness_apart)
        changed = pairs * _wide(contrast) + _wide(one + each)
        one, each = both(ranges.noise, ranges.noise_apart, least=0.0)
        return changed + _wide(one + each) * draw.normal(pairs.shape)


class _Draw:
    """Random numbers for a batch of pairs: (B, ...), or (B, 2, ...) for each frame."""

    def __init__(
        self, count: int, chance: float, device: torch.device, generator: torch.Generator
    ) -> None:
        self.device, self._generator = device, generator
        self._count, self._chance = count, chance

    def between(self, low: float, high: float, *more: int) -> Tensor:
        return low + (high - low) * self._uniform(self._count, *more)

    def apart(self, low: float, high: float, *more: int) -> Tensor:
        return low + (high - low) * self._uniform(self._count, 2, *more)

    def coin(self) -> Tensor:
        return (self._uniform(self._count) < self._chance).float()

    def by_chance(self, values: Tensor) -> Tensor:
        """Keep the values of some pairs, 0 for the others."""
        return values * self.coin().reshape(-1, *[1] * (values.ndim - 1))

    def by_chance_apart(self, values: Tensor) -> Tensor:
        """Keep the values of some frames, 0 for the others."""
        kept = (self._uniform(self._count, 2) < self._chance).float()
        return values * kept.reshape(-1, 2, *[1] * (values.ndim - 2))

    def normal(self, shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=self._generator, device=self.device)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator, device=self.device)


def _wide(values: Tensor) -> Tensor:
    """Spread (B, 2) over channels and pixels."""
    return values[:, :, None, None, None]
