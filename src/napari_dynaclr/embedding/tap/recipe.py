"""What a TAP network's images have to be like, as its file says it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.learning.recipe import Recipe

Normalization = Literal["percentiles"]
Stacks = Literal["slices", "max"]

_ALIKE = 1.25
"""Pixels that are not wider or narrower than by this are as good as those of the training."""
_AS_LONG = 1.5
"""Time steps that are not longer or shorter than by this are as good, too."""


class TapRecipe(Recipe):
    """How images were made for a TAP network's training; None where that is not known.

    Attributes
    ----------
    source_channel
        What it was trained on.
    delta_t
        Frames from the earlier to the later image of a pair.
    delta_minutes
        The same in minutes.
    normalization
        "percentiles": each frame by itself, from its percentiles 1 to 99.8, not clipped.
    stacks
        What became of images with depth: "slices", each slice an image of its own; "max", their
        maximum projection.
    pixel_size
        Width of a pixel of the training, um.
    """

    source_channel: str | None = None
    delta_t: int | None = Field(None, ge=1)
    delta_minutes: float | None = Field(None, gt=0)
    normalization: Normalization = "percentiles"
    stacks: Stacks | None = None
    pixel_size: float | None = Field(None, gt=0)

    def handling(self, wanted: Literal["auto", "slices", "max"] = "auto") -> Stacks:
        """Settle what becomes of images with depth: as wanted, else as trained, else slices."""
        return (self.stacks or "slices") if wanted == "auto" else wanted

    def step(self, wanted: int | None, frames: int, where: str) -> int:
        """Settle how far apart the frames of a pair are: as is asked for, as trained, else one.

        Parameters
        ----------
        wanted
            Frames; None for those of the training.
        frames
            Time points of the movie.
        where
            Its name, for the error message.

        Raises
        ------
        InvalidInput
            If the movie is too short for any pair.
        """
        step = wanted or self.delta_t or 1
        if frames < 2:
            raise InvalidInput(
                f"FOV {where} has one time point: the arrow of time is told from two. Leave this "
                "FOV out."
            )
        if step >= frames:
            trained = "" if wanted else " (those of the training)"
            raise InvalidInput(
                f"FOV {where} has {frames} time points, too few for pairs {step} frames "
                f"apart{trained}: set delta_t to {frames - 1} or less."
            )
        return step

    def unlike(self, scale: tuple[float, float, float]) -> str:
        """Say how a movie's pixels differ from those of the training; "" if they do not.

        Parameters
        ----------
        scale
            Voxel size (z, y, x) in um.
        """
        if self.pixel_size is None or 1 / _ALIKE < scale[2] / self.pixel_size < _ALIKE:
            return ""
        return (
            f"Pixels are {scale[2]:.3g} um wide, those of the training were "
            f"{self.pixel_size:.3g} um: what TAP has learned to see has another size here."
        )

    def hurried(self, step: int, interval: float | None) -> str:
        """Say how far apart the frames of a pair are if that is not as in training; else "".

        Parameters
        ----------
        step
            Frames from the earlier to the later one.
        interval
            From one frame to the next, s; None if that is not known.
        """
        if self.delta_minutes is None or not interval:
            return ""
        minutes = step * interval / 60
        if 1 / _AS_LONG < minutes / self.delta_minutes < _AS_LONG:
            return ""
        said = (
            f"The frames of a pair are {minutes:.3g} min apart, those of the training were "
            f"{self.delta_minutes:.3g} min"
        )
        best = max(round(self.delta_minutes * 60 / interval), 1)
        return f"{said}: delta_t={best} comes nearest." if best != step else f"{said}."
