"""Hands and eyes for a real napari window: what ``tools/screenshots.py`` does its steps with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import napari
import numpy as np
import pandas as pd
from napari.utils.notifications import NotificationSeverity, notification_manager
from PIL import Image
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget

from napari_dynaclr.gui.workbench import workbench

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from napari.utils.notifications import Notification
    from qtpy.QtWidgets import QWidget

    from napari_dynaclr.gui.open.plate_map import PlateMap
    from napari_dynaclr.gui.scatter.plot import PointCloud
    from napari_dynaclr.gui.steps.step_widget import StepPanel
    from napari_dynaclr.session.cells import Cells

SIZE = (1280, 800)
"""Of the window, in pixels."""

MOST = 400_000
"""Bytes of a picture."""

PLUGIN = "napari-dynaclr"
"""What napari calls it in its menus."""

LEFT = Qt.MouseButton.LeftButton


class WrongTurn(Exception):
    """A step did not do what the tutorial says."""


class Tour:
    """A napari window, and hands and eyes for it.

    Parameters
    ----------
    pictures
        Folder of the pictures.
    """

    def __init__(self, pictures: Path) -> None:
        self.pictures = pictures
        self.doing = "open a window"
        self.viewer = napari.Viewer(show=False)
        # There is no public way to the window, to its layer list and to its layer controls.
        self.window: Any = self.viewer.window._qt_window  # noqa: SLF001
        self.viewer.window.show()
        self.window.setGeometry(0, 0, *SIZE)
        self.window.activateWindow()
        self.bench = workbench(self.viewer)
        self.docks: dict[str, QDockWidget] = {}
        notification_manager.notification_ready.connect(self._noticed)
        self._problem = ""
        self.pause(500)

    def _noticed(self, notice: Notification) -> None:
        if notice.severity >= NotificationSeverity.WARNING:
            self._problem = self._problem or notice.message

    def resize(self, width: int, height: int) -> None:
        """Make the window another size."""
        self.window.setGeometry(0, 0, width, height)
        self.pause(300)

    def close(self) -> None:
        """Stop all work and close the window."""
        self.bench.close()
        self.viewer.close()

    # -- waiting ----------------------------------------------------------

    def pause(self, milliseconds: int) -> None:
        """Let the window do its work for some time."""
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

    def check(self, is_so: bool, problem: str) -> None:
        """Stop at a step that has gone wrong."""
        if not is_so:
            raise WrongTurn(f"{self.doing}: {problem}")

    # -- hands ------------------------------------------------------------

    def press(self, button: QWidget) -> None:
        """Click a button."""
        if not (button.isVisible() and button.isEnabled()):
            raise WrongTurn(f"{self.doing}: cannot click '{button.text()}': {button.toolTip()}")
        QTest.mouseClick(button, LEFT)
        self.pause(20)

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
        actions = self.window.menuBar().actions()
        for i, title in enumerate(titles):
            # Where a plugin is in other menus too, napari adds its name to the titles.
            named = {
                action.text().replace("&", "").removesuffix(f" ({PLUGIN})"): action
                for action in actions
            }
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
        """Press a key while the mouse is over the image."""
        QTest.keyClick(self.canvas, key)
        self.pause(5)

    def pick_well(self, plate: PlateMap, well: str) -> None:
        """Click a well on the plate map."""
        for y in range(0, plate.height(), 5):
            for x in range(0, plate.width(), 5):
                if plate.well_at(QPointF(x, y)) == well:
                    QTest.mouseClick(plate, LEFT, pos=QPoint(x + 8, y + 8))
                    self.settle()
                    return
        raise WrongTurn(f"{self.doing}: no well {well} on the plate map")

    def lasso(self, cloud: PointCloud, outline: Iterable[tuple[float, float]]) -> None:
        """Draw a lasso on the map, the corners in its own units."""
        places = [QPoint(*map(round, cloud.xy_to_pixel(np.array(one)))) for one in outline]
        QTest.mousePress(cloud.canvas, LEFT, pos=places[0])
        for place in places[1:]:
            QTest.mouseMove(cloud.canvas, place)
            self.pause(5)
        QTest.mouseRelease(cloud.canvas, LEFT, pos=places[-1])
        self.settle()

    # -- the image --------------------------------------------------------

    @property
    def canvas(self) -> QWidget:
        """What shows the image, and gets mouse and keys."""
        return self.window._qt_viewer.canvas.native  # noqa: SLF001

    def place_of(self, row: int) -> QPoint:
        """Where a cell is on the canvas."""
        camera, scale = self.viewer.scene.camera, self.bench.session.fov.scale
        there = self.bench.session.cells.position[row][1:] * np.array(scale[1:])
        half = np.array([self.canvas.height(), self.canvas.width()]) / 2
        y, x = half + (there - np.array(camera.center[1:])) * camera.zoom
        return QPoint(round(x), round(y))

    def point_at(self, row: int) -> QPoint:
        """Move the mouse onto a cell."""
        place = self.place_of(row)
        if not self.canvas.rect().contains(place):
            raise WrongTurn(f"{self.doing}: cell {row} is outside the window")
        QTest.mouseMove(self.canvas, place + QPoint(1, 1))
        QTest.mouseMove(self.canvas, place)
        self.pause(5)
        return place

    def click(self, row: int) -> None:
        """Click a cell in the image."""
        QTest.mouseClick(self.canvas, LEFT, pos=self.point_at(row))
        self.pause(5)

    def go(self, t: int) -> None:
        """Move the time slider."""
        self.viewer.dims.set_current_step(0, t)
        self.settle()

    def fill_view(self, margin: float = 0.02) -> None:
        """Let the field fill the canvas, as the Home button does, with less around it."""
        self.viewer.reset_view(margin=margin)
        self.pause(100)

    def show_only(self, *names: str) -> None:
        """Click the eyes of the layers until only these are seen."""
        for layer in self.viewer.layers:
            layer.visible = layer.name in names
        self.settle()

    # -- docks ------------------------------------------------------------

    def open_dock(self, name: str, *, bottom: bool = False, beside: str = "") -> Any:
        """Open a widget from the plugin's menu, and put it where it is wanted.

        Parameters
        ----------
        name
            As in the menu.
        bottom
            Below the image; else on the right.
        beside
            To the right of this one; else as a tab among those that are there.
        """
        self.menu("Plugins", PLUGIN, name)
        widget = part = self.viewer.window.dock_widgets[f"{name} ({PLUGIN})"]
        while not isinstance(part, QDockWidget):
            part = part.parentWidget()
        others = [one for known, one in self.docks.items() if known not in (name, "Lineage")]
        if bottom:
            self.window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, part)
        elif beside:
            self.window.splitDockWidget(self.docks[beside], part, Qt.Orientation.Horizontal)
        elif others and name not in self.docks:
            self.window.tabifyDockWidget(others[-1], part)
        self.docks[name] = part
        part.show()
        part.raise_()
        self.pause(300)
        return widget

    def close_all_docks(self) -> None:
        """Close what is on the right; what was a tab is one of its own when opened again."""
        for name, dock in list(self.docks.items()):
            self.window.removeDockWidget(dock)
            self.window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
            dock.hide()
            del self.docks[name]
        self.pause(200)

    def size_docks(self, sizes: dict[str, int], *, heights: bool = False) -> None:
        """Drag the rims of docks to these widths, or heights, in pixels."""
        way = Qt.Orientation.Vertical if heights else Qt.Orientation.Horizontal
        known = self.docks | {"layers": self.window._qt_viewer.dockLayerList}  # noqa: SLF001
        self.window.resizeDocks([known[name] for name in sizes], list(sizes.values()), way)
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
        self.viewer.status = self.viewer.status  # a tip that came late must not stay
        QApplication.processEvents()
        self.check(not self._problem, self._problem)
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

    def states(self, cells: Cells, rows: Iterable[int], column: str) -> list[str]:
        """Return the states of the simulated cells that are nearest at the same time points."""
        found = []
        for row in rows:
            here = self._table
            here = here[(here["fov_name"] == cells.name(row)) & (here["t"] == cells.t[row])]
            _, y, x = cells.position[row]
            nearest = np.hypot(here["y"] - y, here["x"] - x).to_numpy().argmin()
            found.append(str(here[column].iloc[nearest]))
        return found
