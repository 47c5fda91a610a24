from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication

from napari_dynaclr.gui.lineage.lineage_strip import PATCH, LineageStrip
from napari_dynaclr.gui.lineage.lineage_widget import HINT, LineageWidget
from napari_dynaclr.session.cells import Cells
from napari_dynaclr.session.lineage import lineage_of

FOV = "B/1/0"


@pytest.fixture
def bench(windowless):
    return windowless


@pytest.fixture
def widget(bench, qtbot):
    made = LineageWidget(bench.viewer)
    qtbot.addWidget(made)
    made.resize(900, 220)
    made.show()
    return made


def longest(cells):
    """Rows of the track with the most time points."""
    tracks, counts = np.unique(cells.track, return_counts=True)
    return cells.of_track(FOV, int(tracks[counts.argmax()]))


def shown(widget, qtbot):
    """Wait until all patches in sight are there."""
    rows = widget.strip.visible_rows
    qtbot.waitUntil(lambda: bool(rows()) and set(rows()) <= set(widget.strip.patches))


def place_of(strip, row):
    """Where a cell of the strip can be clicked."""
    for at, lane in enumerate(strip.lineage.lanes):
        if row in lane.rows:
            t = int(lane.t[row - lane.rows[0]])
            return QPoint(int(strip._x(t) + strip._step / 2), strip._y(at) + PATCH // 2)
    raise AssertionError(row)


def test_without_a_selection_it_says_what_to_do(widget):
    assert widget.strip.lineage is None
    assert widget.strip.hint == HINT
    assert widget.title.text() == ""


def test_it_fits_a_narrow_dock_and_cuts_no_name_off(bench, widget, qtbot):
    bench.session.select(longest(bench.session.cells)[:1])
    shown(widget, qtbot)
    assert widget.legend.isVisible()
    assert widget.minimumSizeHint().width() <= 380
    metrics = widget.channel.fontMetrics()
    assert widget.channel.width() > metrics.horizontalAdvance(widget.channel.currentText())


def test_a_selected_cell_shows_its_track_with_patches(bench, widget, qtbot):
    rows = longest(bench.session.cells)
    bench.session.select(rows[:1])
    shown(widget, qtbot)
    track = int(bench.session.cells.track[rows[0]])
    assert track in [lane.track for lane in widget.strip.lineage.lanes]
    assert widget.title.text().startswith(f"Track {track}, FOV {FOV}")
    patch = next(iter(widget.strip.patches.values())).toImage()
    values = {patch.pixelColor(x, x).lightness() for x in range(patch.width())}
    assert len(values) > 3  # a picture, not an empty frame
    bench.session.select([])
    assert widget.strip.lineage is None


def test_of_several_tracks_it_shows_the_first_and_says_so(bench, widget, qtbot):
    cells = bench.session.cells
    first, other = cells.of_track(FOV, 1)[0], cells.of_track(FOV, 2)[0]
    bench.session.select([first, other])
    qtbot.waitUntil(lambda: widget.strip.lineage is not None)
    assert widget.title.text().startswith("Track 1,")
    assert "first of the selected" in widget.title.text()


def test_a_click_goes_to_that_cell_at_that_time(bench, widget, qtbot):
    rows = longest(bench.session.cells)
    bench.session.select(rows[:1])
    shown(widget, qtbot)
    target = int(rows[6])
    view = widget.strip.viewport()
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=place_of(widget.strip, target))
    assert bench.session.selection.tolist() == [target]
    assert bench.session.frame == bench.session.cells.t[target]
    assert bench.viewer.dims.current_step[0] == bench.session.cells.t[target]


def test_arrow_keys_walk_along_the_track(bench, widget, qtbot):
    rows = longest(bench.session.cells)
    bench.session.focus(int(rows[2]))
    shown(widget, qtbot)
    qtbot.keyClick(widget.strip, Qt.Key.Key_Right)
    assert bench.session.selection.tolist() == [rows[3]]
    qtbot.keyClick(widget.strip, Qt.Key.Key_Left)
    qtbot.keyClick(widget.strip, Qt.Key.Key_Left)
    assert bench.session.selection.tolist() == [rows[1]]
    assert bench.session.frame == bench.session.cells.t[rows[1]]


def test_another_frame_moves_the_cursor_and_reads_nothing(bench, widget, qtbot, monkeypatch):
    bench.session.focus(int(longest(bench.session.cells)[0]))
    shown(widget, qtbot)
    qtbot.waitUntil(lambda: not bench.runner.is_busy)
    asked = []
    monkeypatch.setattr(widget.source, "request", lambda *args: asked.append(args))
    lineage = widget.strip.lineage
    bench.viewer.dims.set_current_step(0, 7)
    QApplication.processEvents()
    assert widget.strip._frame == 7
    assert widget.strip.lineage is lineage
    assert asked == []


def test_bars_follow_annotations_and_predictions(bench, widget, qtbot):
    session = bench.session
    session.set_task("infection")
    rows = longest(session.cells)
    session.select(rows[:1])
    qtbot.waitUntil(lambda: len(widget.strip.looks) > 0)
    at = widget.strip.lineage.lane_of(int(session.cells.track[rows[0]]))
    assert widget.strip.looks[at].predicted is not None
    session.annotate(rows[4:5], "infected")
    qtbot.waitUntil(lambda: not session.annotator.busy)
    said = widget.strip.looks[at].annotated
    assert said.states[said.codes[4]] == "infected"
    assert said.strength[4] == 1.0
    orange = QColor(session.task.colour("infected"))
    assert widget.strip._bars[at][0].pixelColor(4, 0) == orange
    assert "infected (annotated)" in widget.strip.describe(
        QPointF(place_of(widget.strip, int(rows[4])))
    )
    session.set_task("death")
    assert widget.strip.looks[at].annotated.states == ()
    assert widget.strip._bars[at] == (None, None)
    assert "dead" in widget.legend.text()


def test_another_channel_shows_other_patches_and_is_remembered(bench, widget, qtbot):
    bench.session.select(longest(bench.session.cells)[:1])
    shown(widget, qtbot)
    row = widget.strip.visible_rows()[0]
    before = widget.strip.patches[row].toImage()
    widget.channel.setCurrentIndex(widget.channel.findData("Membrane"))
    widget.channel.activated.emit(widget.channel.currentIndex())
    qtbot.waitUntil(
        lambda: row in widget.strip.patches and widget.strip.patches[row].toImage() != before
    )
    again = LineageWidget(bench.viewer)
    qtbot.addWidget(again)
    again.show()
    assert again.channel.currentData() == "Membrane"


def test_hidden_it_listens_to_nothing_and_catches_up(bench, widget, qtbot):
    rows = longest(bench.session.cells)
    bench.session.select(rows[:1])
    shown(widget, qtbot)
    old = widget.strip.lineage
    widget.hide()
    other = next(
        int(row) for row in range(len(bench.session.cells))
        if old.lane_of(int(bench.session.cells.track[row])) < 0
    )  # fmt: skip
    bench.session.select([other])
    bench.session.set_frame(9)
    QApplication.processEvents()
    assert widget.strip.lineage is old
    assert widget.source._run is None
    assert widget._connected == []
    widget.show()
    track = int(bench.session.cells.track[other])
    qtbot.waitUntil(
        lambda: widget.strip.lineage is not None and widget.strip.lineage.lane_of(track) >= 0
    )
    assert widget.strip._frame == 9


def test_closing_the_dataset_empties_it(bench, widget, qtbot):
    bench.session.select(longest(bench.session.cells)[:1])
    shown(widget, qtbot)
    bench.close_dataset()
    assert widget.strip.lineage is None
    assert not widget.source._run


def test_in_a_long_movie_only_what_is_in_sight_is_wanted(qtbot):
    tracks = np.repeat(np.arange(1, 8), 1000)
    parent = np.where(tracks == 1, -1, tracks // 2)
    t = np.tile(np.arange(1000), 7)
    cells = Cells(
        fovs=(FOV,), fov=np.zeros(7000, np.int32), track=tracks, t=t, id=np.arange(7000),
        parent=parent, position=np.zeros((7000, 3), np.float32),
    )  # fmt: skip
    strip = LineageStrip()
    qtbot.addWidget(strip)
    strip.resize(900, 220)
    strip.show()
    strip.show_lineage(lineage_of(cells, FOV, 5))
    assert len(strip.lineage.lanes) == 7
    first = strip.visible_rows()
    assert 10 < len(first) < 100
    strip.set_frame(900)  # far out of sight: it scrolls there
    now = strip.visible_rows()
    assert t[now].min() > 500
    assert any(abs(t[row] - 900) <= strip.stride for row in now)
    strip.zoom(100)
    assert strip.stride == 1
    near = strip.visible_rows()
    assert np.ptp(t[near]) < 30
    strip.fit()
    assert strip.stride > 1


def test_ctrl_and_wheel_zoom_about_the_mouse(qtbot):
    from qtpy.QtGui import QWheelEvent

    cells = Cells(
        fovs=(FOV,), fov=np.zeros(1000, np.int32), track=np.ones(1000, np.int64),
        t=np.arange(1000), id=np.arange(1000), parent=np.full(1000, -1),
        position=np.zeros((1000, 3), np.float32),
    )  # fmt: skip
    strip = LineageStrip()
    qtbot.addWidget(strip)
    strip.resize(900, 220)
    strip.show()
    strip.show_lineage(lineage_of(cells, FOV, 1))
    before, step = strip._time(500), strip._step
    event = QWheelEvent(
        QPointF(500, 60), QPointF(500, 60), QPoint(0, 0), QPoint(0, 240),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.ControlModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    strip.wheelEvent(event)
    assert strip._step > step
    assert strip._time(500) == pytest.approx(before, abs=1)
