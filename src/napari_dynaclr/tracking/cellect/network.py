"""The two-frame 3D U-Net of CELLECT, and its centre enhancement network.

Methods, "Model architecture" and "Center enhancement network". The paper gives the outline;
what it leaves open (widths, where things are summed) is as the published weights need it, see
:mod:`~napari_dynaclr.tracking.cellect.published`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from napari_dynaclr.tracking.cellect.architecture import LEVELS, SEGMENTATION, CellectConfig

if TYPE_CHECKING:
    from torch import Tensor

_FRAMES = 2
_DIVISION = 2
_CLASSES = len(SEGMENTATION) + _DIVISION + 1
"""Segmentation, division, size."""


class Maps(NamedTuple):
    """What the network says of every voxel of the first of two frames.

    Attributes
    ----------
    segmentation
        Logits of :data:`~napari_dynaclr.tracking.cellect.architecture.SEGMENTATION`,
        (B, 3, Y, X, Z).
    levels
        Logits of the levels 0 to 4 around a centre, (B, 5, Y, X, Z).
    embedding
        (B, ``config.embedding``, Y, X, Z).
    division
        Two logits, each by itself: whether the cell divides before the second frame, and
        whether it has been born since the frame before, (B, 2, Y, X, Z). The paper has one
        "division prediction"; the layout of its MLPs' input shows that there are these two.
    size
        Radius in pixels of Y and X, at least 0, (B, 1, Y, X, Z).
    """

    segmentation: Tensor
    levels: Tensor
    embedding: Tensor
    division: Tensor
    size: Tensor


def _norm(channels: int, config: CellectConfig) -> nn.Module:
    if config.norm == "batch":
        return nn.BatchNorm3d(channels)
    return nn.InstanceNorm3d(channels)


class _Conv3d(nn.Conv3d):
    """Convolution that is flat where there is no depth: the same, two to three times as fast."""

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, C, Y, X, Z)."""
        if image.shape[-1] > 1:
            return super().forward(image)
        # All but the middle of the kernel would see padding alone.
        weight = self.weight[..., self.weight.shape[-1] // 2]
        strides = (self.stride[0], self.stride[1])
        around = weight.shape[-1] // 2
        return F.conv2d(image[..., 0], weight, None, strides, around)[..., None]


def _conv(before: int, after: int, kernel: int = 3, **more: tuple[int, int, int]) -> nn.Module:
    return _Conv3d(before, after, kernel, padding=kernel // 2, bias=False, **more)


def _halved(before: int, after: int, kernel: int, config: CellectConfig) -> nn.Module:
    """Halve Y and X."""
    if config.downsampling == "pooled":
        return nn.Sequential(nn.MaxPool3d((2, 2, 1)), _conv(before, after, kernel))
    return _conv(before, after, kernel, stride=(2, 2, 1))


class _Entry(nn.Module):
    """The first level: three convolutions, the last two of them around the first's result."""

    def __init__(self, before: int, width: int, config: CellectConfig) -> None:
        super().__init__()
        self.first = _conv(before, width)
        self.second = _conv(width, width)
        self.third = _conv(width, width)
        self.dropout = nn.Dropout3d(config.dropout)

    def forward(self, frames: Tensor) -> Tensor:
        """Map (B, C, Y, X, Z) to (B, width, Y, X, Z)."""
        result = self.first(frames)
        inner = self.dropout(self.second(F.leaky_relu(result)))
        return result + self.third(F.leaky_relu(inner))


class _Level(nn.Module):
    """A level below: halved, then a residual block whose two convolutions share their weights."""

    def __init__(self, before: int, config: CellectConfig, *, refined: bool) -> None:
        super().__init__()
        width = 2 * before
        self.down = _halved(before, width, 3, config)
        self.refine = _conv(width, width) if refined else None
        self.shortcut = _halved(before, width, 1, config) if refined else None
        self.shared = _conv(width, width)
        self.norms = nn.ModuleList([_norm(width, config), _norm(width, config)])
        self.dropout = nn.Dropout3d(config.dropout)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, C, Y, X, Z) to (B, 2 C, Y / 2, X / 2, Z)."""
        result = self.down(image)
        if self.refine is not None and self.shortcut is not None:
            result = self.refine(result) + self.shortcut(image)
        inner = self.shared(F.leaky_relu(self.norms[0](result)))
        inner = self.shared(F.leaky_relu(self.norms[1](self.dropout(inner))))
        return result + inner


class _Up(nn.Module):
    """Double Y and X, and halve the channels."""

    def __init__(self, before: int, config: CellectConfig) -> None:
        super().__init__()
        self.conv = _conv(before, before // 2)
        self.norms = nn.ModuleList([_norm(before, config), _norm(before // 2, config)])

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, C, Y, X, Z) to (B, C / 2, 2 Y, 2 X, Z)."""
        return F.leaky_relu(self.norms[1](self.conv(_doubled(F.leaky_relu(self.norms[0](image))))))


class _Join(nn.Module):
    """Convolve what comes from below together with the context of its level."""

    def __init__(self, before: int, after: int, config: CellectConfig) -> None:
        super().__init__()
        self.conv = _conv(before, after)
        self.norm = _norm(after, config)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, C, Y, X, Z) to (B, after, Y, X, Z)."""
        return F.leaky_relu(self.norm(self.conv(image)))


def _doubled(image: Tensor) -> Tensor:
    if image.shape[-1] == 1:
        return F.interpolate(image[..., 0], scale_factor=2, mode="nearest")[..., None]
    return F.interpolate(image, scale_factor=(2, 2, 1), mode="nearest")


class _UNet(nn.Module):
    """U-Net that halves Y and X only, with predictions at three resolutions summed.

    Parameters
    ----------
    before, after
        Channels of the input, and of the prediction.
    base
        Channels at full resolution.
    config
        All else.
    refined
        Whether each level below has a further convolution, with a shortcut around it.
    """

    def __init__(
        self, before: int, after: int, base: int, config: CellectConfig, *, refined: bool
    ) -> None:
        super().__init__()
        widths = [base * 2**level for level in range(config.levels)]
        self.entry = _Entry(before, base, config)
        self.downs = nn.ModuleList(
            [_Level(width, config, refined=refined) for width in widths[:-1]]
        )
        self.context_norms = nn.ModuleList([_norm(width, config) for width in widths[:-1]])
        # From the second deepest level to the first; so are the others.
        inner = widths[-2::-1]
        self.ups = nn.ModuleList([_Up(2 * width, config) for width in inner])
        self.bottom = _conv(inner[0], inner[0], 1)
        self.bottom_norm = _norm(inner[0], config)
        self.joins = nn.ModuleList([_Join(2 * width, 2 * width, config) for width in inner])
        self.narrows = nn.ModuleList([_conv(2 * width, width, 1) for width in inner[:-1]])
        self.predict = _conv(2 * base, after, 1)
        # Also from the levels at a quarter and at half the resolution, where there are these.
        self.coarse = nn.ModuleList([_conv(2 * width, after, 1) for width in inner[:-1][-2:]])

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return prediction, its part from coarser levels, and what the last level sees."""
        image = self.entry(frames)
        contexts = [F.leaky_relu(image)]
        image = F.leaky_relu(self.context_norms[0](image))
        for level, down in enumerate(self.downs, start=1):
            image = down(image)
            if level < len(self.downs):
                image = F.leaky_relu(self.context_norms[level](image))
                contexts.append(image)
        image = self.ups[0](image)
        image = F.leaky_relu(self.bottom_norm(self.bottom(image)))
        coarse: Tensor | None = None
        first = len(self.narrows) - len(self.coarse)
        for step, narrow in enumerate(self.narrows):
            joined = self.joins[step](torch.cat([image, contexts.pop()], 1))
            if step >= first:
                found = self.coarse[step - first](joined)
                coarse = _doubled(found if coarse is None else coarse + found)
            image = self.ups[step + 1](narrow(joined))
        image = torch.cat([image, contexts.pop()], 1)
        prediction = self.predict(self.joins[-1](image))
        if coarse is None:
            coarse = torch.zeros_like(prediction)
        return prediction + coarse, coarse, image


class CellectNet(nn.Module):
    """Two frames to maps of the first: cells, centres, embedding, division and size.

    Images of any size in Y and X are taken, and stacks of any depth, 1 included.

    Parameters
    ----------
    config
        Its shape.
    """

    def __init__(self, config: CellectConfig) -> None:
        super().__init__()
        self.config = config
        base = config.base
        self.main = _UNet(_FRAMES, _CLASSES, base, config, refined=True)
        # The centre enhancement network sees logits, shares and frames.
        seen = 2 * len(SEGMENTATION) + _FRAMES
        # It is strided in both layouts of published weights.
        strided = replace(config, downsampling="strided")
        self.enhance = _UNet(seen, LEVELS, config.enhancement_base, strided, refined=False)
        self.gather = _Join(2 * base, 4 * base, config)
        self.mix = _conv(4 * base, 4 * base, 1)
        self.blend = _Join(4 * base + _CLASSES, 4 * base, config)
        self.embed = _conv(4 * base, config.embedding, 1)

    def forward(self, frames: Tensor) -> Maps:
        """Compute all maps.

        Parameters
        ----------
        frames
            A frame and the next, normalised, (B, 2, Y, X, Z).
        """
        seen = self.see(frames)
        return seen._replace(embedding=self.embed(seen.embedding))

    def see(self, frames: Tensor) -> Maps:
        """Compute all maps but the embedding, in whose place are the features it is made from.

        :meth:`embed_at` makes the embedding of a few voxels of them: that of all voxels would
        be the largest array of the whole computation, and only cells' centres are looked at.

        Parameters
        ----------
        frames
            As in :meth:`forward`.
        """
        height, width = frames.shape[2:4]
        padded = _padded(frames, self.config.stride)
        prediction, coarse, last = self.main(padded)
        segmentation = prediction[:, : len(SEGMENTATION)]
        shares = torch.softmax(segmentation, 1)
        levels = self.enhance(torch.cat([segmentation, shares, padded], 1))[0]
        features = self.blend(torch.cat([self.mix(self.gather(last)), coarse], 1))
        division = prediction[:, len(SEGMENTATION) : -1]
        size = F.relu(prediction[:, -1:])
        maps = (segmentation, levels, features, division, size)
        return Maps(*(one[:, :, :height, :width] for one in maps))

    def embed_at(self, features: Tensor, index: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        """Embed some voxels.

        Parameters
        ----------
        features
            ``see(...).embedding``.
        index
            Batch item, y, x and z of each of N voxels.

        Returns
        -------
        Tensor
            (N, ``config.embedding``).
        """
        item, y, x, z = index
        chosen = features[item, :, y, x, z]
        return F.linear(chosen, self.embed.weight.flatten(1).to(chosen.dtype))


def _padded(frames: Tensor, stride: int) -> Tensor:
    """Continue frames at their far edges to what the levels can halve.

    The deepest level keeps two voxels a side: of a single one, nothing could be normalised.
    """
    height, width = frames.shape[2:4]
    more = [max(2 * stride, -(-side // stride) * stride) - side for side in (height, width)]
    if not any(more):
        return frames
    return F.pad(frames, (0, 0, 0, more[1], 0, more[0]), mode="replicate")
