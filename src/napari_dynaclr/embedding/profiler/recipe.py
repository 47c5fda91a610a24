"""What a profiler's images have to be like."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_dynaclr.embedding.scaling import Mode
from napari_dynaclr.learning.recipe import Recipe

Kind = Literal["fluorescence", "label-free", "mixed"]
Unit = Literal["cell", "field"]


class ProfilerRecipe(Recipe):
    """How images were made for a profiler's training.

    Attributes
    ----------
    source_channels
        Channels, by the names they had.
    kind
        Fluorescence and label-free channels have networks of their own (sslprofiler.txt, 3.2.1).
    unit
        Whether it saw patches of cells, or whole fields.
    pixel_size
        Width of its pixels in um, along y and x alike; None where nobody knows.
    normalization
        How the channels were brought to 0-1.
    z_start
        Slice; None for the middle of the stack.
    """

    source_channels: tuple[str, ...] | None = None
    kind: Kind | None = None
    unit: Unit | None = None
    pixel_size: float | None = Field(None, gt=0)
    normalization: Mode | None = None
    z_start: int | None = Field(None, ge=0)
