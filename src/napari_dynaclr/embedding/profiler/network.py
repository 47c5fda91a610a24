"""SSLProfiler's backbone: a vision transformer for any channels (sslprofiler.txt, 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from timm.layers import SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from napari_dynaclr.embedding.profiler.architecture import SIZES, ProfilerConfig

if TYPE_CHECKING:
    from torch import Tensor

_SWIGLU = 16 / 3
"""Of the width, for both halves of SwiGLU: as many weights as a plain layer of four times it."""


class ProfilerNet(VisionTransformer):
    """A vision transformer with SwiGLU (sslprofiler.txt, 4.1), whose tokens can be masked.

    Weights are random until some are loaded; nothing is downloaded.

    Parameters
    ----------
    config
        Its shape.
    drop_path
        Probability that the last block is skipped in training, of the others less.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: ProfilerConfig, drop_path: float = 0.0) -> None:
        size = SIZES[config.size]
        super().__init__(
            img_size=config.side,
            patch_size=config.token,
            in_chans=config.channels,
            num_classes=0,
            embed_dim=size.width,
            depth=size.blocks,
            num_heads=size.heads,
            mlp_ratio=_SWIGLU,
            mlp_layer=SwiGLUPacked,
            init_values=size.layer_scale,
            drop_path_rate=drop_path,
            dynamic_img_size=True,
        )
        self.config = config
        # Part of the weights: whoever uses them needs them.
        self.register_buffer("mean", torch.zeros(config.channels))
        self.register_buffer("deviation", torch.ones(config.channels))
        self.mask_token = nn.Parameter(torch.zeros(size.width))

    def standardize(self, images: Tensor) -> None:
        """Remember how bright each channel is, and how much it varies, to see it evenly.

        The paper does not say; DINOv2 does so with the photographs of ImageNet.

        Parameters
        ----------
        images
            That are typical, scaled to 0-1, (N, C, Y, X).
        """
        deviation, mean = torch.std_mean(images.float(), dim=(0, 2, 3), correction=0)
        self.mean.copy_(mean)
        # A channel that does not vary at all stays as it is.
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))

    def tokens(self, images: Tensor, masks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See images.

        Parameters
        ----------
        images
            Scaled to 0-1, (B, C, Y, X); a multiple of the tokens' size along both axes.
        masks
            Which tokens are replaced by the mask token, (B, Y / token, X / token) bool.

        Returns
        -------
        tuple
            CLS tokens (B, width), and patch tokens (B, N, width) row by row; normalised.
        """
        even = (images - self.mean[:, None, None]) / self.deviation[:, None, None]
        found = self.patch_embed(even)
        if masks is not None:
            found = torch.where(masks[..., None], self.mask_token.to(found.dtype), found)
        found = self.norm(self.blocks(self._pos_embed(found)))
        return found[:, 0], found[:, 1:]

    def represent(self, images: Tensor) -> Tensor:
        """Represent images by CLS token and mean patch token (sslprofiler.txt, 3.3.1).

        Parameters
        ----------
        images
            As for :meth:`tokens`.

        Returns
        -------
        torch.Tensor
            (B, 2 x width).
        """
        one, patches = self.tokens(images)
        return torch.cat([one, patches.mean(dim=1)], dim=1)
