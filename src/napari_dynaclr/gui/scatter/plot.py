"""A scatter plot of a million points that answers at once: the canvas of the linked map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_dynaclr.gui.scatter.canvas import PointCanvas
from napari_dynaclr.gui.scatter.export import Shot, take
from napari_dynaclr.gui.scatter.lasso import in_polygon, nearest
from napari_dynaclr.gui.scatter.overlay import Overlay, ends_of
from napari_dynaclr.gui.scatter.tools import Tools
from napari_dynaclr.gui.scatter.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray
    from qtpy.QtGui import QResizeEvent

    from napari_dynaclr.gui.scatter.tools import Place

Colour = str | tuple[float, ...]
"""``"#rrggbb"`` or a name, or 3 or 4 numbers from 0 to 1."""

PICK_RADIUS = 8.0
"""Logical pixels within which a click or the mouse finds a point."""

SAMPLE = 50_000
"""Points looked at to find the view that shows all of them."""

SEED = 0
"""Of the order in which points are drawn: the same on every machine."""

NO_MAP = "No map yet: run Embed, then Project"


class PointCloud(QWidget):
    """An interactive scatter plot; a row is the index of a point.

    The wheel zooms at the mouse, the middle button or space pans, a double click or Home shows
    everything, in every :attr:`mode`. With the focus on the plot, P, L and R choose pan, lasso
    and rectangle, and Escape ends a lasso and selects nothing.

    Parameters
    ----------
    parent
        The widget that holds this one.

    Notes
    -----
    ``selected(rows, how)`` follows a lasso or rectangle, with ``how`` "replace", "add" (Shift) or
    "remove" (Alt); the plot shows a selection only when :meth:`set_selected` tells it to.
    ``clicked(row, how)`` names the nearest point within :data:`PICK_RADIUS`, or -1.
    ``hovered(row)`` follows the mouse, -1 over nothing, only when it changes.
    ``view_changed()`` follows pan, zoom, reset and resize.
    """

    selected = Signal(object, str)
    clicked = Signal(int, str)
    hovered = Signal(int)
    view_changed = Signal()
    mode_changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.canvas = PointCanvas(self)
        self.canvas.setMinimumSize(120, 120)
        for widget in (self, self.canvas):  # else napari puts empty space below it in a dock
            widget.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.canvas.setMouseTracking(True)
        self.canvas.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFocusProxy(self.canvas)
        self._overlay = Overlay(self.canvas, self.xy_to_pixel)
        self._overlay.hint = NO_MAP
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.canvas)
        layer = QVBoxLayout(self.canvas)
        layer.setContentsMargins(0, 0, 0, 0)
        layer.addWidget(self._overlay)

        self._x = self._y = np.empty(0, dtype=np.float32)
        self._shuffled = np.empty(0, dtype=np.uint32)
        self._drawable = np.empty(0, dtype=np.bool_)
        self._whole = View()
        self._own_colours = True
        self._own_size = True
        self._size = 4.0
        self._hint = NO_MAP
        self._hovered = -1

        self.tools = Tools(self.canvas)
        self.tools.panned.connect(self._pan)
        self.tools.zoomed.connect(self._zoom)
        self.tools.reset.connect(self.reset_view)
        self.tools.outlining.connect(self._show_outline)
        self.tools.outlined.connect(self._select)
        self.tools.clicked.connect(self._click)
        self.tools.hovered.connect(self._hover)
        self.tools.escaped.connect(self._escape)
        self.tools.mode_changed.connect(self.mode_changed)
        self.set_theme("#262930", "#f0f1f2")

    def set_points(self, xy: ArrayLike, keep_view: bool = False) -> None:
        """Replace the points.

        Colours, selection, highlights and path stay where the number of points does, as when the
        same cells are projected anew; else they are cleared.

        Parameters
        ----------
        xy
            (N, 2) coordinates. A row that is not finite is neither drawn nor selectable.
        keep_view
            Stay where the user looks, rather than show everything; unless that is everything,
            or the points lie elsewhere now.
        """
        points = np.ascontiguousarray(xy, dtype=np.float32)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"points are (N, 2), not {points.shape}")
        self._set_hovered(-1)
        same = len(points) == len(self.canvas.xy)
        if not same:
            self.canvas.selected = self.canvas.highlighted = np.empty(0, dtype=np.uint32)
            self.set_path(None)
            self._own_colours = True
            self._shuffled = np.arange(len(points), dtype=np.uint32)
            np.random.default_rng(SEED).shuffle(self._shuffled)
        finite = np.isfinite(points)
        self._drawable = finite[:, 0] & finite[:, 1]
        # A copy of each column: tests of a million points are twice as fast on them.
        self._x, self._y = (np.where(self._drawable, column, np.nan) for column in points.T)
        order = self._shuffled
        if not self._drawable.all():
            order = order[self._drawable[order]]
        self.canvas.xy, self.canvas.order = points, order
        self.canvas.selected = self._drawn_only(self.canvas.selected)
        self.canvas.highlighted = self._drawn_only(self.canvas.highlighted)
        if self._own_colours:
            self._use_own_colours()
        if self._own_size:
            # From 7 pixels for a few points to 2 for a million.
            self._size = float(np.clip(14 - 2 * np.log10(max(len(order), 1)), 2.0, 7.0))
        self._overlay.hint = "" if len(order) else self._hint
        before, self._whole = self._whole, View.around(points[order[:SAMPLE]])
        self.canvas.changed("xy", "rgba", "order", "selected", "highlighted")
        if keep_view and self.canvas.view != before and self._whole.resembles(before):
            self._look(self.canvas.view)
        else:
            self.reset_view()

    def set_colours(self, rgba: NDArray[np.uint8]) -> None:
        """Colour the points.

        Parameters
        ----------
        rgba
            (N, 4); alpha 0 is not seen but can be selected.
        """
        colours = np.ascontiguousarray(rgba, dtype=np.uint8)
        if colours.shape != (len(self.canvas.xy), 4):
            raise ValueError(f"colours are ({len(self.canvas.xy)}, 4), not {colours.shape}")
        self._own_colours = False
        self.canvas.rgba = colours
        self.canvas.changed("rgba")

    def set_selected(self, rows: ArrayLike) -> None:
        """Show these rows on top, ringed, and dim the others; none dims nothing."""
        chosen = np.zeros(len(self._drawable), dtype=np.bool_)
        chosen[self._drawn_only(rows)] = True
        # In random order too, or one class would hide another.
        order = self.canvas.order
        self.canvas.selected = order[chosen[order]]
        self.canvas.changed("selected")

    def set_highlighted(self, rows: ArrayLike) -> None:
        """Show these rows, the cells of the current frame, larger and on top.

        The cost grows with the number of rows given, not with that of all points.
        """
        self.canvas.highlighted = self._drawn_only(rows)
        self.canvas.changed("highlighted")

    def set_path(self, lines: Sequence[ArrayLike] | None) -> None:
        """Draw trajectories through the map: round where one starts, square where one ends.

        Parameters
        ----------
        lines
            One sequence of rows per track, in order of time; None or an empty list draws none.
            A daughter's sequence starts with the last row of its mother's, so that they join.
        """
        tracks = [self._drawn_only(line).astype(np.intp) for line in lines or ()]
        tracks = [track for track in tracks if len(track)]
        starts, ends = ends_of(tracks)
        xy = self.canvas.xy
        self._overlay.lines = [xy[track] for track in tracks]
        self._overlay.starts, self._overlay.ends = xy[starts], xy[ends]
        self._overlay.update()

    def set_hint(self, text: str) -> None:
        """Set what is written in the middle while there are no points."""
        self._hint = text
        self._overlay.hint = "" if len(self.canvas.order) else text
        self._overlay.update()

    def set_axis_names(self, x: str, y: str) -> None:
        """Name the axes ("PHATE 1", "PHATE 2"); empty text shows none."""
        self._overlay.captions = (x, y)
        self._overlay.update()

    def set_theme(self, background: Colour, foreground: Colour) -> None:
        """Set the colours of the plot and of what is written and drawn on it."""
        back, front = _colour(background), _colour(foreground)
        self.canvas.background = (back.redF(), back.greenF(), back.blueF())
        self.canvas.foreground = (front.redF(), front.greenF(), front.blueF())
        self._overlay.background, self._overlay.foreground = back, front
        if self._own_colours:
            self._use_own_colours()
        self.canvas.changed("rgba" if self._own_colours else "view")
        self._overlay.update()

    @property
    def mode(self) -> str:
        """What the left button does: "pan", "lasso" or "rectangle"."""
        return self.tools.mode

    @mode.setter
    def mode(self, mode: str) -> None:
        self.tools.mode = mode

    @property
    def point_size(self) -> float:
        """Diameter of a point in logical pixels while everything is in view.

        Points grow a little as one zooms in. Until it is set, it follows the number of points.
        """
        return self._size

    @point_size.setter
    def point_size(self, size: float) -> None:
        if not 0 < size <= 50:
            raise ValueError(f"a point is more than 0 and at most 50 pixels wide, not {size}")
        self._size, self._own_size = float(size), False
        self._look(self.canvas.view)

    @property
    def view(self) -> View:
        """The part of the map in view; give it back to :meth:`set_view` to return there."""
        return self.canvas.view

    def set_view(self, view: View) -> None:
        """Show this part of the map."""
        self._look(view)

    def reset_view(self) -> None:
        """Show all points, but for a few that lie far from all others."""
        self._look(self._whole)

    def xy_to_pixel(self, xy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the places of points, (N, 2) or (2,), on the canvas in logical pixels."""
        return self.canvas.view.to_pixel(xy, (self.canvas.width(), self.canvas.height()))

    def pixel_to_xy(self, pixel: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the points at places on the canvas, the inverse of :meth:`xy_to_pixel`."""
        return self.canvas.view.to_xy(pixel, (self.canvas.width(), self.canvas.height()))

    def shot(self, path: Path) -> Shot:
        """Take what is seen, to be written to a file; see :func:`.export.take`.

        Parameters
        ----------
        path
            The file, ``.png`` or ``.svg``.

        Raises
        ------
        InvalidInput
            If the name ends otherwise.
        """
        return take(path, self.canvas, self._overlay)

    def sizeHint(self) -> QSize:
        """Ask for as much room as a map is readable in."""
        return QSize(420, 380)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep what was in view in view."""
        super().resizeEvent(event)
        self._look(self.canvas.view)

    def _drawn_only(self, rows: ArrayLike) -> NDArray[np.uint32]:
        """Return rows that have a place on the map."""
        asked = np.asarray(rows, dtype=np.int64).ravel()
        if asked.size and (asked.min() < 0 or asked.max() >= len(self._drawable)):
            raise ValueError(f"rows are from 0 to {len(self._drawable) - 1}")
        return asked[self._drawable[asked]].astype(np.uint32)

    def _use_own_colours(self) -> None:
        colour = np.array([*self.canvas.foreground, 0.6]) * 255
        self.canvas.rgba = np.full((len(self.canvas.xy), 4), colour.astype(np.uint8))

    def _look(self, view: View) -> None:
        """Change the view, and what depends on it."""
        self.canvas.view = view
        closer = max(self._whole.width / view.width, 1.0)
        # By the fourth root: single cells can be told apart, and clusters stay clusters.
        self.canvas.point_size = min(self._size * closer**0.25, max(12.0, self._size))
        self._overlay.hover_size = self.canvas.point_size
        self.canvas.changed("view")
        self._overlay.update()
        self.view_changed.emit()

    def _pan(self, right: float, down: float) -> None:
        size = (self.canvas.width(), self.canvas.height())
        self._look(self.canvas.view.panned(right, down, size))

    def _zoom(self, factor: float, at: Place) -> None:
        size = (self.canvas.width(), self.canvas.height())
        self._look(self.canvas.view.zoomed(factor, at, size, self._whole))

    def _show_outline(self, places: list[Place]) -> None:
        self._overlay.outline = tuple(places)
        self._overlay.update()

    def _select(self, places: list[Place], how: str) -> None:
        rows = in_polygon(self._x, self._y, self.pixel_to_xy(np.asarray(places)))
        self.selected.emit(rows, how)

    def _row_at(self, at: Place) -> int:
        scale = self.canvas.view.scale((self.canvas.width(), self.canvas.height()))
        x, y = self.pixel_to_xy(np.asarray(at))
        return nearest(self._x, self._y, (float(x), float(y)), PICK_RADIUS / scale)

    def _click(self, at: Place, how: str) -> None:
        self.clicked.emit(self._row_at(at), how)

    def _hover(self, at: Place | None) -> None:
        self._set_hovered(-1 if at is None else self._row_at(at))

    def _set_hovered(self, row: int) -> None:
        if row == self._hovered:
            return
        self._hovered = row
        self._overlay.hover = self.canvas.xy[row] if row >= 0 else None
        self._overlay.update()
        self.hovered.emit(row)

    def _escape(self) -> None:
        self.selected.emit(np.empty(0, dtype=np.intp), "replace")


def _colour(colour: Colour) -> QColor:
    made = QColor(colour) if isinstance(colour, str) else QColor.fromRgbF(*colour)
    if not made.isValid():
        raise ValueError(f"not a colour: {colour!r}")
    return made
