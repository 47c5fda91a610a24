"""What a CELLECT model's images have to be like, as its file says it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_dynaclr.learning.recipe import Recipe as CommonRecipe

Normalization = Literal["scaled", "log", "none"]
Size = tuple[float, float, float]


class Recipe(CommonRecipe):
    """What to do with images before the network sees them.

    Attributes
    ----------
    normalization
        See :func:`~napari_dynaclr.tracking.cellect.images.normalise`.
    voxel_size
        (z, y, x) in um of the training; None where it is not known.
    diameter_um
        Of the cells of the training, their median; None where it is not known.
    isotropic
        Whether distances of cells count slices by their spacing; published weights count voxels.
    source_channel
        What it was trained on.
    """

    normalization: Normalization = "scaled"
    voxel_size: Size | None = None
    diameter_um: float | None = Field(None, gt=0)
    isotropic: bool = True
    source_channel: str = ""

    def spacing(self, scale: Size) -> Size:
        """Return spacing of voxels (z, y, x) for distances, see ``candidates.in_pixels``."""
        return scale if self.isotropic else (1.0, 1.0, 1.0)


PUBLISHED = Recipe(normalization="log", isotropic=False)
"""Of the published weights ("Training and inference": log(input + 1) for mskcc-confocal)."""
