from __future__ import annotations

import threading

import pytest
from plain import plain_bench, rest, shut
from qtpy.QtCore import Qt

import napari_dynaclr.sample
from napari_dynaclr import open_dataset
from napari_dynaclr.gui.open import samples
from napari_dynaclr.gui.open.open_widget import OpenWidget
from napari_dynaclr.gui.runner import RunState
from napari_dynaclr.gui.workbench import Workbench
from napari_dynaclr.sample import SimulateParams

LEFT = Qt.MouseButton.LeftButton
SMALL = SimulateParams(
    wells_per_condition=1, fovs_per_well=1, time_points=4, size=128, cells_per_fov=4
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where the sample goes in this test; it is a small one."""
    path = tmp_path / "home" / "infection.zarr"
    real = napari_dynaclr.sample.simulate
    monkeypatch.setattr(samples, "sample_path", lambda: path)
    monkeypatch.setattr(
        napari_dynaclr.sample, "simulate", lambda path, _params, job: real(path, SMALL, job)
    )
    return path


@pytest.fixture
def widget(place, qtbot):
    bench = plain_bench()
    made = OpenWidget(bench.viewer)
    qtbot.addWidget(made)
    made.show()
    yield made
    shut(bench, qtbot)


def visible(folder):
    return [p.name for p in folder.iterdir() if not p.name.startswith(".")]


def test_it_is_kept_where_programs_keep_their_data():
    assert samples.sample_path().parts[-2:] == ("napari-dynaclr", "infection.zarr")


def test_it_is_made_in_the_background_with_progress_and_shown(widget, place, qtbot):
    texts = set()
    qtbot.mouseClick(widget.sample, LEFT)
    run = widget.bench.runner.stage
    assert run is not None
    assert widget.progress.bar.isVisible()
    run.progressed.connect(lambda _: texts.add(widget.progress.text.text()))
    qtbot.waitUntil(lambda: widget.session.fov is not None, timeout=60_000)
    rest(widget.bench, qtbot)
    assert any("/" in text for text in texts)
    assert widget.progress.text.text().startswith("finished")
    assert not widget.progress.bar.isVisible()
    assert widget.session.dataset.root == place
    assert "infection.zarr: 2 FOVs in 2 wells" in widget.facts.text()
    assert "Nuclei" in widget.bench.viewer.layers

    # The second time it is there.
    widget.bench.close_dataset()
    qtbot.mouseClick(widget.sample, LEFT)
    assert widget.bench.runner.stage is None
    qtbot.waitUntil(lambda: widget.session.fov is not None, timeout=20_000)


def test_cancelled_in_the_middle_it_leaves_nothing_and_can_go_on(widget, place, qtbot):
    qtbot.mouseClick(widget.sample, LEFT)
    run = widget.bench.runner.stage
    assert widget.sample.text() == "Cancel"
    with qtbot.waitSignal(run.progressed, timeout=20_000):
        pass
    qtbot.mouseClick(widget.sample, LEFT)
    assert run.state is RunState.STOPPING
    rest(widget.bench, qtbot)
    assert run.state is RunState.CANCELLED
    assert visible(place.parent) == []
    assert widget.session.dataset is None
    assert widget.sample.text() == "Simulated sample"
    assert widget.progress.text.text().startswith("cancelled")
    qtbot.mouseClick(widget.sample, LEFT)
    qtbot.waitUntil(lambda: widget.session.fov is not None, timeout=60_000)
    assert len(open_dataset(place).fov_names) == 2


def test_a_widget_opened_meanwhile_shows_how_far_it_is(widget, qtbot):
    qtbot.mouseClick(widget.sample, LEFT)
    late = OpenWidget(widget.bench.viewer)
    qtbot.addWidget(late)
    late.show()
    assert late.progress.bar.isVisible()
    assert late.sample.text() == "Cancel"
    qtbot.mouseClick(late.sample, LEFT)
    rest(widget.bench, qtbot)
    assert widget.sample.text() == late.sample.text() == "Simulated sample"


def test_a_failure_is_told_in_a_line(widget, place, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr(Workbench, "explain", lambda _self, error: told.append(str(error)))
    place.parent.parent.joinpath("home").write_text("a file in the way")
    qtbot.mouseClick(widget.sample, LEFT)
    rest(widget.bench, qtbot)
    assert len(told) == 1
    assert "\n" not in told[0]
    assert widget.progress.text.text().startswith("failed")
    assert not widget.progress.bar.isVisible()
    assert widget.sample.text() == "Simulated sample"


def test_while_a_stage_runs_it_has_to_wait(widget, place, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr(Workbench, "explain", lambda _self, error: told.append(str(error)))
    gate = threading.Event()
    widget.bench.runner.start_stage("track", lambda _job: gate.wait(20))
    qtbot.mouseClick(widget.sample, LEFT)
    assert told == ["'track' is running: wait or cancel."]
    gate.set()
    rest(widget.bench, qtbot)
    assert not place.exists()
