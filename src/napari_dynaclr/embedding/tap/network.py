"""The TAP network (tap.txt, 2 and 3.2): feature extractor, projection, equivariant head.

Parameters have the names that the public code gives them, so weights go both ways. Where paper
and public code differ, the code is followed, as weights are its:

- a head's layer adds the mean of G(z) over the frames; Equation 3 writes their sum. With two
  frames that is a factor of two, which training would undo;
- between feature extractor and head stands a projection, a 1 x 1 convolution and a batch
  normalisation. The paper's f, whose result z it calls the TAP representations, is both.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from napari_dynaclr.embedding.tap.architecture import BACKWARD, FORWARD, FRAMES, TapConfig

if TYPE_CHECKING:
    from torch import Tensor


class ConvBlock(nn.Module):
    """Twice a 3 x 3 convolution, batch normalisation and leaky ReLU; the size stays.

    Parameters
    ----------
    channels
        Of the input.
    maps
        Of the output.
    """

    def __init__(self, channels: int, maps: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in (channels, maps):
            convolution = nn.Conv2d(width, maps, 3, padding=1, padding_mode="replicate")
            layers += [convolution, nn.BatchNorm2d(maps), nn.LeakyReLU(inplace=True)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, maps, H, W)."""
        return self.conv_block(images)


class UNet(nn.Module):
    """Feature extractor for images whose sides are multiples of ``config.stride``.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: TapConfig) -> None:
        super().__init__()
        widths = [config.maps * 2**level for level in range(config.depth + 1)]
        above = [config.channels, *widths[:-1]]
        self.l_conv = nn.ModuleList(
            ConvBlock(channels, maps) for channels, maps in zip(above, widths, strict=True)
        )
        self.r_conv = nn.ModuleList(
            ConvBlock(maps + below, maps) for maps, below in pairwise(widths)
        )
        self.head = nn.Conv2d(config.maps, config.maps, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="leaky_relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, maps, H, W)."""
        across: list[Tensor] = []
        here = images
        for block in self.l_conv[:-1]:
            here = block(here)
            across.append(here)
            here = functional.max_pool2d(here, 2)
        here = self.l_conv[-1](here)
        for block in reversed(self.r_conv):
            beside = across.pop()
            here = functional.interpolate(here, scale_factor=2, mode="nearest")
            here = block(torch.cat([beside, here], dim=1))
        return self.head(here)


class Equivariant(nn.Module):
    """What a head's layer does before its activation (Equation 3): L(z) + mean over t of G(z).

    Parameters
    ----------
    features
        Of the input.
    out
        Of the output.
    norm
        Whether a batch normalisation follows, with statistics over both frames.
    """

    def __init__(self, features: int, out: int, *, norm: bool) -> None:
        super().__init__()
        self.L = nn.Linear(features, out)
        self.G = nn.Linear(features, out)
        self.norm = nn.BatchNorm1d(out) if norm else nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        """Map (B, 2, features, H, W) to (B, 2, out, H, W)."""
        frames = z.flatten(0, 1)
        own = _pixelwise(self.L, frames).unflatten(0, z.shape[:2])
        # G is linear: its mean is that of the mean.
        shared = _pixelwise(self.G, z.mean(1))
        mixed = own + shared.unsqueeze(1)
        normed = self.norm(mixed.flatten(0, 1).flatten(2))
        return normed.reshape(mixed.shape)


def _pixelwise(layer: nn.Linear, images: Tensor) -> Tensor:
    return functional.conv2d(images, layer.weight[:, :, None, None], layer.bias)


class EquivariantLayer(nn.Module):
    """A permutation-equivariant layer of the head, where the public code has it.

    Parameters
    ----------
    features
        Of the input.
    out
        Of the output.
    last
        Whether it gives the logits: without normalisation and activation.
    """

    def __init__(self, features: int, out: int, *, last: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(Equivariant(features, out, norm=not last))
        self.act = nn.Identity() if last else nn.LeakyReLU()

    def forward(self, z: Tensor) -> Tensor:
        """Map (B, 2, features, H, W) to (B, 2, out, H, W)."""
        return self.act(self.layers(z))


class Average(nn.Module):
    """Global average pooling of (B, 2, C, H, W) to (B, 2, C, 1, 1)."""

    def forward(self, z: Tensor) -> Tensor:
        """Average over H and W."""
        return z.mean((-2, -1), keepdim=True)


class ProjectionHead(nn.Module):
    """What stands between feature extractor and head: a 1 x 1 convolution, normalised.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: TapConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(config.maps, config.features, 1), nn.BatchNorm2d(config.features)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, maps, H, W) to (B, features, H, W)."""
        return self.layers(features)


class ArrowHead(nn.Module):
    """The time arrow prediction head: swapping the frames swaps the logits.

    Two equivariant layers work on each pixel by itself; after the average over all pixels the
    last one is linear, so in eval mode a logit is the mean of what each pixel contributes.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: TapConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            EquivariantLayer(config.features, config.features),
            EquivariantLayer(config.features, config.features),
        )
        self.head = nn.Sequential(
            Average(), EquivariantLayer(config.features, 1, last=True), nn.Flatten()
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map (B, 2, features, H, W) to logits (B, 2)."""
        return self.head(self.layers(z))


class TimeArrowNet(nn.Module):
    """Tells whether two images are in the order of time, by dense features of each.

    Weights are random until some are loaded.

    Parameters
    ----------
    config
        Shape of the network; the paper's if omitted.
    """

    def __init__(self, config: TapConfig | None = None) -> None:
        super().__init__()
        self.config = config or TapConfig()
        self.backbone = UNet(self.config)
        self.projection_head = ProjectionHead(self.config)
        self.classification_head = ArrowHead(self.config)

    def features(self, images: Tensor) -> Tensor:
        """Compute what the U-Net gives for single images.

        Parameters
        ----------
        images
            Normalised, (B, C, H, W), of any size; padded for the U-Net by replication.

        Returns
        -------
        torch.Tensor
            (B, ``config.maps``, H, W).
        """
        padded, (top, left) = pad(images, self.config.stride)
        height, width = images.shape[-2:]
        return self.backbone(padded)[..., top : top + height, left : left + width]

    def project(self, features: Tensor) -> Tensor:
        """Map (B, ``config.maps``, H, W) to the TAP representations (B, features, H, W)."""
        return self.projection_head(features)

    def represent(self, images: Tensor) -> Tensor:
        """Compute the TAP representations z of single images, the paper's f.

        Parameters
        ----------
        images
            Normalised, (B, C, H, W).

        Returns
        -------
        torch.Tensor
            (B, ``config.features``, H, W).
        """
        return self.project(self.features(images))

    def head(self, z: Tensor) -> Tensor:
        """Map the representations of pairs, (B, 2, features, H, W), to logits (B, 2)."""
        return self.classification_head(z)

    def leads(self, z: Tensor) -> Tensor:
        """Say how far each pixel speaks for the order of time.

        In eval mode, the mean over all pixels is the difference of the logits, forward less
        backward, for the head is linear from the average over all pixels on.

        Parameters
        ----------
        z
            Representations of pairs, (B, 2, features, H, W).

        Returns
        -------
        torch.Tensor
            (B, H, W).
        """
        head = self.classification_head
        _, last, _ = head.head
        each = last(head.layers(z))[:, :, 0]
        return each[:, FORWARD] - each[:, BACKWARD]

    def both(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Compute logits and representations, which the loss needs both of.

        Parameters
        ----------
        pairs
            Normalised, (B, 2, C, H, W).

        Returns
        -------
        tuple
            Logits (B, 2) and z (B, 2, features, H, W).
        """
        z = self.represent(pairs.flatten(0, 1)).unflatten(0, (-1, FRAMES))
        return self.head(z), z

    def forward(self, pairs: Tensor) -> Tensor:
        """Predict the arrow of time.

        Parameters
        ----------
        pairs
            Normalised, (B, 2, C, H, W).

        Returns
        -------
        torch.Tensor
            Logits (B, 2): the first for the order of time, the second for the reverse (see
            :data:`~napari_dynaclr.embedding.tap.architecture.FORWARD`).
        """
        return self.both(pairs)[0]


def pad(images: Tensor, stride: int) -> tuple[Tensor, tuple[int, int]]:
    """Replicate the edges until the sides are multiples of a stride, about the same all around.

    Parameters
    ----------
    images
        (B, C, H, W).
    stride
        See :attr:`TapConfig.stride`.

    Returns
    -------
    tuple
        The images, and where in them the first pixel has come to lie (y, x).
    """
    height, width = (-size % stride for size in images.shape[-2:])
    top, left = height // 2, width // 2
    if not (height or width):
        return images, (0, 0)
    edges = (left, width - left, top, height - top)
    return functional.pad(images, edges, mode="replicate"), (top, left)
