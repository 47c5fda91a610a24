"""What ``staining.py`` compares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from common import HOME

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "Phase"
"""Channel that is stained from, to mean 0 and standard deviation 1 of its FOV."""

TARGETS = ("Nuclei", "Membrane")


@dataclass(frozen=True)
class Network:
    """A network of VisCy, by its own arguments; its weights are random unless it is trained."""

    architecture: str
    depth: int
    stem: tuple[int, int, int]
    rest: dict[str, Any] = field(default_factory=dict)
    trained: bool = False

    @property
    def config(self) -> dict[str, Any]:
        return {
            "in_channels": 1,
            "out_channels": len(TARGETS),
            "in_stack_depth": self.depth,
            "stem_kernel_size": list(self.stem),
            **self.rest,
        }


def fcmae(
    depth: int, stem: tuple[int, int, int], dims: list[int], blocks: list[int], trained: bool
) -> Network:
    rest = {"dims": dims, "encoder_blocks": blocks, "decoder_conv_blocks": 1 if trained else 2}
    return Network("fcmae", depth, stem, {**rest, "pretraining": False}, trained)


TINY = ([96, 192, 384, 768], [3, 3, 9, 3])
NETWORKS = {
    "VSCyto3D": fcmae(15, (5, 4, 4), *TINY, trained=False),
    "VSCyto2D": fcmae(1, (1, 2, 2), *TINY, trained=False),
    "UNeXt2": Network("UNeXt2", 5, (5, 4, 4)),
    "small VSCyto3D": fcmae(15, (5, 4, 4), [24, 48, 96, 192], [1, 1, 2, 1], trained=True),
}
"""The last is trained, on simulated stacks; it has a quarter of the features of VSCyto3D."""


@dataclass(frozen=True)
class Case:
    """A FOV, and the network that stains it."""

    name: str
    network: str
    time_points: int
    size: tuple[int, int]
    slices: int
    strides: tuple[int, ...] = (1,)

    @property
    def images(self) -> str:
        height, width = self.size
        return f"staining_t{self.time_points}_z{self.slices}_{height}x{width}"

    @property
    def plate(self) -> Path:
        return HOME / f"{self.images}.zarr"

    @property
    def making(self) -> Path:
        """The plate until its statistics are written."""
        return HOME / f"{self.images}.making.zarr"

    @property
    def workspace(self) -> Path:
        return HOME / f"{self.images}.dynaclr"

    @property
    def their_result(self) -> Path:
        return HOME / f"{self.images}.viscy" / "stain.zarr"

    @property
    def made(self) -> Network:
        return NETWORKS[self.network]

    @property
    def weights(self) -> Path:
        """A checkpoint of VisCy's, which both load."""
        return HOME / f"{self.network.replace(' ', '_')}.ckpt"

    @property
    def trained(self) -> Path:
        """Weights of a training, which the checkpoint is made of."""
        return self.weights.with_suffix(".safetensors")


STRIDES = (1, 3, 5, 8, 15)
CASES = {
    case.name: case
    for case in (
        Case("small-300", "small VSCyto3D", 1, (300, 300), 30, STRIDES),
        Case("3d-300", "VSCyto3D", 1, (300, 300), 20),
        Case("3d-600", "VSCyto3D", 1, (600, 600), 17),
        Case("3d-512", "VSCyto3D", 1, (512, 512), 17),
        Case("unext2-350", "UNeXt2", 1, (350, 350), 12),
        Case("2d-1022", "VSCyto2D", 2, (1022, 1024), 1),
    )
}
