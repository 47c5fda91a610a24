"""The strip of a lineage: lanes of patches and coloured bars over time. Paints what is visible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QImage, QPainter, QPainterPath, QPen, QPixmap
from qtpy.QtWidgets import QAbstractScrollArea, QFrame, QScrollBar, QToolTip, QWidget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtpy.QtGui import QKeyEvent, QMouseEvent, QPaintEvent, QResizeEvent, QWheelEvent

    from napari_dynaclr.session.lineage import Lane, Lineage, Said

PATCH = 44
"""Side of a patch on screen, in logical pixels."""

_GUTTER, _AXIS, _RIM = 66, 20, 6
"""Width of the lanes' names, height of the time axis, and the space around the lanes."""

_BAR, _GAP = 5, 2
_LANE = PATCH + _GAP + 2 * (_BAR + 1) + 10
"""Height of a lane: patches, two bars, and the space below."""

_NARROWEST, _WIDEST = 1.0, PATCH + 4.0
"""Pixels per time point that one can zoom to."""

_READABLE = 6.0
"""Pixels per time point below which a long movie is scrolled rather than squeezed."""

_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


_PALEST = 0.15
"""Opacity of a state that is said with no strength at all."""


@dataclass(frozen=True)
class LaneLook:
    """What a lane shows besides its patches: annotated and predicted states."""

    annotated: Said | None = None
    predicted: Said | None = None


class LineageStrip(QAbstractScrollArea):
    """Shows a lineage over time; it changes nothing, and says what the user points at."""

    picked = Signal(int)
    """The user wants to see a cell: its row."""
    walked = Signal(int, int)
    """The user pressed an arrow key: steps in time, steps in lanes."""
    view_changed = Signal()
    """Other patches may be in sight now."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.lineage: Lineage | None = None
        self._looks: Sequence[LaneLook] = ()
        self._bars: list[tuple[QImage | None, QImage | None]] = []
        self.patches: dict[int, QPixmap] = {}
        """By row; what is not in it is drawn as an empty frame."""
        self.hint = ""
        """What to show where there is no lineage."""
        self._frame, self._active = 0, -1
        self._ink, self._accent = QColor("#222222"), QColor("#0072b2")
        self._step, self._fits = _WIDEST, True
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumHeight(_AXIS + _LANE + 2 * _RIM)
        self.setAccessibleName("Lineage of the selected track")
        for bar in (self._across, self._down):
            bar.valueChanged.connect(self.view_changed)

    def sizeHint(self) -> QSize:
        """Return room for two lanes."""
        return QSize(420, _AXIS + 2 * _LANE + 2 * _RIM)

    # -- what is shown ----------------------------------------------------

    def show_lineage(self, lineage: Lineage | None) -> None:
        """Show another lineage, or none."""
        self.lineage, self._looks, self._bars = lineage, (), []
        if self._fits:
            self._fit()
        self._adjust()
        self.reveal()
        self._view().update()
        self.view_changed.emit()

    def set_colours(self, ink: str, accent: str) -> None:
        """Paint in other colours, "#rrggbb"."""
        self._ink, self._accent = QColor(ink), QColor(accent)
        self._view().update()

    @property
    def looks(self) -> Sequence[LaneLook]:
        """States of the lanes."""
        return self._looks

    def show_states(self, looks: Sequence[LaneLook], colours: Mapping[str, str]) -> None:
        """Show states under the patches.

        Parameters
        ----------
        looks
            One per lane.
        colours
            "#rrggbb" by state.
        """
        self._looks, self._bars = looks, []
        for lane, look in zip(self.lineage.lanes if self.lineage else (), looks, strict=True):
            self._bars.append(
                (_bar(lane, look.annotated, colours), _bar(lane, look.predicted, colours))
            )
        self._view().update()

    def set_active(self, track: int) -> None:
        """Mark the lane of the selected track, and bring it into view."""
        at = self.lineage.lane_of(track) if self.lineage is not None else -1
        if at != self._active:
            self._active = at
            self._view().update()
        if at >= 0:
            top = at * _LANE
            room = self._view().height() - _AXIS - _RIM
            value = self._down.value()
            self._down.setValue(min(max(value, top + _LANE - room), top))

    def set_frame(self, t: int) -> None:
        """Move the cursor to another time point."""
        old, self._frame = self._frame, t
        if self.lineage is None or old == t:
            return
        before = self._across.value()
        self.reveal()
        if self._across.value() == before:
            for time in (old, t):
                left, wide = self._x(time), max(self._step, 1.0)
                self._view().update(QRectF(left - 22, 0, wide + 44, self.height()).toAlignedRect())

    def reveal(self) -> None:
        """Scroll to the cursor, if it is out of sight."""
        if self.lineage is None or not self.lineage.start <= self._frame <= self.lineage.end:
            return
        room = self._view().width() - _GUTTER
        at = self._x(self._frame) - _GUTTER
        if not 0 <= at <= room - self._step:
            self._across.setValue(int(at + self._across.value() - room / 3))

    @property
    def stride(self) -> int:
        """Time points from one patch to the next, as many as have room beside each other."""
        return next((n for n in _TICKS if n * self._step >= PATCH + 2), _TICKS[-1])

    def visible_rows(self) -> list[int]:
        """Rows of the cells whose patches are in sight, top lane first."""
        lineage = self.lineage
        if lineage is None:
            return []
        found: list[int] = []
        first = self._time(_GUTTER) - self.stride
        last = self._time(self._view().width()) + 1
        for at in self._visible_lanes():
            lane = lineage.lanes[at]
            rows = lane.sample(self.stride)
            times = lane.t[rows - lane.rows[0]]
            found += rows[(times >= first) & (times <= last)].tolist()
        return found

    def zoom(self, factor: float, at: float | None = None) -> None:
        """Stretch time by a factor about a place in the viewport; about the middle if None."""
        x = self._view().width() / 2 if at is None else max(at, float(_GUTTER))
        time = self._time(x)
        self._fits = False
        self._step = min(max(self._step * factor, _NARROWEST), _WIDEST)
        self._adjust()
        start = self.lineage.start if self.lineage is not None else 0
        self._across.setValue(round((time - start) * self._step - (x - _GUTTER - _RIM)))
        self._view().update()
        self.view_changed.emit()

    def fit(self) -> None:
        """Show the whole lineage, or as much as is readable."""
        self._fits = True
        self._fit()
        self._adjust()
        self._view().update()
        self.view_changed.emit()

    def repaint_all(self) -> None:
        """Paint anew: patches, states or colours have changed."""
        self._view().update()

    # -- geometry ---------------------------------------------------------

    def _view(self) -> QWidget:
        view = self.viewport()
        assert view is not None
        return view

    @property
    def _across(self) -> QScrollBar:
        bar = self.horizontalScrollBar()
        assert bar is not None
        return bar

    @property
    def _down(self) -> QScrollBar:
        bar = self.verticalScrollBar()
        assert bar is not None
        return bar

    def _fit(self) -> None:
        if self.lineage is not None:
            room = self._view().width() - _GUTTER - 2 * _RIM - PATCH
            step = room / max(self.lineage.end - self.lineage.start, 1)
            self._step = min(max(step, _READABLE), _WIDEST)

    def _adjust(self) -> None:
        """Tell the scroll bars how much there is."""
        lineage = self.lineage
        wide = tall = 0
        if lineage is not None:
            wide = round((lineage.end - lineage.start) * self._step) + PATCH + 2 * _RIM
            tall = len(lineage.lanes) * _LANE + _RIM
        room = self._view().width() - _GUTTER
        self._across.setRange(0, max(0, wide - room))
        self._across.setPageStep(max(room, 1))
        self._across.setSingleStep(max(int(self._step), 8))
        room = self._view().height() - _AXIS
        self._down.setRange(0, max(0, tall - room))
        self._down.setPageStep(max(room, 1))
        self._down.setSingleStep(_LANE // 3)

    def _x(self, t: float) -> float:
        """Where a time point begins in the viewport."""
        start = self.lineage.start if self.lineage is not None else 0
        return _GUTTER + _RIM + (t - start) * self._step - self._across.value()

    def _time(self, x: float) -> float:
        start = self.lineage.start if self.lineage is not None else 0
        return start + (x - _GUTTER - _RIM + self._across.value()) / self._step

    def _y(self, lane: int) -> int:
        return _AXIS + _RIM + lane * _LANE - self._down.value()

    def _visible_lanes(self) -> range:
        if self.lineage is None:
            return range(0)
        first = (self._down.value() - _RIM) // _LANE
        last = (self._down.value() + self._view().height() - _AXIS) // _LANE
        return range(max(first, 0), min(last + 1, len(self.lineage.lanes)))

    def row_at(self, place: QPointF) -> int:
        """Row of the cell at a place of the viewport; -1 where there is none."""
        if self.lineage is None:
            return -1
        at = int((place.y() - _AXIS - _RIM + self._down.value()) // _LANE)
        if place.y() < _AXIS:  # on the time axis: along the active track
            at = max(self._active, 0)
        if not 0 <= at < len(self.lineage.lanes):
            return -1
        return self.lineage.lanes[at].row_at(self._time(place.x()) - 0.5)

    # -- events -----------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Pick the cell under the mouse."""
        self._point(event)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Scrub."""
        self._point(event)

    def _point(self, event: QMouseEvent | None) -> None:
        if event is not None and event.buttons() & Qt.MouseButton.LeftButton:
            row = self.row_at(event.position())
            if row >= 0:
                self.picked.emit(row)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Walk along the track, and from lane to lane."""
        steps = {
            Qt.Key.Key_Left: (-1, 0),
            Qt.Key.Key_Right: (1, 0),
            Qt.Key.Key_Up: (0, -1),
            Qt.Key.Key_Down: (0, 1),
        }
        if event is None:
            return
        step = steps.get(Qt.Key(event.key()))
        if step is not None and self.lineage is not None:
            self.walked.emit(*step)
        else:
            super().keyPressEvent(event)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Scroll through time where there is nothing to scroll down to; zoom with Ctrl."""
        if event is None:
            return
        turn = event.angleDelta().y()
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier and turn:
            self.zoom(1.2 ** (turn / 120), event.position().x())
        elif turn and not event.angleDelta().x() and not self._down.maximum():
            self._across.setValue(self._across.value() - turn)
        else:
            super().wheelEvent(event)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep the whole lineage in sight, if it was."""
        super().resizeEvent(event)
        if self._fits:
            self._fit()
        self._adjust()
        self.view_changed.emit()

    def viewportEvent(self, event: QEvent | None) -> bool:
        """Tell what is under the mouse."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), self.describe(QPointF(event.pos())), self)
            return True
        return super().viewportEvent(event)

    def describe(self, place: QPointF) -> str:
        """Say what is at a place of the viewport."""
        row = self.row_at(place)
        if row < 0 or self.lineage is None:
            return ""
        for lane, look in zip(self.lineage.lanes, self._looks, strict=False):
            if lane.rows[0] <= row <= lane.rows[-1]:
                at = row - int(lane.rows[0])
                lines = [f"track {lane.track}, t={lane.t[at]}"]
                for said, how in ((look.annotated, "annotated"), (look.predicted, "predicted")):
                    if said is not None and said.codes[at] >= 0:
                        sure = f", {said.strength[at]:.0%}" if how == "predicted" else ""
                        lines.append(f"{said.states[said.codes[at]]} ({how}{sure})")
                return "\n".join(lines)
        return ""

    # -- painting ---------------------------------------------------------

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint what is visible and asked for."""
        painter = QPainter(self._view())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self._ink
        clip = event.rect() if event is not None else self._view().rect()
        if self.lineage is None:
            painter.setPen(_faded(ink, 0.65))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self._view().rect(), int(flags), self.hint)
            painter.end()
            return
        painter.save()
        painter.setClipRect(clip.intersected(QRect(_GUTTER, 0, self.width(), self.height())))
        self._paint_axis(painter, ink)
        painter.setClipRect(clip.intersected(QRect(_GUTTER, _AXIS, self.width(), self.height())))
        for at in range(len(self.lineage.lanes)):
            self._paint_birth(painter, ink, at)
        for at in self._visible_lanes():
            self._paint_lane(painter, ink, clip, at)
        painter.restore()
        self._paint_cursor(painter, clip)
        for at in self._visible_lanes():
            self._paint_name(painter, ink, at)
        painter.end()

    def _paint_axis(self, painter: QPainter, ink: QColor) -> None:
        lineage = self.lineage
        assert lineage is not None
        every = next((n for n in _TICKS if n * self._step >= 46), _TICKS[-1])
        first = max(int(self._time(_GUTTER)) // every * every, 0)
        last = min(int(self._time(self._view().width())) + 1, lineage.end)
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 0.85)
        painter.setFont(font)
        for t in range(first, last + 1, every):
            x = self._x(t + 0.5)
            painter.setPen(_faded(ink, 0.3))
            painter.drawLine(QPointF(x, _AXIS - 3), QPointF(x, _AXIS))
            painter.setPen(_faded(ink, 0.65))
            box = QRectF(x - 30, 0, 60, _AXIS - 3)
            painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), str(t))
        painter.setFont(self.font())

    def _paint_birth(self, painter: QPainter, ink: QColor, at: int) -> None:
        """Draw the line from a mother's end to her daughter's beginning."""
        assert self.lineage is not None
        lane = self.lineage.lanes[at]
        if lane.parent < 0:
            return
        mother = self.lineage.lanes[lane.parent]
        x0, y0 = self._x(mother.end + 1), self._y(lane.parent) + PATCH + _GAP + _BAR
        x1, y1 = self._x(lane.start), self._y(at) + PATCH + _GAP + _BAR
        x1 = max(x1, x0)
        path = QPainterPath(QPointF(x0 - 1, y0))
        path.lineTo(x0 + 2, y0)
        path.lineTo(x0 + 2, y1 - 5)
        path.quadTo(x0 + 2, y1, x0 + 7, y1)
        path.lineTo(x1 + 7, y1)
        painter.setPen(QPen(_faded(ink, 0.4), 1.4))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPath(path)

    def _paint_lane(self, painter: QPainter, ink: QColor, clip: QRect, at: int) -> None:
        assert self.lineage is not None
        lane, top = self.lineage.lanes[at], self._y(at)
        first = self._time(clip.left() - PATCH)
        last = self._time(clip.right()) + 1
        painter.setPen(Qt.PenStyle.NoPen)
        self._paint_patches(painter, ink, lane, top, first, last)
        y = top + PATCH + _GAP
        wide = (lane.end + 1 - lane.start) * self._step
        for bar in self._bars[at] if at < len(self._bars) else (None, None):
            box = QRectF(self._x(lane.start), y, wide, _BAR)
            painter.fillRect(box, _faded(ink, 0.09))
            if bar is not None:
                painter.drawImage(box, bar, QRectF(bar.rect()))
            y += _BAR + 1

    def _paint_patches(
        self, painter: QPainter, ink: QColor, lane: Lane, top: int, first: float, last: float
    ) -> None:
        rows = lane.sample(self.stride)
        for row in rows.tolist():
            t = int(lane.t[row - lane.rows[0]])
            if not first - self.stride <= t <= last:
                continue
            box = QRectF(self._x(t), top, PATCH, PATCH)
            patch = self.patches.get(row)
            if patch is None:
                painter.fillRect(box, _faded(ink, 0.07))
            else:
                painter.drawPixmap(box, patch, QRectF(patch.rect()))

    def _paint_cursor(self, painter: QPainter, clip: QRect) -> None:
        lineage = self.lineage
        assert lineage is not None
        painter.setClipRect(clip.intersected(QRect(_GUTTER, 0, self.width(), self.height())))
        accent = self._accent
        left = self._x(self._frame)
        column = QRectF(left, _AXIS, max(self._step, 1.5), self.height())
        painter.fillRect(column, _faded(accent, 0.14 if self._step > 4 else 0.6))
        x = left + self._step / 2
        painter.setPen(QPen(accent, 1.6))
        painter.drawLine(QPointF(x, _AXIS), QPointF(x, self.height()))
        text = str(self._frame)
        wide = max(self.fontMetrics().horizontalAdvance(text) + 10, 22)
        flag = QRectF(x - wide / 2, 1, wide, _AXIS - 3)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(accent)
        painter.drawRoundedRect(flag, 4, 4)
        painter.setPen(QColor("white" if accent.lightnessF() < 0.6 else "black"))
        painter.drawText(flag, int(Qt.AlignmentFlag.AlignCenter), text)
        painter.setClipping(False)

    def _paint_name(self, painter: QPainter, ink: QColor, at: int) -> None:
        assert self.lineage is not None
        font = self.font()
        font.setBold(at == self._active)
        painter.setFont(font)
        painter.setPen(ink if at == self._active else _faded(ink, 0.7))
        painter.setClipRect(QRect(0, _AXIS, _GUTTER, self.height()))
        box = QRectF(_RIM, self._y(at), _GUTTER - _RIM - 2, PATCH)
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(box, int(flags), f"track\n{self.lineage.lanes[at].track}")
        if at == self._active:
            painter.fillRect(QRectF(0, self._y(at), 3, PATCH + 2 * _BAR + _GAP + 1), self._accent)
        painter.setClipping(False)


def _bar(lane: Lane, said: Said | None, colours: Mapping[str, str]) -> QImage | None:
    """Make an image with a pixel per time point: however many, it is painted in one go."""
    if said is None or not len(said.states):
        return None
    table = np.array([QColor(colours.get(s, "#999999")).getRgb() for s in said.states], np.uint8)
    pixels = np.zeros((1, lane.end - lane.start + 1, 4), np.uint8)
    known = said.codes >= 0
    at = (lane.t - lane.start)[known]
    pixels[0, at] = table[said.codes[known]]
    pixels[0, at, 3] = 255 * (_PALEST + (1 - _PALEST) * said.strength[known])
    data: Any = pixels.data
    size = pixels.shape[1]
    return QImage(data, size, 1, 4 * size, QImage.Format.Format_RGBA8888).copy()


def _faded(colour: QColor, alpha: float) -> QColor:
    faded = QColor(colour)
    faded.setAlphaF(alpha)
    return faded
