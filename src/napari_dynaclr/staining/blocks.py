"""Parts that the networks for virtual staining share: the decoder and the heads.

Parameters have the names that viscy-models gives them, so weights go both ways.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING, Self

import torch
from timm.layers import LayerNorm, LayerNorm2d
from timm.models.convnext import ConvNeXtStage
from torch import nn
from torch.nn import functional
from torch.nn.init import kaiming_normal_, trunc_normal_, zeros_

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_dynaclr.staining.architecture import StainerConfig


class Stainer(nn.Module, ABC):
    """A network that predicts stained channels from label-free ones.

    Parameters
    ----------
    config
        Its shape.
    """

    def __init__(self, config: StainerConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Stain images.

        Parameters
        ----------
        images
            Normalised pixels, (B, in_channels, depth, Y, X), Y and X multiples of
            ``config.stride``.
        mask
            What to hide of them, True where hidden: (B, 1, Y / side, X / side), the side of
            a square being a multiple of ``config.stride``, as many in every image. Only an
            FCMAE knows it.

        Returns
        -------
        Tensor
            (B, out_channels, out_depth, Y, X).
        """

    @abstractmethod
    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Return what every stage makes of images (cytoland.txt, Model visualization).

        Parameters
        ----------
        images
            See :meth:`forward`.

        Returns
        -------
        dict
            "encoder_0" on to the deepest, then "decoder_0" on, from there to the widest:
            (B, features, Y', X').
        """

    @abstractmethod
    def encoder_parts(self) -> tuple[nn.Module, ...]:
        """Return the modules of the encoder: the stem and the stages."""

    def encoder_state(self) -> dict[str, Tensor]:
        """Return the encoder's weights, by their names in the whole network."""
        inside = {id(value) for part in self.encoder_parts() for value in part.parameters()}
        wanted = [name for name, value in self.named_parameters() if id(value) in inside]
        state = self.state_dict()
        return {name: state[name] for name in wanted}

    def freeze_encoder(self, frozen: bool = True) -> None:
        """Leave the encoder as it is in training (cytoland.txt, Fig. 4), or no longer so."""
        for part in self.encoder_parts():
            part.requires_grad_(not frozen)

    def to_channels_last(self) -> Self:
        """Keep the weights of two-dimensional convolutions in the order that GPUs are quick in.

        ``to(memory_format=torch.channels_last)`` refuses the stem's, which has a depth.
        """
        for value in self.parameters():
            if value.ndim == 4:
                value.data = value.data.contiguous(memory_format=torch.channels_last)
        return self


def spread_equally(convolution: nn.Module, factor: int) -> None:
    """Give all pixels that one pixel becomes the same random weights, against checks.

    Parameters
    ----------
    convolution
        The one before the shuffling of its channels into pixels.
    factor
        Pixels along y, and along x, that a pixel becomes.

    Notes
    -----
    Aitken et al., 2017, *Checkerboard artifact free sub-pixel convolution*.
    """
    weight = convolution.weight
    with torch.no_grad():
        groups = torch.empty(weight.shape[0] // factor**2, *weight.shape[1:])
        weight.copy_(kaiming_normal_(groups).repeat_interleave(factor**2, dim=0))


class Shuffle(nn.Module):
    """Channels into pixels: (B, C * factor^2, Y, X) to (B, C, Y * factor, X * factor).

    Parameters
    ----------
    factor
        Pixels along y, and along x, that a pixel becomes.
    channels
        With a convolution of its own before it: channels that come in.
    pool
        Average what comes out over ``factor`` pixels in y and x.
    """

    def __init__(self, factor: int, channels: int | None = None, pool: bool = False) -> None:
        super().__init__()
        self.factor = factor
        self.pool = pool
        self.pixelshuffle = nn.Module()
        if channels is not None:
            out = channels // factor**2 * factor**2
            self.pixelshuffle.conv_block = nn.Conv2d(channels, out, 3, padding=1)
            spread_equally(self.pixelshuffle.conv_block, factor)
        else:
            self.pixelshuffle.conv_block = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C * factor^2, Y, X) to (B, C, Y * factor, X * factor)."""
        found = functional.pixel_shuffle(self.pixelshuffle.conv_block(features), self.factor)
        if self.pool:
            before = self.factor - 1
            found = functional.pad(found, (before, 0, before, 0))
            found = functional.avg_pool2d(found, self.factor, stride=1)
        return found


class UpStage(nn.Module):
    """One stage of the decoder: twice the pixels, joined with those of the encoder.

    Parameters
    ----------
    channels
        From the stage before.
    skip
        From the encoder.
    out
        Channels that it gives.
    blocks
        Number of its blocks.
    convolve
        With a convolution before upsampling.
    factor
        Pixels along y, and along x, that those it gives become as they are; 1 if a
        convolution comes first.
    """

    def __init__(
        self, channels: int, skip: int, out: int, blocks: int, convolve: bool, factor: int
    ) -> None:
        super().__init__()
        self.upsample = Shuffle(2, channels if convolve else None)
        self.conv = ConvNeXtStage(
            channels // 4 + skip,
            out,
            stride=1,
            depth=blocks,
            ls_init_value=None,
            conv_mlp=True,
            use_grn=True,
            norm_layer=LayerNorm2d,
            norm_layer_cl=LayerNorm,
        )
        for module in self.conv.modules():
            if isinstance(module, nn.Conv2d):
                trunc_normal_(module.weight, std=0.02)
                zeros_(module.bias)
        if factor > 1:
            spread_equally(self.conv.blocks[-1].mlp.fc2, factor)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Map (B, channels, Y, X) and (B, skip, 2 Y, 2 X) to (B, out, 2 Y, 2 X)."""
        return self.conv(torch.cat([self.upsample(features), skip], dim=1))


class Decoder(nn.Module):
    """From the deepest features back to those of the stem's size.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: StainerConfig) -> None:
        super().__init__()
        skips = config.dims[-2::-1]
        outs = (*skips[:-1], config.decoded)
        between = 1 if config.upsample_conv else 2
        factors = [between] * (len(outs) - 1) + [2 if config.head_conv else config.stem[2]]
        self.decoder_stages = nn.ModuleList(
            UpStage(2 * skip, skip, out, config.decoder_blocks, config.upsample_conv, factor)
            for skip, out, factor in zip(skips, outs, factors, strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return what each stage gives of the encoder's features, the deepest last."""
        found = [features[-1]]
        for stage, skip in zip(self.decoder_stages, features[-2::-1], strict=True):
            found.append(stage(found[-1], skip))
        return found[1:]


class ShuffleHead(nn.Module):
    """Features into slices and pixels, by their places alone.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: StainerConfig) -> None:
        super().__init__()
        self.shape = (config.out_channels, config.out_depth)
        self.upsample = Shuffle(config.stem[2], pool=True)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, decoded, Y', X') to (B, out_channels, out_depth, Y, X)."""
        return self.upsample(features).unflatten(1, self.shape)


class VoxelHead(nn.Module):
    """Features into slices and pixels, by a convolution along z, y and x.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: StainerConfig) -> None:
        super().__init__()
        self.levels = config.out_depth + 2
        middle = config.out_channels * config.head_expansion * 4
        self.upsample = Shuffle(2, pool=config.head_pool)
        first = nn.Conv3d(config.decoded // 4 // self.levels, middle, 3, padding=(0, 1, 1))
        steps = OrderedDict(N=nn.InstanceNorm3d(middle), A=nn.PReLU())
        self.conv = nn.Sequential(
            nn.Sequential(OrderedDict(conv=first, adn=nn.Sequential(steps))),
            nn.Conv3d(middle, config.out_channels * 4, 1),
        )
        spread_equally(self.conv[1], 2)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, decoded, Y / 4, X / 4) to (B, out_channels, out_depth, Y, X)."""
        volume = self.upsample(features).unflatten(1, (-1, self.levels))
        slices = self.conv(volume).transpose(1, 2)
        return functional.pixel_shuffle(slices, 2).transpose(1, 2)
