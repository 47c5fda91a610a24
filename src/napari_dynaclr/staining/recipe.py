"""What a stainer's input has to be and what it gives: from its own file, or its preset."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.normalize import Level
from napari_dynaclr.learning.recipe import Recipe as BaseRecipe

Normalization = Literal["mean-std", "median-iqr", "none"]
"""How source images are normalised: less one statistic, over the other."""

Size = Annotated[float, Field(gt=0)]


class Recipe(BaseRecipe):
    """How images were made for a stainer's training; None where that is not known.

    Attributes
    ----------
    source_channels
        Channels that it takes, by the names they had; None for any that are label-free.
    target_channels
        Names of the channels that it gives, in its order.
    normalization
        How its source was normalised.
    statistics
        What was that normalisation's whole: the dataset, the FOV or the time point.
    voxel_size
        (z, y, x) in um; z is None where slices were stained one by one.
    patch_size
        Width and height of a patch in training, pixels. It takes images of any size.
    """

    source_channels: tuple[str, ...] | None = None
    target_channels: tuple[str, ...] | None = None
    normalization: Normalization | None = None
    statistics: Level | None = None
    voxel_size: tuple[Size | None, Size, Size] | None = None
    patch_size: int | None = Field(None, ge=1)

    def names_of(self, count: int) -> tuple[str, ...]:
        """Return names of the channels that a stainer gives, also where they are not known.

        Parameters
        ----------
        count
            How many it gives.

        Raises
        ------
        InvalidInput
            If the recipe names another number.
        """
        if self.target_channels is None:
            return tuple(f"stain_{i}_prediction" for i in range(count))
        if len(self.target_channels) != count:
            raise InvalidInput(
                f"The weights stain {count} channel{'s' * (count > 1)}, but "
                f"{len(self.target_channels)} are named ({', '.join(self.target_channels)}): name "
                f"{count}."
            )
        return self.target_channels
