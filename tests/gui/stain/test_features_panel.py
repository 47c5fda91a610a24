from __future__ import annotations

import sys
import threading
from types import ModuleType

import numpy as np
import pytest
from plain import plain_bench, rest, show, shut
from qtpy.QtCore import Qt

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.gui.stain.stain_widget import VirtualStainingWidget
from napari_dynaclr.gui.workbench import Workbench

LEFT = Qt.MouseButton.LeftButton
STAGES = ["encoder 1", "encoder 2", "decoder 1"]


class Maps:
    """Pretended feature maps: of another colour each time."""

    def __init__(self):
        self.asked = []
        self.fails = False
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, dataset, fov_name, t, params, z, job):
        self.asked.append((fov_name, t, z, params))
        while not self.gate.wait(0.02):
            job.check()
        if self.fails:
            raise InvalidInput("There is no network: name its weights.")
        shade = 0.1 * len(self.asked)
        return {
            name: np.full((192 // 2**i, 192 // 2**i, 3), shade, np.float32)
            for i, name in enumerate(STAGES)
        }


@pytest.fixture
def maps(monkeypatch):
    made = Maps()
    module = ModuleType("napari_dynaclr.staining.feature_maps")
    module.frame_features = made
    monkeypatch.setitem(sys.modules, "napari_dynaclr.staining.feature_maps", module)
    return made


@pytest.fixture
def told(monkeypatch):
    """What the user is told has gone wrong."""
    lines = []
    monkeypatch.setattr(Workbench, "explain", lambda _self, error: lines.append(str(error)))
    return lines


@pytest.fixture
def bench(told, stain, dataset, qtbot):
    made = plain_bench()
    yield show(made, qtbot, dataset.root, "B/1/0", dataset.workspace.path)
    shut(made, qtbot)


@pytest.fixture
def panel(bench, maps, qtbot):
    widget = VirtualStainingWidget(bench.viewer)
    qtbot.addWidget(widget)
    widget.show()
    widget.features.parentWidget().heading.setChecked(True)
    rest(bench, qtbot)
    yield widget.features
    maps.gate.set()


def layers(bench):
    found = [one for one in bench.viewer.layers if one.name.startswith("features")]
    assert found == list(bench.viewer.layers)[len(bench.viewer.layers) - len(found) :], "on top"
    return {one.name.removeprefix("features: "): one for one in found}


def click(panel, bench, qtbot):
    qtbot.mouseClick(panel.show_button, LEFT)
    rest(bench, qtbot)


def test_each_stage_of_the_network_is_a_layer_over_the_whole_frame(panel, bench, maps, qtbot):
    bench.viewer.dims.set_point(0, 3)
    click(panel, bench, qtbot)
    assert [one[:3] for one in maps.asked] == [("B/1/0", 3, 0)]
    found = layers(bench)
    assert list(found) == STAGES
    assert [one.visible for one in found.values()] == [True, False, False]
    fov = bench.session.fov
    height = fov.shape[2] * fov.scale[1]
    for one in found.values():
        assert one.rgb
        low, high = np.asarray(one.extent.world)
        assert (low[0], high[0]) == (3, 3), "at its time point only"
        np.testing.assert_allclose(high[2] - low[2] + one.scale[2], height)
        np.testing.assert_allclose(low[2], (one.scale[2] - fov.scale[1]) / 2, atol=1e-9)


def test_asked_for_again_they_take_the_place_of_the_others(panel, bench, maps, qtbot):
    click(panel, bench, qtbot)
    bench.viewer.dims.set_point(0, 5)
    click(panel, bench, qtbot)
    found = layers(bench)
    assert list(found) == STAGES
    assert float(found["encoder 1"].data.max()) == pytest.approx(0.2)
    assert found["encoder 1"].translate[0] == 5


def test_they_go_with_one_click_and_can_come_again(panel, bench, qtbot):
    assert not panel.remove_button.isEnabled()
    click(panel, bench, qtbot)
    assert panel.remove_button.isEnabled()
    bench.viewer.layers.remove("features: encoder 2")  # by hand
    qtbot.mouseClick(panel.remove_button, LEFT)
    assert layers(bench) == {}
    assert not panel.remove_button.isEnabled()
    click(panel, bench, qtbot)
    assert list(layers(bench)) == STAGES


def test_they_go_with_their_fov_and_with_a_new_stain(panel, bench, stain, qtbot):
    click(panel, bench, qtbot)
    bench.show_fov("A/1/0")
    rest(bench, qtbot)
    assert layers(bench) == {}
    click(panel, bench, qtbot)
    stain.steps.release(100)
    panel._step.run()
    rest(bench, qtbot)
    assert layers(bench) == {}


def test_they_stay_when_the_same_fov_gets_other_results(panel, bench, qtbot):
    click(panel, bench, qtbot)
    from napari_dynaclr import params

    bench.run_stage("segment", params("segment"), ["B/1/0"])
    rest(bench, qtbot)
    assert list(layers(bench)) == STAGES


def test_of_a_fov_that_was_left_meanwhile_they_are_not_shown(panel, bench, maps, qtbot):
    maps.gate.clear()
    qtbot.mouseClick(panel.show_button, LEFT)
    bench.show_fov("A/1/0")
    qtbot.waitUntil(lambda: bench.session.fov.name == "A/1/0", timeout=10_000)
    maps.gate.set()
    rest(bench, qtbot)
    assert layers(bench) == {}


def test_one_can_cancel_and_others_wait(panel, bench, maps, qtbot, told):
    maps.gate.clear()
    qtbot.mouseClick(panel.show_button, LEFT)
    assert not panel.show_button.isEnabled()
    assert not panel._step.run_button.isEnabled()
    assert panel._step.run_button.toolTip() == "'feature maps' is running."
    qtbot.mouseClick(panel.cancel_button, LEFT)
    rest(bench, qtbot)
    assert panel.progress.text.text().startswith("cancelled")
    assert layers(bench) == {}
    assert told == []
    assert panel.show_button.isEnabled()


def test_what_went_wrong_is_said_in_a_line(panel, bench, maps, qtbot, told):
    maps.fails = True
    click(panel, bench, qtbot)
    assert told == ["There is no network: name its weights."]
    assert panel.progress.text.text() == f"failed: {told[0]}"


def test_they_are_of_the_network_that_is_chosen_above(panel, bench, maps, qtbot):
    panel._step.form._editors["preset"].set_value("VSCyto2D")
    click(panel, bench, qtbot)
    assert maps.asked[0][3].preset == "VSCyto2D"
