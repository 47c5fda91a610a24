from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from plain import plain_bench, rest, show, shut
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton
from safetensors.numpy import save_file

from napari_dynaclr.core import device
from napari_dynaclr.core.registry import find_method
from napari_dynaclr.gui.runner import RunState
from napari_dynaclr.gui.steps.stage_widgets import EmbedAndProjectWidget
from napari_dynaclr.gui.steps.step_widget import StepPanel
from napari_dynaclr.gui.train.learning_panel import NOTHING
from napari_dynaclr.gui.train.train_widget import TrainWidget
from napari_dynaclr.gui.workbench import Workbench

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
def bench(empty, training, dataset, qtbot):
    return show(empty, qtbot, dataset.root, "B/1/0", dataset.workspace.path)


def shown(bench, qtbot):
    made = TrainWidget(bench.viewer)
    qtbot.addWidget(made)
    made.resize(400, 900)
    made.show()
    if bench.runner.stage is None:
        rest(bench, qtbot)
    return made


def started(bench, training, qtbot, epochs):
    """A widget whose training has done some epochs, and waits."""
    widget = shown(bench, qtbot)
    qtbot.mouseClick(widget.step.run_button, LEFT)
    training.steps.release(epochs)
    qtbot.waitUntil(lambda: len(bench.session.training.figures) == epochs)
    return widget


def lines(widget):
    """What is drawn: y values by name, of the drawing that was asked for last."""
    from matplotlib.figure import Figure

    figure, chart = Figure(), widget.learning.chart
    if chart.drawing is not None:
        chart.drawing(figure, chart.ink)
    found = [line for axes in figure.axes for line in axes.lines]
    return defaultdict(list, {line.get_label(): list(line.get_ydata()) for line in found})


def test_it_learns_from_the_whole_plate_unless_told_otherwise(bench, training, qtbot):
    widget = shown(bench, qtbot)
    assert widget.step.scope.currentText() == "whole plate"
    training.steps.release(100)
    qtbot.mouseClick(widget.step.run_button, LEFT)
    rest(bench, qtbot)
    [(params, fovs)] = training.seen
    assert (params.name, params.epochs) == ("mine", 10)
    assert fovs == bench.session.dataset.fov_names


def test_before_any_training_there_is_nothing_to_see(bench, training, qtbot):
    widget = shown(bench, qtbot)
    assert widget.learning.title.text() == NOTHING
    assert not widget.learning.chart.isVisible()
    assert not widget.learning.use_button.isVisible()
    assert not widget.step.keep_button.isEnabled()


def test_the_curves_grow_while_it_runs(bench, training, qtbot):
    widget = started(bench, training, qtbot, 3)
    panel = widget.learning
    assert panel.title.text() == "<b>mine</b>: epoch 3 of 10"
    assert "loss 1.000" in panel.values.text()
    assert "rank 3.0" in panel.values.text()
    qtbot.waitUntil(lambda: panel.chart.picture is not None)
    qtbot.waitUntil(lambda: len(lines(widget)["training"]) == 3)
    assert lines(widget)["validation"] == pytest.approx([4, 2, 4 / 3])
    assert lines(widget)["smoothness"] == pytest.approx([0.25, 0.5 / 3])
    assert not panel.use_button.isVisible()
    before = panel.chart.picture
    training.steps.release(1)
    qtbot.waitUntil(lambda: panel.chart.picture is not before)
    assert len(lines(widget)["rank"]) == 3
    training.steps.release(100)
    rest(bench, qtbot)
    assert panel.title.text() == "<b>mine</b>: epoch 10 of 10"


def test_the_newest_epoch_is_drawn_however_fast_they_come(bench, training, qtbot):
    widget = shown(bench, qtbot)
    drawn = []
    widget.learning.chart.drawn.connect(lambda: drawn.append(1))
    training.steps.release(100)
    qtbot.mouseClick(widget.step.run_button, LEFT)
    rest(bench, qtbot)
    qtbot.waitUntil(lambda: len(lines(widget)["training"]) == 10)
    assert 1 <= len(drawn) < 10


def test_stop_and_keep_ends_early_with_an_encoder(bench, training, qtbot):
    widget = started(bench, training, qtbot, 2)
    run = bench.runner.stage
    assert widget.step.keep_button.isEnabled()
    qtbot.mouseClick(widget.step.keep_button, LEFT)
    assert not widget.step.keep_button.isEnabled()
    assert widget.step.cancel_button.isEnabled(), "who cannot wait can still cancel"
    rest(bench, qtbot)
    assert run.state is RunState.FINISHED
    file = bench.session.dataset.workspace.path / "weights" / "mine.safetensors"
    assert file.exists()
    panel = widget.learning
    qtbot.waitUntil(panel.use_button.isVisible)
    assert "plate.dynaclr/weights/mine.safetensors" in panel.made.text()
    assert panel.made.toolTip() == str(file)
    assert len(lines(widget)["training"]) == 2


def test_cancel_makes_no_encoder_and_running_again_goes_on(bench, training, qtbot):
    widget = started(bench, training, qtbot, 2)
    run = bench.runner.stage
    qtbot.mouseClick(widget.step.cancel_button, LEFT)
    rest(bench, qtbot)
    assert run.state is RunState.CANCELLED
    assert not widget.learning.use_button.isVisible()
    assert not (bench.session.dataset.workspace.path / "weights" / "mine.safetensors").exists()
    assert len(lines(widget)["training"]) == 2, "its curves stay to be seen"

    qtbot.mouseClick(widget.step.run_button, LEFT)
    training.steps.release(2)
    qtbot.waitUntil(lambda: "epoch 4 of 10" in widget.learning.title.text())
    # The epochs before it was cancelled belong to the same curve.
    qtbot.waitUntil(lambda: len(lines(widget)["training"]) == 4)
    assert lines(widget)["training"] == pytest.approx([3, 1.5, 1, 0.75])
    training.steps.release(100)
    rest(bench, qtbot)


def test_closed_and_opened_again_while_it_runs_nothing_is_lost(bench, training, qtbot):
    started(bench, training, qtbot, 2).close()
    training.steps.release(2)
    qtbot.waitUntil(lambda: len(bench.session.training.figures) == 4)
    again = shown(bench, qtbot)
    assert again.learning.title.text() == "<b>mine</b>: epoch 4 of 10"
    qtbot.waitUntil(lambda: len(lines(again)["training"]) == 4)
    assert again.step.keep_button.isEnabled()
    training.steps.release(100)
    rest(bench, qtbot)
    assert "epoch 10" in again.learning.title.text()


def test_the_last_training_of_an_earlier_session_is_read_from_disk(bench, training, qtbot):
    training.steps.release(100)
    bench.run_stage("train", find_method("train").params_class()(), ["B/1/0"])
    rest(bench, qtbot)
    bench.session.training = None  # as if the viewer had just been opened
    widget = shown(bench, qtbot)
    assert widget.learning.title.text() == "<b>mine</b>: epoch 10"
    assert "loss 0.300" in widget.learning.values.text()
    assert len(lines(widget)["training"]) == 10
    assert widget.learning.use_button.isVisible()


def test_a_damaged_table_of_figures_is_no_curve(bench, training, qtbot):
    training.steps.release(100)
    bench.run_stage("train", find_method("train").params_class()(), ["B/1/0"])
    rest(bench, qtbot)
    bench.session.training = None
    file = bench.session.dataset.workspace.path / "weights" / "mine" / "metrics.csv"
    file.write_text("")
    widget = shown(bench, qtbot)
    assert widget.learning.title.text() == NOTHING
    assert widget.learning.use_button.isVisible(), "the encoder is there"


def test_a_training_of_another_dataset_is_not_shown(bench, training, make_plate, qtbot, dataset):
    widget = started(bench, training, qtbot, 2)
    other = make_plate("other.zarr", {"A/1/0": np.zeros((2, 1, 1, 32, 32), np.uint16)})
    bench.open(other)
    qtbot.waitUntil(lambda: bench.session.dataset.root == other, timeout=20_000)
    qtbot.waitUntil(lambda: widget.learning.title.text() == NOTHING)
    assert not widget.learning.chart.isVisible()
    training.steps.release(1)
    qtbot.waitUntil(lambda: len(bench.session.training.figures) == 3)
    assert widget.learning.title.text() == NOTHING
    bench.open(dataset.root, "B/1/0", dataset.workspace.path)
    qtbot.waitUntil(lambda: "epoch 3 of 10" in widget.learning.title.text(), timeout=20_000)
    training.steps.release(100)
    rest(bench, qtbot)


def test_a_failed_training_says_why(bench, training, qtbot, told):
    training.fails = True
    training.steps.release(1)
    widget = shown(bench, qtbot)
    qtbot.mouseClick(widget.step.run_button, LEFT)
    rest(bench, qtbot)
    assert told == ["There is nothing to learn from: track more cells."]
    assert widget.step.progress.text.text() == f"failed: {told[0]}"
    assert widget.step.run_button.isEnabled()
    assert not widget.step.keep_button.isEnabled()
    assert widget.learning.title.text() == NOTHING


def test_without_torch_the_panel_says_what_to_install(empty, dataset, qtbot, monkeypatch):
    real = device.find_spec
    monkeypatch.setattr(device, "find_spec", lambda name: None if name == "torch" else real(name))
    bench = show(empty, qtbot, dataset.root, "B/1/0", dataset.workspace.path)
    widget = shown(bench, qtbot)
    assert widget.step.missing.isVisible()
    assert widget.step.missing.text() == (
        'torch is not installed: run  pip install "napari-dynaclr[torch]"'
    )
    assert not widget.step.form.isVisible()
    assert not widget.step.run_button.isEnabled()


def test_its_form_has_a_device_and_nothing_of_a_cluster(empty, dataset, qtbot, monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda _name: True)
    bench = show(empty, qtbot, dataset.root, "B/1/0", dataset.workspace.path)
    widget = shown(bench, qtbot)
    names = set(widget.step.form.values())
    assert "device" in names
    assert not {"devices", "num_nodes"} & names
    assert widget.step.run_button.isEnabled()


@pytest.mark.parametrize("method", ["dynaclr", "imagenet"])
def test_the_forms_of_networks_have_a_device(method):
    from napari_dynaclr.gui.form.editors import hints_of

    field = find_method("embed", method).params_class().model_fields["device"]
    assert "command_line" not in hints_of(field)


def test_its_encoder_is_embedded_with_in_one_click(fresh_bench, training, qtbot, idle, monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda _name: True)
    bench = fresh_bench
    window = bench.viewer.window
    _, widget = window.add_plugin_dock_widget("napari-dynaclr", "Train")
    training.steps.release(100)
    qtbot.mouseClick(widget.step.run_button, LEFT)
    idle(bench)
    qtbot.waitUntil(widget.learning.use_button.isVisible)
    qtbot.mouseClick(widget.learning.use_button, LEFT)
    idle(bench)
    docks = window.dock_widgets
    embed = docks["Embed and project (napari-dynaclr)"]
    assert isinstance(embed, EmbedAndProjectWidget)
    panel = embed.steps.panels["embed"]
    qtbot.waitUntil(panel.isVisible)
    file = bench.session.dataset.workspace.path / "weights" / "mine.safetensors"
    assert panel.method_name == "dynaclr"
    params = panel.form.params()
    assert (params.preset, params.weights, params.name) == ("none", str(file), "mine")
    # Asked for again while it is open, behind other settings and on its other tab.
    panel.method.setCurrentIndex(panel.method.findData("features"))
    embed.steps.setCurrentIndex(1)
    qtbot.mouseClick(widget.learning.use_button, LEFT)
    qtbot.waitUntil(panel.isVisible)
    assert panel.method_name == "dynaclr"
    assert panel.form.params() == params
    idle(bench)


def test_the_picture_follows_the_theme(bench, training, qtbot):
    widget = started(bench, training, qtbot, 2)
    qtbot.waitUntil(lambda: widget.learning.chart.picture is not None)
    dark = widget.learning.chart.ink
    bench.viewer.theme = "light"
    assert widget.learning.chart.ink.paper != dark.paper
    training.steps.release(100)
    rest(bench, qtbot)


def test_buttons_are_in_the_order_of_their_harm(bench, training, qtbot):
    widget = shown(bench, qtbot)
    placed = sorted(
        (button.x(), button.text())
        for button in widget.step.findChildren(QPushButton)
        if button.text() in ("Run", "Stop and keep", "Cancel")
    )
    assert [text for _, text in placed] == ["Run", "Stop and keep", "Cancel"]


# -- stainers ---------------------------------------------------------------


def test_there_is_a_training_of_each_kind_to_choose(empty, dataset, qtbot, monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda _name: True)
    bench = show(empty, qtbot, dataset.root, "B/1/0", dataset.workspace.path)
    widget = shown(bench, qtbot)
    panel = widget.step
    assert [panel.method.itemData(i) for i in range(panel.method.count())] == [
        "dynaclr",
        "staining",
        "fcmae",
        "cellect",
        "tap",
        "profiler",
    ]
    names = {}
    for i in range(panel.method.count()):
        panel.method.setCurrentIndex(i)
        assert panel.run_button.isEnabled(), panel.form.problem()
        names[panel.method_name] = panel.form.values()["name"]
    assert len(set(names.values())) == 6, "none overwrites what another has made"


def test_a_training_starts_from_what_fits_it(empty, dataset, qtbot, monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda _name: True)
    folder = dataset.workspace.path / "weights"
    folder.mkdir(parents=True)
    dataset.workspace.prepare(dataset.channels)
    kinds = {
        "e": {"backbone": "convnext_tiny"},
        "s": {"stainer": {"kind": "fcmae"}},
        "p": {"stainer": {"kind": "fcmae", "pretraining": True}},
        "t": {"kind": "cellect"},
    }
    for name, about in kinds.items():
        metadata = {"napari_dynaclr": json.dumps(about)}
        save_file({"a": np.zeros(1)}, folder / f"{name}.safetensors", metadata)
    bench = show(empty, qtbot, dataset.root, "B/1/0", dataset.workspace.path)
    widget = shown(bench, qtbot)
    panel, offered = widget.step, {}
    for method in ("dynaclr", "staining", "cellect"):
        panel.method.setCurrentIndex(panel.method.findData(method))
        combo = panel.form._editors["start_from"]._combo
        offered[method] = [Path(combo.itemText(i)).stem for i in range(combo.count())]
    assert "e" in offered["dynaclr"]
    assert not {"s", "p", "VSCyto2D"} & set(offered["dynaclr"])
    assert {"s", "p", "VSCyto2D"} <= set(offered["staining"])
    assert not {"e", "DynaCLR-DENV-VS+Ph"} & set(offered["staining"])
    assert "t" in offered["cellect"]
    assert not {"e", "s", "p", "VSCyto2D"} & set(offered["cellect"])
    assert "t" not in {*offered["dynaclr"], *offered["staining"]}


def test_what_the_network_makes_of_a_patch_is_shown_and_stays(bench, training, qtbot):
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    training.pictures = {"Phase": ramp, "Nuclei": ramp.T, "nuclei_prediction": ramp[::-1]}
    widget = started(bench, training, qtbot, 1)
    preview = widget.learning.preview
    qtbot.waitUntil(preview.isVisible)
    assert preview.titles == ["Phase", "Nuclei", "nuclei_prediction"]
    training.steps.release(1)
    qtbot.waitUntil(lambda: float(bench.session.training.pictures["Phase"].max()) == 0.5)
    assert not any(one.pictures for one in bench.session.training.figures), "only the newest"
    training.steps.release(100)
    rest(bench, qtbot)
    assert preview.isVisible()
    widget.close()
    again = shown(bench, qtbot)
    qtbot.waitUntil(again.learning.preview.isVisible)
    assert again.learning.preview.titles == ["Phase", "Nuclei", "nuclei_prediction"]


def test_a_training_without_pictures_has_no_room_for_them(bench, training, qtbot):
    widget = started(bench, training, qtbot, 2)
    qtbot.waitUntil(lambda: widget.learning.chart.picture is not None)
    assert not widget.learning.preview.isVisible()
    training.steps.release(100)
    rest(bench, qtbot)


def finished(bench, training, qtbot, about):
    training.about = about
    training.steps.release(100)
    widget = shown(bench, qtbot)
    qtbot.mouseClick(widget.step.run_button, LEFT)
    rest(bench, qtbot)
    qtbot.waitUntil(widget.learning.use_button.isVisible)
    return widget


@pytest.mark.parametrize(
    ("about", "said", "offer"),
    [
        ({"backbone": "convnext_tiny"}, "Encoder: ", "Embed with it"),
        ({"stainer": {"kind": "unext2"}}, "Stainer: ", "Stain with it"),
        ({"stainer": {"pretraining": True}}, "Pre-trained network: ", "Fine-tune from it"),
        ({"kind": "cellect", "base": 8}, "Tracker: ", "Track with it"),
        ({"kind": "tap"}, "TAP network: ", "Look for events"),
        ({"network": "sslprofiler"}, "Profiler: ", "Profile with it"),
    ],
)
def test_what_can_be_done_next_goes_by_what_was_trained(bench, training, qtbot, about, said, offer):
    widget = finished(bench, training, qtbot, about)
    panel = widget.learning
    assert panel.made.text() == f"{said}plate.dynaclr/weights/mine.safetensors"
    assert panel.use_button.text() == offer


def test_a_pre_trained_network_is_proposed_to_the_training_of_stainers(bench, training, qtbot):
    widget = finished(bench, training, qtbot, {"stainer": {"pretraining": True}})
    wanted = []
    bench.proposed.connect(lambda stage: wanted.append((stage, dict(bench.proposals[stage]))))
    widget.step.close()  # the form would take it at once
    qtbot.mouseClick(widget.learning.use_button, LEFT)
    file = bench.session.dataset.workspace.trained("mine")
    assert wanted == [("train", {"method": "staining", "start_from": str(file)})]


@pytest.mark.parametrize(
    ("about", "name", "stage", "method"),
    [
        ({"kind": "tap"}, "Time arrow", "find", "tap"),
        ({"network": "sslprofiler"}, "Profiles", "profile", "fields"),
    ],
)
def test_what_is_seen_of_movies_and_wells_is_looked_at_in_one_click(
    fresh_bench, training, qtbot, idle, monkeypatch, about, name, stage, method
):
    monkeypatch.setattr(device, "find_spec", lambda _name: True)
    bench, window = fresh_bench, fresh_bench.viewer.window
    _, widget = window.add_plugin_dock_widget("napari-dynaclr", "Train")
    training.about = about
    training.steps.release(100)
    qtbot.mouseClick(widget.step.run_button, LEFT)
    idle(bench)
    qtbot.waitUntil(widget.learning.use_button.isVisible)
    qtbot.mouseClick(widget.learning.use_button, LEFT)
    idle(bench)
    docks = window.dock_widgets[f"{name} (napari-dynaclr)"].findChildren(StepPanel)
    (panel,) = [step for step in docks if step.stage == stage]
    qtbot.waitUntil(panel.isVisible)
    assert panel.method_name == method
    assert panel.form.params().weights == str(bench.session.dataset.workspace.trained("mine"))
    idle(bench)


def test_its_tracker_is_tracked_with_in_one_click(fresh_bench, training, qtbot, idle, monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda _name: True)
    bench, window = fresh_bench, fresh_bench.viewer.window
    _, widget = window.add_plugin_dock_widget("napari-dynaclr", "Train")
    training.about = {"kind": "cellect"}
    training.steps.release(100)
    qtbot.mouseClick(widget.step.run_button, LEFT)
    idle(bench)
    qtbot.waitUntil(widget.learning.use_button.isVisible)
    qtbot.mouseClick(widget.learning.use_button, LEFT)
    idle(bench)
    steps = window.dock_widgets["Segment and track (napari-dynaclr)"].findChildren(StepPanel)
    (panel,) = [step for step in steps if step.stage == "track"]
    qtbot.waitUntil(panel.isVisible)
    file = bench.session.dataset.workspace.trained("mine")
    assert panel.method_name == "cellect"
    assert (panel.form.params().preset, panel.form.params().weights) == ("none", str(file))
    idle(bench)


def test_its_stainer_is_stained_with_in_one_click(fresh_bench, training, qtbot, idle, monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda _name: True)
    bench, window = fresh_bench, fresh_bench.viewer.window
    _, widget = window.add_plugin_dock_widget("napari-dynaclr", "Train")
    training.about = {"stainer": {"kind": "fcmae"}}
    training.steps.release(100)
    qtbot.mouseClick(widget.step.run_button, LEFT)
    idle(bench)
    qtbot.waitUntil(widget.learning.use_button.isVisible)
    qtbot.mouseClick(widget.learning.use_button, LEFT)
    idle(bench)
    panel = window.dock_widgets["Virtual staining (napari-dynaclr)"].step
    qtbot.waitUntil(panel.isVisible)
    params = panel.form.params()
    file = bench.session.dataset.workspace.trained("mine")
    assert (params.preset, params.weights) == ("none", str(file))
    assert (params.normalization, params.statistics) == ("auto", "auto")
    assert not panel.weights.isVisible(), "nothing is to be downloaded"
    idle(bench)
