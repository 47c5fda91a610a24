"""What lies over the points: trajectory, lasso, hover ring, captions and the hint."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QLineF, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from qtpy.QtGui import QPaintEvent

PADDING = 8
"""Logical pixels between captions and the border."""


class Overlay(QWidget):
    """A transparent sheet over the canvas; the mouse goes through it.

    Parameters
    ----------
    parent
        The canvas.
    to_pixel
        Turns (N, 2) points into (N, 2) places in the widget.
    """

    def __init__(
        self, parent: QWidget, to_pixel: Callable[[NDArray[np.floating]], NDArray[np.float64]]
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._to_pixel = to_pixel
        self.foreground, self.background = QColor("white"), QColor("black")
        self.lines: list[NDArray[np.float32]] = []
        self.starts = self.ends = np.empty((0, 2), dtype=np.float32)
        self.outline: Sequence[tuple[float, float]] = ()
        self.hover: NDArray[np.float32] | None = None
        self.hover_size = 8.0
        self.captions = ("", "")
        self.hint = ""

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw everything."""
        painter = QPainter(self)
        self.draw(painter)
        painter.end()

    def draw(self, painter: QPainter) -> None:
        """Draw everything, in logical pixels of this widget."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_path(painter)
        self._draw_hover(painter)
        self._draw_outline(painter)
        self._draw_text(painter)

    def _points(self, xy: NDArray[np.float32]) -> list[QPointF]:
        return [QPointF(x, y) for x, y in self._to_pixel(xy).tolist()]

    def _pen(self, colour: QColor, width: float) -> QPen:
        return QPen(
            colour, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin
        )

    def _faded(self, colour: QColor, alpha: float) -> QColor:
        faded = QColor(colour)
        faded.setAlphaF(alpha)
        return faded

    def _draw_path(self, painter: QPainter) -> None:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        # Piece by piece: joining them to one outline takes Qt ten times as long.
        lines = [
            [QLineF(one, two) for one, two in pairwise(self._points(line))] for line in self.lines
        ]
        # The wide one underneath keeps the line readable over points of any colour.
        for pen in (
            self._pen(self._faded(self.background, 0.7), 4.5),
            self._pen(self.foreground, 2),
        ):
            painter.setPen(pen)
            for line in lines:
                if line:
                    painter.drawLines(*line)
        painter.setPen(self._pen(self.background, 1.5))
        painter.setBrush(self.foreground)
        for at in self._points(self.starts):
            painter.drawEllipse(at, 5.5, 5.5)
        for at in self._points(self.ends):
            painter.drawRect(QRectF(at.x() - 5, at.y() - 5, 10, 10))

    def _draw_hover(self, painter: QPainter) -> None:
        if self.hover is None:
            return
        at = self._points(self.hover[None])[0]
        radius = self.hover_size / 2 + 3
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for colour, width in ((self.background, 4.0), (self.foreground, 2.0)):
            painter.setPen(self._pen(colour, width))
            painter.drawEllipse(at, radius, radius)

    def _draw_outline(self, painter: QPainter) -> None:
        if len(self.outline) < 2:
            return
        path = QPainterPath()
        path.addPolygon(QPolygonF([QPointF(x, y) for x, y in self.outline]))
        path.closeSubpath()
        painter.fillPath(path, self._faded(self.foreground, 0.12))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for colour, width in ((self._faded(self.background, 0.7), 3.5), (self.foreground, 1.5)):
            painter.setPen(self._pen(colour, width))
            painter.drawPath(path)

    def _draw_text(self, painter: QPainter) -> None:
        area = self.rect().adjusted(PADDING, PADDING, -PADDING, -PADDING)
        first, second = self.captions
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
        for text, align in ((first and f"{first} →", right), (second and f"↑ {second}", left)):
            if text:
                # Points may lie beneath: a rim of background colour, drawn by shifting the text.
                painter.setPen(self.background)
                for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                    painter.drawText(area.translated(dx, dy), int(align), text)
                painter.setPen(self._faded(self.foreground, 0.8))
                painter.drawText(area, int(align), text)
        if self.hint:
            painter.setPen(self._faded(self.foreground, 0.7))
            flags = int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap)
            painter.drawText(area, flags, self.hint)


def ends_of(lines: list[NDArray[np.intp]]) -> tuple[list[int], list[int]]:
    """Return the rows at which trajectories start, and end, without those where they divide.

    A daughter's line begins with the last row of its mother's, so that the lines join.
    """
    firsts = {int(line[0]) for line in lines}
    lasts = {int(line[-1]) for line in lines}
    inner = {int(row) for line in lines for row in line[:-1]}
    return sorted(firsts - lasts), sorted(lasts - inner)
