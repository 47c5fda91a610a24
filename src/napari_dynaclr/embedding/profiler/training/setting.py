"""What a profiler is to be trained as, and on which pixels: from the settings and the images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_dynaclr.core.channels import is_label_free
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.cell_patches import Window
from napari_dynaclr.embedding.profiler.architecture import ProfilerConfig
from napari_dynaclr.embedding.profiler.plan import pixel_size
from napari_dynaclr.embedding.profiler.recipe import ProfilerRecipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.embedding.profiler.recipe import Kind
    from napari_dynaclr.embedding.profiler.training.params import ProfilerTrainingParams

_SIDES = {"cell": 64, "field": 224}

_PAPER_TOKEN, _PAPER_SIDE = 14, 196
"""Token of the paper; side from which there are as many of them as small images have of others."""

_GRID = 8
"""Tokens along a side of small images."""

_LEAST_GRID = 4
"""Tokens along a side at least."""

_LOCAL = 98 / 224
"""Side of a local view relative to that of a global one; the paper does not say, DINOv2's."""


@dataclass(frozen=True)
class Setting:
    """What is trained, on what.

    Attributes
    ----------
    config
        Shape of the backbone.
    window
        The patches that are read.
    size
        Height and width that they are made, in pixels.
    inside
        Of these, what views are of; what is around it is seen where they are turned.
    recipe
        What is to be known of the images.
    told
        What the user should know, a sentence each.
    """

    config: ProfilerConfig
    window: Window
    size: tuple[int, int]
    inside: tuple[int, int]
    recipe: ProfilerRecipe
    told: tuple[str, ...]

    @property
    def local_side(self) -> int:
        """Side of local views in pixels: a whole number of tokens."""
        return max(round(self.config.grid * _LOCAL), 1) * self.config.token


def find_channels(
    datasets: Sequence[Dataset], params: ProfilerTrainingParams
) -> tuple[tuple[str, ...], Kind, str]:
    """Settle which channels are learned from.

    Returns
    -------
    tuple
        The channels, of which kind they are, and what the user should know.

    Raises
    ------
    InvalidInput
        If a dataset lacks one, or there is none of the kind.
    """
    there = tuple(datasets[0].source_channels)
    free = [one for one in there if is_label_free(one)]
    dyed = [one for one in there if not is_label_free(one)]
    told = ""
    if params.channels:
        channels = params.channels
    elif params.channel_kind == "label-free" or (params.channel_kind == "auto" and not dyed):
        channels = tuple(free)
    else:
        channels = tuple(dyed)
        if free:
            told = f"Of {', '.join(free)}, train another one (channel_kind=label-free)."
    if not channels:
        raise InvalidInput(
            f"None of {', '.join(there)} is named as a {params.channel_kind} channel: name the "
            "channels to learn from."
        )
    for dataset in datasets:
        missing = [one for one in channels if one not in dataset.channels]
        if missing:
            raise InvalidInput(
                f"{dataset.root.name} has no channel '{missing[0]}': choose channels that all "
                f"datasets have; it has {', '.join(dataset.channels)}."
            )
    kinds = {is_label_free(one) for one in channels}
    if len(kinds) > 1:
        return (
            channels,
            "mixed",
            (
                "Fluorescence and label-free channels are learned from better in a training each "
                "(sslprofiler.txt, Table 1)."
            ),
        )
    return channels, "label-free" if kinds.pop() else "fluorescence", told


def settle(datasets: Sequence[Dataset], params: ProfilerTrainingParams) -> Setting:
    """Settle what is trained.

    Raises
    ------
    InvalidInput
        If settings and images do not fit together.
    """
    channels, kind, told = find_channels(datasets, params)
    side = params.patch_size or _SIDES[params.unit]
    token = params.token_size or _token(side)
    config = ProfilerConfig(params.size, len(channels), side, token)
    if config.grid < _LEAST_GRID:
        raise InvalidInput(
            f"Tokens of {token} pixels leave {config.grid} along a side of images of {side}, too "
            f"few to hide some and guess them from others: choose a token_size of at most "
            f"{side // _LEAST_GRID}, or a larger patch_size."
        )
    fovs = [fov for dataset in datasets for fov in dataset.fovs]
    pixel = pixel_size(fovs)
    if params.unit == "cell":
        # What a turned square sees.
        wide = math.ceil(side * math.sqrt(2)) + 2
        read = size = (wide, wide)
        inside = (side, side)
    else:
        shapes = {fov.shape[2:] for fov in fovs}
        if len(shapes) > 1:
            some = " and ".join(f"{y} x {x}" for y, x in sorted(shapes)[:2])
            raise InvalidInput(
                f"Fields have different sizes ({some} pixels): choose FOVs of one size."
            )
        height, width = read = shapes.pop()
        # Unless it is asked for, no finer than the images are.
        wanted = params.pixel_size or max(min(height, width) / side, 1.0) * pixel
        size = inside = (round(height * pixel / wanted), round(width * pixel / wanted))
        if min(size) < side:
            raise InvalidInput(
                f"With pixels of {wanted:g} um, a field is {min(size)} pixels wide, less than the "
                f"image size of {side}: choose a smaller pixel_size or patch_size."
            )
        pixel = wanted
    window = Window(
        channels,
        (1, *read),
        params.z_start,
        (params.normalization,) * len(channels),
        params.empty_frames == "skip",
    )
    recipe = ProfilerRecipe(
        source_channels=channels,
        channel_kind=kind,
        unit=params.unit,
        pixel_size=pixel,
        normalization=params.normalization,
        z_start=params.z_start,
    )
    what = "cells" if params.unit == "cell" else "fields"
    first = (
        f"Learning from {', '.join(channels)} of {what}, in images of {side} x {side} pixels of "
        f"{pixel:.3g} um: {config.describe()}."
    )
    lines = (first, told) if told else (first,)
    return Setting(config, window, size, inside, recipe, lines)


def _token(side: int) -> int:
    """Size of the tokens of images: the paper's for large ones, else about an eighth."""
    if side >= _PAPER_SIDE and side % _PAPER_TOKEN == 0:
        return _PAPER_TOKEN
    fitting = [token for token in range(4, side // 4 + 1) if side % token == 0]
    return min(fitting, key=lambda token: abs(side / token - _GRID), default=_GRID)
