"""Chart: a drawing by matplotlib, made in the background and shown as a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_dynaclr.core.atomic import atomic_file
from napari_dynaclr.core.errors import InvalidInput, storage_errors
from napari_dynaclr.gui.charts.drawings import Ink
from napari_dynaclr.gui.latest import Latest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from qtpy.QtGui import QMouseEvent, QPaintEvent, QResizeEvent, QShowEvent

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.gui.runner import Runner

_DPI = 100

KINDS = (".png", ".svg", ".pdf")
"""Kinds of file that a drawing can be saved as."""


@dataclass(frozen=True)
class Picture:
    """A drawing as pixels.

    Attributes
    ----------
    pixels
        RGBA, (H, W, 4).
    ratio
        Pixels per logical pixel.
    box
        Left, top, width and height of the axes, in logical pixels.
    span
        Values at the left and the right end of the x axis.
    """

    pixels: NDArray[np.uint8]
    ratio: float
    box: tuple[float, float, float, float]
    span: tuple[float, float]

    def place_of(self, x: float) -> float:
        """Where a value lies, in logical pixels from the left."""
        low, high = self.span
        return self.box[0] + (x - low) / (high - low) * self.box[2]

    def value_at(self, place: float) -> float:
        """Value at a place, the inverse of :meth:`place_of`, within the axis."""
        low, high = self.span
        part = min(max((place - self.box[0]) / self.box[2], 0.0), 1.0)
        return low + part * (high - low)


def render(
    drawing: Callable[[Figure, Ink], None], ink: Ink, size: tuple[int, int], ratio: float
) -> Picture:
    """Draw; takes tens of milliseconds, so run it in a job.

    Parameters
    ----------
    drawing
        Draws on a figure.
    ink
        With what.
    size
        Width and height in logical pixels.
    ratio
        Pixels per logical pixel.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((size[0] / _DPI, size[1] / _DPI), dpi=_DPI * ratio, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    drawing(figure, ink)
    canvas.draw()
    pixels = np.array(canvas.buffer_rgba())
    axes = figure.axes[0]
    box = axes.get_window_extent()
    low, high = axes.get_xlim()
    return Picture(
        pixels,
        ratio,
        (box.x0 / ratio, size[1] - box.y1 / ratio, box.width / ratio, box.height / ratio),
        (float(low), float(high)),
    )


def save(drawing: Callable[[Figure, Ink], None], file: Path, size: tuple[int, int]) -> None:
    """Save a drawing for a slide or a paper: dark on white, whatever the theme; in a job.

    Parameters
    ----------
    drawing
        Draws on a figure.
    file
        Its ending says which of :data:`KINDS`.
    size
        Width and height in logical pixels of the screen.

    Raises
    ------
    InvalidInput
        If the ending is none of them.
    StorageError
        If the place cannot be written to.
    """
    from matplotlib.figure import Figure

    kind = file.suffix.lower()
    if kind not in KINDS:
        raise InvalidInput(
            f"Cannot save a chart as '{file.name}': end the name in one of {', '.join(KINDS)}."
        )
    figure = Figure((size[0] / _DPI, size[1] / _DPI), layout="constrained")
    drawing(figure, replace(Ink(), size=9.0))
    with storage_errors(f"write {file}"), atomic_file(file) as temporary:
        figure.savefig(temporary, format=kind[1:], dpi=300)


class Chart(QWidget):
    """Shows a drawing; draws it again, in the background, when size or colours change.

    Parameters
    ----------
    runner
        Does the drawing.
    height
        In logical pixels.
    parent
        Its parent in Qt.
    """

    clicked = Signal(float)
    """The user clicked at this value of the x axis."""
    drawn = Signal()
    """What is shown is up to date."""

    def __init__(self, runner: Runner, height: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # A drag at the dock's rim asks for many sizes; only the last is drawn.
        self._draws = Latest(runner, self, "charts")
        self._height = height
        self._drawing: Callable[[Figure, Ink], None] | None = None
        self._wanted: Any = None
        self.picture: Picture | None = None
        self._image: QImage | None = None
        self.ink = Ink()
        self.cursor_at: float | None = None
        self.setFixedHeight(height)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Return as high as was asked for."""
        return QSize(160, self._height)

    @property
    def drawing(self) -> Callable[[Figure, Ink], None] | None:
        """What is shown, or will be soon."""
        return self._drawing

    def show_drawing(self, drawing: Callable[[Figure, Ink], None] | None) -> None:
        """Show another drawing, or nothing."""
        self._drawing = drawing
        if drawing is None:
            self._draws.stop()
            self.picture = self._image = self._wanted = None
            self.update()
        else:
            self._draw()

    def set_ink(self, ink: Ink) -> None:
        """Draw in other colours."""
        if ink != self.ink:
            self.ink = ink
            self._draw()

    def set_cursor(self, x: float | None) -> None:
        """Mark a value of the x axis; nothing is drawn anew for it."""
        if x != self.cursor_at:
            self.cursor_at = x
            self.update()

    def _draw(self) -> None:
        """Draw what is wanted now, unless it is shown or on its way. The newest wish wins."""
        drawing, size = self._drawing, (self.width(), self.height())
        wanted = (drawing, self.ink, size, self.devicePixelRatioF())
        if drawing is None or not self.isVisible() or size[0] < 60 or wanted == self._wanted:
            return
        self._wanted = wanted

        def work(_job: Job) -> Picture:
            return render(drawing, *wanted[1:])

        def done(picture: Picture) -> None:
            high, wide = picture.pixels.shape[:2]
            data: Any = picture.pixels.data  # Qt does not copy it: the picture is kept
            self._image = QImage(data, wide, high, 4 * wide, QImage.Format.Format_RGBA8888)
            self._image.setDevicePixelRatio(picture.ratio)
            self.picture = picture
            self.update()
            self.drawn.emit()

        self._draws.start("draw a chart", work, done)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Draw what has been asked for while hidden."""
        super().showEvent(event)
        self._draw()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Draw in the new size."""
        super().resizeEvent(event)
        self._draw()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Tell the value that was clicked."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton and self.picture:
            self.clicked.emit(self.picture.value_at(event.position().x()))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Show the picture, stretched while another size is being drawn, and the cursor."""
        if self._image is None or self.picture is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(QRectF(self.rect()), self._image, QRectF(self._image.rect()))
        if self.cursor_at is not None and self.picture.span[0] <= self.cursor_at:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            _, top, _, high = self.picture.box
            x = self.picture.place_of(self.cursor_at)
            painter.setPen(QPen(QColor(self.ink.accent), 1.4))
            painter.drawLine(QPointF(x, top), QPointF(x, top + high))
        painter.end()
