"""The widget that draws the points of a map, a share at a time where the machine is slow.

The points are drawn into a picture that is kept: a new highlight, a lasso or the hover ring costs a
copy of it, not a million points. What is selected is drawn over a faded copy, which is kept too, so
that a selection costs as many points as are selected. After a change of view the points come in a
fixed random order, as many as the time of one frame allows; the rest follow in the next frames. So
the view follows the mouse at once even without a graphics card, and no class of cells covers
another. Of very many points, those that others cover are left out.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from qtpy import PYQT5, PYSIDE2
from qtpy.QtCore import QTimer
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
from vispy.gloo import gl

from napari_dynaclr.gui.scatter.covered import FEW, uncovered
from napari_dynaclr.gui.scatter.gl import Buffer, Painter, Target
from napari_dynaclr.gui.scatter.view import View

if PYQT5 or PYSIDE2:
    from qtpy.QtWidgets import QOpenGLWidget
else:
    from qtpy.QtOpenGLWidgets import QOpenGLWidget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from qtpy.QtWidgets import QWidget

Rgb = tuple[float, float, float]

BUFFERS = ("xy", "rgba", "order", "selected", "highlighted")
"""The arrays that go to the graphics card, by their names here and in the painter."""

FRAME = 0.03
"""Seconds of drawing per frame, so that the mouse is never behind."""

REFRESH = 0.1
"""Seconds between two looks at a picture that is not complete: showing it takes time too."""

SHARE = 16_384
"""Points in the first frame, before it is known how fast this machine is."""

DIMMED = 0.35
"""How much of their own colour the others keep while something is selected."""

RING = 1.5
"""Width of a ring in logical pixels, at most."""

MOST_RINGS = 50_000
"""Selected points that get rings: of more, the rings would hide one another's points."""


def selected_ring(size: float) -> float:
    """Return the width of the ring of selected points: thin where the points are small."""
    return min(RING, 0.35 * size)


def highlighted_size(size: float) -> float:
    """Return the diameter of a highlighted point."""
    return 1.25 * size + 2.0


class PointCanvas(QOpenGLWidget):
    """Draws points; :class:`~napari_dynaclr.gui.scatter.plot.PointCloud` tells it which and where.

    Nothing is sent to the graphics card before the widget is shown.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view = View()
        self.point_size = 4.0
        self.background: Rgb = (0.0, 0.0, 0.0)
        self.foreground: Rgb = (1.0, 1.0, 1.0)
        self.xy = np.empty((0, 2), dtype=np.float32)
        self.rgba = np.empty((0, 4), dtype=np.uint8)
        self.order = np.empty(0, dtype=np.uint32)
        self.selected = np.empty(0, dtype=np.uint32)
        self.highlighted = np.empty(0, dtype=np.uint32)
        self._stale: set[str] = set()
        self._opaque = True
        self._painter: Painter | None = None
        self._drawn = 0  # points in the picture of all
        self._over = 0  # points in the picture of the selected, in both passes
        self._share = SHARE
        self._shown = 0.0
        self._more = QTimer(self)
        self._more.setSingleShot(True)
        self._more.setInterval(0)
        self._more.timeout.connect(self._refine)

    def changed(self, *names: str) -> None:
        """Say which of ``xy rgba order selected highlighted view`` are new, and draw anew.

        ``selected`` starts the picture of those afresh, ``highlighted`` none, the others both.
        """
        self._stale.update(set(names) - {"view"})
        opaque = self._opaque
        if "rgba" in names:
            self._opaque = bool((self.rgba[:, 3] == 255).all())
        if len(self.order) > FEW and ("view" in names or opaque != self._opaque):
            self._stale.update({"order", "selected"})  # others are covered now
        if set(names) - {"highlighted"}:
            self._over = 0
        if set(names) - {"highlighted", "selected"}:
            self._drawn = 0
        self.update()

    @property
    def complete(self) -> bool:
        """Whether all points are in the picture."""
        painter = self._painter
        if painter is None or self._stale:
            return not len(self.order)
        return self._drawn >= painter.order.size and self._over >= self._to_draw_over(painter)

    def picture(self, zoom: float = 1.0) -> NDArray[np.uint8]:
        """Draw everything, without the overlay, at ``zoom`` times the resolution of the screen.

        Returns
        -------
        NDArray[np.uint8]
            (height, width, 4), opaque.
        """
        # In a context of its own: that of a widget exists only once it was shown, and asking Qt to
        # grab a widget that is not shown brings it down when the widget moves to another window.
        surface, context = QOffscreenSurface(), QOpenGLContext()
        surface.create()
        context.create()
        if not context.makeCurrent(surface):
            raise RuntimeError("no OpenGL context")
        painter = Painter()
        try:
            ratio = self.devicePixelRatioF() * zoom
            self._upload(painter, BUFFERS, ratio)
            target = Target(*self._physical(ratio))
            target.bind()
            self._clear()
            keep = DIMMED if len(self.selected) else 1.0
            self._draw_base(painter, ratio, 0, painter.order.size, keep)
            self._draw_selected(painter, ratio, 0, self._to_draw_over(painter))
            self._draw_highlighted(painter, ratio)
            image = target.read()
            target.delete()
        finally:
            painter.delete()
            context.doneCurrent()
        return image

    def initializeGL(self) -> None:
        """Prepare a new context: the first, or that of the window it was undocked into."""
        self._painter = Painter()
        self._stale = set(BUFFERS)
        self._drawn = self._over = 0
        context = self.context()
        if context is not None:
            context.aboutToBeDestroyed.connect(self._release)

    def resizeGL(self, width: int, height: int) -> None:
        """Start the pictures afresh in the new size."""
        self.changed("view")

    def paintGL(self) -> None:
        """Draw what one frame has time for."""
        painter = self._painter
        if painter is None:
            return
        begin = time.perf_counter()
        ratio = self.devicePixelRatioF()
        self._upload(painter, self._stale, ratio)
        self._stale.clear()
        width, height = self._physical(ratio)
        if painter.resize(width, height):
            self._drawn = self._over = 0
        base, front = painter.base, painter.front
        if base is None or front is None:
            return
        room = max(1 - (time.perf_counter() - begin) / FRAME, 0.25)
        shown = base
        if len(self.selected):
            shown = front
            room /= 2  # they are drawn twice
        if self._drawn == 0:
            self._draw_share(painter, ratio, room)
        if shown is front:
            if self._drawn < painter.order.size:  # a foretaste, until all the others are there
                self._fade(painter)
                self._draw_selected(painter, ratio, 0, int(room * self._share))
            elif self._over == 0:  # else the selected of the last view would be seen
                self._draw_share(painter, ratio, room)
        gl.glBindFramebuffer(gl.GL_FRAMEBUFFER, self.defaultFramebufferObject())
        gl.glViewport(0, 0, width, height)
        painter.draw_image(shown)
        self._draw_highlighted(painter, ratio)
        self._shown = time.perf_counter()
        if not self.complete:
            self._more.start()

    def _refine(self) -> None:
        """Draw another share into the picture; show it now and then, and when it is complete."""
        painter = self._painter
        if painter is None or painter.base is None or not self.isVisible():
            return  # the next frame goes on
        if self._stale:
            self.update()  # it brings what is new to the graphics card first
            return
        if self._drawn:
            self.makeCurrent()
            self._draw_share(painter, self.devicePixelRatioF())
            self.doneCurrent()
        if self.complete or time.perf_counter() - self._shown > REFRESH:
            self.update()
        else:
            self._more.start()

    def _release(self) -> None:
        """Free the memory of a context that goes; the arrays stay for the next."""
        painter, self._painter = self._painter, None
        if painter is not None:
            self.makeCurrent()
            painter.delete()
            self.doneCurrent()

    def _upload(self, painter: Painter, names: Iterable[str], ratio: float) -> None:
        for name in names:
            buffer: Buffer = getattr(painter, name)
            data = getattr(self, name)
            if name in ("order", "selected"):
                data = self._uncovered(data, ratio)
            buffer.upload(data, often=name != "xy")

    def _uncovered(self, rows: NDArray[np.uint32], ratio: float) -> NDArray[np.uint32]:
        """Return the rows that can be seen, of many that are drawn in this order."""
        if len(rows) <= FEW or not self._opaque:
            return rows
        xy = self.xy.take(rows, axis=0)  # twenty times as fast as xy[rows]
        size = (self.width(), self.height())
        return rows[uncovered(xy, self.view, size, ratio, self.point_size / 2)]

    def _physical(self, ratio: float) -> tuple[int, int]:
        return max(int(self.width() * ratio), 1), max(int(self.height() * ratio), 1)

    def _clear(self) -> None:
        gl.glClearColor(*self.background, 1.0)
        gl.glClear(gl.GL_COLOR_BUFFER_BIT)

    def _to_draw_over(self, painter: Painter) -> int:
        """Points of the passes over the selected: their rings, then themselves."""
        return painter.selected.size * (1 + (len(self.selected) <= MOST_RINGS))

    def _fade(self, painter: Painter) -> None:
        """Start the picture of the selected with a faded copy of the others."""
        if painter.base is not None and painter.front is not None:
            painter.front.bind()
            painter.draw_image(painter.base, DIMMED, self.background)

    def _place(self) -> dict[str, float | tuple[float, ...]]:
        """Where points go, in OpenGL's units."""
        scale = 2 * self.view.scale((self.width(), self.height()))
        return {
            "u_centre": (self.view.x, self.view.y),
            "u_scale": (scale / max(self.width(), 1), scale / max(self.height(), 1)),
            "u_background": self.background,
        }

    def _draw_share(self, painter: Painter, ratio: float, room: float = 1.0) -> None:
        """Draw as many more points as a part of a frame has room for, judged by the last share."""
        begin, count = time.perf_counter(), int(room * self._share)
        before = self._drawn + self._over
        if self._drawn < painter.order.size or not len(self.selected):
            if painter.base is not None:
                painter.base.bind()
            if self._drawn == 0:
                self._clear()
            self._drawn = self._draw_base(painter, ratio, self._drawn, count, 1.0)
        else:
            if self._over == 0:
                self._fade(painter)
            elif painter.front is not None:
                painter.front.bind()
            self._over = self._draw_selected(painter, ratio, self._over, count)
        gl.glFinish()  # else the clock would only measure the asking
        speed = (self._drawn + self._over - before) / (time.perf_counter() - begin)
        # At most twice as many at once: points that lie apart take longer than those in a heap.
        self._share = int(np.clip(speed * FRAME, SHARE / 4, 2 * self._share))

    def _draw_base(
        self, painter: Painter, ratio: float, start: int, count: int, keep: float
    ) -> int:
        """Draw ``count`` of all points from ``start`` on, and return how far it came."""
        stop = min(start + count, painter.order.size)
        painter.draw_points(
            painter.order,
            start,
            stop - start,
            u_size=self.point_size * ratio,
            u_keep=keep,
            u_flat=(0.0, 0.0, 0.0, 0.0),
            **self._place(),
        )
        return stop

    def _draw_selected(self, painter: Painter, ratio: float, start: int, count: int) -> int:
        """Draw rings of the selected, then the selected on top of all rings.

        The two count as one sequence, of which this draws ``count`` from ``start`` on.

        Returns
        -------
        int
            How far it came.
        """
        size = self.point_size * ratio
        wide = size + 2 * selected_ring(self.point_size) * ratio
        rings = (wide, (*self.foreground, 1.0))
        own = (size, (0.0, 0.0, 0.0, 0.0))
        place, rows = self._place(), painter.selected
        first, stop = 0, start + count
        for diameter, flat in (rings, own) if len(self.selected) <= MOST_RINGS else (own,):
            last = min(stop, first + rows.size)
            if start < last:
                painter.draw_points(
                    rows,
                    start - first,
                    last - start,
                    u_size=diameter,
                    u_keep=1.0,
                    u_flat=flat,
                    **place,
                )
                start = last
            first += rows.size
        return start

    def _draw_highlighted(self, painter: Painter, ratio: float) -> None:
        """Draw the cells of the current frame, larger, with a ring."""
        rows, place = painter.highlighted, self._place()
        size = highlighted_size(self.point_size) * ratio
        wide = size + 2 * RING * ratio
        for diameter, flat in ((wide, (*self.foreground, 1.0)), (size, (0.0, 0.0, 0.0, 0.0))):
            painter.draw_points(
                rows, 0, rows.size, u_size=diameter, u_keep=1.0, u_flat=flat, **place
            )
