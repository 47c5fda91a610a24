"""What encoders there are, described without torch."""

from __future__ import annotations

from dataclasses import dataclass

from napari_dynaclr.core.errors import InvalidInput


@dataclass(frozen=True)
class Backbone:
    """A two-dimensional network of timm behind the stem.

    Attributes
    ----------
    timm
        timm's name.
    width
        Channels between stem and backbone.
    embedding
        Length of the embedding.
    blocks
        Blocks of each stage.
    dims
        Channels of each stage, where they are not timm's own.
    """

    timm: str
    width: int
    embedding: int
    blocks: tuple[int, int, int, int]
    dims: tuple[int, int, int, int] | None = None


BACKBONES = {
    "convnext_tiny": Backbone("convnext_tiny", 96, 768, (3, 3, 9, 3)),
    "convnextv2_tiny": Backbone("convnextv2_tiny", 96, 768, (3, 3, 9, 3)),
    "resnet50": Backbone("resnet50", 64, 2048, (3, 4, 6, 3)),
    "convnext_mini": Backbone("convnext_tiny", 24, 192, (2, 2, 6, 2), (24, 48, 96, 192)),
}
"""By name: those of viscy-models, and a ConvNeXt of 1/27 the weights, for laptops."""


@dataclass(frozen=True)
class EncoderConfig:
    """The shape of a contrastive encoder (dynaclr.txt, A.1).

    Attributes
    ----------
    backbone
        A key of :data:`BACKBONES`.
    channels
        Channels of a patch.
    depth
        Slices of a patch; 1 for two-dimensional images.
    kernel, stride
        Of the stem, (z, y, x) in pixels.
    hidden
        Width of the projection head's hidden layer.
    projection
        Length of the projection.
    drop_path
        Probability that a block is skipped in training.

    Raises
    ------
    InvalidInput
        If there is no such backbone, or the stem cannot spread that depth over the
        backbone's channels.
    """

    backbone: str = "convnext_tiny"
    channels: int = 1
    depth: int = 15
    kernel: tuple[int, int, int] = (5, 4, 4)
    stride: tuple[int, int, int] = (5, 4, 4)
    hidden: int = 768
    projection: int = 32
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise InvalidInput(
                f"There is no backbone '{self.backbone}': choose one of {', '.join(BACKBONES)}."
            )
        if self.depth < self.kernel[0]:
            raise InvalidInput(
                f"A stem of {self.kernel[0]} slices does not fit into {self.depth}: take more "
                "slices, or a stem of 1 slice for images without depth."
            )
        if self.width % self.levels:
            raise InvalidInput(
                f"The {self.width} channels of {self.backbone} cannot be divided among the "
                f"{self.levels} levels that its stem makes of {self.depth} slices: choose another "
                "depth or backbone."
            )

    @property
    def width(self) -> int:
        """Channels between stem and backbone."""
        return BACKBONES[self.backbone].width

    @property
    def levels(self) -> int:
        """Positions of the stem along z, which become channels."""
        return (self.depth - self.kernel[0]) // self.stride[0] + 1

    @property
    def embedding(self) -> int:
        """Length of the embedding."""
        return BACKBONES[self.backbone].embedding

    def describe(self) -> str:
        """Say it in a few words, as in "convnext_tiny, 2 channels, 30 slices"."""
        many = ("s" if self.channels > 1 else "", "s" if self.depth > 1 else "")
        return (
            f"{self.backbone}, {self.channels} channel{many[0]}, {self.depth} slice{many[1]}, "
            f"{self.embedding}-dimensional embedding, {self.projection}-dimensional projection"
        )
