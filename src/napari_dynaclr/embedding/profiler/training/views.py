"""Views of images for self-distillation, a batch at a time on the device that trains.

sslprofiler.txt, 3.2.2 and 6; what the paper does not give is DINOv2's, and said so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch.nn import functional

REFERENCE = 518
"""Side in pixels of the paper's views, which alpha and sigma of its elastic deformation go with."""


@dataclass(frozen=True)
class Elastic:
    """Elastic deformation (sslprofiler.txt, 6.2).

    Attributes
    ----------
    alpha, sigma
        Magnitude, and smoothness in pixels, in views of :data:`REFERENCE` pixels; smaller views
        are deformed in the same proportion.
    chance
        Probability.
    """

    alpha: float = 1200.0
    sigma: float = 40.0
    chance: float = 0.5

    def at(self, side: int) -> tuple[float, float]:
        """Return alpha and sigma for views of another side, in pixels.

        The deformation, alpha / (2 sqrt(pi) sigma) pixels on average, grows with the side.
        """
        share = side / REFERENCE
        return self.alpha * share**2, self.sigma * share


@dataclass(frozen=True)
class Jitter:
    """Brightness and contrast of each channel on its own (sslprofiler.txt, 3.2.2).

    Attributes
    ----------
    brightness, contrast
        alpha_b and alpha_c; the paper does not say, DINOv2's.
    chance
        Probability; the paper does not say, DINOv2's.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    chance: float = 0.8


@dataclass(frozen=True)
class MicroscopeNoise:
    """Shot noise, dark current and read noise (sslprofiler.txt, 6.1).

    Attributes
    ----------
    shot, dark, read
        sigma_shot, sigma_dark and sigma_read, for intensities of 0-1.
    chance
        Probability; the paper does not say.
    """

    shot: float = 0.1
    dark: float = 0.05
    read: float = 0.01
    chance: float = 0.5


@dataclass(frozen=True)
class Crops:
    """Which parts of an image are seen.

    Attributes
    ----------
    near, far
        Area of a global view relative to the whole, from the least to the most; the paper does
        not say, DINOv2's. Views are squares: how long a cell is, is part of its looks.
    local
        The same of local views.
    locals_
        Local views of an image.
    """

    near: float = 0.32
    far: float = 1.0
    local: tuple[float, float] = (0.05, 0.32)
    locals_: int = 8


@dataclass(frozen=True)
class Looks:
    """Everything that makes a view another one."""

    crops: Crops = field(default_factory=Crops)
    elastic: Elastic = field(default_factory=Elastic)
    jitter: Jitter = field(default_factory=Jitter)
    noise: MicroscopeNoise = field(default_factory=MicroscopeNoise)


class Views:
    """Makes views of images: parts of them, turned, mirrored, deformed, re-lit and noisy.

    Parameters
    ----------
    side
        Side of a global view in pixels.
    local_side
        Side of a local view.
    inside
        Height and width of the middle of an image that views are of; what is around it is seen
        where they are turned. All of the image if None.
    looks
        How they are made.
    """

    def __init__(
        self,
        side: int,
        local_side: int,
        inside: tuple[int, int] | None = None,
        looks: Looks | None = None,
    ) -> None:
        self.side, self.local_side = side, local_side
        self._inside, self._looks = inside, looks or Looks()

    def whole(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Make a global view of each image.

        Parameters
        ----------
        images
            Scaled to 0-1, (B, C, Y, X), float.
        generator
            Of their device.

        Returns
        -------
        torch.Tensor
            (B, C, side, side).
        """
        crops = self._looks.crops
        return self._make(images, self.side, (crops.near, crops.far), generator)

    def parts(self, images: torch.Tensor, generator: torch.Generator) -> list[torch.Tensor]:
        """Make local views, each (B, C, local_side, local_side)."""
        crops = self._looks.crops
        return [
            self._make(images, self.local_side, crops.local, generator)
            for _ in range(crops.locals_)
        ]

    def _make(
        self,
        images: torch.Tensor,
        side: int,
        area: tuple[float, float],
        generator: torch.Generator,
    ) -> torch.Tensor:
        looks = self._looks
        inside = self._inside or (images.shape[-2], images.shape[-1])
        places = crop_places(len(images), side, area, self.side, inside, generator)
        if looks.elastic.chance:
            alpha, sigma = looks.elastic.at(side)
            moved = displacements(len(images), side, alpha, sigma, generator)
            chosen = _coin(images, looks.elastic.chance, generator)
            places = places + _turned(moved * chosen[:, None, None, None], places)
        views = sample(images, places)
        views = jitter(views, looks.jitter, generator)
        return microscope_noise(views, looks.noise, generator)


def crop_places(
    count: int,
    side: int,
    area: tuple[float, float],
    whole: int,
    inside: tuple[int, int],
    generator: torch.Generator,
) -> torch.Tensor:
    """Draw where each pixel of turned, mirrored squares is in an image, from its middle.

    Parameters
    ----------
    count
        Squares.
    side
        Their side in pixels.
    area
        Least and greatest area, relative to a square of ``whole`` pixels.
    whole
        See there.
    inside
        Height and width in pixels, about the image's middle, of what the squares are of before
        they are turned.
    generator
        For everything that is drawn.

    Returns
    -------
    torch.Tensor
        (count, side, side, 2): y and x, in pixels.
    """
    device = generator.device

    def draw(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, device=device)

    # Not larger than what there is.
    width = (draw(*area).sqrt() * whole).clamp_max(min(inside))
    middle = [(length - width) * draw(-0.5, 0.5) for length in inside]
    angle = draw(0, 2 * math.pi)
    mirrored = 1 - 2 * (draw(0, 1) < 0.5).float()
    step = width / side
    steps = torch.arange(side, device=device) - (side - 1) / 2
    y = (step[:, None] * steps)[:, :, None]
    x = (step[:, None] * steps * mirrored[:, None])[:, None, :]
    cos, sin = (one(angle)[:, None, None] for one in (torch.cos, torch.sin))
    return torch.stack(
        [
            middle[0][:, None, None] + cos * y - sin * x,
            middle[1][:, None, None] + sin * y + cos * x,
        ],
        dim=-1,
    )


def displacements(
    count: int, side: int, alpha: float, sigma: float, generator: torch.Generator
) -> torch.Tensor:
    """Draw smooth fields of displacements: alpha times Gaussian-smoothed normal noise (6.2).

    Wide fields are drawn on a coarser grid and interpolated, which smooth ones do not notice.

    Parameters
    ----------
    count
        Fields.
    side
        Their height and width in pixels.
    alpha
        Magnitude.
    sigma
        Smoothness in pixels.
    generator
        For the noise.

    Returns
    -------
    torch.Tensor
        (count, side, side, 2): along y and x, pixels of the view.
    """
    stride = max(int(sigma / _FINE), 1)
    coarse = sigma / stride
    grid = -(-side // stride) + 2
    radius = math.ceil(4 * coarse)
    noise = torch.randn(
        (count * 2, 1, grid + 2 * radius, grid + 2 * radius),
        generator=generator,
        device=generator.device,
    )
    steps = torch.arange(-radius, radius + 1, device=generator.device)
    kernel = torch.exp(-0.5 * (steps / coarse) ** 2)
    kernel = kernel / kernel.sum()
    smooth = functional.conv2d(noise, kernel[None, None, :, None])
    smooth = functional.conv2d(smooth, kernel[None, None, None])
    if stride > 1:
        smooth = functional.interpolate(smooth, scale_factor=stride, mode="bicubic")
    first = (smooth.shape[-1] - side) // 2
    smooth = smooth[..., first : first + side, first : first + side]
    # Smoothed by sigma / stride, the noise is stride times as strong as by sigma.
    return alpha / stride * smooth.reshape(count, 2, side, side).permute(0, 2, 3, 1)


_FINE = 4
"""Smoothness, in points of its grid, at which a field is as good as on the finest grid."""


def _turned(moved: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Turn displacements in pixels of views into those in pixels of the images."""
    down = places[:, 1, 0] - places[:, 0, 0]
    right = places[:, 0, 1] - places[:, 0, 0]
    return moved[..., :1] * down[:, None, None] + moved[..., 1:] * right[:, None, None]


def sample(images: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Draw pixels out of images, linear between them; beyond the edge, they are reflected.

    Parameters
    ----------
    images
        (B, C, Y, X), float.
    places
        y and x from their middle, in pixels, (B, height, width, 2).

    Returns
    -------
    torch.Tensor
        (B, C, height, width).
    """
    # PyTorch counts from -1 to 1, middle of the first pixel to that of the last, and x before y.
    half = [max(length - 1, 1) / 2 for length in images.shape[-2:]]
    scale = torch.tensor(half, device=images.device)
    return functional.grid_sample(
        images, (places / scale).flip(-1), padding_mode="reflection", align_corners=True
    )


def jitter(images: torch.Tensor, how: Jitter, generator: torch.Generator) -> torch.Tensor:
    """Change brightness, then contrast, of each channel on its own (sslprofiler.txt, 3.2.2).

    Contrast is about the mean of the channel as it was before its brightness was changed, as
    the paper writes it.

    Parameters
    ----------
    images
        (B, C, Y, X).
    how
        How much, and how often.
    generator
        Of their device.
    """
    shape = (*images.shape[:2], 1, 1)

    def factor(strength: float) -> torch.Tensor:
        low, high = max(0.0, 1 - strength), 1 + strength
        drawn = torch.rand(shape, generator=generator, device=images.device)
        return low + (high - low) * drawn

    mean = images.mean(dim=(2, 3), keepdim=True)
    changed = (images * factor(how.brightness) - mean) * factor(how.contrast) + mean
    chosen = _coin(images, how.chance, generator)
    return torch.where(chosen[:, None, None, None] > 0, changed, images)


def microscope_noise(
    images: torch.Tensor, how: MicroscopeNoise, generator: torch.Generator
) -> torch.Tensor:
    """Add shot noise, dark current and read noise, and cut off at 0 and 1 (sslprofiler.txt, 6.1).

    Parameters
    ----------
    images
        Scaled to 0-1, (B, C, Y, X).
    how
        How much, and how often.
    generator
        Of their device.
    """
    chosen = _coin(images, how.chance, generator) > 0
    photons = _poisson(images.clamp_min(0) / how.shot, generator)
    read = torch.randn(images.shape, generator=generator, device=images.device)
    noisy = (photons * how.shot + how.dark + how.read * read).clamp(0, 1)
    return torch.where(chosen[:, None, None, None], noisy, images)


def _poisson(rates: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if rates.device.type != "mps":
        return torch.poisson(rates, generator=generator)
    # Apple's GPUs cannot draw these.
    seed = int(torch.randint(2**31, (1,), generator=generator, device=rates.device))
    return torch.poisson(rates.cpu(), generator=torch.Generator().manual_seed(seed)).to(rates)


def _coin(images: torch.Tensor, chance: float, generator: torch.Generator) -> torch.Tensor:
    """Return 1 for some images and 0 for others, (B,)."""
    return (torch.rand(len(images), generator=generator, device=images.device) < chance).float()
