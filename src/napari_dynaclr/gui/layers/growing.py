"""Results that are seen while they are made, time point by time point.

Label images are shown beside the cells that there are, as "segmentation (running)". Images
are shown in the layer that they will have, so that what the user sets on it lasts, and so
that the stain of an earlier run does not shine through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.fov import Fov
from napari_dynaclr.gui.layers.scene import OWNER, look_of, space_of
from napari_dynaclr.session.frames import ChunkCache, FovImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Part
    from napari_dynaclr.gui.layers.scene import LayerData

_ROOM = 200_000_000
"""Bytes of time points that are kept; the rest of the room is for what is complete."""

_GRID = 8
"""Every so many pixels are looked at for the contrast."""


class GrowingImage(FovImage):
    """One channel of a result that is being made; of one value where nothing has been made yet.

    Parameters
    ----------
    fov, channel, cache
        As of :class:`~napari_dynaclr.session.frames.FovImage`.
    """

    def __init__(self, fov: Fov, channel: str, cache: ChunkCache) -> None:
        super().__init__(fov, channel, cache)
        self.stop = 0
        """Time points that have been made."""
        self.nothing = 0.0
        """Value of pixels that have not been made."""

    def _block(self, t: int, z: int) -> NDArray[Any]:
        if t * self._step[0] >= self.stop:  # not read, or zeros would be kept in its place
            shape = (*self._step, *self.shape[2:])
            return np.broadcast_to(np.asarray(self.nothing, self.dtype), shape)
        return super()._block(t, z)


class Growing:
    """The layers of one result of one FOV while it is being made.

    Parameters
    ----------
    part
        The first time point that is there to be seen.
    fov
        The FOV that it is made of.
    """

    def __init__(self, part: Part, fov: Fov) -> None:
        self.result = part.result
        self.layers: dict[str, LayerData] = {}
        """By role; empty until :meth:`prepare` is through."""
        self._part, self._fov = part, fov
        self._stop = part.t + 1

    def made(self, t: int) -> None:
        """Show time points up to this one; they are made in order, but for those left out."""
        self._stop = max(self._stop, t + 1)
        for image, _, _ in self.layers.values():
            image.stop = self._stop

    def prepare(self) -> None:
        """Read what is there; in a job."""
        t, z = self._part.t, self._fov.shape[1] // 2
        unfinished, cache = Fov(self._part.image, self._part.fov_name), ChunkCache(_ROOM)
        layers: dict[str, LayerData] = {}
        for channel in unfinished.channels:
            image = GrowingImage(unfinished, channel, cache)
            image.stop = self._stop
            about: dict[str, Any] = {**space_of(self._fov), "multiscale": False}
            if np.issubdtype(image.dtype, np.integer):
                role = f"part {self.result} {channel}"
                about |= {"name": f"{self.result} (running)", "opacity": 0.5}
                kind = "labels"
            else:
                role = f"channel {channel}"
                look, limits = look_of(channel, unfinished.channels), _contrast(image[t, z])
                about |= {"name": channel, **look, "contrast_limits": limits, "visible": True}
                image.nothing = limits[0]  # 0 would be seen: a stain may be less than that
                kind = "image"
            about["metadata"] = {OWNER: role}
            layers[role] = (image, about, kind)
        self.layers = layers
        self.made(self._stop - 1)  # more may have been made meanwhile

    def load(self, t: int) -> None:
        """Have a time point read; in a job."""
        for image, _, _ in self.layers.values():
            image.load(t, self._fov.shape[1] // 2)


def _contrast(plane: NDArray[Any]) -> tuple[float, float]:
    """Limits of intensity of the first plane there is: the others are not yet known."""
    sample = plane[::_GRID, ::_GRID].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    low, high = np.percentile(sample, [0.5, 99.8]) if sample.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)
