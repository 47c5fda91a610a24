"""View: the base of all dock widgets; listens to the session only while it can be seen."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtWidgets import QWidget

from napari_dynaclr.gui.workbench import workbench

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_dynaclr.core.job import Job


class View(QWidget):
    """A widget that shows a part of a viewer's session.

    It keeps nothing that matters: what it shows is in the session, so that closing and
    opening it again loses nothing. Shown, it synchronises itself and listens; hidden, it
    listens to nothing and does no work.

    Parameters
    ----------
    viewer
        The viewer it belongs to.
    parent
        Its parent in Qt.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bench = workbench(viewer)
        self.session = self.bench.session
        self._connected: list[tuple[Any, Callable[..., Any]]] = []

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Signals of the session to listen to, and what to do then (bound methods)."""
        return []

    def synchronise(self) -> None:
        """Show what the session holds now."""

    def read(
        self,
        title: str,
        work: Callable[[Job], Any],
        done: Callable[[Any], None],
        ended: Callable[[], None] | None = None,
    ) -> None:
        """Read in the background; what comes after the widget is gone concerns nobody.

        Parameters
        ----------
        title
            What is read, in the user's words.
        work
            Reads it, given the job; on another thread.
        done
            Called with the result, on the GUI thread.
        ended
            Called when it is over, however it went.
        """
        run = self.bench.runner.start(
            title, work, lambda found: done(found) if isalive(self) else None
        )
        if ended is not None:
            run.ended.connect(lambda: ended() if isalive(self) else None)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Listen, and catch up with what has happened while hidden."""
        super().showEvent(event)
        if not self._connected:
            self._connected = self.connections()
            for signal, slot in self._connected:
                signal.connect(slot)
            self.synchronise()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Stop listening."""
        super().hideEvent(event)
        for signal, slot in self._connected:
            # Where the window is closing, the workbench may be gone before its views.
            with suppress(RuntimeError, TypeError):
                signal.disconnect(slot)
        self._connected = []
