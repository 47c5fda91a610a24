from __future__ import annotations

import numpy as np
import pytest
from fake_stain import FakeParams
from plain import plain_bench, rest, show, shut
from qtpy.QtCore import Qt

from napari_dynaclr.gui.layers.growing import GrowingImage
from napari_dynaclr.gui.runner import RunState
from napari_dynaclr.gui.stain.stain_widget import VirtualStainingWidget
from napari_dynaclr.gui.workbench import Workbench
from napari_dynaclr.staining.method import StainParams

LEFT = Qt.MouseButton.LeftButton
STAINED = ["nuclei_prediction", "membrane_prediction"]


@pytest.fixture
def told(monkeypatch):
    """What the user is told has gone wrong."""
    lines = []
    monkeypatch.setattr(Workbench, "explain", lambda _self, error: lines.append(str(error)))
    return lines


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of weights with one of the published ones, 3 MB of it."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "VSCyto2D.ckpt").write_bytes(bytes(3_000_000))
    monkeypatch.setenv("NAPARI_DYNACLR_CACHE", str(folder))
    return folder


@pytest.fixture
def empty(qtbot, told):
    made = plain_bench()
    yield made
    shut(made, qtbot)


@pytest.fixture
def bench(empty, stain, dataset, qtbot):
    return show(empty, qtbot, dataset.root, "B/1/0", dataset.workspace.path)


@pytest.fixture
def widget(bench, qtbot):
    return shown(bench, qtbot)


def shown(bench, qtbot):
    made = VirtualStainingWidget(bench.viewer)
    qtbot.addWidget(made)
    made.resize(360, 800)
    made.show()
    if bench.runner.stage is None:
        rest(bench, qtbot)
    return made


def edit(widget, **values):
    panel = widget.step
    for name, value in values.items():
        panel.form._editors[name].set_value(value)
        panel.form._editors[name].edited.emit()


def run(widget, stain, bench, qtbot, steps=100):
    stain.steps.release(steps)
    qtbot.mouseClick(widget.step.run_button, LEFT)
    rest(bench, qtbot)
    while stain.steps.acquire(blocking=False):
        pass  # what was left over is not for the next run


def layer(bench, name="nuclei_prediction"):
    return bench.viewer.layers[name]


def images(bench):
    return [one.name for one in bench.viewer.layers if one._type_string == "image"]


# -- weights ----------------------------------------------------------------


def test_it_says_which_weights_are_here_and_which_have_to_be_downloaded(widget, cache, qtbot):
    said = widget.step.weights
    assert said.isVisible()
    assert said.text() == "auto is simulated-cells here: comes with this plugin."
    assert "VSCyto3D: downloaded at the first use (140 MB or more)" in said.toolTip()
    edit(widget, preset="VSCyto2D")
    assert said.text() == "VSCyto2D: downloaded (3 MB)."
    edit(widget, preset="none")
    assert not said.isVisible()
    (cache / "VSCyto2D.ckpt").unlink()
    edit(widget, preset="VSCyto2D")
    widget.step.synchronise()
    rest(widget.step.bench, qtbot)
    assert said.text() == "VSCyto2D: downloaded at the first use (125 MB or more)."
    edit(widget, weights="mine.safetensors")
    assert not said.isVisible()


def test_settings_that_cannot_be_run_are_refused_before(widget):
    form = widget.step.form
    form.kind = StainParams
    edit(widget, preset="none")
    assert form.problem() == "preset none needs a weights file: name it with weights."
    assert form._message.isVisible()
    assert not widget.step.run_button.isEnabled()
    edit(widget, weights="mine.safetensors")
    assert form.problem() == ""
    assert widget.step.run_button.isEnabled()


def test_stainers_that_were_trained_here_can_be_chosen(widget, bench, qtbot):
    from safetensors.numpy import save_file

    folder = bench.session.dataset.workspace.path / "weights"
    folder.mkdir(parents=True)
    for name, about in (
        ("encoder", '{"backbone": "convnext_tiny"}'),
        ("stainer", '{"stainer": {"kind": "fcmae", "pretraining": false}}'),
        ("pretrained", '{"stainer": {"kind": "fcmae", "pretraining": true}}'),
    ):
        metadata = {"napari_dynaclr": about}
        save_file({"a": np.zeros(1)}, folder / f"{name}.safetensors", metadata)
    bench.session.results_changed.emit("train")
    rest(bench, qtbot)
    combo = widget.step.form._editors["weights"]._combo
    paths = [combo.itemData(i) for i in range(combo.count())]
    assert paths == ["", str(folder / "stainer.safetensors")]


# -- what is stained --------------------------------------------------------


def test_after_a_run_there_is_a_layer_per_structure_and_a_channel_to_choose(
    widget, bench, stain, qtbot
):
    run(widget, stain, bench, qtbot)
    assert images(bench)[-2:] == STAINED
    nuclei, membrane = (layer(bench, name) for name in STAINED)
    assert (nuclei.colormap.name, membrane.colormap.name) == ("bop blue", "bop orange")
    assert nuclei.visible
    assert membrane.visible
    assert nuclei.blending == membrane.blending == "additive"
    assert not isinstance(nuclei.data, GrowingImage)
    assert widget.step.form._choices["channels"][-2:] == STAINED
    assert bench.session.dataset["A/1/0"].stained == []


def looks(bench):
    return {one.name: (one.visible, one.colormap.name) for one in bench.viewer.layers}


ALONE = {
    "Phase": (True, "gray"),
    "Nuclei": (True, "bop blue"),
    "Membrane": (False, "bop orange"),
    "Sensor": (False, "magenta"),
}
BESIDE = {
    "Phase": (True, "gray, dim"),
    "Nuclei": (False, "green"),
    "Membrane": (False, "magenta"),
    "Sensor": (False, "magenta"),
    "nuclei_prediction": (True, "bop blue"),
    "membrane_prediction": (True, "bop orange"),
}


@pytest.mark.parametrize("anew", [False, True], ids=["made", "opened"])
def test_where_both_are_there_virtual_stain_is_shown_and_told_by_its_colour(
    widget, bench, stain, qtbot, dataset, anew
):
    assert looks(bench) == ALONE
    run(widget, stain, bench, qtbot)
    if anew:
        show(bench, qtbot, dataset.root, "B/1/0", dataset.workspace.path)
    assert looks(bench) == BESIDE
    bench.show_fov("A/1/0")
    rest(bench, qtbot)
    assert looks(bench) == ALONE
    bench.show_fov("B/1/0")
    rest(bench, qtbot)
    assert looks(bench) == BESIDE


def test_experimental_stain_makes_way_while_the_virtual_one_grows(widget, bench, stain, qtbot):
    started(widget, stain, bench, qtbot, 2)
    assert looks(bench) == BESIDE
    qtbot.mouseClick(widget.step.cancel_button, LEFT)
    rest(bench, qtbot)
    assert looks(bench) == ALONE


def test_experimental_stain_that_the_user_has_set_stays_as_it_is(widget, bench, stain, qtbot):
    layer(bench, "Nuclei").colormap = "red"
    layer(bench, "Membrane").visible = True
    run(widget, stain, bench, qtbot)
    assert looks(bench)["Nuclei"] == (True, "red")
    # Seen as the user wants it, but not in the colour of the stain beside it.
    assert looks(bench)["Membrane"] == (True, "magenta")
    bench.show_fov("A/1/0")
    rest(bench, qtbot)
    assert looks(bench)["Nuclei"] == (True, "red")
    assert looks(bench)["Membrane"] == (True, "bop orange")


def started(widget, stain, bench, qtbot, steps):
    """Have some time points made, and wait until they are seen."""
    qtbot.mouseClick(widget.step.run_button, LEFT)
    stain.steps.release(steps)
    qtbot.waitUntil(lambda: f"B/1/0 {steps}/10" in widget.step.progress.text.text())
    qtbot.waitUntil(lambda: "nuclei_prediction" in images(bench))
    qtbot.waitUntil(lambda: isinstance(layer(bench).data, GrowingImage))


def test_what_the_user_has_set_lasts_while_it_grows_and_when_it_is_there(
    widget, bench, stain, qtbot
):
    started(widget, stain, bench, qtbot, 2)
    growing = layer(bench)
    growing.colormap, growing.opacity, growing.name = "red", 0.4, "my nuclei"
    growing.contrast_limits = (0.5, 3)
    layer(bench, "membrane_prediction").visible = False
    stain.steps.release(100)
    rest(bench, qtbot)
    assert bench.layers.layer("channel nuclei_prediction") is growing
    assert (growing.colormap.name, growing.opacity, growing.name) == ("red", 0.4, "my nuclei")
    assert tuple(growing.contrast_limits) == (0.5, 3)
    assert not layer(bench, "membrane_prediction").visible
    assert np.asarray(growing.data[9]).max() == 10


def test_made_anew_the_earlier_stain_does_not_shine_through(widget, bench, stain, qtbot):
    run(widget, stain, bench, qtbot)
    mine = layer(bench)
    edit(widget, brightness=2.0)
    started(widget, stain, bench, qtbot, 3)
    assert layer(bench) is mine
    assert images(bench).count("nuclei_prediction") == 1
    assert [float(np.asarray(mine.data[t]).max()) for t in range(4)] == [2, 4, 6, 0]
    stain.steps.release(100)
    rest(bench, qtbot)
    assert [float(np.asarray(mine.data[t]).max()) for t in (0, 9)] == [2, 20]


def test_made_anew_the_contrast_is_that_of_the_new_stain_unless_the_user_has_set_one(
    widget, bench, stain, qtbot
):
    run(widget, stain, bench, qtbot)
    nuclei, membrane = (layer(bench, name) for name in STAINED)
    before = tuple(nuclei.contrast_limits)
    membrane.contrast_limits = (1, 42)
    edit(widget, brightness=10.0)
    run(widget, stain, bench, qtbot)
    assert nuclei.contrast_limits[1] == pytest.approx(10 * before[1], rel=0.01)
    assert tuple(membrane.contrast_limits) == (1, 42)


def test_other_channels_take_the_place_of_those_of_an_earlier_run(widget, bench, stain, qtbot):
    run(widget, stain, bench, qtbot)
    edit(widget, channels=("nuclei_prediction",))
    run(widget, stain, bench, qtbot)
    assert "membrane_prediction" not in images(bench)
    assert bench.session.fov.stained == ["nuclei_prediction"]
    assert "membrane_prediction" not in widget.step.form._choices["channels"]


def test_a_layer_that_was_deleted_comes_back_with_the_next_stain(widget, bench, stain, qtbot):
    run(widget, stain, bench, qtbot)
    bench.viewer.layers.remove("nuclei_prediction")
    bench.show_fov("B/1/0")
    rest(bench, qtbot)
    assert "nuclei_prediction" not in images(bench)
    edit(widget, brightness=3.0)
    run(widget, stain, bench, qtbot)
    assert "nuclei_prediction" in images(bench)


def test_cancelled_it_leaves_nothing_where_there_was_nothing(widget, bench, stain, qtbot):
    started(widget, stain, bench, qtbot, 3)
    running = bench.runner.stage
    qtbot.mouseClick(widget.step.cancel_button, LEFT)
    rest(bench, qtbot)
    assert running.state is RunState.CANCELLED
    assert not set(STAINED) & set(images(bench))
    assert not widget.step.segment_button.isVisible()
    # Run again, it goes on, and shows what the cancelled run has made.
    qtbot.mouseClick(widget.step.run_button, LEFT)
    stain.steps.release(1)
    qtbot.waitUntil(lambda: "nuclei_prediction" in images(bench))
    assert np.asarray(layer(bench).data[0]).max() == 1
    stain.steps.release(100)
    rest(bench, qtbot)


def test_cancelled_it_leaves_the_stain_of_the_earlier_run(widget, bench, stain, qtbot):
    run(widget, stain, bench, qtbot)
    edit(widget, brightness=2.0)
    started(widget, stain, bench, qtbot, 3)
    qtbot.mouseClick(widget.step.cancel_button, LEFT)
    rest(bench, qtbot)
    assert not isinstance(layer(bench).data, GrowingImage)
    assert [float(np.asarray(layer(bench).data[t]).max()) for t in (0, 9)] == [1, 10]


def test_fovs_that_are_not_stained_have_no_stain(widget, bench, stain, qtbot):
    run(widget, stain, bench, qtbot)
    assert widget.step.segment_button.isVisible()
    bench.show_fov("A/1/0")
    rest(bench, qtbot)
    assert not set(STAINED) & set(images(bench))
    assert not widget.step.segment_button.isVisible()
    bench.show_fov("B/1/0")
    rest(bench, qtbot)
    assert set(STAINED) <= set(images(bench))


def test_a_fov_that_is_done_is_shown_while_the_others_are_stained(widget, bench, stain, qtbot):
    widget.step.scope.setCurrentText("this well")
    qtbot.mouseClick(widget.step.run_button, LEFT)
    stain.steps.release(11)  # B/1/0, and the first time point of B/1/1
    qtbot.waitUntil(lambda: "B/1/1 1/10" in widget.step.progress.text.text())
    qtbot.waitUntil(lambda: bench.session.fov.stained == STAINED)
    qtbot.waitUntil(lambda: not isinstance(layer(bench).data, GrowingImage))
    assert np.asarray(layer(bench).data[9]).max() == 10
    stain.steps.release(100)
    rest(bench, qtbot)


def test_closed_and_opened_while_it_runs_nothing_is_lost(widget, bench, stain, qtbot):
    stain.note = "Pixels are 1.9x larger than those it was trained on: set resample."
    started(widget, stain, bench, qtbot, 2)
    widget.close()
    stain.steps.release(2)
    qtbot.waitUntil(lambda: bool(np.asarray(layer(bench).data[3]).any()))
    again = shown(bench, qtbot)
    assert again.step.cancel_button.isEnabled()
    stain.steps.release(100)
    rest(bench, qtbot)
    assert again.step.segment_button.isVisible()
    assert again.step.notes.text() == stain.note
    again.close()
    assert shown(bench, qtbot).step.notes.text() == stain.note


def test_what_a_run_says_is_shown_until_the_next_one(widget, bench, stain, qtbot):
    assert not widget.step.notes.isVisible()
    stain.note = "Pixels are 1.9x larger than those it was trained on: set resample."
    run(widget, stain, bench, qtbot)
    assert widget.step.notes.isVisible()
    assert widget.step.notes.text() == stain.note
    stain.note = ""
    edit(widget, brightness=2.0)
    run(widget, stain, bench, qtbot)
    assert not widget.step.notes.isVisible()


def test_settings_are_those_of_the_form(widget, bench, stain, qtbot):
    edit(widget, brightness=2.0, preset="VSCyto2D")
    run(widget, stain, bench, qtbot)
    assert stain.seen == [FakeParams(brightness=2.0, preset="VSCyto2D")]


def test_the_cells_are_segmented_from_it_in_one_click(fresh_bench, stain, qtbot, idle):
    bench, window = fresh_bench, fresh_bench.viewer.window
    _, widget = window.add_plugin_dock_widget("napari-dynaclr", "Virtual staining")
    idle(bench)
    stain.steps.release(100)
    qtbot.mouseClick(widget.step.run_button, LEFT)
    idle(bench)
    qtbot.waitUntil(widget.step.segment_button.isVisible)
    qtbot.mouseClick(widget.step.segment_button, LEFT)
    idle(bench)
    cells = window.dock_widgets["Segment and track (napari-dynaclr)"]
    panel = cells.steps.panels["segment"]
    qtbot.waitUntil(panel.isVisible)
    assert (panel.method_name, panel.form.values()["channel"]) == ("threshold", "nuclei_prediction")
    # Again, behind the other tab and with another method and channel chosen.
    panel.method.setCurrentIndex(panel.method.findData("import"))
    cells.steps.setCurrentIndex(1)
    qtbot.mouseClick(widget.step.segment_button, LEFT)
    qtbot.waitUntil(panel.isVisible)
    assert (panel.method_name, panel.form.values()["channel"]) == ("threshold", "nuclei_prediction")
    idle(bench)
