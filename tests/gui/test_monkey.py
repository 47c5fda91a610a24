"""Five hundred random actions, none of which may raise or leave something broken."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from napari._qt.qt_viewer import QtViewer
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_dynaclr.core.journal import Journal
from napari_dynaclr.gui.annotate.annotate_widget import AnnotateWidget
from napari_dynaclr.gui.classify.classify_widget import ClassifyWidget
from napari_dynaclr.gui.lineage.lineage_widget import LineageWidget
from napari_dynaclr.gui.open.open_widget import OpenWidget
from napari_dynaclr.gui.steps.stage_widgets import EmbedAndProjectWidget, SegmentAndTrackWidget
from napari_dynaclr.session import Scope
from napari_dynaclr.session.painting import choices

DOCKS = (
    OpenWidget,
    SegmentAndTrackWidget,
    EmbedAndProjectWidget,
    AnnotateWidget,
    ClassifyWidget,
    LineageWidget,
)
LEFT = Qt.MouseButton.LeftButton


class Monkey:
    """Does what a person could do, in no order that makes sense."""

    def __init__(self, bench, seed):
        self.bench, self.viewer, self.session = bench, bench.viewer, bench.session
        self.random = np.random.default_rng(seed)
        self.docks = {}
        self.canvas = self.viewer.window._qt_window.findChild(QtViewer).canvas.native
        self.actions = [
            (self.click, 14), (self.key, 12), (self.frame, 10), (self.select, 6), (self.state, 5),
            (self.colour, 4), (self.fov, 3), (self.scope, 2), (self.dock, 5), (self.layer, 5),
            (self.undo, 4), (self.jump, 4), (self.task, 2), (self.cloud, 6), (self.add_layer, 1),
            (self.reload, 1), (self.run, 1), (self.cancel, 1), (self.theme, 1), (self.dims, 1),
            (self.lasso_label, 1),
        ]  # fmt: skip

    def act(self):
        weights = np.array([weight for _, weight in self.actions], float)
        action, _ = self.actions[self.random.choice(len(self.actions), p=weights / weights.sum())]
        action()
        return action.__name__

    def one(self, things):
        return things[int(self.random.integers(len(things)))] if len(things) else None

    def click(self):
        place = QPoint(*(int(self.random.integers(5, side - 5)) for side in self._size()))
        shift = Qt.KeyboardModifier.ShiftModifier
        modifier = self.one([Qt.KeyboardModifier.NoModifier] * 3 + [shift])
        QTest.mouseMove(self.canvas, place)
        QTest.mouseClick(self.canvas, LEFT, modifier, place)

    def _size(self):
        return self.canvas.width(), self.canvas.height()

    def key(self):
        name = self.one(["1", "2", "0", "K", "J", "Q", "Escape", "Left", "Right"])
        QTest.keyClick(self.canvas, getattr(Qt.Key, f"Key_{name}"))

    def frame(self):
        self.viewer.dims.set_current_step(self.viewer.dims.ndim - 4 if self.viewer.dims.ndim >= 4
                                          else 0, int(self.random.integers(0, 10)))  # fmt: skip

    def select(self):
        if len(self.session.cells):
            rows = self.random.integers(0, len(self.session.cells), self.random.integers(0, 30))
            self.session.select(rows, self.one(["replace", "add", "remove", "toggle"]))

    def state(self):
        self.session.set_state(self.one(["", *(one.name for one in self.session.task.choices)]))

    def colour(self):
        known = choices(self.session.cells, self.session.tasks, self.bench.features[:3])
        self.bench.colour(self.one(known))

    def fov(self):
        self.bench.step_fov(self.one([-1, 1]))

    def scope(self):
        self.bench.set_scope(self.one(list(Scope)))

    def dock(self):
        kind = self.one(DOCKS)
        if kind in self.docks:
            self.viewer.window.remove_dock_widget(self.docks.pop(kind))
        else:
            self.docks[kind] = kind(self.viewer)
            self.viewer.window.add_dock_widget(self.docks[kind], name=kind.__name__)

    def layer(self):
        layer = self.one(self.viewer.layers)
        if layer is None:
            return
        match self.random.integers(6):
            case 0:
                layer.visible = not layer.visible
            case 1:
                self.viewer.layers.move(self.viewer.layers.index(layer), 0)
            case 2:
                layer.name = f"renamed {self.random.integers(100)}"
            case 3 if len(self.viewer.layers) > 4:
                self.viewer.layers.remove(layer)
            case 4:
                self.viewer.layers.selection.active = layer
            case _:
                layer.opacity = float(self.random.uniform(0.2, 1))

    def add_layer(self):
        if self.random.integers(2):
            self.viewer.add_points(self.random.uniform(0, 50, (5, 2)), name="user's points")
        else:
            self.viewer.add_image(self.random.uniform(0, 1, (2, 3, 2, 8, 8)), name="user's 5D")

    def undo(self):
        if self.session.annotator is not None:
            self.one([self.session.annotator.undo, self.session.annotator.redo])()

    def jump(self):
        if len(self.session.cells):
            self.session.focus(int(self.random.integers(len(self.session.cells))))

    def task(self):
        self.session.set_task(self.one(self.session.tasks).name)

    def cloud(self):
        maps = self.docks.get(EmbedAndProjectWidget)
        if maps is None:
            return
        canvas = maps.map.cloud.canvas
        maps.map.cloud.mode = self.one(["pan", "lasso", "rectangle"])
        sides = [max(canvas.width(), 2), max(canvas.height(), 2)]
        places = [QPoint(*map(int, self.random.integers(sides))) for _ in range(4)]
        QTest.mousePress(canvas, LEFT, Qt.KeyboardModifier.NoModifier, places[0])
        for place in places[1:]:
            QTest.mouseMove(canvas, place)
        QTest.mouseRelease(canvas, LEFT, Qt.KeyboardModifier.NoModifier, places[-1])

    def reload(self):
        self.bench.load_cells()

    def run(self):
        panels = self.docks.get(SegmentAndTrackWidget)
        if panels is not None and self.bench.runner.stage is None:
            self.one(list(panels.steps.panels.values())).run()

    def cancel(self):
        if self.bench.runner.stage is not None:
            self.bench.runner.stage.cancel()

    def theme(self):
        self.viewer.theme = self.one(["dark", "light"])

    def dims(self):
        self.viewer.dims.ndisplay = self.one([2, 3])

    def lasso_label(self):
        self.session.annotate(self.session.selection, self.one(["infected", "uninfected", ""]))


@pytest.mark.parametrize(
    ("seed", "actions"),
    [
        (0, 150),
        pytest.param(0, 500, marks=pytest.mark.slow),
        pytest.param(1, 500, marks=pytest.mark.slow),
        pytest.param(2, 500, marks=pytest.mark.slow),
    ],
)
def test_random_actions_raise_nothing(seed, actions, bench, idle, qtbot, capture_errors):
    monkey = Monkey(bench, seed)
    done = []
    for _ in range(actions):
        done.append(monkey.act())
        QApplication.processEvents()
        assert not capture_errors, f"after {done[-12:]}: {capture_errors}"
    idle(bench)
    assert not capture_errors, done[-12:]
    # What is shown is what is on disk.
    on_disk = Journal(bench.session.dataset.workspace.journal).states()
    shown = {
        (fov, node, task): given.state
        for task in bench.session.marks.tasks
        for fov, node, given in bench.session.marks.of(task)
    }
    ids = {name: set(bench.session.cells.id[bench.session.cells.rows_of(name)])
           for name in bench.session.cells.fovs}  # fmt: skip
    for (fov, node, task), (mark, _) in on_disk.items():
        if node in ids.get(fov, ()) and mark.made_on == bench.session.cells.keys[fov]:
            assert shown[fov, node, task] == mark.state


@pytest.fixture
def capture_errors(monkeypatch):
    """Collect errors that are no message for the user, from any thread."""
    found = []
    monkeypatch.setattr(
        notification_manager, "receive_error", lambda kind, value, *_: found.append(repr(value))
    )

    class Collector(logging.Handler):
        def emit(self, record):
            found.append(record.getMessage() + repr(record.exc_info))

    logger, collector = logging.getLogger("napari.dynaclr"), Collector(logging.ERROR)
    logger.addHandler(collector)
    yield found
    logger.removeHandler(collector)
