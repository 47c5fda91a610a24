"""The map as a picture file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtGui import QImage, QPainter

from napari_dynaclr.core.atomic import atomic_file
from napari_dynaclr.core.errors import InvalidInput, storage_errors
from napari_dynaclr.gui.scatter.canvas import DIMMED, RING, highlighted_size, selected_ring

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from napari_dynaclr.gui.scatter.canvas import PointCanvas
    from napari_dynaclr.gui.scatter.overlay import Overlay

ZOOM = 2.0
"""Resolution of a saved picture as a multiple of the screen's."""

MANY = 20_000
"""More points than this are an image inside the SVG: no program opens a million circles."""

DPI = 96.0
"""Logical pixels per inch, as CSS has it."""


def save(path: Path, canvas: PointCanvas, overlay: Overlay) -> None:
    """Save a scatter plot as PNG or SVG; see :meth:`PointCloud.save`."""
    writer = {".png": _save_png, ".svg": _save_svg}.get(path.suffix.lower())
    if writer is None:
        raise InvalidInput(f"Cannot save the map as '{path.name}': name it .png or .svg.")
    with storage_errors(f"save {path}"), atomic_file(path) as temporary:
        writer(temporary, canvas, overlay)


def _save_png(path: Path, canvas: PointCanvas, overlay: Overlay) -> None:
    pixels = canvas.picture(ZOOM)
    height, width = pixels.shape[:2]
    image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888)
    painter = QPainter(image)
    painter.scale(width / max(canvas.width(), 1), height / max(canvas.height(), 1))
    overlay.draw(painter)
    painter.end()
    if not image.save(str(path)):
        raise OSError(f"Qt could not write {path}")


def _save_svg(path: Path, canvas: PointCanvas, overlay: Overlay) -> None:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    width, height = max(canvas.width(), 1), max(canvas.height(), 1)
    figure = Figure(figsize=(width / DPI, height / DPI), facecolor=canvas.background)
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0, 0, 1, 1), facecolor=canvas.background)
    left, top = canvas.view.to_xy(np.array([0, 0]), (width, height))
    right, bottom = canvas.view.to_xy(np.array([width, height]), (width, height))
    axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if len(canvas.order) + len(canvas.selected) > MANY:
        axes.imshow(
            canvas.picture(ZOOM),
            extent=(left, right, bottom, top),
            aspect="auto",
            interpolation="none",
        )
    else:
        _scatter(axes, canvas)
    for line in overlay.lines:
        axes.plot(*line.T, color=canvas.background, linewidth=3.4, alpha=0.7)
        axes.plot(*line.T, color=canvas.foreground, linewidth=1.5)
    for points, marker in ((overlay.starts, "o"), (overlay.ends, "s")):
        axes.plot(
            *points.T,
            marker,
            color=canvas.foreground,
            markeredgecolor=canvas.background,
            markersize=8,
        )
    first, second = overlay.captions
    text: dict[str, Any] = {"color": canvas.foreground, "transform": axes.transAxes, "fontsize": 9}
    if first:
        axes.text(0.985, 0.02, f"{first} →", ha="right", va="bottom", **text)
    if second:
        axes.text(0.015, 0.98, f"↑ {second}", ha="left", va="top", **text)
    # Text stays text, so that it can be edited; no date, so that the same map is the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "map"}):
        figure.savefig(path, format="svg", facecolor=canvas.background, metadata={"Date": None})


def _scatter(axes: Axes, canvas: PointCanvas) -> None:
    """Draw points as vectors, as the canvas does with pixels."""

    def draw(
        rows: NDArray[np.uint32], pixels: float, colours: NDArray[np.float64] | None = None
    ) -> None:
        own = canvas.rgba[rows] / 255 if colours is None else colours
        area = (pixels * 72 / DPI) ** 2
        x, y = canvas.xy[rows].T
        axes.scatter(x, y, s=area, c=own, linewidths=0, zorder=1)

    size, ring = canvas.point_size, np.array([[*canvas.foreground, 1.0]])
    own = canvas.rgba[canvas.order] / 255
    if len(canvas.selected):
        own[:, :3] = DIMMED * own[:, :3] + (1 - DIMMED) * np.array(canvas.background)
    if len(own):
        draw(canvas.order, size, own)
    for rows, pixels, extra in (
        (canvas.selected, size, selected_ring(size)),
        (canvas.highlighted, highlighted_size(size), RING),
    ):
        if len(rows):
            draw(rows, pixels + 2 * extra, ring)
            draw(rows, pixels)
