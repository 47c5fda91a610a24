"""A workbench without a window: as quick as a model, for tests that look at no canvas."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from napari.components import ViewerModel
from pydantic import PrivateAttr
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QMainWindow

from napari_dynaclr.gui.workbench import Workbench, workbench


class PlainViewer(ViewerModel):
    """napari's viewer but for its window."""

    _window: Any = PrivateAttr(default_factory=lambda: SimpleNamespace(_qt_window=QMainWindow()))

    @property
    def window(self) -> Any:
        return self._window


def show(
    bench: Workbench, qtbot: Any, path: Any, fov: str = "", workspace: Any = None
) -> Workbench:
    """Open a dataset, and wait until it is shown with all that is known of it."""
    before = bench.session.fov
    bench.open(path, fov, workspace)
    qtbot.waitUntil(lambda: bench.session.fov not in (None, before), timeout=20_000)
    rest(bench, qtbot)
    return bench


def rest(bench: Workbench, qtbot: Any, timeout: int = 60_000) -> None:
    """Wait until nothing runs in the background."""
    qtbot.waitUntil(lambda: not bench.runner.is_busy, timeout=timeout)


def plain_bench() -> Workbench:
    """Return the workbench of a viewer without a window; whoever asks for it closes it."""
    return workbench(PlainViewer())  # type: ignore[arg-type]


def shut(bench: Workbench, qtbot: Any) -> None:
    """Close the workbench of a viewer without a window, as the end of the window would.

    Its Qt objects are deleted here: left to Python's garbage collector, they may be
    deleted on a thread of the next test, and Qt crashes.
    """
    rest(bench, qtbot)
    bench.close()
    for one in (bench.viewer.window._qt_window,):
        one.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
