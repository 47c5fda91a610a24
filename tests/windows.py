"""Real clicks and keys in a real napari window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari._qt.qt_viewer import QtViewer
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from napari import Viewer
    from qtpy.QtWidgets import QWidget

    from napari_dynaclr.gui.workbench import Workbench

PLAIN = Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
ALT = Qt.KeyboardModifier.AltModifier
LEFT = Qt.MouseButton.LeftButton


def canvas(viewer: Viewer) -> QWidget:
    """The widget that gets the mouse and the keys of a viewer's image."""
    return viewer.window._qt_window.findChild(QtViewer).canvas.native


def place_of(bench: Workbench, row: int) -> QPoint:
    """Where a cell is in the canvas, in logical pixels."""
    return pixel_of(bench, tuple(map(float, bench.session.cells.position[row])))


def pixel_of(bench: Workbench, position: tuple[float, float, float]) -> QPoint:
    """Where a position (z, y, x), in pixels of the image, is in the canvas."""
    camera, scale = bench.viewer.scene.camera, bench.session.fov.scale
    widget = canvas(bench.viewer)
    size = np.array([widget.height(), widget.width()])
    there = np.array(position[1:]) * scale[1:]
    y, x = size / 2 + (there - camera.center[1:]) * camera.zoom
    return QPoint(round(x), round(y))


def click(qtbot, bench: Workbench, place: QPoint, modifier=PLAIN, button=LEFT) -> None:
    """Click in the image."""
    widget = canvas(bench.viewer)
    qtbot.mouseMove(widget, place)
    qtbot.mouseClick(widget, button, modifier, place)
    QApplication.processEvents()


def hover(bench: Workbench, place: QPoint) -> None:
    """Move the mouse in the image, no button pressed.

    qtbot.mouseMove moves the pointer itself, of which a display without a window manager
    tells nobody.
    """
    widget, where = canvas(bench.viewer), QPointF(place)
    none = Qt.MouseButton.NoButton
    there = QPointF(widget.mapToGlobal(place))
    QApplication.sendEvent(
        widget, QMouseEvent(QEvent.Type.MouseMove, where, there, none, none, PLAIN)
    )
    QApplication.processEvents()


def drag(qtbot, bench: Workbench, start: QPoint, end: QPoint) -> None:
    """Press the left button at one place in the image and release it at another."""
    widget = canvas(bench.viewer)
    qtbot.mouseMove(widget, start)
    qtbot.mousePress(widget, LEFT, PLAIN, start)
    for part in (0.25, 0.5, 0.75, 1.0):
        qtbot.mouseMove(widget, start + (end - start) * part)
        QApplication.processEvents()
    qtbot.mouseRelease(widget, LEFT, PLAIN, end)
    QApplication.processEvents()
