"""What a CELLECT model's images have to be like, as its file says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

Normalization = Literal["scaled", "log", "none"]
Size = tuple[float, float, float]


class Recipe(BaseModel):
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

    model_config = ConfigDict(frozen=True, extra="ignore")

    normalization: Normalization = "scaled"
    voxel_size: Size | None = None
    diameter_um: float | None = Field(None, gt=0)
    isotropic: bool = True
    source_channel: str = ""

    @classmethod
    def of(cls, about: Mapping[str, Any], source: str) -> Recipe:
        """Read it from what a file says of itself.

        Raises
        ------
        InvalidInput
            If it cannot be understood.
        """
        try:
            return cls.model_validate(dict(about))
        except ValidationError as error:
            wrong = ", ".join(str(one["loc"][0]) for one in error.errors())
            raise InvalidInput(
                f"{source} does not say properly how to use it ({wrong}): save it again."
            ) from None

    def spacing(self, scale: Size) -> Size:
        """Return spacing of voxels (z, y, x) for distances, see ``candidates.in_pixels``."""
        return scale if self.isotropic else (1.0, 1.0, 1.0)


PUBLISHED = Recipe(normalization="log", isotropic=False)
"""Of the published weights ("Training and inference": log(input + 1) for mskcc-confocal)."""
