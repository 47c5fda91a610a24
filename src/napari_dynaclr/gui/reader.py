"""Reader: drag an OME-Zarr dataset onto napari, or File > Open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import DynaclrError, InvalidInput
from napari_dynaclr.gui.layers import LayerData, prepare
from napari_dynaclr.gui.open.samples import ADDRESS
from napari_dynaclr.session.frames import ChunkCache

Reader = Callable[[Any], list[Any]]

NOTHING: tuple[None] = (None,)
"""napari's word for "read, and no layer to add"."""


def get_reader(path: str | list[str]) -> Reader | None:
    """Return a reader for an OME-Zarr dataset, or None for anything else.

    Parameters
    ----------
    path
        What was opened.
    """
    if not isinstance(path, str):
        return None
    if path == ADDRESS:
        return read_sample
    try:
        open_dataset(path)
    except DynaclrError:
        return None
    return read


def read(path: str) -> list[Any]:
    """Open a dataset in the viewer on screen, as the widget "Open dataset" does.

    The layers come by themselves, read in the background. Where there is no viewer,
    the layers of the first FOV are returned.

    Raises
    ------
    InvalidInput
        If the dataset holds no FOV.
    """
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        return list(read_first_fov(path))
    from napari_dynaclr.gui.workbench import workbench

    workbench(viewer).open(path)
    return [NOTHING]


def read_sample(_address: str) -> list[Any]:
    """Show the sample in the viewer on screen; its layers come when it is ready.

    Raises
    ------
    InvalidInput
        If there is no viewer.
    """
    import napari

    from napari_dynaclr.gui.open.samples import show_sample

    viewer = napari.current_viewer()
    if viewer is None:
        raise InvalidInput("Open a viewer first: the sample is shown in it.")
    show_sample(viewer)
    return [NOTHING]


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
    scene = prepare(dataset, dataset.fovs[0], ChunkCache())
    return list(scene.layers.values())
