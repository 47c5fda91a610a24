"""What tests of the window share: settings of their own, a viewer with a dataset, no leaks."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

import fake_stain
import pytest
from plain import plain_bench, show, shut
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication

from napari_dynaclr.gui import settings
from napari_dynaclr.gui.workbench import workbench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_dynaclr.gui.workbench import Workbench


_frozen = 0  # how many modules had been imported when garbage was last told from the rest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs napari's canvas where there is no OpenGL."""
    if os.environ.get("QT_QPA_PLATFORM") != "offscreen":
        return
    skip = pytest.mark.skip(reason="napari's canvas needs OpenGL: install xvfb")
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "make_napari_viewer" in names:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _imports_are_no_garbage():
    """Keep the full garbage collections short that napari makes whenever layers go.

    They would look through all that is imported each time: nearly every object there is, hundreds
    of thousands of PyTorch's alone, and a large part of the time of a test with a window.
    """
    global _frozen
    if len(sys.modules) > _frozen:
        gc.collect()
        gc.freeze()
        _frozen = len(sys.modules)


@pytest.fixture(autouse=True)
def _own_settings(tmp_path, monkeypatch):
    """The user's settings are theirs: every test starts without any."""
    file = str(tmp_path / "settings.ini")
    monkeypatch.setattr(settings, "_store", lambda: QSettings(file, QSettings.Format.IniFormat))


@pytest.fixture(autouse=True)
def _no_windows_left(qapp):
    """A test that leaves a window open fails."""
    before = set(map(id, qapp.topLevelWidgets()))
    yield
    QApplication.sendPostedEvents(None, 52)  # DeferredDelete
    left = [w for w in qapp.topLevelWidgets() if id(w) not in before and w.isVisible()]
    assert left == []


@pytest.fixture
def idle(qtbot) -> Callable[[Workbench], None]:
    """Return a function that waits until nothing runs in the background."""

    def wait(bench: Workbench, timeout: int = 60_000) -> None:
        qtbot.waitUntil(lambda: not bench.runner.is_busy, timeout=timeout)

    return wait


@pytest.fixture
def empty_bench(make_napari_viewer, idle, qtbot) -> Iterator[Workbench]:
    """The workbench of a viewer in a real window, nothing open."""
    viewer = make_napari_viewer(show=True)
    made = workbench(viewer)
    # Where no window manager does it; keys are for the active window.
    window = viewer.window._qt_window
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    yield made
    idle(made)
    made.close()


@pytest.fixture
def windowless(processed, qtbot) -> Iterator[Workbench]:
    """What ``bench`` is, without a window: for tests that look at no canvas, and quicker."""
    made = plain_bench()
    yield show(made, qtbot, processed.root, "B/1/0", processed.workspace.path)
    shut(made, qtbot)


@pytest.fixture
def bench(processed, empty_bench, qtbot, idle) -> Workbench:
    """A workbench that shows FOV B/1/0 of the processed plate, with all its results."""
    empty_bench.open(processed.root, fov="B/1/0", workspace=processed.workspace.path)
    session = empty_bench.session
    qtbot.waitUntil(lambda: len(session.cells) > 0 and session.palette is not None, timeout=20_000)
    idle(empty_bench)
    return empty_bench


@pytest.fixture
def fresh_bench(dataset, empty_bench, qtbot, idle) -> Workbench:
    """A workbench that shows FOV B/1/0 of the plate, with nothing done yet."""
    empty_bench.open(dataset.root, fov="B/1/0", workspace=dataset.workspace.path)
    qtbot.waitUntil(lambda: empty_bench.session.fov is not None, timeout=20_000)
    idle(empty_bench)
    return empty_bench


@pytest.fixture
def stain(monkeypatch) -> Iterator[fake_stain.Stain]:
    """The only method of staining there is, a pretended one; it goes on when it is let."""
    fake = fake_stain.install(monkeypatch)
    yield fake
    fake.steps.release(1000)
