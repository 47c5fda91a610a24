"""What shapes a CELLECT model, described without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_dynaclr.core.errors import InvalidInput

Downsampling = Literal["strided", "pooled"]
Norm = Literal["instance", "batch"]

SEGMENTATION = ("background", "cell", "border")
"""Classes of the segmentation map. The paper speaks of a confidence map only; its public code has
three classes, of which the first is background and the second is what counts as cell. Our own
training takes the third for voxels between cells that touch."""
LEVELS = 5
"""Levels of the centre enhancement network: 0 is far from any centre, 4 is the centre itself."""


@dataclass(frozen=True)
class CellectConfig:
    """The shape of a CELLECT model; the default is that of the published ones.

    Attributes
    ----------
    base
        Channels at full resolution; each level below has twice as many.
    levels
        Resolutions of both U-Nets; Y and X are halved from one to the next, Z never is.
    embedding
        Length of a cell's embedding (64 in the paper).
    enhancement_base
        Channels at full resolution of the centre enhancement network.
    dropout
        Share of channels dropped in training.
    downsampling
        Strided convolutions (the paper), or max pooling before the convolution (the other layout
        of published weights).
    norm
        Of what the U-Nets normalise: "instance" (published weights), each block by itself, so
        that a block's surroundings change the result; "batch", with fixed statistics, so that a
        frame computed in overlapping blocks is the same as one computed whole. The paper
        names neither.
    candidates
        Nearest cells that a cell is compared with (5 in the paper; 10 for low frame rates).

    Raises
    ------
    InvalidInput
        If a number makes no network.
    """

    base: int = 8
    levels: int = 5
    embedding: int = 64
    enhancement_base: int = 2
    dropout: float = 0.6
    downsampling: Downsampling = "strided"
    norm: Norm = "instance"
    candidates: int = 5

    def __post_init__(self) -> None:
        least = {"base": 1, "levels": 2, "embedding": 1, "enhancement_base": 1, "candidates": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InvalidInput(f"A CELLECT model needs {name} of at least {low}.")
        if not 0 <= self.dropout < 1:
            raise InvalidInput("A CELLECT model needs a dropout from 0 to below 1.")

    @property
    def stride(self) -> int:
        """Pixels in Y and X that become one at the deepest level."""
        return int(2 ** (self.levels - 1))

    def describe(self) -> str:
        """Say it in a few words."""
        return (
            f"CELLECT, {self.levels} levels from {self.base} channels, "
            f"{self.embedding}-dimensional embedding, {self.candidates} candidates"
        )
