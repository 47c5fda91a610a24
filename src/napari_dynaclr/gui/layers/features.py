"""What a network sees in a frame: its feature maps as layers of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.gui.layers.scene import OWNER, space_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov

ROLE = "features "
"""How the roles of these layers begin."""


def feature_layers(
    fov: Fov, maps: Mapping[str, NDArray[np.floating]], t: int, z: int
) -> dict[str, Image]:
    """Make layers of feature maps by role, each over the whole frame whatever its size.

    They are seen at their time point and slice only; the first is visible.

    Parameters
    ----------
    fov
        Whose frame it is.
    maps
        RGB from 0 to 1, (Y, X, 3), by name of the network's stage.
    t, z
        Which frame and slice they are of.
    """
    from napari.layers import Image

    space, (height, width) = space_of(fov), fov.shape[2:]
    pixel = np.array(space["scale"])
    layers: dict[str, Image] = {}
    for name, colours in maps.items():
        ratio = np.array([1, 1, height / colours.shape[0], width / colours.shape[1]])
        # Pixels are placed by their middle: that of a coarse one lies further in.
        corner = np.array([t, z, *(ratio[2:] - 1) / 2])
        about = {**space, "scale": pixel * ratio, "translate": pixel * corner}
        layers[f"{ROLE}{name}"] = Image(
            np.clip(colours, 0, 1)[np.newaxis, np.newaxis],
            rgb=True,
            name=f"features: {name}",
            visible=not layers,
            metadata={OWNER: f"{ROLE}{name}"},
            **about,
        )
    return layers
