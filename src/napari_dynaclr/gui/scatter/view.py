"""The part of the plane that a scatter plot shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = tuple[float, float]
"""Width and height in logical pixels."""

MARGIN = 0.08
"""Empty space around the points, as part of their extent."""

CLOSEST, FARTHEST = 1e-5, 20.0
"""How far one may zoom, as multiples of the view that shows everything."""


@dataclass
class View:
    """A centre and a scale, the same along x and y, since distances on a map mean something.

    Parameters
    ----------
    x, y
        The point in the middle of the widget, in the units of the points.
    width, height
        Extent that is sure to be seen whatever the shape of the widget, same units.
    """

    x: float = 0.0
    y: float = 0.0
    width: float = 2.0
    height: float = 2.0

    @classmethod
    def around(cls, xy: NDArray[np.float32]) -> View:
        """Return the view of all points; where a few lie far away, of all but those.

        Parameters
        ----------
        xy
            (N, 2) points, all finite.
        """
        if not len(xy):
            return cls()
        points = xy.astype(np.float64)
        low, high = points.min(axis=0), points.max(axis=0)
        inner_low, inner_high = np.percentile(points, (1, 99), axis=0)
        inner = inner_high - inner_low
        if ((high - low) > 2.0 * inner).any() and (inner > 0).any():
            low = np.maximum(low, inner_low - 0.15 * inner)
            high = np.minimum(high, inner_high + 0.15 * inner)
        x, y = (low + high) / 2
        span = high - low
        if not span.any():
            span[:] = max(1.0, 1e-3 * float(np.abs(low).max()))
        width, height = np.maximum(span, 1e-3 * span.max()) * (1 + 2 * MARGIN)
        return cls(float(x), float(y), float(width), float(height))

    def resembles(self, other: View) -> bool:
        """Whether two views show much the same: the middle of each lies well inside the other."""
        extents = ((self.width, other.width), (self.height, other.height))
        offsets = (self.x - other.x, self.y - other.y)
        return all(
            abs(offset) < min(one, two) / 2 and max(one, two) < 2 * min(one, two)
            for offset, (one, two) in zip(offsets, extents, strict=True)
        )

    def scale(self, size: Size) -> float:
        """Return the logical pixels per unit."""
        return min(max(size[0], 1.0) / self.width, max(size[1], 1.0) / self.height)

    def to_pixel(self, xy: NDArray[np.floating], size: Size) -> NDArray[np.float64]:
        """Return where points lie in the widget, in logical pixels from its top left corner."""
        offset = (np.asarray(xy, dtype=np.float64) - (self.x, self.y)) * self.scale(size)
        return offset * (1.0, -1.0) + (size[0] / 2, size[1] / 2)

    def to_xy(self, pixel: NDArray[np.floating], size: Size) -> NDArray[np.float64]:
        """Return the points at places in the widget, the inverse of :meth:`to_pixel`."""
        offset = np.asarray(pixel, dtype=np.float64) - (size[0] / 2, size[1] / 2)
        return offset * (1.0, -1.0) / self.scale(size) + (self.x, self.y)

    def panned(self, right: float, down: float, size: Size) -> View:
        """Return the view after dragging the points by so many logical pixels."""
        scale = self.scale(size)
        return View(self.x - right / scale, self.y + down / scale, self.width, self.height)

    def zoomed(self, factor: float, at: Size, size: Size, whole: View) -> View:
        """Return the view enlarged about a place in the widget.

        Parameters
        ----------
        factor
            Above 1 enlarges.
        at
            The place that stays where it is, in logical pixels.
        size
            Of the widget.
        whole
            The view that shows everything: sets how far one may go.
        """
        now = whole.width / self.width
        factor = float(np.clip(now * factor, 1 / FARTHEST, 1 / CLOSEST)) / now
        fixed = self.to_xy(np.asarray(at), size)
        x, y = fixed + (np.array([self.x, self.y]) - fixed) / factor
        return View(float(x), float(y), self.width / factor, self.height / factor)
