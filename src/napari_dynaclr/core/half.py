"""Numbers in half the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST = float(np.finfo(np.float16).max)


def halved(values: NDArray[Any]) -> NDArray[np.float16]:
    """Keep numbers as float16; those beyond what it can hold become the largest it can.

    Parameters
    ----------
    values
        Numbers, of any shape.
    """
    return np.clip(values, -_LARGEST, _LARGEST).astype(np.float16)
