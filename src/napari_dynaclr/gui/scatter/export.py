"""The map as a picture file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtGui import QImage, QPainter

from napari_dynaclr.core.atomic import atomic_file
from napari_dynaclr.core.errors import InvalidInput, storage_errors
from napari_dynaclr.gui.scatter.canvas import DIMMED, RING, highlighted_size, selected_ring

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_dynaclr.gui.scatter.canvas import PointCanvas
    from napari_dynaclr.gui.scatter.overlay import Overlay

ZOOM = 2.0
"""Resolution of a saved picture as a multiple of the screen's."""

MANY = 20_000
"""More points than this are an image inside the SVG: no program opens a million circles."""

DPI = 96.0
"""Logical pixels per inch, as CSS has it."""


@dataclass(frozen=True)
class Points:
    """Points of one colour table and size, to draw as vectors.

    Attributes
    ----------
    xy
        Where, (N, 2).
    diameter
        Logical pixels.
    rgba
        From 0 to 1, (N, 4) or (1, 4) for all.
    """

    xy: NDArray[np.floating]
    diameter: float
    rgba: NDArray[np.floating]


@dataclass(frozen=True)
class Shot:
    """What a plot shows, taken from its widgets so that any thread can write it.

    Attributes
    ----------
    size
        Width and height in logical pixels.
    corners
        Left, right, bottom and top of the view, in the points' coordinates.
    background, foreground
        RGB from 0 to 1.
    pixels
        The points drawn, (height, width, 4) uint8 at :data:`ZOOM`, if there are many.
    points
        The points as vectors, the lowest first, if there are few.
    picture
        All of it drawn, where pixels are asked for.
    lines, starts, ends, captions
        Of the overlay.
    """

    size: tuple[int, int]
    corners: tuple[float, float, float, float]
    background: tuple[float, float, float]
    foreground: tuple[float, float, float]
    pixels: NDArray[np.uint8] | None
    points: tuple[Points, ...]
    picture: QImage | None
    lines: tuple[NDArray[np.floating], ...]
    starts: NDArray[np.floating]
    ends: NDArray[np.floating]
    captions: tuple[str, str]

    def write(self, path: Path) -> None:
        """Write the picture; takes a second or two for a large one.

        Parameters
        ----------
        path
            As given to :func:`take`.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        with storage_errors(f"save {path}"), atomic_file(path) as temporary:
            if self.picture is None:
                _write_svg(temporary, self)
            elif not self.picture.save(str(temporary)):
                raise OSError(f"Qt could not write {path}")


def take(path: Path, canvas: PointCanvas, overlay: Overlay) -> Shot:
    """Take a shot of a scatter plot, on the GUI thread, to be written as PNG or SVG.

    Parameters
    ----------
    path
        Where it will be written: ``.png``, at twice the resolution, or ``.svg``.
    canvas, overlay
        What is seen.

    Raises
    ------
    InvalidInput
        If the name ends otherwise.
    """
    suffix = path.suffix.lower()
    if suffix not in (".png", ".svg"):
        raise InvalidInput(f"Cannot save the map as '{path.name}': name it .png or .svg.")
    width, height = size = max(canvas.width(), 1), max(canvas.height(), 1)
    left, top = canvas.view.to_xy(np.array([0, 0]), size)
    right, bottom = canvas.view.to_xy(np.array([width, height]), size)
    as_image = suffix == ".png"
    few = not as_image and len(canvas.order) + len(canvas.selected) <= MANY
    pixels = None if few else canvas.picture(ZOOM)
    return Shot(
        size=size,
        corners=(left, right, bottom, top),
        background=canvas.background,
        foreground=canvas.foreground,
        pixels=pixels,
        points=_points(canvas) if few else (),
        picture=_painted(pixels, size, overlay)
        if suffix == ".png" and pixels is not None
        else None,
        lines=tuple(overlay.lines),
        starts=overlay.starts,
        ends=overlay.ends,
        captions=overlay.captions,
    )


def _painted(pixels: NDArray[np.uint8], size: tuple[int, int], overlay: Overlay) -> QImage:
    height, width = pixels.shape[:2]
    form = QImage.Format.Format_RGBA8888
    image = QImage(pixels.tobytes(), width, height, 4 * width, form).copy()
    painter = QPainter(image)
    painter.scale(width / size[0], height / size[1])
    overlay.draw(painter)
    painter.end()
    return image


def _points(canvas: PointCanvas) -> tuple[Points, ...]:
    """Say as vectors what the canvas draws with pixels."""
    size, ring = canvas.point_size, np.array([[*canvas.foreground, 1.0]])
    own = canvas.rgba[canvas.order] / 255
    if len(canvas.selected):
        own[:, :3] = DIMMED * own[:, :3] + (1 - DIMMED) * np.array(canvas.background)
    found = [Points(canvas.xy[canvas.order], size, own)]
    for rows, pixels, extra in (
        (canvas.selected, size, selected_ring(size)),
        (canvas.highlighted, highlighted_size(size), RING),
    ):
        xy = canvas.xy[rows]
        found.append(Points(xy, pixels + 2 * extra, ring))
        found.append(Points(xy, pixels, canvas.rgba[rows] / 255))
    return tuple(points for points in found if len(points.xy))


def _write_svg(path: Path, shot: Shot) -> None:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    left, right, bottom, top = shot.corners
    inches = shot.size[0] / DPI, shot.size[1] / DPI
    figure = Figure(figsize=inches, facecolor=shot.background)
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0, 0, 1, 1), facecolor=shot.background)
    axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if shot.pixels is not None:
        axes.imshow(shot.pixels, extent=shot.corners, aspect="auto", interpolation="none")
    for one in shot.points:
        area = (one.diameter * 72 / DPI) ** 2
        x, y = one.xy.T
        axes.scatter(x, y, s=area, c=one.rgba, linewidths=0, zorder=1)
    for line in shot.lines:
        axes.plot(*line.T, color=shot.background, linewidth=3.4, alpha=0.7)
        axes.plot(*line.T, color=shot.foreground, linewidth=1.5)
    for places, marker in ((shot.starts, "o"), (shot.ends, "s")):
        axes.plot(
            *places.T,
            marker,
            color=shot.foreground,
            markeredgecolor=shot.background,
            markersize=8,
        )
    first, second = shot.captions
    text: dict[str, Any] = {"color": shot.foreground, "transform": axes.transAxes, "fontsize": 9}
    if first:
        axes.text(0.985, 0.02, f"{first} →", ha="right", va="bottom", **text)
    if second:
        axes.text(0.015, 0.98, f"↑ {second}", ha="left", va="top", **text)
    # Text stays text, so that it can be edited; no date, so that the same map is the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "map"}):
        figure.savefig(path, format="svg", facecolor=shot.background, metadata={"Date": None})
