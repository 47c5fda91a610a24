"""Mouse and keyboard on the map: pan, zoom, lasso, rectangle, click and hover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QKeyEvent, QMouseEvent, QWheelEvent
    from qtpy.QtWidgets import QWidget

Place = tuple[float, float]
"""x, y in logical pixels from the top left corner of the canvas."""

MODES = ("pan", "lasso", "rectangle")
MOVED = 4.0
"""Logical pixels that the mouse must move between press and release to be a drag."""

STEP = 2.0
"""Logical pixels between two vertices of a lasso."""

HOVER_MS = 30
"""At most one look for the point under the mouse in this time."""

ZOOM_PER_NOTCH = 1.25

_KEYS = {Qt.Key.Key_P: "pan", Qt.Key.Key_L: "lasso", Qt.Key.Key_R: "rectangle"}
_OTHERS = (Qt.Key.Key_Home, Qt.Key.Key_Escape, Qt.Key.Key_Space)


class Tools(QObject):
    """Turns the events of a widget into what the user means.

    Parameters
    ----------
    canvas
        The widget to listen to; it must track the mouse.
    """

    panned = Signal(float, float)  # right, down, logical pixels
    zoomed = Signal(float, object)  # factor, place
    reset = Signal()
    outlining = Signal(object)  # list of places, empty when it ends
    outlined = Signal(object, str)  # list of places, how to combine
    clicked = Signal(object, str)  # place, how to combine
    hovered = Signal(object)  # place, or None
    escaped = Signal()
    mode_changed = Signal(str)

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self._canvas = canvas
        self._mode = "pan"
        self._action = ""  # "pan", "lasso" or "rectangle" while a button is down
        self._button = Qt.MouseButton.NoButton
        self._space = False
        self._dragged = False
        self._last: Place = (0.0, 0.0)
        self._vertices: list[Place] = []
        self._hover: Place | None = None
        self._hover_timer = QTimer(self)
        self._hover_timer.setSingleShot(True)
        self._hover_timer.setInterval(HOVER_MS)
        self._hover_timer.timeout.connect(self._emit_hover)
        canvas.installEventFilter(self)
        self._show_cursor()

    @property
    def mode(self) -> str:
        """What the left button does: pan, lasso or rectangle."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        if mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
        if mode != self._mode:
            self.cancel()
            self._mode = mode
            self._show_cursor()
            self.mode_changed.emit(mode)

    def cancel(self) -> None:
        """Forget the drag in progress."""
        self._action, self._button, self._vertices = "", Qt.MouseButton.NoButton, []
        self._show_cursor()
        self.outlining.emit([])

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take the events that mean something here, leave the rest to Qt."""
        if event is None:
            return False
        handlers: dict[QEvent.Type, Callable[[Any], bool]] = {
            QEvent.Type.MouseButtonPress: self._press,
            QEvent.Type.MouseButtonDblClick: self._double_click,
            QEvent.Type.MouseMove: self._move,
            QEvent.Type.MouseButtonRelease: self._release,
            QEvent.Type.Wheel: self._wheel,
            QEvent.Type.KeyPress: self._key_press,
            QEvent.Type.KeyRelease: self._key_release,
            QEvent.Type.ShortcutOverride: self._override,
            QEvent.Type.Leave: self._leave,
            QEvent.Type.FocusOut: self._focus_out,
        }
        handler = handlers.get(event.type())
        return handler is not None and handler(event)

    def _press(self, event: QMouseEvent) -> bool:
        if self._action:
            return True
        self._canvas.setFocus(Qt.FocusReason.MouseFocusReason)
        if event.button() == Qt.MouseButton.MiddleButton:
            self._action = "pan"
        elif event.button() == Qt.MouseButton.LeftButton:
            self._action = "pan" if self._space else self._mode
        else:
            return False
        self._button = event.button()
        self._dragged = False
        self._last = _place(event)
        self._vertices = [self._last]
        self._show_cursor()
        return True

    def _move(self, event: QMouseEvent) -> bool:
        at = _place(event)
        if not self._action:
            self._hover = at
            if not self._hover_timer.isActive():
                self._hover_timer.start()
            return True
        if not self._dragged and _distance(at, self._vertices[0]) < MOVED:
            return True
        self._dragged = True
        if self._action == "pan":
            self.panned.emit(at[0] - self._last[0], at[1] - self._last[1])
            self._last = at
        elif self._action == "rectangle":
            self._vertices[1:] = [at]
            self.outlining.emit(_corners(*self._vertices))
        elif _distance(at, self._vertices[-1]) >= STEP:
            self._vertices.append(at)
            self.outlining.emit(self._vertices)
        return True

    def _release(self, event: QMouseEvent) -> bool:
        if not self._action or event.button() != self._button:
            return False
        action, vertices = self._action, self._vertices
        self.cancel()
        if not self._dragged:
            if event.button() == Qt.MouseButton.LeftButton and not self._space:
                self.clicked.emit(_place(event), _combine(event))
        elif action != "pan":
            outline = _corners(*vertices) if action == "rectangle" else vertices
            self.outlined.emit(outline, _combine(event))
        return True

    def _double_click(self, event: QMouseEvent) -> bool:
        if event.button() == Qt.MouseButton.LeftButton:
            self.reset.emit()
        return True

    def _wheel(self, event: QWheelEvent) -> bool:
        # A trackpad sends many small steps; Alt turns a vertical wheel into a horizontal one.
        delta = event.angleDelta().y() or event.angleDelta().x()
        if delta:
            at = event.position()
            self.zoomed.emit(ZOOM_PER_NOTCH ** (delta / 120), (at.x(), at.y()))
        event.accept()  # else the panel around the map would scroll
        return True

    def _key_press(self, event: QKeyEvent) -> bool:
        if not self._ours(event):
            return False
        key = event.key()
        if key == Qt.Key.Key_Space:
            self._space = True
            self._show_cursor()
        elif key == Qt.Key.Key_Home:
            self.reset.emit()
        elif key == Qt.Key.Key_Escape:
            self.cancel()
            self.escaped.emit()
        else:
            self.mode = _KEYS[Qt.Key(key)]
        return True

    def _key_release(self, event: QKeyEvent) -> bool:
        if event.key() != Qt.Key.Key_Space:
            return False
        if not event.isAutoRepeat():
            self._space = False
            self._show_cursor()
        return True

    def _override(self, event: QKeyEvent) -> bool:
        """Keep the viewer's own shortcuts from taking our keys while the map has the focus."""
        if self._ours(event):
            event.accept()
            return True
        return False

    def _ours(self, event: QKeyEvent) -> bool:
        plain = event.modifiers() in (
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.KeypadModifier,
        )
        return plain and (event.key() in _KEYS or event.key() in _OTHERS)

    def _leave(self, event: QEvent) -> bool:
        self._hover = None
        self._hover_timer.stop()
        self._emit_hover()
        return False

    def _focus_out(self, event: QEvent) -> bool:
        self._space = False  # its release goes to another widget
        self._show_cursor()
        return False

    def _emit_hover(self) -> None:
        self.hovered.emit(self._hover)

    def _show_cursor(self) -> None:
        shape = Qt.CursorShape.CrossCursor
        if self._action == "pan":
            shape = Qt.CursorShape.ClosedHandCursor
        elif self._space:
            shape = Qt.CursorShape.OpenHandCursor
        elif self._mode == "pan":
            shape = Qt.CursorShape.ArrowCursor
        self._canvas.setCursor(shape)


def _place(event: QMouseEvent) -> Place:
    at = event.position()
    return (at.x(), at.y())


def _distance(one: Place, two: Place) -> float:
    return float(((one[0] - two[0]) ** 2 + (one[1] - two[1]) ** 2) ** 0.5)


def _corners(one: Place, two: Place) -> list[Place]:
    return [one, (two[0], one[1]), two, (one[0], two[1])]


def _combine(event: QMouseEvent) -> str:
    """Return how a new selection joins the old one."""
    if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
        return "add"
    if event.modifiers() & Qt.KeyboardModifier.AltModifier:
        return "remove"
    return "replace"
