"""Keys that work in the whole window while a widget is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from qtpy.QtWidgets import QWidget

Action = tuple[str, str, "Callable[[], Any]"]
"""A key, what it does in words, and how."""


def window_of(widget: QWidget) -> QWidget:
    """Return the main window of a widget, also where it is in a dock that floats."""
    window = widget
    while (owner := window.parentWidget()) is not None:
        window = owner
    return window


def bind(window: QWidget, actions: Iterable[Action], repeating: Collection[str]) -> list[QShortcut]:
    """Bind keys to a window: there they come before all key bindings of napari.

    Windows that belong to it, such as a floating dock, are served as well.

    Parameters
    ----------
    window
        The main window.
    actions
        The keys.
    repeating
        Those that act again and again while they are held down.
    """
    bound = []
    for key, title, act in actions:
        shortcut = QShortcut(QKeySequence(key), window)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.setAutoRepeat(key in repeating)
        shortcut.setWhatsThis(title)
        shortcut.activated.connect(act)
        bound.append(shortcut)
    return bound


def unbind(shortcuts: list[QShortcut]) -> None:
    """Give keys back."""
    for shortcut in shortcuts:
        shortcut.setEnabled(False)
        shortcut.deleteLater()
    shortcuts.clear()
