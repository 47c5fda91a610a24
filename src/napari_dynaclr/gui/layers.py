"""The only file that adds or changes napari layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.normalize import summarize

if TYPE_CHECKING:
    import pandas as pd
    from napari import Viewer
    from napari.layers import Layer

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov

LayerData = tuple[Any, dict[str, Any], str]

_COLORMAPS = {
    "phase": "gray",
    "bf": "gray",
    "brightfield": "gray",
    "dic": "gray",
    "nucle": "bop blue",
    "membrane": "bop orange",
    "sensor": "magenta",
    "gfp": "green",
    "mcherry": "magenta",
}
_GRID = 32
_AXES = ("t", "z", "y", "x")
_UNITS = ("pixel", "um", "um", "um")


def fov_layers(dataset: Dataset, fov: Fov) -> list[LayerData]:
    """Describe the layers of a FOV: its channels, and the results that are there.

    Parameters
    ----------
    dataset
        The dataset, for its workspace.
    fov
        The FOV to show.

    Returns
    -------
    list of tuple
        (data, properties, kind) as napari's ``Viewer._add_layer_from_data`` and reader
        plugins take them; images are lazy (T, Z, Y, X) with a scale in um.
    """
    space = {"scale": (1.0, *fov.scale), "units": _UNITS, "axis_labels": _AXES}
    layers: list[LayerData] = []
    for channel in fov.channels:
        image = fov.image(channel)
        # One thin sample of the first frame: enough for contrast, quick on any size.
        sample = summarize(np.asarray(image[0, :, ::_GRID, ::_GRID]))
        low, high = sample["min"], sample["max"]
        colormap = _colormap(channel)
        about = {
            "name": f"{fov.name} {channel}",
            **space,
            "colormap": colormap,
            "blending": "translucent" if colormap == "gray" else "additive",
            "contrast_limits": (low, high if high > low else low + 1),
            "visible": channel == fov.channels[0] or "nucle" in channel.lower(),
        }
        layers.append((image, about, "image"))
    return layers + _results(dataset, fov, space)


def _results(dataset: Dataset, fov: Fov, space: dict[str, Any]) -> list[LayerData]:
    workspace = dataset.workspace
    layers: list[LayerData] = []
    for result, title in (("tracks", "tracked cells"), ("segmentation", "cells")):
        if workspace.key(result, fov) is not None and not workspace.outdated(result, fov):
            labels = workspace.labels(result, fov).image("labels")
            about = {"name": f"{fov.name} {title}", **space, "opacity": 0.4}
            layers.append((labels, about, "labels"))
            break
    if workspace.key("tracks", fov) is not None and not workspace.outdated("tracks", fov):
        layers.append(tracks_layer(workspace.tracks(fov), fov, space))
    return layers


def tracks_layer(tracks: pd.DataFrame, fov: Fov, space: dict[str, Any]) -> LayerData:
    """Describe a Tracks layer: rows ``[track_id, t, z, y, x]`` and the lineage graph."""
    born = tracks.groupby("track_id")["parent_track_id"].first()
    born = born[born >= 0]
    graph = {int(child): [int(parent)] for child, parent in zip(born.index, born, strict=True)}
    about = {
        "name": f"{fov.name} tracks",
        **space,
        "graph": graph,
        "tail_length": 10,
        "hide_completed_tracks": True,
    }
    return tracks[["track_id", "t", "z", "y", "x"]].to_numpy(float), about, "tracks"


def add_fov(viewer: Viewer, dataset: Dataset, fov: Fov) -> list[Layer]:
    """Add a FOV and its results to a viewer."""
    add = {"image": viewer.add_image, "labels": viewer.add_labels, "tracks": viewer.add_tracks}
    layers = [add[kind](data, **about) for data, about, kind in fov_layers(dataset, fov)]
    viewer.canvas.overlays.scale_bar.visible = True
    return layers


def _colormap(channel: str) -> str:
    name = channel.lower()
    return next((colormap for word, colormap in _COLORMAPS.items() if word in name), "gray")
