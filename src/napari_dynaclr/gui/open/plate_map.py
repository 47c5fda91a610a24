"""The plate as a grid of wells, coloured by how far each has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_dynaclr.session.plate import STEPS, latest

if TYPE_CHECKING:
    from qtpy.QtCore import QEvent
    from qtpy.QtGui import QKeyEvent, QMouseEvent, QPaintEvent

COLOURS = {
    "": "#7f7f7f",
    "stained": "#56B4E9",
    "segmented": "#0072B2",
    "tracked": "#009E73",
    "embedded": "#E69F00",
    "mapped": "#CC79A7",
    "predicted": "#D55E00",
    "annotated": "#F0E442",
}
"""By the last step, after Okabe and Ito; grey where nothing has been done."""

_LARGEST, _SMALLEST, _MARGIN = 34.0, 7.0, 20.0


class PlateMap(QWidget):
    """Wells to pick from, with mouse or arrow keys.

    Parameters
    ----------
    parent
        Its parent in Qt.
    """

    chosen = Signal(str)
    """The user picked a well: ``row/column``."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._wells: dict[str, list[set[str]]] = {}
        self._rows: list[str] = []
        self._columns: list[str] = []
        self.well = ""
        """The well on show."""

    def set_status(self, status: dict[str, set[str]]) -> None:
        """Show the wells of some FOVs and what has been done there."""
        self._wells = {}
        for name, done in status.items():
            self._wells.setdefault(name.rpartition("/")[0], []).append(done)
        self._rows = sorted({well.partition("/")[0] for well in self._wells}, key=_natural)
        self._columns = sorted({well.partition("/")[2] for well in self._wells}, key=_natural)
        self.updateGeometry()
        self.update()

    def set_well(self, well: str) -> None:
        """Mark the well on show."""
        self.well = well
        self.update()

    def sizeHint(self) -> QSize:
        """Room for all rows at the largest size that the width allows."""
        side = self._side(self.width() or 320)
        return QSize(280, round(_MARGIN + side * max(len(self._rows), 1) + 4))

    def minimumSizeHint(self) -> QSize:
        """Return room for the rows."""
        return self.sizeHint()

    def resizeEvent(self, event: object) -> None:
        """Follow the width: the height depends on it."""
        self.updateGeometry()

    def _side(self, width: float) -> float:
        room = (width - _MARGIN - 4) / max(len(self._columns), 1)
        return max(_SMALLEST, min(_LARGEST, room))

    def _rect(self, well: str) -> QRectF:
        row, _, column = well.partition("/")
        side = self._side(self.width())
        return QRectF(
            _MARGIN + self._columns.index(column) * side,
            _MARGIN + self._rows.index(row) * side,
            side,
            side,
        )

    def well_at(self, place: QPointF) -> str:
        """Well at a place in the widget; "" where there is none."""
        side = self._side(self.width())
        column, row = (place.x() - _MARGIN) // side, (place.y() - _MARGIN) // side
        if 0 <= row < len(self._rows) and 0 <= column < len(self._columns):
            well = f"{self._rows[int(row)]}/{self._columns[int(column)]}"
            return well if well in self._wells else ""
        return ""

    def step_of(self, well: str) -> str:
        """How far the FOV of a well has come that has come least far."""
        steps = [latest(done) for done in self._wells[well]]
        return min(steps, key=lambda step: STEPS.index(step) if step else -1)

    # -- drawing ----------------------------------------------------------

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw wells and the names of rows and columns."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().text().color()
        side = self._side(self.width())
        font = painter.font()
        font.setPointSizeF(max(6.0, min(9.0, side * 0.32)))
        painter.setFont(font)
        painter.setPen(text)
        centre = Qt.AlignmentFlag.AlignCenter
        every = max(1, round(18 / side))  # leave names out where they would overlap
        for i, row in enumerate(self._rows):
            if i % every == 0:
                painter.drawText(QRectF(0, _MARGIN + i * side, _MARGIN, side), centre, row)
        for i, column in enumerate(self._columns):
            if i % every == 0:
                painter.drawText(QRectF(_MARGIN + i * side, 0, side, _MARGIN), centre, column)
        for well, done in self._wells.items():
            inside = self._rect(well).adjusted(side * 0.1, side * 0.1, -side * 0.1, -side * 0.1)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(COLOURS[self.step_of(well)]))
            painter.drawEllipse(inside)
            if any("annotated" in one for one in done):
                painter.setBrush(QColor(COLOURS["annotated"]))
                painter.drawEllipse(inside.center(), side * 0.13, side * 0.13)
            if well == self.well:
                painter.setPen(QPen(text, 2.0))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawEllipse(inside.adjusted(-1, -1, 1, 1))

    # -- mouse and keys ---------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Pick a well."""
        well = self.well_at(event.position()) if event is not None else ""
        if well:
            self.chosen.emit(well)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Say what a well is and what has been done there."""
        if event is None:
            return
        well = self.well_at(event.position())
        if well:
            fovs = self._wells[well]
            counts = [f"{step}: {sum(step in one for one in fovs)}" for step in STEPS]
            told = [text for text in counts if not text.endswith(": 0")] or ["nothing done yet"]
            name = f"Well {well}, {len(fovs)} FOV{'s' * (len(fovs) > 1)}"
            QToolTip.showText(event.globalPosition().toPoint(), "\n".join([name, *told]), self)
        else:
            QToolTip.hideText()

    def leaveEvent(self, event: QEvent | None) -> None:
        """Take the tool tip away."""
        QToolTip.hideText()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Go to the next well in a direction."""
        steps = {
            Qt.Key.Key_Left: (0, -1),
            Qt.Key.Key_Right: (0, 1),
            Qt.Key.Key_Up: (-1, 0),
            Qt.Key.Key_Down: (1, 0),
        }
        key = Qt.Key(event.key()) if event is not None else None
        if key not in steps or not self._wells:
            super().keyPressEvent(event)
            return
        if self.well not in self._wells:  # the one on show is of a plate not yet read
            self.chosen.emit(next(iter(self._wells)))
            return
        down, right = steps[key]
        name, _, number = self.well.partition("/")
        row, column = self._rows.index(name), self._columns.index(number)
        while 0 <= (row := row + down) < len(self._rows) and (
            0 <= (column := column + right) < len(self._columns)
        ):
            well = f"{self._rows[row]}/{self._columns[column]}"
            if well in self._wells:
                self.chosen.emit(well)
                return


def _natural(name: str) -> tuple[int, str]:
    """Order A, B, ..., Z, AA and 1, 2, ..., 10."""
    return (int(name), "") if name.isdigit() else (len(name), name)
