"""FCMAE: a U-Net whose encoder can learn from label-free images alone.

A convolutional network of which parts of the input are hidden in pre-training (Woo et al.,
2023, *ConvNeXt V2*; cytoland.txt, Model architecture). Parameters have the names that
viscy-models gives them, so weights go both ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from timm.layers import DropPath, GlobalResponseNormMlp, LayerNorm2d
from torch import nn
from torch.nn.init import trunc_normal_, zeros_

from napari_dynaclr.staining.blocks import Decoder, ShuffleHead, Stainer, VoxelHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Generator, Tensor

    from napari_dynaclr.staining.architecture import StainerConfig


def random_mask(
    shape: Sequence[int], stride: int, ratio: float, generator: Generator | None = None
) -> Tensor:
    """Choose at random what to hide of images.

    Parameters
    ----------
    shape
        Of the images, (B, ..., Y, X).
    stride
        Side of the squares that are hidden or shown as a whole, pixels.
    ratio
        Part of the squares to hide, the same number of every image: one at least, and not all.
    generator
        Source of the random numbers; the mask is made on its device.

    Returns
    -------
    Tensor
        (B, 1, Y / stride, X / stride), True where hidden.

    Raises
    ------
    ValueError
        If images are of one square only.
    """
    height, width = shape[-2] // stride, shape[-1] // stride
    if height * width < 2:
        raise ValueError("of one square, no part can be hidden and another be shown")
    count = min(max(int(height * width * ratio), 1), height * width - 1)
    device = generator.device if generator is not None else None
    numbers = torch.rand(shape[0], height * width, generator=generator, device=device)
    hidden = numbers.argsort(1) < count
    return hidden.reshape(shape[0], 1, height, width)


def spread_mask(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Say a mask in smaller pixels: (B, 1, y, x) to (B, 1, Y, X).

    Parameters
    ----------
    mask
        Of squares.
    size
        (Y, X), multiples of the mask's.

    Raises
    ------
    ValueError
        If they are none.
    """
    height, width = mask.shape[-2:]
    if size[-2] % height or size[-1] % width:
        raise ValueError(f"a mask of {height} x {width} does not fit on {size[-2]} x {size[-1]}")
    wide = mask.repeat_interleave(size[-1] // width, dim=-1)
    return wide.repeat_interleave(size[-2] // height, dim=-2)


class MaskedBlock(nn.Module):
    """A block of ConvNeXt V2 that neither sees nor changes what is hidden.

    Parameters
    ----------
    channels
        That it takes and gives.
    drop_path
        Probability that it is skipped in training.
    """

    def __init__(self, channels: int, drop_path: float) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels, bias=False)
        self.layernorm = nn.LayerNorm(channels)
        self.mlp = GlobalResponseNormMlp(channels, 4 * channels)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, features: Tensor, shown: Tensor | None) -> Tensor:
        """Map (B, C, Y, X) to the same; ``shown`` is (B, Y, X), True where shown."""
        if shown is not None:
            features = features * shown[:, None]
        inner = self.dwconv(features).permute(0, 2, 3, 1)
        if shown is None:
            change = self.mlp(self.layernorm(inner))
        else:  # what is hidden must not count in an image's response, and need not be computed
            visible = inner[shown].unflatten(0, (len(inner), 1, -1))
            found = self.mlp(self.layernorm(visible))
            change = found.new_zeros(inner.shape)
            change[shown] = found.flatten(0, 2)
        return features + self.drop_path(change.permute(0, 3, 1, 2))


class MaskedStage(nn.Module):
    """One stage of the encoder: half the pixels, twice the channels, then blocks.

    Parameters
    ----------
    channels
        From the stage before.
    out
        That it gives; pixels are halved where they differ.
    blocks
        Number of its blocks.
    drop_path
        Probability that a block is skipped in training.
    """

    def __init__(self, channels: int, out: int, blocks: int, drop_path: float) -> None:
        super().__init__()
        self.downsample: nn.Module = nn.Identity()
        if channels != out:
            self.downsample = nn.Sequential(
                LayerNorm2d(channels), nn.Conv2d(channels, out, 2, stride=2)
            )
        self.blocks = nn.ModuleList(MaskedBlock(out, drop_path) for _ in range(blocks))

    def forward(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """Map (B, channels, Y, X) to (B, out, Y / 2, X / 2)."""
        features = self.downsample(features)
        shown = None
        if mask is not None:
            shown = ~spread_mask(mask, features.shape)[:, 0]
        for block in self.blocks:
            features = block(features, shown)
        return features


class AdaptiveStem(nn.Module):
    """A convolution over z, y and x whose depth becomes channels; over y and x for one slice.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: StainerConfig) -> None:
        super().__init__()
        width, flat = config.dims[0], config.stem[1:]
        self.conv3d = nn.Conv3d(
            config.in_channels, width // config.levels, config.stem, stride=config.stem
        )
        self.conv2d = nn.Conv2d(config.in_channels, width, flat, stride=flat)
        self.norm = nn.LayerNorm(width)

    def forward(self, images: Tensor, mask: Tensor | None) -> Tensor:
        """Map (B, C, Z, Y, X) to (B, width, Y', X')."""
        deep = images.shape[2] > 1
        found = self.conv3d(images).flatten(1, 2) if deep else self.conv2d(images.squeeze(2))
        found = self.norm(found.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        if mask is not None:
            found = found * ~spread_mask(mask, found.shape)
        return found


class MaskedEncoder(nn.Module):
    """Stem and stages.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: StainerConfig) -> None:
        super().__init__()
        self.stem = AdaptiveStem(config)
        before = (config.dims[0], *config.dims)
        self.stages = nn.ModuleList(
            MaskedStage(channels, out, blocks, config.drop_path)
            for channels, out, blocks in zip(before, config.dims, config.blocks, strict=False)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    zeros_(module.bias)

    def forward(self, images: Tensor, mask: Tensor | None) -> list[Tensor]:
        """Return the features of every stage, the deepest last.

        Raises
        ------
        ValueError
            If more is hidden of one image than of another.
        """
        if mask is not None and len(mask.sum(dim=(1, 2, 3)).unique()) > 1:
            raise ValueError("as much must be hidden of one image as of another")
        found = self.stem(images, mask)
        features = []
        for stage in self.stages:
            found = stage(found, mask)
            features.append(found)
        return features


class FCMAE(Stainer):
    """Fully convolutional masked autoencoder, for pre-training and for staining.

    Weights are random until some are loaded; nothing is downloaded.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: StainerConfig) -> None:
        super().__init__(config)
        self.encoder = MaskedEncoder(config)
        self.decoder = Decoder(config)
        self.head = VoxelHead(config) if config.head_conv else ShuffleHead(config)

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Stain images, or fill in what is hidden of them; see :meth:`Stainer.forward`."""
        return self.head(self.decoder(self.encoder(images, mask))[-1])

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Return what every stage makes of images; see :meth:`Stainer.features`."""
        encoded = self.encoder(images, None)
        decoded = self.decoder(encoded)
        named = {f"encoder_{i}": one for i, one in enumerate(encoded)}
        return named | {f"decoder_{i}": one for i, one in enumerate(decoded)}

    def encoder_parts(self) -> tuple[nn.Module, ...]:
        """Return the modules of the encoder: the stem and the stages."""
        return (self.encoder.stem, *self.encoder.stages)
