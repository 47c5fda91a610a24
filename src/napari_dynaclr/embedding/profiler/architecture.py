"""What vision transformers SSLProfiler has, described without torch (sslprofiler.txt, 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from napari_dynaclr.core.errors import InvalidInput


@dataclass(frozen=True)
class Size:
    """A vision transformer, and the heads that it is trained with.

    Attributes
    ----------
    width
        Length of a token.
    blocks
        Transformer blocks.
    heads
        Heads of their attention.
    hidden, bottleneck
        Of the heads of the training: DINOv2's 2048 and 256, less for the smallest.
    layer_scale
        What a block adds to its input at first. The paper does not say: DINOv2's, and more for
        the smallest.
    rate
        Learning rate where none is set: the paper's of the sizes that it trained; the
        others learn from less, in less time.
    """

    width: int
    blocks: int
    heads: int
    hidden: int
    bottleneck: int
    layer_scale: float
    rate: float


SIZES = {
    "mini": Size(96, 4, 3, 384, 64, 0.1, 1e-3),
    "tiny": Size(192, 12, 3, 1024, 128, 0.1, 5e-4),
    "small": Size(384, 12, 6, 2048, 256, 1e-5, 2e-5),
    "base": Size(768, 12, 12, 2048, 256, 1e-5, 2e-5),
}
"""By name: tiny, small and base as everywhere; mini for laptops. The paper has small and base."""


@dataclass(frozen=True)
class ProfilerConfig:
    """The shape of a profiler's vision transformer.

    Attributes
    ----------
    size
        A key of :data:`SIZES`.
    channels
        Channels of an image.
    side
        Width and height, in pixels, of the images that it was trained with; others are
        seen with interpolated positions.
    token
        Width and height of a patch token, in pixels; 14 in the paper.

    Raises
    ------
    InvalidInput
        If there is no such size, or tokens do not fill the image.
    """

    size: str = "small"
    channels: int = 5
    side: int = 518
    token: int = 14

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise InvalidInput(
                f"There is no profiler of size '{self.size}': choose one of {', '.join(SIZES)}."
            )
        if self.channels < 1 or self.token < 1 or self.side < 1:
            raise InvalidInput("A profiler needs a channel, and images and tokens of some pixels.")
        if self.side % self.token:
            near = max(self.side // self.token, 1) * self.token
            raise InvalidInput(
                f"Images of {self.side} pixels do not divide into tokens of {self.token}: choose "
                f"{near} or {near + self.token} pixels, or another token_size."
            )

    @property
    def grid(self) -> int:
        """Tokens along a side."""
        return self.side // self.token

    @property
    def dimensions(self) -> int:
        """Length of a representation: CLS token and mean patch token (sslprofiler.txt, 3.3.1)."""
        return 2 * SIZES[self.size].width

    def describe(self) -> str:
        """Say in words what it is."""
        return (
            f"a ViT of size {self.size} for {self.channels} channel{'s' * (self.channels > 1)}, "
            f"tokens of {self.token} in images of {self.side} pixels"
        )
