"""How large the network sees the cells of a FOV.

Discussion: where cells are much larger than those of the training, images can be reduced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.tracking.cellect.images import rescaled_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.tracking.cellect.recipe import Recipe, Size

_ALIKE = 0.1
"""Images whose pixels differ less than this from those of the training are left as they are."""
_LIMIT = 8.0
"""Images are enlarged or reduced by no more than this."""


@dataclass(frozen=True)
class Grid:
    """The pixels that the network sees of a FOV.

    Attributes
    ----------
    size
        Of a frame as it is, (Y, X).
    seen
        As the network sees it, (Y, X).
    spacing
        Of voxels as the network sees them, (z, y, x), in um.
    """

    size: tuple[int, int]
    seen: tuple[int, int]
    spacing: Size

    @classmethod
    def of(cls, fov: Fov, recipe: Recipe, diameter: float | None) -> Grid:
        """Settle how large the network sees the cells of a FOV.

        Raises
        ------
        InvalidInput
            If images would have to be enlarged or reduced beyond reason.
        """
        z, y, x = fov.scale
        factor = 1.0
        if recipe.voxel_size is not None:
            factor = y / recipe.voxel_size[1]
            if diameter is not None and recipe.diameter_um is not None:
                factor *= recipe.diameter_um / diameter
        if abs(factor - 1) < _ALIKE:
            factor = 1.0
        if not 1 / _LIMIT <= factor <= _LIMIT:
            raise InvalidInput(
                f"FOV {fov.name} would have to be resized {factor:.3g} times to look as the "
                f"network knows it: check its pixel size ({y:g} um) and the cell diameter."
            )
        height, width = fov.shape[2:]
        seen = rescaled_size((height, width), factor)
        return cls((height, width), seen, (z, y * height / seen[0], x * width / seen[1]))

    def to_seen(self, place: NDArray[np.floating], depth: int) -> NDArray[np.int64]:
        """Return the voxels that the network sees at some places (z, y, x), in pixels."""
        ratio = np.array([1.0, *(s / o for s, o in zip(self.seen, self.size, strict=True))])
        voxels = np.round((place + 0.5) * ratio - 0.5).astype(np.int64)
        return np.asarray(np.clip(voxels, 0, np.array([depth, *self.seen]) - 1))

    def to_pixels(self, voxels: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the places (z, y, x) in pixels of voxels that the network sees."""
        ratio = np.array([1.0, *(o / s for s, o in zip(self.seen, self.size, strict=True))])
        return np.asarray((voxels + 0.5) * ratio - 0.5)
