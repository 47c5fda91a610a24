"""What a profiler's images have to be like."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.profiler.architecture import ProfilerConfig
from napari_dynaclr.embedding.scaling import Range
from napari_dynaclr.learning.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Kind = Literal["fluorescence", "label-free", "mixed"]
Unit = Literal["cell", "field"]

NETWORK = "sslprofiler"
"""What a file of a profiler says that it holds."""


class ProfilerRecipe(Recipe):
    """How images were made for a profiler's training.

    Attributes
    ----------
    source_channels
        Channels, by the names they had.
    channel_kind
        Fluorescence and label-free channels have networks of their own (sslprofiler.txt, 3.2.1).
    unit
        Whether it saw patches of cells, or whole fields.
    pixel_size
        Width of its pixels in um, along y and x alike.
    normalization
        How the channels were brought to 0-1.
    z_start
        Slice; None for the middle of the stack.
    """

    source_channels: tuple[str, ...]
    channel_kind: Kind
    unit: Unit
    pixel_size: float = Field(gt=0)
    normalization: Range = "dataset-range"
    z_start: int | None = Field(None, ge=0)


def take_description(about: Mapping[str, Any], path: Path) -> tuple[ProfilerConfig, ProfilerRecipe]:
    """Take the shape of a profiler, and what it takes, from what its file says of itself.

    Parameters
    ----------
    about
        Facts by name.
    path
        The file, for messages.

    Raises
    ------
    InvalidInput
        If it holds something else, or does not say what it holds.
    """
    if about.get("network") != NETWORK:
        raise InvalidInput(
            f"{path} holds no profiler: choose weights that 'train' made with the method profiler."
        )
    try:
        config = ProfilerConfig(**{one.name: about[one.name] for one in fields(ProfilerConfig)})
    except (KeyError, TypeError):
        raise InvalidInput(
            f"{path} does not say properly which profiler it holds: save it again."
        ) from None
    return config, ProfilerRecipe.of(about, str(path))
