"""What ``embedding.py`` compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from common import HOME

if TYPE_CHECKING:
    from pathlib import Path

CHANNELS = ("Phase", "Sensor")
"""The first to mean 0 and standard deviation 1 of its FOV, the second to percentiles of a patch."""


@dataclass(frozen=True)
class Case:
    """Images, and the network that sees them."""

    name: str
    backbone: str
    time_points: int
    size: int
    slices: int
    depth: int
    patch: int

    @property
    def images(self) -> str:
        return f"embedding_t{self.time_points}_s{self.size}_z{self.slices}_p{self.patch}"

    @property
    def plate(self) -> Path:
        return HOME / f"{self.images}.zarr"

    @property
    def workspace(self) -> Path:
        return HOME / f"{self.images}.dynaclr"

    @property
    def their_tracks(self) -> Path:
        return HOME / f"{self.images}.viscy" / "tracks"

    @property
    def their_result(self) -> Path:
        return HOME / f"{self.images}.viscy" / "embeddings.zarr"

    @property
    def weights(self) -> Path:
        return HOME / f"{self.backbone}_z{self.depth}.ckpt"

    @property
    def z_range(self) -> tuple[int, int]:
        start = (self.slices - self.depth) // 2
        return start, start + self.depth

    @property
    def stem(self) -> tuple[int, int, int]:
        return (1 if self.depth == 1 else 5, 4, 4)


CASES = {
    case.name: case
    for case in (
        Case("flat", "convnext_tiny", 8, 512, 1, 1, 96),
        Case("flat-mini", "convnext_mini", 8, 512, 1, 1, 96),
        Case("wide-mini", "convnext_mini", 2, 1536, 1, 1, 96),
        Case("deep", "convnext_tiny", 1, 1024, 32, 30, 160),
        Case("deep-mini", "convnext_mini", 1, 1024, 32, 30, 160),
    )
}
