"""Reader: drag an OME-Zarr dataset onto napari, or File > Open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import DynaclrError, InvalidInput
from napari_dynaclr.gui.layers import LayerData, fov_layers

Reader = Callable[[Any], list[LayerData]]


def get_reader(path: str | list[str]) -> Reader | None:
    """Return a reader for an OME-Zarr dataset, or None for anything else.

    Parameters
    ----------
    path
        What was opened.
    """
    if not isinstance(path, str):
        return None
    try:
        open_dataset(path)
    except DynaclrError:
        return None
    return read_first_fov


def read_first_fov(path: str) -> list[LayerData]:
    """Read the channels of the first FOV, lazily, and the results that are there.

    Raises
    ------
    InvalidInput
        If the dataset holds no FOV.
    """
    dataset = open_dataset(path)
    if not dataset.fov_names:
        raise InvalidInput(f"{path} has no FOV in it: choose another dataset.")
    return fov_layers(dataset, dataset.fovs[0])
