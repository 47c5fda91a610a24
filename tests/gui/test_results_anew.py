"""What is on screen stays true when results are made anew, or cannot be read."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from plain import plain_bench, rest, show, shut

from napari_dynaclr import params
from napari_dynaclr.core.errors import MissingInput
from napari_dynaclr.core.journal import Journal
from napari_dynaclr.gui import workbench as module
from napari_dynaclr.gui.settings import remember
from napari_dynaclr.session import Scope
from napari_dynaclr.session.colours import ColourBy, Kind

PREDICTED = ColourBy(Kind.PREDICTION, "infection")


@pytest.fixture
def empty(qtbot):
    made = plain_bench()
    yield made
    shut(made, qtbot)


@pytest.fixture
def bench(empty, processed, qtbot):
    return show(empty, qtbot, processed.root, "B/1/0", processed.workspace.path)


@pytest.fixture
def untracked(empty, dataset, qtbot):
    return show(empty, qtbot, dataset.root, "B/1/0", dataset.workspace.path)


def track_anew(bench):
    bench.run_stage("track", params("track", max_distance=4.0), ["B/1/0"])


def centre(bench, row):
    """Where a cell is in the viewer's world."""
    cells = bench.session.cells
    return (float(cells.t[row]), *(cells.position[row] * bench.session.fov.scale))


@pytest.mark.parametrize("scope", list(Scope))
def test_after_tracking_anew_the_cells_are_those_of_the_new_tracks(bench, qtbot, scope):
    bench.set_scope(scope)
    rest(bench, qtbot)
    before = bench.session.cells
    track_anew(bench)
    rest(bench, qtbot)
    cells, workspace = bench.session.cells, bench.session.dataset.workspace
    assert cells is not before
    for name in cells.fovs:
        assert cells.keys[name] == workspace.key("tracks", bench.session.dataset[name])
    assert cells.keys["B/1/0"] != before.keys["B/1/0"]


def test_no_click_means_a_cell_while_those_of_new_labels_are_read(bench, qtbot, monkeypatch):
    bench.session.set_state("infected")
    gate, reading = threading.Event(), threading.Event()
    plain = module.load_cells

    def slow(*what):
        reading.set()
        assert gate.wait(30)
        return plain(*what)

    monkeypatch.setattr(module, "load_cells", slow)
    track_anew(bench)
    qtbot.waitUntil(reading.is_set, timeout=30_000)
    place = centre(bench, int(bench.session.here()[0]))
    before = Journal(bench.session.dataset.workspace.journal).position
    assert bench.mouse.row_at(place) == -1
    bench.mouse._clicked(place, several=False)
    gate.set()
    rest(bench, qtbot)
    assert Journal(bench.session.dataset.workspace.journal).position == before
    row = int(bench.session.here()[0])
    assert bench.mouse.row_at(centre(bench, row)) == row


def test_a_fov_whose_cells_are_there_is_shown_without_reading_them(bench, qtbot, monkeypatch):
    bench.set_scope(Scope.PLATE)
    rest(bench, qtbot)
    cells = bench.session.cells
    monkeypatch.setattr(module, "load_cells", lambda *_: pytest.fail("read again"))
    bench.show_fov("A/1/0")
    rest(bench, qtbot)
    assert bench.session.fov.name == "A/1/0"
    assert bench.session.cells is cells


def test_cells_of_a_fov_that_was_passed_by_come_to_nothing(bench, qtbot, monkeypatch):
    gate, plain = threading.Event(), module.load_cells
    monkeypatch.setattr(module, "load_cells", lambda *what: gate.wait(30) and plain(*what))
    cells = bench.session.cells
    bench.show_fov("B/1/1")
    qtbot.waitUntil(lambda: bench.session.fov.name == "B/1/1", timeout=10_000)
    bench.show_fov("B/1/0")
    qtbot.waitUntil(lambda: bench.session.fov.name == "B/1/0", timeout=10_000)
    gate.set()
    rest(bench, qtbot)
    assert bench.session.cells is cells
    assert bench.layers.layer("tracks") is not None


def test_segments_have_no_colours_of_tracks(bench, qtbot):
    bench.colour(PREDICTED)
    rest(bench, qtbot)
    layer = bench.layers.layer("cells")
    assert len(layer.colormap.colors) != 50
    bench.run_stage("segment", params("segment", diameter=13.0), ["B/1/0"])
    rest(bench, qtbot)
    assert bench.layers.scene.labels is None
    assert len(layer.colormap.colors) == 50, "napari's own, one after the other"


def test_what_is_missing_is_made_for_the_task_on_screen_with_the_users_settings(bench, monkeypatch):
    asked = []
    monkeypatch.setattr(bench, "run_stage", lambda *what: asked.append(what))
    remember("method/classify", "linear")
    remember("params/classify/linear", {"task": "infection", "folds": 7})
    bench.session.set_task("division")
    bench.run_missing(MissingInput("no predictions", made_by="classify").made_by)
    [(stage, found, names)] = asked
    assert (stage, found.task, found.folds, names) == ("classify", "division", 7, ["B/1/0"])
    remember("params/classify/linear", {"of another version": 1})
    bench.run_missing("classify")
    assert asked[-1][1].task == "division"


def test_a_dataset_that_is_being_opened_is_opened_whatever_is_shown_meanwhile(
    bench, qtbot, make_plate
):
    image = np.zeros((3, 1, 1, 32, 32), np.uint16)
    bench.open(make_plate("other.zarr", {"C/3/0": image}))
    bench.show_fov("B/1/1")
    bench.running.ended("segment", bench.session.dataset)
    rest(bench, qtbot)
    qtbot.waitUntil(lambda: bench.session.fov is not None and bench.session.fov.name == "C/3/0")


def test_quick_steps_are_all_counted(bench, qtbot):
    bench.show_fov("A/1/0")
    rest(bench, qtbot)
    for _ in range(3):
        bench.step_fov(1)
    rest(bench, qtbot)
    assert bench.session.fov.name == bench.session.dataset.fov_names[3]


def test_a_click_where_nothing_is_tracked_says_what_to_do(untracked):
    untracked.mouse._clicked((0.0, 0.0, 10.0, 10.0), several=False)
    assert untracked.viewer.status == "no tracked cells here: run Segment and track"


def test_the_annotator_is_the_one_of_last_time(empty, processed, qtbot):
    remember("annotator", "Ada")
    show(empty, qtbot, processed.root, "B/1/0", processed.workspace.path)
    assert empty.session.annotator.name == "Ada"


def test_a_damaged_chunk_is_told_once_and_all_else_is_shown(empty, plate, tmp_path, qtbot):
    path = tmp_path / "damaged.zarr"
    shutil.copytree(plate, path)
    chunks = sorted((path / "B/1/0/0").rglob("*"))
    chunk = next(one for one in chunks if one.is_file() and one.name.isdecimal())
    chunk.write_bytes(b"no chunk")
    before = len(notification_manager.records)
    show(empty, qtbot, path, "B/1/0", tmp_path / "damaged.dynaclr")
    assert empty.session.fov.name == "B/1/0"
    for t in range(empty.session.fov.shape[0]):
        empty.viewer.dims.set_point(0, t)
    for image, _, _ in empty.layers.scene.layers.values():
        np.asarray(image)
    rest(empty, qtbot)
    told = [one.message for one in notification_manager.records[before:]]
    assert len(told) == 1
    assert "a chunk is damaged" in told[0]
