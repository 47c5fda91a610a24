"""The contrastive encoder (dynaclr.txt, A.1): stem, backbone of timm, projection head.

Parameters have the names that viscy-models gives them, so weights go both ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import timm
from torch import nn

from napari_dynaclr.embedding.dynaclr.architecture import BACKBONES, EncoderConfig

if TYPE_CHECKING:
    from torch import Tensor


class DepthToChannels(nn.Module):
    """Stem: one convolution in three dimensions, whose depth becomes channels.

    Parameters
    ----------
    config
        Shape of the encoder.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.conv = nn.Conv3d(
            config.channels,
            config.width // config.levels,
            kernel_size=config.kernel,
            stride=config.stride,
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Map (N, C, Z, Y, X) to (N, width, Y / stride, X / stride)."""
        return self.conv(patches).flatten(1, 2)


class ContrastiveEncoder(nn.Module):
    """Patches of cells to embeddings, and to the projections that the loss sees.

    Weights are random until some are loaded; nothing is downloaded.

    Parameters
    ----------
    config
        Shape of the encoder.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = DepthToChannels(config)
        self.encoder = _backbone(config)
        self.projection = nn.Sequential(
            nn.Linear(config.embedding, config.hidden),
            nn.BatchNorm1d(config.hidden),
            nn.ReLU(inplace=True),
            nn.Linear(config.hidden, config.projection),
            nn.BatchNorm1d(config.projection),
        )

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Embed patches.

        Parameters
        ----------
        patches
            Normalised pixels, (N, C, Z, Y, X).

        Returns
        -------
        tuple
            Embeddings (N, ``config.embedding``) and projections (N, ``config.projection``).
        """
        embedding = self.encoder(self.stem(patches))
        return embedding, self.projection(embedding)


def _backbone(config: EncoderConfig) -> nn.Module:
    """Make timm's network without its own stem convolution and classifier."""
    backbone = BACKBONES[config.backbone]
    own: dict[str, Any] = {}
    if backbone.dims is not None:
        own = {"depths": backbone.blocks, "dims": backbone.dims}
    network = timm.create_model(
        backbone.timm,
        pretrained=False,
        num_classes=0,
        drop_path_rate=config.drop_path,
        **own,
    )
    if config.backbone.startswith("resnet"):
        network.conv1 = nn.Identity()
    else:  # ConvNeXt's stem is a convolution and a LayerNorm, which stays
        network.stem[0] = nn.Identity()
    return network
