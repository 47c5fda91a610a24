from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from fake_stain import FakeParams
from plain import plain_bench, rest, show, shut
from qtpy.QtCore import Qt

from napari_dynaclr.core import registry
from napari_dynaclr.core.device import Device
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.registry import Method, find_method, params
from napari_dynaclr.gui.layers.growing import GrowingImage
from napari_dynaclr.gui.runner import RunState
from napari_dynaclr.gui.steps.step_widget import LIST, StepPanel
from napari_dynaclr.gui.workbench import Workbench
from napari_dynaclr.session import Scope

if TYPE_CHECKING:
    from qtpy.QtWidgets import QListWidgetItem

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def told(monkeypatch):
    """What the user is told has gone wrong."""
    lines = []
    monkeypatch.setattr(Workbench, "explain", lambda _self, error: lines.append(str(error)))
    return lines


@pytest.fixture
def empty(qtbot, told):
    made = plain_bench()
    yield made
    shut(made, qtbot)


@pytest.fixture
def bench(empty, dataset, qtbot):
    return show(empty, qtbot, dataset.root, "B/1/0", dataset.workspace.path)


@pytest.fixture
def panel(bench, qtbot):
    return shown(bench, qtbot, "segment")


def shown(bench, qtbot, stage):
    made = StepPanel(bench.viewer, stage)
    qtbot.addWidget(made)
    made.resize(360, 600)
    made.show()
    rest(bench, qtbot)
    return made


def edit(panel, name, value):
    """Set a field as a user does."""
    editor = panel.form._editors[name]
    editor.set_value(value)
    editor.edited.emit()


def choose(panel, method):
    panel.method.setCurrentIndex(panel.method.findData(method))


def ran(panel):
    return panel.session.dataset.workspace.runs()


# -- settings -------------------------------------------------------------


def test_the_methods_are_those_of_the_registry(panel):
    names = [panel.method.itemData(i) for i in range(panel.method.count())]
    assert names == [method.name for method in registry.methods("segment")]
    assert panel.method.currentText() == find_method("segment").title
    assert panel.form.kind is find_method("segment").params_class()


def test_another_method_brings_its_own_form(panel):
    choose(panel, "import")
    assert panel.method_name == "import"
    assert panel.form.kind is find_method("segment", "import").params_class()


def test_one_method_needs_no_choice(bench, qtbot):
    panel = shown(bench, qtbot, "classify")
    assert panel.method.count() == 1
    assert not panel.method.isVisible()


def test_settings_reach_the_run_as_they_are_shown(panel, bench, qtbot):
    edit(panel, "diameter", 14.0)
    qtbot.mouseClick(panel.run_button, LEFT)
    rest(bench, qtbot)
    [run] = ran(panel)
    assert run["params"] == params("segment", diameter=14.0).model_dump(mode="json")
    assert (run["method"], run["status"]) == ("threshold", "finished")


def test_settings_are_shown_as_they_are_given(panel):
    panel.show_settings("threshold", params("segment", diameter=9.0, sensitivity=2.0))
    assert panel.form.values()["diameter"] == 9.0
    assert panel.form.params() == params("segment", diameter=9.0, sensitivity=2.0)


def test_the_channels_of_the_dataset_can_be_chosen(panel):
    edit(panel, "channel", "Membrane")
    assert panel.form.params().channel == "Membrane"
    assert set(panel.form._choices["channels"]) == {"Phase", "Nuclei", "Membrane", "Sensor"}


def test_a_value_that_is_not_allowed_stops_run_with_one_line_in_the_form(bench, qtbot):
    panel = shown(bench, qtbot, "annotate")  # which needs to be told where the points are
    assert not panel.run_button.isEnabled()
    problem = panel.run_button.toolTip()
    assert problem
    assert problem == panel.form._message.text()
    assert "\n" not in problem
    assert panel.form._message.isVisible()
    edit(panel, "path", "/data/points.csv")
    assert panel.run_button.isEnabled()
    assert not panel.form._message.isVisible()


def test_an_engine_that_is_not_installed_says_what_to_install(bench, qtbot, monkeypatch):
    missing = Method("segment", "exotic", "An exotic engine", "exotic.engine", "P", "exotic")
    monkeypatch.setattr(registry, "METHODS", (*registry.METHODS, missing))
    real = registry.import_module

    def find(name):
        if name.endswith("exotic.engine"):
            raise ModuleNotFoundError("no exotic", name="exotic_library")
        return real(name)

    monkeypatch.setattr(registry, "import_module", find)
    panel = shown(bench, qtbot, "segment")
    choose(panel, "exotic")
    assert 'pip install "napari-dynaclr[exotic]"' in panel.missing.text()
    assert panel.missing.isVisible()
    assert not panel.form.isVisible()
    assert not panel.run_button.isEnabled()
    choose(panel, "threshold")
    assert not panel.missing.isVisible()
    assert panel.run_button.isEnabled()


# -- what to work on ------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "names"),
    [
        (Scope.FOV.value, ["B/1/0"]),
        (Scope.WELL.value, ["B/1/0", "B/1/1"]),
        (Scope.PLATE.value, ["A/1/0", "A/1/1", "B/1/0", "B/1/1"]),
    ],
)
def test_it_works_on_a_fov_a_well_or_the_plate(panel, scope, names):
    panel.scope.setCurrentText(scope)
    assert panel.fov_names() == names
    assert not panel.listed.isVisible()


def test_it_works_on_listed_fovs_and_wells(panel, bench, qtbot):
    panel.scope.setCurrentText(LIST)
    assert panel.listed.isVisible()
    panel.listed.setText("A/1/1, B/1")
    assert panel.fov_names() == ["A/1/1", "B/1/0", "B/1/1"]
    panel.listed.setText("*/1/1")
    assert panel.fov_names() == ["A/1/1", "B/1/1"]
    panel.listed.setText("A/1/1")
    qtbot.mouseClick(panel.run_button, LEFT)
    rest(bench, qtbot)
    assert ran(panel)[0]["fovs"] == ["A/1/1"]


@pytest.mark.parametrize("text", ["Q/9", ""])
def test_fovs_that_are_not_there_are_refused_in_a_line(panel, bench, qtbot, told, text):
    panel.scope.setCurrentText(LIST)
    panel.listed.setText(text)
    with pytest.raises(InvalidInput):
        panel.fov_names()
    panel.run()
    rest(bench, qtbot)
    assert len(told) == 1
    assert "\n" not in told[0]
    assert bench.runner.stage is None
    assert ran(panel) == []


# -- running --------------------------------------------------------------


def test_without_a_dataset_nothing_can_be_run(empty, qtbot):
    panel = shown(empty, qtbot, "segment")
    assert not panel.run_button.isEnabled()
    assert panel.run_button.toolTip() == "Open a dataset first."
    assert not panel.cancel_button.isEnabled()
    assert not panel.runs.isVisible()


def test_it_runs_by_keyboard(panel, bench, qtbot):
    panel.run_button.setFocus()
    qtbot.keyClick(panel.run_button, Qt.Key.Key_Space)
    assert bench.runner.stage is not None
    rest(bench, qtbot)
    assert ran(panel)[0]["status"] == "finished"


def test_a_failed_run_says_why_and_is_not_left_running(bench, qtbot, told):
    panel = shown(bench, qtbot, "track")  # nothing has been segmented
    qtbot.mouseClick(panel.run_button, LEFT)
    assert not panel.run_button.isEnabled()
    assert panel.cancel_button.isEnabled()
    rest(bench, qtbot)
    assert told == ["No segmented cells found for FOV B/1/0: run 'segment' first."]
    assert panel.progress.text.text() == f"failed: {told[0]}"
    assert not panel.progress.bar.isVisible()
    assert panel.run_button.isEnabled()
    assert not panel.cancel_button.isEnabled()
    assert bench.runner.stage is None


# -- results that appear while they are made ------------------------------


@pytest.fixture
def staining(bench, stain, qtbot):
    """The panel, its run waiting to make the first time point."""
    panel = shown(bench, qtbot, "stain")
    qtbot.mouseClick(panel.run_button, LEFT)
    qtbot.waitUntil(lambda: "B/1/0 0/10" in panel.progress.text.text())
    return panel


def running(bench):
    """Layers of what is being made."""
    return {one.name: one for one in bench.viewer.layers if isinstance(one.data, GrowingImage)}


def test_the_device_is_chosen_in_the_form(bench, stain, qtbot):
    panel = shown(bench, qtbot, "stain")
    edit(panel, "device", Device.CPU)
    qtbot.mouseClick(panel.run_button, LEFT)
    stain.steps.release(100)
    rest(bench, qtbot)
    assert stain.seen == [FakeParams(device=Device.CPU)]


def test_time_points_are_seen_as_they_are_made(staining, bench, stain, qtbot):
    assert running(bench) == {}
    stain.steps.release(1)
    qtbot.waitUntil(lambda: len(running(bench)) == 2)
    nuclei, membrane = (running(bench)[f"{n}_prediction"] for n in ("nuclei", "membrane"))
    fov = bench.session.fov
    assert nuclei.data.shape == membrane.data.shape == fov.shape
    np.testing.assert_allclose(nuclei.scale[1:], fov.scale)
    # Their contrast is that of what is there, not of all the zeros still to come.
    assert nuclei.contrast_limits[1] == pytest.approx(1, rel=0.1)
    assert membrane.contrast_limits[1] == pytest.approx(10, rel=0.1)
    assert np.asarray(nuclei.data[0]).max() == 1
    assert not np.asarray(nuclei.data[3]).any()
    bench.viewer.dims.set_point(0, 3)
    assert not np.asarray(nuclei._slice.image.view).any()
    stain.steps.release(3)
    qtbot.waitUntil(lambda: bool(np.asarray(nuclei._slice.image.view).max() == 4))
    stain.steps.release(100)
    rest(bench, qtbot)
    assert running(bench) == {}
    assert "nuclei_prediction" in bench.viewer.layers
    assert "membrane_prediction" in bench.viewer.layers
    assert staining.progress.text.text().startswith("finished")


def test_a_part_that_the_user_removes_stays_away_for_this_run(staining, bench, stain, qtbot):
    stain.steps.release(1)
    qtbot.waitUntil(lambda: len(running(bench)) == 2)
    for layer in running(bench).values():
        bench.viewer.layers.remove(layer)
    stain.steps.release(3)
    qtbot.waitUntil(lambda: "4/10" in staining.progress.text.text())
    assert running(bench) == {}
    stain.steps.release(100)
    rest(bench, qtbot)
    assert "nuclei_prediction" in bench.viewer.layers


def test_parts_of_a_fov_that_is_not_on_screen_are_not_shown(staining, bench, stain, qtbot):
    stain.steps.release(1)
    qtbot.waitUntil(lambda: len(running(bench)) == 2)
    bench.show_fov("A/1/0")
    qtbot.waitUntil(lambda: bench.session.fov.name == "A/1/0", timeout=10_000)
    assert running(bench) == {}
    stain.steps.release(2)
    qtbot.waitUntil(lambda: "3/10" in staining.progress.text.text())
    assert running(bench) == {}
    bench.show_fov("B/1/0")
    qtbot.waitUntil(lambda: bench.session.fov.name == "B/1/0", timeout=10_000)
    stain.steps.release(1)
    qtbot.waitUntil(lambda: len(running(bench)) == 2)
    stain.steps.release(100)
    rest(bench, qtbot)


def test_cancelled_in_the_middle_it_can_go_on(staining, bench, stain, qtbot):
    stain.steps.release(3)
    qtbot.waitUntil(lambda: "3/10" in staining.progress.text.text())
    run = bench.runner.stage
    qtbot.mouseClick(staining.cancel_button, LEFT)
    assert run.state is RunState.STOPPING
    stain.steps.release(1)
    rest(bench, qtbot)
    assert run.state is RunState.CANCELLED
    assert running(bench) == {}
    assert staining.progress.text.text().startswith("cancelled")
    assert staining.run_button.isEnabled()
    assert not staining.cancel_button.isEnabled()
    assert ran(staining)[-1]["status"] == "cancelled"
    assert "cancelled" in staining.log.item(0).text()


def test_failed_in_the_middle_it_takes_its_parts_away(staining, bench, stain, qtbot, told):
    stain.steps.release(2)
    qtbot.waitUntil(lambda: len(running(bench)) == 2)
    stain.fails = True
    stain.steps.release(1)
    rest(bench, qtbot)
    assert told == ["The network is out of colour: refill it."]
    assert running(bench) == {}
    assert staining.run_button.isEnabled()
    assert "failed" in staining.log.item(0).text()


def test_others_wait_while_it_runs(staining, bench, stain, qtbot, told):
    other = shown_busy(bench, qtbot, "segment")
    assert not other.run_button.isEnabled()
    assert other.run_button.toolTip() == "'stain' is running."
    assert other.reason.isVisible()
    assert other.reason.text() == "'stain' is running."
    assert not staining.reason.isVisible()
    assert not other.cancel_button.isEnabled()
    assert not other.progress.bar.isVisible()
    other.run()
    assert told == ["'stain' is running: wait or cancel."]
    # One of the same stage shows the same run, and can cancel it.
    again = shown_busy(bench, qtbot, "stain")
    qtbot.waitUntil(lambda: again.progress.bar.isVisible())
    assert again.cancel_button.isEnabled()
    stain.steps.release(100)
    rest(bench, qtbot)
    assert other.run_button.isEnabled()


def shown_busy(bench, qtbot, stage):
    made = StepPanel(bench.viewer, stage)
    qtbot.addWidget(made)
    made.show()
    return made


# -- earlier runs ---------------------------------------------------------


def test_earlier_runs_are_listed_with_their_settings_the_last_first(panel, bench, qtbot):
    for diameter, scope in ((11.0, Scope.FOV), (15.0, Scope.WELL)):
        edit(panel, "diameter", diameter)
        panel.scope.setCurrentText(scope.value)
        qtbot.mouseClick(panel.run_button, LEFT)
        rest(bench, qtbot)
    lines = [panel.log.item(i).text() for i in range(panel.log.count())]
    assert "threshold, 2 FOVs: finished" in lines[0]
    assert "threshold, B/1/0: finished" in lines[1]
    assert "diameter: 15.0" in panel.log.item(0).toolTip()
    assert panel.runs.isVisible()

    panel.log.setCurrentRow(1)
    qtbot.mouseClick(panel.again, LEFT) if panel.again.isVisible() else panel.again.click()
    assert panel.form.values()["diameter"] == 11.0


def test_the_log_is_read_from_disk(dataset, empty, qtbot):
    from napari_dynaclr import segment

    segment(dataset.select(["A/1/0"]), params("segment", diameter=13.0))
    show(empty, qtbot, dataset.root, "B/1/0", dataset.workspace.path)
    panel = shown(empty, qtbot, "segment")
    assert panel.log.count() == 1
    panel.log.itemDoubleClicked.emit(_picked(panel, 0))
    assert panel.form.values()["diameter"] == 13.0
    other = shown(empty, qtbot, "track")
    assert other.log.count() == 0


def _picked(panel, row) -> QListWidgetItem:
    panel.log.setCurrentRow(row)
    return panel.log.currentItem()


def test_settings_of_a_method_that_is_no_more_are_declined_in_a_line(panel, bench, qtbot, told):
    workspace = panel.session.dataset.workspace
    workspace.prepare(panel.session.dataset.channels)
    for method, values in (("gone", {}), ("threshold", {"diameter": -3}), ("threshold", {"x": 1})):
        entry = {"stage": "segment", "method": method, "params": values, "fovs": ["A/1/0"]}
        workspace.record({**entry, "started": "2024-01-01T10:00:00", "status": "finished"})
    panel.synchronise()
    rest(bench, qtbot)
    before = panel.form.values()
    for row in range(3):
        panel.log.setCurrentRow(row)
        panel.again.click()
    assert len(told) == 3
    assert not any("\n" in line for line in told)
    assert panel.form.values() == before


# -- closing and opening again --------------------------------------------


def test_settings_are_there_again_when_the_widget_is(panel, bench, qtbot):
    edit(panel, "diameter", 14.0)
    panel.scope.setCurrentText(LIST)
    panel.listed.setText("B/1/0")
    qtbot.mouseClick(panel.run_button, LEFT)
    rest(bench, qtbot)
    panel.close()
    again = shown(bench, qtbot, "segment")
    assert again.form.values()["diameter"] == 14.0
    assert again.scope.currentText() == LIST
    assert again.listed.text() == "B/1/0"
    assert again.listed.isVisible()


def test_what_was_not_run_is_remembered_too_for_each_method(panel, bench, qtbot):
    edit(panel, "diameter", 17.0)
    choose(panel, "import")
    panel.listed.setText("A/1")
    choose(panel, "threshold")
    assert panel.form.values()["diameter"] == 17.0
    edit(panel, "diameter", 18.0)
    panel.hide()
    again = shown(bench, qtbot, "segment")
    assert again.form.values()["diameter"] == 18.0
    assert again.listed.text() == "A/1"


def test_the_method_is_remembered_too(bench, qtbot):
    panel = shown(bench, qtbot, "project")
    choose(panel, "pca")
    qtbot.mouseClick(panel.run_button, LEFT)
    rest(bench, qtbot)
    assert shown(bench, qtbot, "project").method_name == "pca"


def test_a_hidden_panel_does_no_work_and_catches_up(panel, bench, qtbot):
    panel.hide()
    assert panel._connected == []
    bench.run_stage("segment", params("segment"), ["B/1/0"])
    rest(bench, qtbot)
    assert panel.log.count() == 0
    panel.show()
    rest(bench, qtbot)
    assert panel.log.count() == 1
    assert panel.run_button.isEnabled()


def test_a_panel_closed_in_the_middle_of_a_run_leaves_the_run_alone(staining, bench, stain, qtbot):
    run = bench.runner.stage
    staining.close()
    stain.steps.release(100)
    rest(bench, qtbot)
    assert run.state is RunState.FINISHED
    assert "nuclei_prediction" in bench.viewer.layers


def test_results_of_the_run_are_those_of_the_function(panel, bench, qtbot, dataset, tmp_path):
    from napari_dynaclr import open_dataset, segment

    qtbot.mouseClick(panel.run_button, LEFT)
    rest(bench, qtbot)
    other = open_dataset(dataset.root, tmp_path / "other.dynaclr")
    segment(other.select(["B/1/0"]))
    files = [
        one.workspace.plate("segmentation") / "B/1/0" / "cells.csv" for one in (dataset, other)
    ]
    pd.testing.assert_frame_equal(*(pd.read_csv(file) for file in files))
