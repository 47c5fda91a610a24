"""UNeXt2: a U-Net on an encoder of timm (cytoland.txt, Model architecture).

Parameters have the names that viscy-models gives them, so weights go both ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import timm
from torch import nn

from napari_dynaclr.staining.blocks import Decoder, Stainer, VoxelHead

if TYPE_CHECKING:
    from torch import Tensor

    from napari_dynaclr.staining.architecture import StainerConfig


class DepthStem(nn.Module):
    """A convolution over z, y and x whose depth becomes channels.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: StainerConfig) -> None:
        super().__init__()
        self.conv = nn.Conv3d(
            config.in_channels, config.dims[0] // config.levels, config.stem, stride=config.stem
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, Z, Y, X) to (B, width, Y', X')."""
        return self.conv(images).flatten(1, 2)


class UNeXt2(Stainer):
    """U-Net with a ConvNeXt of timm as its encoder.

    Weights are random until some are loaded; nothing is downloaded.

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: StainerConfig) -> None:
        super().__init__(config)
        self.encoder_stages = timm.create_model(
            config.backbone,
            pretrained=False,
            features_only=True,
            drop_path_rate=config.drop_path,
        )
        self.encoder_stages.stem_0 = nn.Identity()  # our own stem stands in its place
        self.stem = DepthStem(config)
        self.decoder = Decoder(config)
        self.head = VoxelHead(config)

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Stain images; see :meth:`Stainer.forward`.

        Raises
        ------
        ValueError
            If something is to be hidden: a UNeXt2 cannot do without it.
        """
        if mask is not None:
            raise ValueError("only an FCMAE can be trained on images of which parts are hidden")
        return self.head(self.decoder(self.encoder_stages(self.stem(images)))[-1])

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Return what every stage makes of images; see :meth:`Stainer.features`."""
        encoded = self.encoder_stages(self.stem(images))
        decoded = self.decoder(encoded)
        named = {f"encoder_{i}": one for i, one in enumerate(encoded)}
        return named | {f"decoder_{i}": one for i, one in enumerate(decoded)}

    def encoder_parts(self) -> tuple[nn.Module, ...]:
        """Return the modules of the encoder: the stem and the stages."""
        return (self.stem, self.encoder_stages)
