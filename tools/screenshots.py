"""The tutorial's steps in a real napari window, and the pictures of it: ``make screenshots``.

Clicks what the tutorial says to click, on the simulated sample, and saves what is on the screen
to ``docs/images/gui-*.jpg``. Where a person would look at the image to decide, it looks at the
truth that is simulated with it. Nothing of the user's is read or changed: settings and sample
are in a folder of their own.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_dynaclr.gui.steps.step_widget import StepPanel
    from qtpy.QtCore import QPoint
    from qtpy.QtWidgets import QDockWidget, QWidget

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
SIZE = (1280, 800)
"""Of the window, in pixels."""

INFECTED, MOCK = "B/1/0", "A/1/0"
"""FOVs in which cells are clicked."""

MOST = 400_000
"""Bytes of a picture."""


class WrongTurn(Exception):
    """A step did not do what the tutorial says."""


class Tour:
    """A napari window, and hands and eyes for it.

    Parameters
    ----------
    home
        Folder of the sample and of all settings.
    pictures
        Folder of the pictures.
    """

    def __init__(self, home: Path, pictures: Path) -> None:
        import napari
        from napari_dynaclr.gui.workbench import workbench

        self.home, self.pictures = home, pictures
        self.doing = "open a window"
        self.viewer = napari.Viewer(show=False)
        self.window: QWidget = self.viewer.window._qt_window  # noqa: SLF001 # there is no other way
        self.window.setGeometry(0, 0, *SIZE)
        self.viewer.window.show()
        self.bench = workbench(self.viewer)
        self.docks: dict[str, QDockWidget] = {}
        self.pause(500)

    # -- waiting ----------------------------------------------------------

    def pause(self, milliseconds: int) -> None:
        """Let the window do its work for some time."""
        from qtpy.QtTest import QTest

        QTest.qWait(milliseconds)

    def until(self, is_so: Callable[[], Any], what: str, seconds: float = 30) -> None:
        """Wait for something; a step that waits in vain is a wrong turn."""
        for _ in range(round(seconds * 20)):
            if is_so():
                return
            self.pause(50)
        raise WrongTurn(f"{self.doing}: waited {seconds:g} s in vain: {what}")

    def settle(self) -> None:
        """Wait until nothing runs in the background, and everything is drawn."""
        for _ in range(3):  # what has ended may start the next
            self.until(lambda: not self.bench.runner.is_busy, "work in the background", 300)
            self.pause(150)

    # -- hands ------------------------------------------------------------

    def press(self, button: QWidget) -> None:
        """Click a button."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        if not (button.isVisible() and button.isEnabled()):
            raise WrongTurn(f"{self.doing}: cannot click '{button.text()}': {button.toolTip()}")  # type: ignore[attr-defined]
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def choose(self, box: Any, text: str) -> None:
        """Choose an entry of a drop-down list, as a user does."""
        place = box.findText(text)
        if place < 0:
            known = [box.itemText(i) for i in range(box.count())]
            raise WrongTurn(f"{self.doing}: '{text}' is not among {known}")
        box.setCurrentIndex(place)
        box.activated.emit(place)
        box.textActivated.emit(text)

    def menu(self, *titles: str) -> None:
        """Choose from the menu bar."""
        actions = self.window.menuBar().actions()  # type: ignore[attr-defined]
        for i, title in enumerate(titles):
            named = {action.text().replace("&", ""): action for action in actions}
            if title not in named:
                raise WrongTurn(f"{self.doing}: no '{title}' in the menu, only {list(named)}")
            action = named[title]
            if i == len(titles) - 1:
                action.trigger()
            else:
                menu = action.menu()
                menu.aboutToShow.emit()
                actions = menu.actions()

    def key(self, key: str) -> None:
        """Press a key with the mouse over the image."""
        from qtpy.QtGui import QKeySequence
        from qtpy.QtTest import QTest

        QTest.keySequence(self.canvas, QKeySequence(key))

    # -- the image --------------------------------------------------------

    @property
    def canvas(self) -> QWidget:
        """What shows the image, and gets mouse and keys."""
        from napari._qt.qt_viewer import QtViewer

        return self.window.findChild(QtViewer).canvas.native

    def place_of(self, row: int) -> QPoint:
        """Where a cell is on the canvas."""
        from qtpy.QtCore import QPoint

        camera, scale = self.viewer.scene.camera, self.bench.session.fov.scale
        there = self.bench.session.cells.position[row][1:] * np.array(scale[1:])
        half = np.array([self.canvas.height(), self.canvas.width()]) / 2
        y, x = half + (there - np.array(camera.center[1:])) * camera.zoom
        return QPoint(round(x), round(y))

    def click(self, row: int) -> None:
        """Click a cell in the image."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        place = self.place_of(row)
        if not self.canvas.rect().contains(place):
            raise WrongTurn(f"{self.doing}: cell {row} is outside the window")
        QTest.mouseMove(self.canvas, place + QPoint(1, 1))
        QTest.mouseMove(self.canvas, place)
        QTest.mouseClick(self.canvas, Qt.MouseButton.LeftButton, pos=place)
        self.pause(1)

    def go(self, t: int) -> None:
        """Move the time slider."""
        self.viewer.dims.set_current_step(0, t)
        self.settle()

    def fill_view(self) -> None:
        """Let the field fill the canvas, as the Home button does, with less around it."""
        self.viewer.reset_view(margin=0.01)
        self.pause(100)

    def show_only(self, *names: str) -> None:
        """Click the eyes of the layers until only these are seen."""
        for layer in self.viewer.layers:
            layer.visible = layer.name in names
        self.settle()

    # -- docks ------------------------------------------------------------

    def open_dock(self, name: str) -> Any:
        """Open a widget from the plugin's menu."""
        before = set(self.docks)
        self.menu("Plugins", "DynaCLR", name)
        found, widget = self.viewer.window.add_plugin_dock_widget("napari-dynaclr", name)
        self.docks[name] = found
        self.pause(300 if name not in before else 50)
        return widget

    def close_dock(self, *names: str) -> None:
        """Put docks away."""
        for name in names:
            self.docks[name].hide()
        self.pause(200)

    def size_docks(self, sizes: dict[str, int], upright: bool = False) -> None:
        """Drag the rims of docks: widths in pixels, or heights."""
        from qtpy.QtCore import Qt

        way = Qt.Orientation.Vertical if upright else Qt.Orientation.Horizontal
        docks = [self.docks[name] for name in sizes]
        self.window.resizeDocks(docks, list(sizes.values()), way)  # type: ignore[attr-defined]
        self.pause(300)

    # -- stages -----------------------------------------------------------

    def start(self, panel: StepPanel) -> Any:
        """Run a stage on the whole plate."""
        panel.scope.setCurrentText("whole plate")
        self.press(panel.run_button)
        run = self.bench.runner.stage
        if run is None:
            raise WrongTurn(f"{self.doing}: '{panel.stage}' did not start")
        return run

    def finish(self, run: Any) -> None:
        """Wait for a stage to end well."""
        self.until(lambda: run.is_over, f"end of {run.title}", 1200)
        if run.state.value != "finished":
            raise WrongTurn(f"{self.doing}: {run.title} {run.state.value}: {run.error}")
        self.settle()

    # -- eyes -------------------------------------------------------------

    def picture(self, name: str) -> None:
        """Save what is in the window."""
        from qtpy.QtWidgets import QApplication

        self.viewer.status = self.viewer.status  # a tip that came late must not stay
        QApplication.processEvents()
        shot = self.viewer.window.screenshot(flash=False, canvas_only=False)
        path = self.pictures / f"gui-{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shot[..., :3]).save(path, quality=90, subsampling=0, optimize=True)
        if path.stat().st_size > MOST:
            raise WrongTurn(f"{self.doing}: {path.name} is larger than {MOST:,} bytes")
        print(f"{path.name}  {path.stat().st_size / 1000:.0f} kB", flush=True)


class Truth:
    """What the eye of a biologist would see.

    Parameters
    ----------
    path
        The simulated annotations of the sample.
    """

    def __init__(self, path: Path) -> None:
        self._table = pd.read_csv(path)

    def states(self, tour: Tour, rows: Iterable[int], column: str) -> list[str]:
        """True states of cells."""
        cells = tour.bench.session.cells
        found = []
        for row in rows:
            here = self._table
            here = here[(here["fov_name"] == cells.name(row)) & (here["t"] == cells.t[row])]
            _, y, x = cells.position[row]
            nearest = np.hypot(here["y"] - y, here["x"] - x).to_numpy().argmin()
            found.append(str(here[column].iloc[nearest]))
        return found
