"""Datasets that one network learns from together: what they must have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.channels import named_after
from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.core.dataset import Dataset

_ALIKE = 0.1
"""Pixel sizes that differ by less, relatively, count as the same."""


def common_channel(datasets: Sequence[Dataset], wanted: str) -> str:
    """Settle which channel is learned from.

    Parameters
    ----------
    datasets
        To learn from.
    wanted
        Its name; "" for the only one, or the one that is named after nuclei.

    Raises
    ------
    InvalidInput
        If it is not clear which, or a dataset lacks it.
    """
    there = datasets[0].channels
    channel = wanted or (there[0] if len(there) == 1 else named_after("nuclei", there))
    if channel is None:
        raise InvalidInput(f"Choose the channel to learn from, among {', '.join(there)}.")
    for dataset in datasets:
        if channel not in dataset.channels:
            raise InvalidInput(
                f"{dataset.root} has no channel '{channel}': choose one of "
                f"{', '.join(dataset.channels)}."
            )
    return channel


def require_alike(datasets: Sequence[Dataset], *, depth: bool = False) -> None:
    """Refuse pixels of several sizes: cells, and what they do, would have several, too.

    Parameters
    ----------
    datasets
        To learn from.
    depth
        Whether flat images and stacks cannot be learned from together either.

    Raises
    ------
    InvalidInput
        If there are.
    """
    first = datasets[0].fovs[0]
    for dataset in datasets:
        for fov in dataset.fovs:
            same = np.allclose(fov.scale[1:], first.scale[1:], rtol=_ALIKE)
            if not same or (depth and (fov.shape[1] == 1) != (first.shape[1] == 1)):
                also = ", or another depth" if depth else ""
                raise InvalidInput(
                    f"FOV {fov.name} of {dataset.root} has pixels of another size than "
                    f"{first.name}{also}: learn from them apart."
                )
