from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget

from napari_dynaclr.gui.gallery.gallery import SIDE, Gallery, patches_of
from napari_dynaclr.gui.gallery.gallery_widget import MOST, GalleryWidget
from napari_dynaclr.gui.gallery.patch_source import PatchSource, looks_of
from napari_dynaclr.session import Scope
from napari_dynaclr.session.thumbnails import Place


@pytest.fixture
def bench(windowless):
    return windowless


@pytest.fixture
def gallery(bench, qtbot):
    widget = Gallery(bench)
    qtbot.addWidget(widget)
    widget.resize(340, 300)
    widget.show()
    return widget


def fill(qtbot, gallery, bench, count=6):
    patches = patches_of(bench.session, bench.session.here()[:count])
    gallery.show_patches(patches)
    qtbot.waitUntil(lambda: gallery.loaded == count, timeout=10000)
    return patches


def test_pictures_arrive_and_are_drawn(gallery, bench, qtbot):
    fill(qtbot, gallery, bench)
    image = gallery.list.viewport().grab().toImage()
    inside = {image.pixel(4 + i, 4 + SIDE // 2) for i in range(SIDE)}
    assert len(inside) > 10  # a picture, not a placeholder


def test_looks_are_those_of_the_visible_layers(bench):
    assert [look.channel for look in looks_of(bench)] == ["Phase", "Nuclei"]
    bench.layers.layer("channel Phase").visible = False
    bench.layers.layer("channel Nuclei").contrast_limits = (5, 50)
    bench.layers.layer("channel Nuclei").colormap = "red"
    [look] = looks_of(bench)
    assert (look.channel, look.limits) == ("Nuclei", (5, 50))
    assert look.table[-1].tolist() == [1, 0, 0]
    [look] = looks_of(bench, "Sensor")
    assert look.channel == "Sensor"
    bench.viewer.layers.remove(bench.layers.layer("channel Sensor"))
    assert looks_of(bench, "Sensor")[0].limits is None


def test_a_new_request_replaces_the_one_before(bench, qtbot):
    source = PatchSource(bench)
    came = []
    source.arrived.connect(came.append)
    cells = bench.session.cells
    places = [
        Place("B/1/0", int(t), *map(float, p)) for t, p in zip(cells.t, cells.position, strict=True)
    ]
    source.request(places, looks_of(bench))
    with qtbot.waitSignal(source.finished):
        source.request(places[:2], looks_of(bench), 10.0)
    assert [i for found in came for i, _ in found] == [0, 1]
    source.request(places, looks_of(bench))
    source.stop()
    qtbot.wait(50)
    assert sum(map(len, came)) == 2


def test_a_source_that_is_gone_is_not_told(bench, qtbot):
    source = PatchSource(bench)
    source.request([Place("B/1/0", 0, 0, 20, 20)], looks_of(bench))
    source.deleteLater()
    del source
    qtbot.waitUntil(lambda: not bench.runner.is_busy, timeout=10000)
    qtbot.wait(20)  # an exception in a slot fails the test


def test_arrows_move_enter_and_clicks_show(gallery, bench, qtbot):
    patches = fill(qtbot, gallery, bench)
    gallery.go(0)
    with qtbot.waitSignal(gallery.moved) as moved:
        qtbot.keyClick(gallery.list, Qt.Key.Key_Right)
    assert moved.args == [1]
    with qtbot.waitSignal(gallery.activated) as shown:
        qtbot.keyClick(gallery.list, Qt.Key.Key_Return)
    assert shown.args == ["B/1/0", patches[1].id]
    place = gallery.list.visualRect(gallery.list.model().index(2)).center()
    with qtbot.waitSignal(gallery.activated) as shown:
        qtbot.mouseClick(gallery.list.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert shown.args == ["B/1/0", patches[2].id]
    assert gallery.current == 2
    assert gallery.go(99) is False


def test_keys_label_and_move_on_until_the_end(gallery, bench, qtbot):
    patches = fill(qtbot, gallery, bench, 2)
    gallery.set_keys({"1": "no", "i": "yes", "": "keyless"})
    got = []
    gallery.labelled.connect(lambda *what: got.append(what))
    qtbot.keyClick(gallery.list, "1")  # there is no current one yet
    gallery.go(0)
    qtbot.keyClick(gallery.list, "I", Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClick(gallery.list, "7")
    qtbot.keyClick(gallery.list, "1")
    qtbot.keyClick(gallery.list, "1", Qt.KeyboardModifier.ControlModifier)
    assert got == [(patches[0], "yes"), (patches[1], "no")]
    assert patches[0].made_on == bench.session.cells.keys["B/1/0"]
    assert gallery.current == 1


def test_frames_are_of_the_state_else_of_the_prediction(gallery, bench, qtbot):
    session = bench.session
    prediction = session.cells.predictions["infection"]
    rows = session.here()
    marked = session.marks.explicit("infection", "B/1/0")
    row = next(r for r in rows if int(session.cells.id[r]) not in marked)
    gallery.show_patches(patches_of(session, [row]))
    frame = gallery.list.itemDelegate()._frame
    [patch] = gallery.patches
    said = prediction.states[prediction.codes[row]]
    assert frame(patch) == (session.task.colour(said), False)
    other = next(name for name in session.task.state_names if name != said)
    session.annotate([row], other)
    qtbot.waitUntil(lambda: frame(patch) == (session.task.colour(other), True))


class TestGalleryOfTheSelection:
    @pytest.fixture
    def widget(self, bench, qtbot):
        widget = GalleryWidget(bench.viewer)
        dock = QDockWidget("Gallery")
        dock.setWidget(widget)
        window = bench.viewer.window._qt_window
        window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
        window.show()
        return widget

    def ids(self, widget):
        return [patch.id for patch in widget.gallery.patches]

    def test_it_shows_what_is_selected(self, widget, bench, qtbot):
        session = bench.session
        session.select(session.here()[:4])
        wanted = session.cells.id[session.selection].tolist()
        qtbot.waitUntil(lambda: self.ids(widget) == wanted)
        assert widget.heading.text() == "4 cells selected"
        session.select([])
        qtbot.waitUntil(lambda: self.ids(widget) == [])

    def test_going_to_a_cell_keeps_the_others(self, widget, bench, qtbot):
        session = bench.session
        longest = int(np.bincount(session.cells.track).argmax())
        session.select(session.cells.of_track("B/1/0", longest))
        qtbot.waitUntil(lambda: len(self.ids(widget)) > 3)
        before = self.ids(widget)
        t = widget.gallery.patches[3].place.t
        widget.gallery.activated.emit("B/1/0", before[3])
        qtbot.waitUntil(lambda: widget.gallery.current == 3)
        assert session.frame == t
        assert self.ids(widget) == before
        session.select([len(session.cells) - 1])  # one that is not among them
        qtbot.waitUntil(lambda: len(self.ids(widget)) == 1)

    def test_of_very_many_cells_some_are_shown(self, widget, bench, qtbot):
        bench.set_scope(Scope.PLATE)
        session = bench.session
        qtbot.waitUntil(lambda: len(session.cells.fovs) == 4, timeout=20000)
        session.select(np.arange(len(session.cells)))
        qtbot.waitUntil(lambda: len(self.ids(widget)) == MOST)
        assert widget.heading.text().startswith(f"{MOST} of ")
        qtbot.waitUntil(lambda: widget.gallery.loaded == MOST, timeout=20000)

    def test_keys_label_there(self, widget, bench, qtbot):
        session = bench.session
        session.select(session.here()[:3])
        qtbot.waitUntil(lambda: len(self.ids(widget)) == 3)
        widget.gallery.go(1)
        node = self.ids(widget)[1]
        qtbot.keyClick(widget.gallery.list, "0")
        qtbot.waitUntil(
            lambda: getattr(session.marks.get("B/1/0", node, "infection"), "state", "") == "unknown"
        )

    def test_channel_and_width_are_chosen(self, widget, bench, qtbot):
        session = bench.session
        session.select(session.here()[:2])
        qtbot.waitUntil(lambda: widget.gallery.loaded == 2)
        channels = [widget.channel.itemText(i) for i in range(widget.channel.count())]
        assert channels == ["visible channels", *session.fov.channels]
        pictures = dict(widget.gallery._patches.pictures)
        widget.channel.setCurrentIndex(2)
        qtbot.waitUntil(lambda: widget.gallery._patches.pictures[0] is not pictures[0])
        before = widget.gallery._patches.pictures[0].width()
        widget.width_um.setValue(10)
        qtbot.waitUntil(lambda: widget.gallery._patches.pictures[0].width() < before)

    def test_hidden_it_does_nothing_shown_it_catches_up(self, widget, bench, qtbot):
        session = bench.session
        widget.parentWidget().hide()
        session.select(session.here()[:5])
        qtbot.wait(200)
        assert self.ids(widget) == []
        widget.parentWidget().show()
        assert len(self.ids(widget)) == 5
        qtbot.waitUntil(lambda: widget.gallery.loaded == 5)
