from __future__ import annotations

import json
import shutil
import string
import threading
from pathlib import Path

import numpy as np
import pytest
from plain import plain_bench, rest, show, shut
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_dynaclr.core import dataset as dataset_module
from napari_dynaclr.core import fov as fov_module
from napari_dynaclr.core.registry import params
from napari_dynaclr.gui.open.open_widget import OpenWidget
from napari_dynaclr.gui.open.plate_map import COLOURS
from napari_dynaclr.gui.settings import remember
from napari_dynaclr.gui.workbench import Workbench

LEFT = Qt.MouseButton.LeftButton
NONE = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def told(monkeypatch):
    """What the user is told has gone wrong."""
    lines = []
    monkeypatch.setattr(Workbench, "explain", lambda _self, error: lines.append(str(error)))
    return lines


@pytest.fixture
def bench(qtbot, told):
    made = plain_bench()
    yield made
    shut(made, qtbot)


@pytest.fixture
def widget(bench, qtbot):
    made = OpenWidget(bench.viewer)
    qtbot.addWidget(made)
    made.resize(340, 700)
    made.show()
    return made


@pytest.fixture
def fresh(widget, dataset, qtbot):
    """The widget with the plate open, nothing done yet."""
    show(widget.bench, qtbot, dataset.root, "B/1/0", dataset.workspace.path)
    return widget


def drop(widget, *urls):
    """Drop something on the path, where it is written that one can; Qt finds who takes it."""
    data = QMimeData()
    data.setUrls(list(urls))
    target = widget.path.lineEdit()
    place, action = target.rect().center(), Qt.DropAction.CopyAction
    QApplication.sendEvent(target, QDragEnterEvent(place, action, data, LEFT, NONE))
    QApplication.sendEvent(target, QDropEvent(QPointF(place), action, data, LEFT, NONE))


def listed(widget):
    return [widget.fovs.item(i).text() for i in range(widget.fovs.count())]


def type_in(widget, qtbot, text):
    widget.path.clearEditText()
    qtbot.keyClicks(widget.path, text)
    qtbot.keyClick(widget.path, Qt.Key.Key_Return)


# -- opening --------------------------------------------------------------


def test_with_nothing_open_it_offers_what_can_be_done(widget):
    assert not widget.plate.isVisible()
    assert not widget.fovs.isVisible()
    assert not widget.facts.isVisible()
    assert not widget.next.isEnabled()
    assert not widget.previous.isEnabled()
    assert widget.open_button.isEnabled()
    assert widget.sample.isEnabled()


@pytest.mark.parametrize("quoted", ["{}", '"{}"', "  {} "])
def test_a_typed_path_is_opened_by_return(widget, plate, qtbot, quoted):
    type_in(widget, qtbot, quoted.format(plate / "A" / "1"))
    qtbot.waitUntil(lambda: widget.session.fov is not None, timeout=20_000)
    rest(widget.bench, qtbot)
    assert widget.session.fov.name == "A/1/0"
    assert "4 FOVs" not in widget.facts.text()
    assert "2 FOVs" in widget.facts.text()
    assert widget.path.currentText() == str(plate)


def test_return_opens_an_earlier_path_once(fresh, qtbot, monkeypatch):
    opened = []
    monkeypatch.setattr(fresh.bench, "open", lambda path, *_: opened.append(str(path)))
    root = fresh.path.itemText(0)
    type_in(fresh, qtbot, root)
    assert opened == [root]


def test_what_is_typed_is_opened_not_what_it_is_the_beginning_of(fresh, qtbot, monkeypatch):
    opened = []
    monkeypatch.setattr(fresh.bench, "open", lambda path, *_: opened.append(str(path)))
    begun = fresh.path.itemText(0)[:-5].upper()
    type_in(fresh, qtbot, begun)
    assert opened == [begun]


def test_a_dropped_folder_is_opened(widget, plate, qtbot):
    drop(widget, QUrl.fromLocalFile(str(plate)))
    qtbot.waitUntil(lambda: widget.session.fov is not None, timeout=20_000)
    rest(widget.bench, qtbot)
    assert widget.path.currentText() == str(plate)


def test_a_dropped_link_is_declined_in_a_line(fresh, told):
    drop(fresh, QUrl("https://example.org/plate.zarr"))
    assert told == ["https://example.org/plate.zarr is not on this computer: download it first."]
    assert fresh.path.currentText() == str(fresh.session.dataset.root)


def test_browsing_opens_what_was_chosen(widget, plate, qtbot, monkeypatch):
    started = []

    def choose(_parent, _title, start):
        started.append(start)
        return str(plate)

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", choose)
    qtbot.mouseClick(widget.browse, LEFT)
    qtbot.waitUntil(lambda: widget.session.fov is not None, timeout=20_000)
    rest(widget.bench, qtbot)
    widget.path.clearEditText()
    qtbot.mouseClick(widget.browse, LEFT)
    rest(widget.bench, qtbot)
    assert started == ["", str(plate.parent)]


def test_giving_up_browsing_changes_nothing(fresh, qtbot, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    before = fresh.session.fov
    qtbot.mouseClick(fresh.browse, LEFT)
    rest(fresh.bench, qtbot)
    assert fresh.session.fov is before


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "does not exist: check the path"),
        (lambda path: path.write_text("x"), "is not an OME-Zarr dataset"),
        (lambda path: path.mkdir(), "is not an OME-Zarr dataset"),
    ],
)
def test_a_bad_path_is_told_in_a_line_and_nothing_is_lost(fresh, qtbot, told, tmp_path, make, said):
    bad = tmp_path / "bad.zarr"
    make(bad)
    fov, layers = fresh.session.fov, list(fresh.bench.viewer.layers)
    fresh.path.setEditText(str(bad))
    qtbot.mouseClick(fresh.open_button, LEFT)
    rest(fresh.bench, qtbot)
    assert len(told) == 1
    assert said in told[0]
    assert "\n" not in told[0]
    assert fresh.session.fov is fov
    assert list(fresh.bench.viewer.layers) == layers
    assert fresh.path.currentText() == str(bad)  # to be mended
    assert str(bad) not in [fresh.path.itemText(i) for i in range(fresh.path.count())]


def test_no_path_is_told_in_a_line(widget, qtbot, told):
    qtbot.mouseClick(widget.open_button, LEFT)
    assert told == ["No path is given: type, browse, or drop one."]


def test_a_stage_that_ends_leaves_what_is_being_typed(fresh, qtbot):
    fresh.path.setEditText("/data/half a pa")
    fresh.session.results_changed.emit("track")
    rest(fresh.bench, qtbot)
    assert fresh.path.currentText() == "/data/half a pa"


# -- what was open before -------------------------------------------------


def test_datasets_opened_before_are_offered_the_last_one_first(widget, plate, make_plate, qtbot):
    other = make_plate("other.zarr", {"A/1/0": np.ones((2, 1, 1, 32, 32), np.uint16)})
    show(widget.bench, qtbot, plate)
    show(widget.bench, qtbot, other)
    show(widget.bench, qtbot, plate)
    again = OpenWidget(plain_bench().viewer)
    qtbot.addWidget(again)
    offered = [again.path.itemText(i) for i in range(again.path.count())]
    assert offered == [str(plate), str(other)]
    assert again.path.currentText() == ""
    again.show()
    again.path.setCurrentIndex(1)
    again.path.activated.emit(1)
    qtbot.waitUntil(lambda: again.session.fov is not None, timeout=20_000)
    rest(again.bench, qtbot)
    assert again.session.dataset.root == other
    again.close()
    shut(again.bench, qtbot)


def test_what_is_gone_is_not_offered(widget, make_plate, qtbot):
    other = make_plate("other.zarr", {"A/1/0": np.ones((2, 1, 1, 32, 32), np.uint16)})
    show(widget.bench, qtbot, other)
    shutil.rmtree(other)
    again = OpenWidget(widget.bench.viewer)
    qtbot.addWidget(again)
    again.path.setEditText("/data/half a pa")
    rest(widget.bench, qtbot)
    assert again.path.count() == 0
    assert again.path.currentText() == "/data/half a pa"


def test_a_disk_that_is_away_keeps_nobody_waiting(widget, plate, qtbot, monkeypatch):
    remember("recent", ["/away/plate.zarr", str(plate)])
    woken, asked = threading.Event(), []
    real = Path.exists

    def exists(path, **options):
        if str(path).startswith("/away"):
            asked.append(threading.current_thread())
            woken.wait(20)
        return real(path, **options)

    monkeypatch.setattr(Path, "exists", exists)
    again = OpenWidget(widget.bench.viewer)
    qtbot.addWidget(again)
    offered = [again.path.itemText(i) for i in range(again.path.count())]
    assert offered == ["/away/plate.zarr", str(plate)]
    again.bench.open(plate)
    qtbot.waitUntil(lambda: again.session.fov is not None, timeout=20_000)
    woken.set()
    rest(again.bench, qtbot)
    assert asked
    assert threading.main_thread() not in asked


# -- the plate ------------------------------------------------------------


def test_it_says_what_the_dataset_is(fresh):
    told = fresh.facts.text()
    assert "plate.zarr: 4 FOVs in 2 wells" in told
    assert "Phase, Nuclei, Membrane, Sensor" in told
    assert "10 time points, every 30 min; 192 x 192 pixels of 0.55 um" in told
    assert str(fresh.session.dataset.workspace.path) in told


def test_the_plate_shows_how_far_each_fov_has_come(fresh, qtbot):
    assert {fresh.plate.step_of(well) for well in ("A/1", "B/1")} == {""}
    assert listed(fresh) == ["B/1/0   nothing done yet", "B/1/1   nothing done yet"]
    assert "nothing done yet" in fresh.legend.text()
    fresh.bench.run_stage("segment", params("segment"), ["B/1/0"])
    rest(fresh.bench, qtbot)
    assert fresh.plate.step_of("B/1") == ""  # the other FOV of the well has still to be done
    assert listed(fresh) == ["B/1/0   segmented", "B/1/1   nothing done yet"]
    assert COLOURS["segmented"] in fresh.legend.text()
    fresh.bench.run_stage("track", params("track"), ["B/1/0"])
    rest(fresh.bench, qtbot)
    assert listed(fresh)[0] == "B/1/0   tracked"
    assert fresh.fovs.item(0).toolTip() == "segmented, tracked"
    fresh.session.annotate([0], "infected")
    rest(fresh.bench, qtbot)
    assert listed(fresh)[0] == "B/1/0   annotated"
    assert "annotated" in fresh.plate._wells["B/1"][0]


def test_all_that_is_done_is_shown_on_opening(widget, processed, qtbot):
    show(widget.bench, qtbot, processed.root, "A/1/1", processed.workspace.path)
    assert widget.plate.step_of("A/1") in ("predicted", "annotated")
    assert widget.plate.well == "A/1"
    done = "segmented, tracked, embedded, mapped, predicted"
    assert widget.fovs.item(1).toolTip().startswith(done)
    assert widget.fovs.currentRow() == 1


def test_a_click_on_a_well_opens_it(fresh, qtbot):
    place = fresh.plate._rect("A/1").center().toPoint()
    qtbot.mouseClick(fresh.plate, LEFT, pos=place)
    qtbot.waitUntil(lambda: fresh.session.fov.name == "A/1/0", timeout=10_000)
    assert fresh.plate.well == "A/1"
    assert [text[:5] for text in listed(fresh)] == ["A/1/0", "A/1/1"]


def test_a_fov_is_chosen_by_mouse_or_keyboard(fresh, qtbot):
    fovs = fresh.fovs
    qtbot.mouseClick(fovs.viewport(), LEFT, pos=fovs.visualItemRect(fovs.item(1)).center())
    qtbot.waitUntil(lambda: fresh.session.fov.name == "B/1/1", timeout=10_000)
    assert fovs.currentRow() == 1
    fovs.setFocus()
    qtbot.keyClick(fovs, Qt.Key.Key_Up)
    qtbot.keyClick(fovs, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: fresh.session.fov.name == "B/1/0", timeout=10_000)


def test_next_and_previous_step_through_the_plate_and_stop_at_its_ends(fresh, qtbot):
    bench = fresh.bench
    for button, name in (
        (fresh.next, "B/1/1"),
        (fresh.previous, "B/1/0"),
        (fresh.previous, "A/1/1"),
    ):
        qtbot.mouseClick(button, LEFT)
        qtbot.waitUntil(lambda name=name: bench.session.fov.name == name, timeout=10_000)
    assert bench.viewer.status == "FOV A/1/1 (2 of 4)"
    bench.show_fov("A/1/0")
    rest(bench, qtbot)
    qtbot.mouseClick(fresh.previous, LEFT)
    assert bench.viewer.status == "this is the first FOV"
    rest(bench, qtbot)
    assert bench.session.fov.name == "A/1/0"


def test_a_single_image_needs_no_plate(widget, plate, qtbot):
    show(widget.bench, qtbot, plate / "A" / "1" / "0")
    assert not widget.plate.isVisible()
    assert not widget.next.isEnabled()
    assert len(listed(widget)) == 1


def test_a_hidden_widget_does_no_work_and_catches_up(fresh, qtbot):
    bench = fresh.bench
    fresh.hide()
    bench.run_stage("segment", params("segment"), ["B/1/0", "B/1/1"])
    bench.show_fov("A/1/1")
    rest(bench, qtbot)
    assert fresh.plate.step_of("B/1") == ""
    assert fresh.plate.well == "B/1"
    fresh.show()
    rest(bench, qtbot)
    assert fresh.plate.step_of("B/1") == "segmented"
    assert fresh.plate.well == "A/1"


def test_a_plate_of_384_wells_is_not_read_on_the_gui_thread(
    widget, large_plate, qtbot, monkeypatch
):
    read = []
    for module in (dataset_module, fov_module):
        real = module.ome_attributes

        def spy(path, real=real):
            read.append((path, threading.current_thread() is threading.main_thread()))
            return real(path)

        monkeypatch.setattr(module, "ome_attributes", spy)
    show(widget.bench, qtbot, large_plate)
    widget.grab()
    assert len(widget.plate._wells) == 384
    assert "768 FOVs in 384 wells" in widget.facts.text()
    assert [path for path, on_gui in read if on_gui] == []
    # Of the FOVs themselves, only that on show.
    assert {path.name for path, _ in read if path.parent.name == "1"} <= {"0", "1"}
    assert {path for path, _ in read if len(path.relative_to(large_plate).parts) == 3} == {
        large_plate / "A" / "1" / "0"
    }


@pytest.fixture
def large_plate(tmp_path, make_plate):
    """A plate of 16 x 24 wells with two FOVs each; only the first has pixels."""
    root = make_plate("large.zarr", {"A/1/0": np.ones((2, 1, 1, 32, 32), np.uint16)}, version="0.5")
    rows, columns = string.ascii_uppercase[:16], [str(i) for i in range(1, 25)]
    file = root / "zarr.json"
    about = json.loads(file.read_text())
    plate = about["attributes"]["ome"]["plate"]
    plate["rows"] = [{"name": row} for row in rows]
    plate["columns"] = [{"name": column} for column in columns]
    plate["wells"] = [
        {"path": f"{row}/{column}", "rowIndex": i, "columnIndex": j}
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
    ]
    file.write_text(json.dumps(about))
    well = json.loads((root / "A" / "1" / "zarr.json").read_text())
    well["attributes"]["ome"]["well"]["images"] = [{"path": "0"}, {"path": "1"}]
    for entry in plate["wells"]:
        folder = root / entry["path"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "zarr.json").write_text(json.dumps(well))
    return root
