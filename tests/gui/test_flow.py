"""The whole job by hand: open, segment, track, embed, map, lasso, annotate, classify, reopen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari._qt.qt_viewer import QtViewer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_dynaclr import open_dataset
from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.gui.annotate.annotate_widget import AnnotateWidget
from napari_dynaclr.gui.classify.classify_widget import ClassifyWidget
from napari_dynaclr.gui.lineage.lineage_widget import LineageWidget
from napari_dynaclr.gui.open.open_widget import OpenWidget
from napari_dynaclr.gui.runner import RunState
from napari_dynaclr.gui.steps.stage_widgets import EmbedAndProjectWidget, SegmentAndTrackWidget
from napari_dynaclr.gui.workbench import workbench
from napari_dynaclr.session import Scope

if TYPE_CHECKING:
    from napari_dynaclr.gui.steps.step_widget import StepPanel
    from napari_dynaclr.gui.workbench import Workbench

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


def run(panel: StepPanel, bench: Workbench, qtbot, idle) -> None:
    """Press Run, and wait until the stage has finished and is shown."""
    panel.scope.setCurrentText(Scope.PLATE.value)
    qtbot.waitUntil(panel.run_button.isEnabled)
    qtbot.mouseClick(panel.run_button, LEFT)
    run = bench.runner.stage
    assert run is not None
    qtbot.waitUntil(lambda: run.is_over, timeout=120_000)
    assert run.state is RunState.FINISHED, run.error
    idle(bench)


def pixel_of(bench: Workbench, row: int) -> QPoint:
    """Where a cell is on the canvas."""
    fov, camera = bench.session.fov, bench.viewer.scene.camera
    _, y, x = bench.session.cells.position[row]
    height, width = bench.viewer.canvas.size
    return QPoint(
        round(width / 2 + (x * fov.scale[2] - camera.center[2]) * camera.zoom),
        round(height / 2 + (y * fov.scale[1] - camera.center[1]) * camera.zoom),
    )


@pytest.fixture
def viewers(make_napari_viewer):
    made = []

    def make():
        viewer = make_napari_viewer(show=True)
        made.append(workbench(viewer))
        return viewer

    yield make
    for bench in made:
        bench.close()


def test_the_whole_job_and_everything_is_still_there_when_reopened(
    dataset, truth, viewers, qtbot, idle
):
    viewer = viewers()
    bench = workbench(viewer)
    session = bench.session
    home = OpenWidget(viewer)
    cells = SegmentAndTrackWidget(viewer)
    maps = EmbedAndProjectWidget(viewer)
    for name, widget in (("open", home), ("cells", cells), ("map", maps)):
        viewer.window.add_dock_widget(widget, name=name, tabify=False)
    bench.open(dataset.root, fov="B/1/0", workspace=dataset.workspace.path)
    qtbot.waitUntil(lambda: session.fov is not None, timeout=20_000)
    idle(bench)
    assert [layer.name for layer in viewer.layers] == ["Phase", "Nuclei", "Membrane", "Sensor"]

    run(cells.steps.panels["segment"], bench, qtbot, idle)
    assert "cells" in viewer.layers
    cells.steps.setCurrentIndex(1)
    run(cells.steps.panels["track"], bench, qtbot, idle)
    assert {"tracks", "annotations"} <= {layer.name for layer in viewer.layers}
    run(maps.steps.panels["embed"], bench, qtbot, idle)
    maps.steps.setCurrentIndex(1)
    project = maps.steps.panels["project"]
    project.method.setCurrentIndex(project.method.findData("pca"))
    run(project, bench, qtbot, idle)
    assert list(session.cells.maps) == ["pca"]

    # A lasso around everything on the map selects all cells of the FOV.
    maps.map.cloud.mode = "lasso"
    canvas = maps.map.cloud.canvas
    width, height = canvas.width(), canvas.height()
    corners = [(3, 3), (width - 3, 3), (width - 3, height - 3), (3, height - 3)]
    qtbot.mousePress(canvas, LEFT, pos=QPoint(*corners[0]))
    for corner in corners[1:]:
        qtbot.mouseMove(canvas, QPoint(*corner))
    qtbot.mouseRelease(canvas, LEFT, pos=QPoint(*corners[-1]))
    assert len(session.selection) > 0.9 * len(session.cells)

    # Clicks with a state active; truth says which cells are infected.
    for widget in (home, cells, maps):
        viewer.window.remove_dock_widget(widget)
    annotate = AnnotateWidget(viewer)
    viewer.window.add_dock_widget(annotate, name="annotate")
    lineage = LineageWidget(viewer)
    viewer.window.add_dock_widget(lineage, name="lineage", area="bottom")
    viewer.reset_view()
    qtbot.wait(100)
    image = viewer.window._qt_window.findChild(QtViewer).canvas.native
    states = _truth(truth, "B/1/0")
    for t in (1, 9):
        viewer.dims.set_current_step(0, t)
        idle(bench)
        for row in session.here()[:8]:
            state = _nearest(states, t, session.cells.position[row])
            session.set_state(state)
            QTest.mouseMove(image, pixel_of(bench, row))
            qtbot.mouseClick(image, LEFT, NONE, pixel_of(bench, row))
            idle(bench)
            given = session.marks.get("B/1/0", int(session.cells.id[row]), "infection")
            assert given is not None and given.state == state and not given.carried
    counts = session.marks.counts("infection")
    assert counts["infected"] and counts["uninfected"]
    viewer.window.remove_dock_widget(annotate)

    classify = ClassifyWidget(viewer)
    viewer.window.add_dock_widget(classify, name="classify")
    run(classify.step, bench, qtbot, idle)
    prediction = session.cells.predictions["infection"]
    assert (prediction.codes >= 0).all()
    idle(bench)
    viewer.close()

    again = workbench(viewers())
    again.open(dataset.root, fov="B/1/0", workspace=dataset.workspace.path)
    qtbot.waitUntil(lambda: again.session.palette is not None, timeout=20_000)
    idle(again)
    assert [layer.name for layer in again.viewer.layers] == [
        "Phase", "Nuclei", "Membrane", "Sensor", "cells", "tracks", "annotations",
    ]  # fmt: skip
    assert again.session.marks.counts("infection") == counts
    assert list(again.session.cells.maps) == ["pca"]
    np.testing.assert_array_equal(
        again.session.cells.predictions["infection"].codes, prediction.codes
    )
    table = current_annotations(open_dataset(dataset.root, dataset.workspace.path))
    assert table["infection_state"].value_counts().to_dict() == dict(counts)


def _truth(truth, fov_name):
    import pandas as pd

    table = pd.read_csv(truth / "annotations.csv")
    return table[table["fov_name"] == fov_name]


def _nearest(states, t, position):
    here = states[states["t"] == t]
    distance = np.hypot(here["y"] - position[1], here["x"] - position[2])
    return str(here["infection_state"].iloc[int(distance.argmin())])
