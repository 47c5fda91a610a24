"""What shapes a TAP network, described without torch."""

from __future__ import annotations

from dataclasses import dataclass

from napari_dynaclr.core.errors import InvalidInput

FRAMES = 2
"""Frames of a pair: an earlier and a later one."""
FORWARD, BACKWARD = 0, 1
"""Labels of a pair in the order of time, and of one that was flipped; the public code's."""


@dataclass(frozen=True)
class TapConfig:
    """The shape of a TAP network (tap.txt, 3.2); the default is the paper's.

    Attributes
    ----------
    features
        Length of the representation z of a pixel (32 in the paper), and width of the head.
    maps
        Channels of the U-Net at full resolution, and of what it gives; each level below has
        twice as many. The public code knows 32 ("unet") and 16 ("unet_16fmaps").
    depth
        How often the U-Net halves an image (3 in the paper).
    channels
        Channels of an image.

    Raises
    ------
    InvalidInput
        If a number makes no network.
    """

    features: int = 32
    maps: int = 32
    depth: int = 3
    channels: int = 1

    def __post_init__(self) -> None:
        for name in ("features", "maps", "depth", "channels"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"A TAP network needs {name} of at least 1.")

    @property
    def stride(self) -> int:
        """Pixels in Y and X that become one at the deepest level."""
        return int(2**self.depth)

    @property
    def reach(self) -> int:
        """Pixels around a pixel, in Y and X, that its representation can depend on.

        A 3 x 3 convolution reaches one pixel of its own level further; there are two on either
        side of each level. Where a pixel lies in the grid of the deepest level matters little,
        so the largest of all places is taken.
        """
        found = 0
        for place in range(self.stride):
            low = high = place
            for _ in range(self.depth):  # from the end upwards in the U: what each level needs
                low, high = (low - 2) // 2, (high + 2) // 2
            # Back down along the pooling, which alone reaches further than the short cuts.
            low, high = low - 2, high + 2
            for _ in range(self.depth):
                low, high = 2 * low - 2, 2 * high + 1 + 2
            found = max(found, place - low, high - place)
        return found

    def describe(self) -> str:
        """Say it in a few words."""
        many = "s" if self.channels > 1 else ""
        return (
            f"TAP, a U-Net from {self.maps} maps, {self.depth} levels down, "
            f"{self.channels} channel{many}, {self.features} features"
        )
