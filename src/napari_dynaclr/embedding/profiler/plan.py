"""Which pixels profilers are to see of a dataset, found out before they are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.weight_files import about_weights
from napari_dynaclr.embedding.cell_patches import Window
from napari_dynaclr.embedding.dynaclr.recipe import choose_channels
from napari_dynaclr.embedding.profiler.recipe import take_description

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.embedding.profiler.architecture import ProfilerConfig
    from napari_dynaclr.embedding.profiler.recipe import ProfilerRecipe, Unit
    from napari_dynaclr.embedding.scaling import Range

ALIKE = 0.05
"""Relative difference of pixel sizes that is no difference."""


@dataclass(frozen=True)
class Plan:
    """What profilers see of a dataset.

    Attributes
    ----------
    window
        The patches that are read: all channels, and pixels for the one that sees most.
    sides
        Side of what each profiler sees of them, in the dataset's pixels.
    dimensions
        Length of their representations together.
    told
        What the user should know, a sentence each.
    """

    window: Window
    sides: tuple[int, ...]
    dimensions: int
    told: tuple[str, ...]


def make_plan(
    paths: Sequence[Path],
    channels: Sequence[Sequence[str]],
    dataset: Dataset,
    unit: Unit,
    *,
    allow_empty: bool,
) -> Plan:
    """Settle what profilers are to see of a dataset.

    Parameters
    ----------
    paths
        Files of their weights.
    channels
        For each, the channels chosen; those that it was trained with if none is.
    dataset
        The images.
    unit
        What is to be represented.
    allow_empty
        See :class:`~napari_dynaclr.embedding.cell_patches.Window`.

    Raises
    ------
    InvalidInput
        If one was trained on something else, or does not go with the images or the others.
    """
    pixel = pixel_size(dataset.fovs)
    names: list[str] = []
    modes: list[Range] = []
    sides: list[int] = []
    told: list[str] = []
    starts: set[int | None] = set()
    dimensions = 0
    for path, chosen in zip(paths, channels, strict=True):
        config, recipe = take_description(about_weights(path), path)
        _require_unit(recipe, unit)
        seen = choose_channels(chosen or recipe.source_channels, config.channels, dataset.channels)
        side = _side(config, recipe, pixel)
        names += seen
        modes += [recipe.normalization] * len(seen)
        sides.append(side)
        starts.add(recipe.z_start)
        dimensions += config.dimensions
        told.append(
            f"{path.stem} ({config.describe()}) sees {', '.join(seen)} in squares of "
            f"{side * pixel:.3g} um."
        )
    if len(starts) > 1:
        raise InvalidInput(
            "The profilers were trained on different slices: train both with the same z_start."
        )
    wide = max(sides)
    window = Window(tuple(names), (1, wide, wide), starts.pop(), tuple(modes), allow_empty)
    return Plan(window, tuple(sides), dimensions, tuple(told))


def _side(config: ProfilerConfig, recipe: ProfilerRecipe, pixel: float) -> int:
    """Side of what a profiler sees, in pixels of other images."""
    factor = recipe.pixel_size / pixel
    return config.side if abs(factor - 1) <= ALIKE else max(round(config.side * factor), 1)


def pixel_size(fovs: Sequence[Fov]) -> float:
    """Return the width of the pixels of some FOVs, in um.

    Raises
    ------
    InvalidInput
        If they are not square, or not the same in all of them.
    """
    widths = []
    for fov in fovs:
        _, height, width = fov.scale
        if abs(height - width) > ALIKE * width:
            raise InvalidInput(
                f"FOV {fov.name} has pixels of {height:g} x {width:g} um, a profiler takes square "
                "ones: resample the images."
            )
        widths.append(width)
    if max(widths) - min(widths) > ALIKE * min(widths):
        raise InvalidInput(
            f"Pixels are {min(widths):g} um wide in one FOV and {max(widths):g} um in another: "
            "choose FOVs of one magnification."
        )
    return widths[0]


def _require_unit(recipe: ProfilerRecipe, wanted: Unit) -> None:
    if recipe.unit == wanted:
        return
    if wanted == "cell":
        raise InvalidInput(
            "The profiler was trained on whole fields: profile with it (profile --method fields), "
            "or train one on cells (train --method profiler --unit cell)."
        )
    raise InvalidInput(
        "The profiler was trained on patches of cells: embed with it and profile the cells, or "
        "train one on whole fields (train --method profiler --unit field)."
    )
