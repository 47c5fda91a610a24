"""What a FOV looks like: its channels and results as napari layers, prepared in a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import Colormap, ensure_colormap

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.normalize import contrast
from napari_dynaclr.session.corrected import TrackLabels
from napari_dynaclr.session.frames import FovImage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.session.frames import ChunkCache

LayerData = tuple[Any, dict[str, Any], str]
"""(data, properties, kind), as napari's readers return them."""

AXES = ("t", "z", "y", "x")
UNITS = ("pixel", "um", "um", "um")

OWNER = "napari-dynaclr"
"""Key in the metadata of the layers that are ours; the value says what the layer shows."""

_COLORMAPS = {
    "nucle": "bop blue",
    "membrane": "bop orange",
    "sensor": "magenta",
    "gfp": "green",
    "mcherry": "magenta",
}
"""By a part of the channel's name; grey for the rest, such as phase and bright field."""

_BESIDE_STAIN = {"nucle": "green", "membrane": "magenta"}
"""Of experimental stain where there is virtual stain too, which is blue and orange."""


_GROUND = "gray"
_DIM = ensure_colormap(Colormap([[0, 0, 0, 1], [0.45, 0.45, 0.45, 1]], name="gray, dim")).name
"""Of label-free images below virtual stain: added to them, stain must not come out white."""


@dataclass(frozen=True)
class Scene:
    """A FOV ready to be shown.

    Attributes
    ----------
    fov
        The FOV.
    layers
        By role, such as "channel Nuclei" or "cells": what to show, lowest first.
    labels
        Label image by track id, or None where the FOV has not been tracked.
    key
        Of the tracks that the labels are of, "" without.
    """

    fov: Fov
    layers: dict[str, LayerData]
    labels: TrackLabels | None
    key: str = ""


def prepare(
    dataset: Dataset,
    fov: Fov,
    cache: ChunkCache,
    t: int | None = None,
    damaged: Callable[[InvalidInput], object] | None = None,
) -> Scene:
    """Read what is needed to show a FOV, and the chunks of its first view.

    Parameters
    ----------
    dataset
        For the workspace.
    fov
        The FOV to show.
    cache
        Where chunks are kept.
    t
        Time point that will be on screen; by default the middle one, as napari begins.
    damaged
        Told of a chunk that cannot be read, on the thread that reads; it is black then.
        By default, reading raises.
    """
    layers: dict[str, LayerData] = {}
    space = space_of(fov)
    for channel in fov.channels:
        image = FovImage(fov, channel, cache, damaged)
        about = {
            "name": channel,
            **space,
            **look_of(channel, fov.stained),
            "contrast_limits": _contrast(dataset, fov, channel, strict=damaged is None),
            "visible": is_seen(channel, fov.channels, fov.stained),
            "metadata": {OWNER: f"channel {channel}"},
            "multiscale": False,
        }
        layers[f"channel {channel}"] = (image, about, "image")
    labels, key = _labels(dataset, fov, cache, damaged)
    if labels is not None:
        about = {
            "name": "cells",
            **space,
            "opacity": 0.45,
            "metadata": {OWNER: "cells"},
            "multiscale": False,
        }
        layers["cells"] = (labels, about, "labels")
    middle = [(size - 1) // 2 for size in fov.shape[:2]]
    t = middle[0] if t is None else min(t, fov.shape[0] - 1)
    for data, about, _ in layers.values():
        if about.get("visible", True):
            data.load(t, middle[1])
    return Scene(fov, layers, labels if key else None, key)


def _contrast(dataset: Dataset, fov: Fov, channel: str, *, strict: bool) -> tuple[float, float]:
    """Contrast limits of a channel; the whole range where its pixels cannot be sampled."""
    try:
        return contrast(dataset, fov, channel)
    except InvalidInput:  # told when the chunk itself is shown
        if strict:
            raise
        return (0.0, float(np.iinfo(fov.dtype).max) if fov.dtype.kind in "iu" else 1.0)


def space_of(fov: Fov) -> dict[str, Any]:
    """Scale, units and axes of everything of a FOV, in napari's terms."""
    return {"scale": (1.0, *fov.scale), "units": UNITS, "axis_labels": AXES}


def _labels(
    dataset: Dataset,
    fov: Fov,
    cache: ChunkCache,
    damaged: Callable[[InvalidInput], object] | None,
) -> tuple[TrackLabels | None, str]:
    """Label image of a FOV, and the key of the tracks whose ids its labels are, "" if none."""
    workspace = dataset.workspace
    for result in ("tracks", "segmentation"):
        key = workspace.key(result, fov)
        if key is not None and not workspace.outdated(result, fov):
            labels = workspace.labels(result, fov, behind=True)
            image = FovImage(labels, labels.channels[0], cache, damaged)
            return TrackLabels(image, labels), key if result == "tracks" else ""
    return None, ""


def is_seen(channel: str, channels: Sequence[str], stained: Sequence[str] = ()) -> bool:
    """Whether a channel is shown at first: the first, and over it nuclei or virtual stain.

    Parameters
    ----------
    channel
        Its name.
    channels
        Those of its FOV.
    stained
        Virtual stain among them.
    """
    telling = channel in stained if stained else "nucle" in channel.lower()
    return channel == channels[0] or telling


def look_of(channel: str, stained: Sequence[str] = ()) -> dict[str, str]:
    """Return the colours in which a channel of this name is usually shown, and their blending.

    Parameters
    ----------
    channel
        Its name.
    stained
        Virtual stain of the same FOV, which has the colours of Cytoland's videos 2 and 5;
        experimental stain beside it has others, as there.
    """
    name = channel.lower()
    beside = bool(stained) and channel not in stained
    colours = _COLORMAPS | _BESIDE_STAIN if beside else _COLORMAPS
    colormap = next((colours[word] for word in colours if word in name), _GROUND)
    if colormap != _GROUND or channel in stained:
        return {"colormap": colormap, "blending": "additive"}
    return {"colormap": _DIM if beside else _GROUND, "blending": "translucent_no_depth"}
