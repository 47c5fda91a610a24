"""What CELLECT's network was trained on, so that inference shows it the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.normalize import normalize, statistics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.normalize import Statistics

Normalization = Literal["mean-std", "log"]
"""Of the images: mean 0 and standard deviation 1 over each FOV, or log(1 + value)."""

Size = Annotated[float, Field(gt=0)]


class Recipe(BaseModel):
    """How images were made for a training of CELLECT.

    It is kept in the metadata of the weights, under these names.

    Attributes
    ----------
    channel
        Name of the channel that it learned from; None where that is not known.
    normalization
        Of the images (:func:`prepare`). The paper takes the logarithm where intensities have no
        upper bound; virtual stains, which go below zero, have none.
    offset
        Added to the values before their logarithm is taken; of published weights only.
    voxel_size
        (z, y, x) in um; z is None for images without depth, all is None where it is not known.
    radius
        Median radius of the cells that it learned from, in um.
    interval
        Longest interval, in frames, over which it learned to link.
    patch_size
        (z, y, x) of the patches that it learned from, in voxels; it takes images of any size.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    channel: str | None = None
    normalization: Normalization = "mean-std"
    offset: float = Field(0.0, ge=0)
    voxel_size: tuple[Size | None, Size, Size] | None = None
    radius: Size | None = None
    interval: int = Field(1, ge=1)
    patch_size: tuple[int, int, int] | None = None

    @classmethod
    def of(cls, about: Mapping[str, Any], source: str) -> Recipe:
        """Take a recipe from what a file or a preset says.

        Parameters
        ----------
        about
            Metadata; what is no business of the recipe's is left.
        source
            What they are of, for the error message.

        Raises
        ------
        InvalidInput
            If it says nonsense.
        """
        try:
            return cls.model_validate(dict(about))
        except ValidationError as error:
            field = error.errors()[0]["loc"][0]
            raise InvalidInput(
                f"{source} says something wrong about its {field}: save the weights again."
            ) from None

    def statistics(
        self, dataset: Dataset, fov: Fov, channel: str, job: Job | None = None
    ) -> Statistics | None:
        """Return what :meth:`prepare` needs to know of a channel of a FOV.

        Parameters
        ----------
        dataset, fov, channel
            What is to be prepared.
        job
            Progress of the pass over the pixels, where one is needed.
        """
        if self.normalization == "log":
            return None
        found: Statistics = statistics(dataset, fov, [channel], "fov", job)[channel]
        return found

    def prepare(self, image: NDArray[Any], known: Statistics | None) -> NDArray[np.float32]:
        """Normalise an image as the network knows it.

        Parameters
        ----------
        image
            Intensities, of any shape.
        known
            From :meth:`statistics`.
        """
        if self.normalization == "log":
            return np.log1p(np.asarray(image, np.float32).clip(0) + np.float32(self.offset))
        assert known is not None
        return normalize(image, known, "mean", "std")
