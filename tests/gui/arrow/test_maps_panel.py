from __future__ import annotations

import threading
from typing import ClassVar

import numpy as np
import pytest
from plain import plain_bench, rest, show, shut
from qtpy.QtCore import Qt

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.tap import frames
from napari_dynaclr.gui.arrow.arrow_widget import TimeArrowWidget
from napari_dynaclr.session.arrow_maps import ATTRIBUTION, FEATURES

LEFT = Qt.MouseButton.LeftButton


class Network:
    """Pretended maps: brighter with time."""

    asked: ClassVar[list[tuple[object, ...]]] = []
    closed = 0
    fails = ""
    gate = threading.Event()

    def maps(self, dataset, fov_name, t, params, job, *, z, features, attribution, basis):
        Network.asked.append((fov_name, t, z, features, attribution, basis, params))
        while not Network.gate.wait(0.02):
            job.check()
        if Network.fails:
            raise InvalidInput(Network.fails)
        found = {}
        if features:
            found |= {"features": np.full((192, 192, 3), 0.1 * t, np.float32), "basis": "basis"}
        if attribution and t < 9:
            found["attribution"] = np.full((192, 192), float(t), np.float32)
        return found

    def close(self):
        Network.closed += 1


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setattr(frames, "Viewer", Network)
    Network.asked, Network.closed, Network.fails = [], 0, ""
    Network.gate.set()
    yield Network
    Network.gate.set()


@pytest.fixture
def bench(dataset, qtbot):
    made = plain_bench()
    yield show(made, qtbot, dataset.root, "B/1/0", dataset.workspace.path)
    shut(made, qtbot)


@pytest.fixture
def panel(bench, network, qtbot):
    widget = TimeArrowWidget(bench.viewer)
    qtbot.addWidget(widget)
    widget.resize(400, 800)
    widget.show()
    rest(bench, qtbot)
    at(widget.maps, bench, 3, qtbot)
    yield widget.maps
    widget.hide()
    rest(bench, qtbot)


def at(panel, bench, t, qtbot):
    bench.viewer.dims.set_point(0, t)
    settle(panel, bench, qtbot)


def settle(panel, bench, qtbot):
    qtbot.waitUntil(lambda: not panel._soon.isActive())
    rest(bench, qtbot)


def switch(panel, kind, bench, qtbot):
    panel.switches[kind].click()
    settle(panel, bench, qtbot)


def layer(bench, kind):
    return bench.layers.layer(f"map {kind}")


def test_maps_are_layers_of_the_whole_movie_that_follow_the_slider(panel, bench, network, qtbot):
    assert network.asked == []
    switch(panel, FEATURES, bench, qtbot)
    found = layer(bench, FEATURES)
    assert found.rgb
    fov = bench.session.fov
    np.testing.assert_allclose(found.scale[1:], fov.scale)
    assert found.data.shape[:4] == fov.shape
    assert found.data[3, 0, 5, 5].tolist() == [76, 76, 76, 255]
    assert not found.data[4].any(), "clear where nothing was computed"
    at(panel, bench, 4, qtbot)
    assert found.data[4, 0, 5, 5].tolist() == [102, 102, 102, 255]
    assert [one[1:5] for one in network.asked] == [(3, 0, True, False), (4, 0, True, False)]
    assert network.asked[1][5] == "basis", "the same colours over time"
    at(panel, bench, 3, qtbot)
    assert len(network.asked) == 2, "it is at hand still"


def test_attribution_spans_what_has_been_seen_and_ends_before_the_last_frame(
    panel, bench, network, qtbot
):
    switch(panel, ATTRIBUTION, bench, qtbot)
    found = layer(bench, ATTRIBUTION)
    assert found.colormap.colors[0][3] == 0, "clear where there is nothing"
    assert found.contrast_limits == [0, 3]
    at(panel, bench, 6, qtbot)
    assert found.contrast_limits == [0, 6]
    at(panel, bench, 2, qtbot)
    assert found.contrast_limits == [0, 6], "bright is as bright as before"
    found.contrast_limits = (1, 4)
    at(panel, bench, 8, qtbot)
    assert found.contrast_limits == [1, 4], "as the user has set it"
    at(panel, bench, 9, qtbot)
    assert panel.status.text() == "t=9: no later frame to compare"


def test_of_several_frames_the_last_one_counts(panel, bench, network, qtbot):
    switch(panel, FEATURES, bench, qtbot)
    network.gate.clear()
    for t in (5, 6, 7):
        bench.viewer.dims.set_point(0, t)
        panel.update_maps()
    network.gate.set()
    settle(panel, bench, qtbot)
    data = layer(bench, FEATURES).data
    assert [t for t in range(10) if data[t].any()] == [3, 7]


def test_switched_off_they_go_and_the_network_too(panel, bench, network, qtbot):
    switch(panel, FEATURES, bench, qtbot)
    switch(panel, ATTRIBUTION, bench, qtbot)
    switch(panel, FEATURES, bench, qtbot)
    assert layer(bench, FEATURES) is None
    assert layer(bench, ATTRIBUTION) is not None
    assert network.closed == 0
    switch(panel, ATTRIBUTION, bench, qtbot)
    assert network.closed == 1
    assert panel.status.text() == ""


def test_deleted_by_hand_a_map_is_not_wanted_any_more(panel, bench, network, qtbot):
    switch(panel, FEATURES, bench, qtbot)
    bench.viewer.layers.remove(layer(bench, FEATURES))
    assert not panel.switches[FEATURES].isChecked()
    at(panel, bench, 5, qtbot)
    assert layer(bench, FEATURES) is None
    switch(panel, FEATURES, bench, qtbot)
    assert layer(bench, FEATURES) is not None


def test_of_another_fov_they_are_made_anew_and_of_the_same_colours(panel, bench, network, qtbot):
    switch(panel, FEATURES, bench, qtbot)
    bench.show_fov("A/1/0")
    qtbot.waitUntil(lambda: bench.session.fov.name == "A/1/0", timeout=20_000)
    settle(panel, bench, qtbot)
    assert panel.switches[FEATURES].isChecked()
    assert network.asked[-1][0] == "A/1/0"
    assert network.asked[-1][5] == "basis"
    assert layer(bench, FEATURES).data[bench.session.frame].any()


def test_they_are_of_the_network_that_is_chosen_above(panel, bench, network, qtbot):
    switch(panel, FEATURES, bench, qtbot)
    form = panel._step.form
    form._editors["count"].set_value(7)
    form.changed.emit()
    settle(panel, bench, qtbot)
    assert len(network.asked) == 1, "how many events are listed is no matter of theirs"
    form._editors["delta_t"].set_value(2)
    form.changed.emit()
    settle(panel, bench, qtbot)
    assert network.asked[-1][6].delta_t == 2
    assert network.closed == 1


def test_what_went_wrong_is_said_in_a_line(panel, bench, network, qtbot):
    network.fails = "FOV B/1/0 has one time point only: choose a time-lapse."
    switch(panel, ATTRIBUTION, bench, qtbot)
    assert panel.status.text() == network.fails
    assert not panel.switches[ATTRIBUTION].isChecked()
    assert layer(bench, ATTRIBUTION) is None


def test_features_stay_where_the_attribution_is_not_to_be_had(panel, bench, network, qtbot):
    switch(panel, FEATURES, bench, qtbot)
    network.fails = "FOV B/1/0 has one time point."
    switch(panel, ATTRIBUTION, bench, qtbot)
    assert panel.status.text() == network.fails
    assert panel.switches[FEATURES].isChecked()
    assert not panel.switches[ATTRIBUTION].isChecked()
    assert layer(bench, FEATURES) is not None
