"""What a time-arrow network sees in single frames: read where it was saved, else computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.fov import Fov

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.params import Params

FEATURES, ATTRIBUTION = "features", "attribution"


@dataclass(frozen=True)
class Made:
    """Maps of one frame.

    Attributes
    ----------
    planes
        By kind: features as red, green and blue from 0 to 1, (Y, X, 3); attribution, 0 or
        more, (Y, X).
    saved
        Whether they were read, all of them.
    hindrance
        Why one is missing, "" if none is.
    """

    planes: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    saved: bool = False
    hindrance: str = ""
