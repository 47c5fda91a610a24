from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLineEdit
from windows import SHIFT, canvas, click, hover, pixel_of, place_of

from napari_dynaclr.core.registry import parse
from napari_dynaclr.gui import correcting
from napari_dynaclr.gui.annotate.annotate_widget import AnnotateWidget
from napari_dynaclr.gui.correct.action_buttons import TITLES
from napari_dynaclr.gui.correct.correct_widget import CorrectWidget
from napari_dynaclr.gui.correcting import KEYS
from napari_dynaclr.session.colours import ColourBy, Kind

CTRL = Qt.KeyboardModifier.ControlModifier
FOV = "B/1/0"


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch):
    """What is corrected is written when a test says so."""
    monkeypatch.setattr(correcting, "_PAUSE", 10**6)
    monkeypatch.setattr(correcting, "_BREATH", 0)


@pytest.fixture
def widget(bench, qtbot, idle):
    made = docked(bench, qtbot, CorrectWidget)
    bench.viewer.reset_view()
    qtbot.waitUntil(lambda: bench.session.corrections.shown.key != "", timeout=20_000)
    qtbot.waitUntil(lambda: "looking" not in bench.correcting.looking, timeout=20_000)
    idle(bench)
    return made


def docked(bench, qtbot, kind):
    made = kind(bench.viewer)
    bench.viewer.window.add_dock_widget(made, name=kind.__name__, area="right")
    window = bench.viewer.window._qt_window
    window.activateWindow()
    qtbot.waitUntil(
        lambda: QApplication.activeWindow() is window and made.isVisible(), timeout=20_000
    )
    return made


def settle(qtbot, bench):
    qtbot.waitUntil(lambda: not bench.session.corrections.busy, timeout=20_000)


def press(qtbot, bench, key):
    """Press a key, as KEYS names it, with the mouse over the image."""
    modifier = Qt.KeyboardModifier.NoModifier
    *held, name = key.split("+")
    for one in held:
        modifier |= {"Shift": SHIFT, "Ctrl": CTRL}[one]
    name = {"Esc": "Escape"}.get(name, name)
    qtbot.keyClick(canvas(bench.viewer), getattr(Qt.Key, f"Key_{name}"), modifier)
    settle(qtbot, bench)


def table(bench):
    cells = bench.session.cells
    rows = cells.rows_of(FOV)
    columns = {
        name: getattr(cells, name)[rows] for name in ("id", "track", "parent", "t", "reliability")
    }
    columns["pca"] = cells.maps["pca"][rows, 0]
    return pd.DataFrame(columns).sort_values("id", ignore_index=True)


def pixels(bench, t):
    """What the layer of the cells shows at a time point."""
    return np.array(bench.layers.layer("cells").data[t])


def at(bench, t):
    bench.viewer.dims.set_point(0, t)
    assert bench.session.frame == t


def singles(bench, t):
    """Tracks without relatives that are there at a time point, just before and just after."""
    cells = bench.session.cells
    return [
        int(track)
        for track in np.unique(cells.track[cells.rows_of(FOV)])
        if {t - 1, t, t + 1} <= set(cells.t[cells.of_track(FOV, track)].tolist())
        and not cells.daughters(FOV, track)
        and cells.parent_of(FOV, track) < 0
    ]


def row(bench, track, t):
    rows = bench.session.cells.of_track(FOV, track)
    return int(rows[bench.session.cells.t[rows] == t][0])


def click_cell(qtbot, bench, track, t, modifier=Qt.KeyboardModifier.NoModifier):
    at(bench, t)
    click(qtbot, bench, place_of(bench, row(bench, track, t)), modifier)


def choose(qtbot, bench, action):
    """Choose cells for an action with real clicks."""
    one, two = singles(bench, 4)[:2]
    if action in ("merge", "undivide"):
        click_cell(qtbot, bench, one, 4 if action == "undivide" else 5)
        if action == "undivide":
            click_cell(qtbot, bench, two, 5, SHIFT)
            press(qtbot, bench, KEYS["divide"])
        else:
            press(qtbot, bench, KEYS["cut"])
            click_cell(qtbot, bench, two, 5)
            press(qtbot, bench, KEYS["cut"])
            click_cell(qtbot, bench, one, 4)
            new = max(singles_from(bench, 5))
            click_cell(qtbot, bench, new, 5, SHIFT)
        return
    click_cell(qtbot, bench, one, 4)
    if action in ("link", "divide"):
        click_cell(qtbot, bench, two, 5, SHIFT)
    elif action == "swap":
        click_cell(qtbot, bench, two, 4, SHIFT)


def singles_from(bench, t):
    """Tracks that begin at a time point."""
    cells = bench.session.cells
    tracks = np.unique(cells.track[cells.rows_of(FOV)])
    return [int(one) for one in tracks if cells.t[cells.of_track(FOV, one)][0] == t]


def test_every_action_by_clicks_and_its_key_is_shown_and_taken_back(widget, bench, qtbot):
    for action in TITLES:
        choose(qtbot, bench, action)
        before, images = table(bench), [pixels(bench, t) for t in range(10)]
        assert widget.buttons.buttons[action].isEnabled(), action
        plan = bench.session.corrections.plans()[action]
        assert TITLES[action][0] in widget.buttons.effects.text()
        press(qtbot, bench, KEYS[action])
        assert widget.said.text() == plan.text
        after = table(bench)
        assert not after.equals(before), action
        # The image shows the tracks of the table: each cell's label is the number of its track.
        for t in range(10):
            shown = set(np.unique(pixels(bench, t))) - {0}
            assert shown == set(after["track"][after["t"] == t]), (action, t)
        press(qtbot, bench, KEYS["undo"])
        pd.testing.assert_frame_equal(table(bench), before)
        for t, image in enumerate(images):
            np.testing.assert_array_equal(pixels(bench, t), image)
        press(qtbot, bench, KEYS["redo"])
        pd.testing.assert_frame_equal(table(bench), after)
        while widget.undo.isEnabled():
            press(qtbot, bench, KEYS["undo"])


def test_the_buttons_do_what_the_keys_do(widget, bench, qtbot):
    before = table(bench)
    choose(qtbot, bench, "swap")
    widget.buttons.buttons["swap"].click()
    settle(qtbot, bench)
    after = table(bench)
    assert not after.equals(before)
    assert widget.undo.toolTip().startswith("Undo (Ctrl+Z): swap")
    widget.undo.click()
    settle(qtbot, bench)
    pd.testing.assert_frame_equal(table(bench), before)
    assert not widget.undo.isEnabled()
    widget.redo.click()
    settle(qtbot, bench)
    pd.testing.assert_frame_equal(table(bench), after)


def test_a_missed_cell_is_added_under_the_mouse_and_linked(widget, bench, qtbot):
    one = singles(bench, 4)[0]
    click_cell(qtbot, bench, one, 4)
    press(qtbot, bench, "E")  # it has been missed at t=4
    click_cell(qtbot, bench, one, 3)
    widget.buttons.radius.setValue(4.0)
    gone = table(bench)
    empty = pixels(bench, 4)[0] == 0
    at(bench, 4)
    cells, places = bench.session.cells, np.argwhere(empty)
    here = cells.position[cells.at(FOV, 4), 1:]
    away = np.sqrt(((places[:, None] - here[None]) ** 2).sum(-1)).min(axis=1)
    y, x = places[away.argmax()]
    hover(bench, pixel_of(bench, (0.0, float(y), float(x))))
    bench.viewer.mouse_over_canvas = True
    qtbot.waitUntil(lambda: abs(bench.viewer.cursor.position[-1] - x * cells_scale(bench)) < 2)
    press(qtbot, bench, KEYS["add"])
    assert len(table(bench)) == len(gone) + 1
    new = bench.session.corrections.a
    track = int(bench.session.cells.track[bench.session.corrections.row_of(new)])
    assert (pixels(bench, 4) == track).sum() > 20
    assert widget.buttons.buttons["link"].isEnabled()
    press(qtbot, bench, KEYS["link"])
    assert bench.session.cells.track[bench.session.corrections.row_of(new)] == one
    press(qtbot, bench, KEYS["undo"])
    press(qtbot, bench, KEYS["undo"])
    pd.testing.assert_frame_equal(table(bench), gone)
    # By the button: where one clicks next.
    widget.buttons.add.click()
    assert bench.session.corrections.adding
    click(qtbot, bench, pixel_of(bench, (0.0, float(y), float(x))))
    settle(qtbot, bench)
    assert len(table(bench)) == len(gone) + 1
    assert not widget.buttons.add.isChecked()


def cells_scale(bench):
    return bench.session.fov.scale[-1]


def test_a_and_b_keep_their_own_time_and_are_seen_at_every_time(widget, bench, qtbot):
    one, two = singles(bench, 4)[:2]
    click_cell(qtbot, bench, one, 4)
    click_cell(qtbot, bench, two, 5, SHIFT)
    layer = bench.layers.layer("pair")
    assert list(layer.text.values) == ["A, t=4", "B"]
    assert len(layer.data) == 2
    assert (layer.data[:, 0] == 5).all()
    at(bench, 4)
    assert list(layer.text.values) == ["A", "B, t=5"]
    assert widget.chosen["A"].text().startswith(f"track {one}, t=4")
    assert "reliable" in widget.chosen["A"].text()
    press(qtbot, bench, "Esc")
    assert len(layer.data) == 0
    assert widget.chosen["A"].text() == "click a cell"


def test_what_cannot_be_done_is_disabled_and_says_why(widget, bench, qtbot):
    cut = widget.buttons.buttons["cut"]
    assert not cut.isEnabled()
    assert "click a cell first" in cut.toolTip()
    one = singles(bench, 4)[0]
    cells = bench.session.cells
    first = int(cells.t[cells.of_track(FOV, one)][0])
    click_cell(qtbot, bench, one, first)
    assert "begins here" in cut.toolTip()
    before = table(bench)
    press(qtbot, bench, KEYS["cut"])
    assert "begins here" in widget.said.text()
    pd.testing.assert_frame_equal(table(bench), before)


def test_while_a_stage_reads_the_tracks_nothing_is_corrected(widget, bench, qtbot):
    choose(qtbot, bench, "cut")
    before, going = table(bench), threading.Event()
    bench.runner.start_stage("embed", lambda _job: going.wait(60))
    try:
        assert not widget.buttons.buttons["cut"].isEnabled()
        assert "'embed' is running" in widget.buttons.effects.text()
        press(qtbot, bench, KEYS["cut"])
        assert "'embed' is running" in widget.said.text()
        pd.testing.assert_frame_equal(table(bench), before)
    finally:
        going.set()
    qtbot.waitUntil(lambda: widget.buttons.buttons["cut"].isEnabled(), timeout=20_000)


def test_typing_corrects_nothing_and_the_switch_gives_the_keys_back(widget, bench, qtbot):
    choose(qtbot, bench, "cut")
    before = table(bench)
    box = QLineEdit()
    bench.viewer.window.add_dock_widget(box)
    box.setFocus()
    qtbot.keyClicks(box, "clsmdea")
    assert box.text() == "clsmdea"
    widget.switch.click()
    press(qtbot, bench, KEYS["cut"])
    pd.testing.assert_frame_equal(table(bench), before)
    assert not bench.session.corrections.active
    two = singles(bench, 4)[1]
    click_cell(qtbot, bench, two, 4, SHIFT)
    assert len(bench.session.selection) == 2  # clicks select again
    widget.switch.click()
    assert bench.session.corrections.active


def test_annotation_keeps_its_keys_but_those_that_correct(widget, bench, qtbot):
    annotate = docked(bench, qtbot, AnnotateWidget)
    by_key = {one.key().toString(): one for one in annotate._shortcuts}
    assert not by_key["Ctrl+Z"].isEnabled()
    assert by_key["2"].isEnabled()
    choose(qtbot, bench, "cut")
    before = table(bench)
    press(qtbot, bench, KEYS["cut"])
    press(qtbot, bench, "Ctrl+Z")
    pd.testing.assert_frame_equal(table(bench), before)
    marked = len(list(bench.session.marks.of("infection")))
    at(bench, 4)
    cell = next(
        one for one in bench.session.here()
        if bench.session.marks.get(FOV, int(bench.session.cells.id[one]), "infection") is None
    )  # fmt: skip
    hover(bench, place_of(bench, cell))
    bench.viewer.mouse_over_canvas = True
    qtbot.waitUntil(lambda: bench.row_under_cursor() == cell)
    qtbot.keyClick(canvas(bench.viewer), "2")
    qtbot.waitUntil(lambda: not bench.session.annotator.busy)
    assert len(list(bench.session.marks.of("infection"))) > marked
    # To choose a state is to annotate from now on.
    annotate.form.states.buttons[0].click()
    assert not bench.session.corrections.active
    assert not widget.switch.isChecked()
    assert by_key["Ctrl+Z"].isEnabled()


def test_the_queue_leads_from_place_to_place(widget, bench, qtbot, idle):
    corrections, panel = bench.session.corrections, widget.suspects
    # A track that is cut ends inside the field, and another begins there.
    choose(qtbot, bench, "cut")
    press(qtbot, bench, KEYS["cut"])
    qtbot.waitUntil(lambda: len(corrections.queue.places) > 1, timeout=20_000)
    idle(bench)
    queue = corrections.queue
    assert panel.list.count() == len(queue.places)
    press(qtbot, bench, KEYS["next"])
    idle(bench)
    first = queue.places[0]
    assert corrections.queue.position == 0
    assert corrections.a == first.id
    assert corrections.b == first.other
    assert bench.session.frame == first.t
    assert panel.heading.text() == f"1 of {queue.total} suspicious places"
    assert panel.why.text() == first.why
    press(qtbot, bench, KEYS["previous"])
    assert "first suspicious place" in widget.said.text()
    press(qtbot, bench, KEYS["accept"])
    qtbot.waitUntil(lambda: len(corrections.queue.places) == len(queue.places) - 1)
    assert first.key not in {place.key for place in corrections.queue.places}
    assert corrections.queue.current is not None  # the next one has taken its turn
    press(qtbot, bench, KEYS["undo"])
    qtbot.waitUntil(lambda: len(corrections.queue.places) == len(queue.places))


def test_closing_and_opening_the_dock_loses_nothing(widget, bench, qtbot, idle):
    choose(qtbot, bench, "swap")
    press(qtbot, bench, KEYS["swap"])
    idle(bench)
    corrections = bench.session.corrections
    wanted, chosen = table(bench), corrections.chosen
    position = corrections.queue.position
    bench.viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: not corrections.active)
    again = docked(bench, qtbot, CorrectWidget)
    assert corrections.active
    assert corrections.chosen == chosen
    assert corrections.queue.position == position
    assert again.undo.isEnabled()
    pd.testing.assert_frame_equal(table(bench), wanted)
    press(qtbot, bench, KEYS["undo"])
    assert not again.undo.isEnabled()


def test_write_now_and_what_is_shown_stays(widget, bench, qtbot, idle):
    dataset = bench.session.dataset
    fov = dataset[FOV]
    choose(qtbot, bench, "swap")
    press(qtbot, bench, KEYS["swap"])
    at(bench, 6)
    wanted, images = table(bench), [pixels(bench, t) for t in range(10)]
    assert dataset.workspace.behind(fov)
    assert widget.write.isVisible()
    widget.write.click()
    qtbot.waitUntil(lambda: not bench.correcting.writing, timeout=20_000)
    idle(bench)
    assert not dataset.workspace.behind(fov)
    assert not widget.write.isVisible()
    tracks = dataset.workspace.tracks(fov).sort_values("id", ignore_index=True)
    np.testing.assert_array_equal(tracks["track_id"], wanted["track"])
    pd.testing.assert_frame_equal(table(bench), wanted)
    # Another frame is read from the disk now.
    bench.cache.clear()
    for t, image in enumerate(images):
        np.testing.assert_array_equal(pixels(bench, t), image)
    press(qtbot, bench, KEYS["undo"])
    assert dataset.workspace.behind(fov)
    for t in range(10):
        shown = table(bench)
        assert set(np.unique(pixels(bench, t))) - {0} == set(shown["track"][shown["t"] == t])


def test_what_was_not_written_is_shown_when_the_fov_is_opened_again(widget, bench, qtbot, idle):
    choose(qtbot, bench, "swap")
    press(qtbot, bench, KEYS["swap"])
    wanted, images = table(bench), [pixels(bench, t) for t in range(10)]
    root, place = bench.session.dataset.root, bench.session.dataset.workspace.path
    bench.correcting._behind.clear()  # as if it had been killed
    bench.viewer.window.remove_dock_widget(widget)
    bench.close_dataset()
    idle(bench)
    bench.open(root, FOV, place)
    qtbot.waitUntil(lambda: len(bench.session.cells) > 0, timeout=20_000)
    idle(bench)
    assert bench.session.dataset.workspace.behind(bench.session.fov)
    pd.testing.assert_frame_equal(table(bench), wanted)
    for t, image in enumerate(images):
        np.testing.assert_array_equal(pixels(bench, t), image)
    assert bench.correcting.unwritten == [FOV]


def test_a_stage_gets_the_corrected_tracks(widget, bench, qtbot, idle):
    dataset = bench.session.dataset
    choose(qtbot, bench, "delete_track")
    press(qtbot, bench, KEYS["delete_track"])
    count = len(table(bench))
    bench.run_stage("project", parse("project", "pca", {}), [FOV])
    qtbot.waitUntil(lambda: bench.runner.stage is None, timeout=60_000)
    idle(bench)
    assert not dataset.workspace.behind(dataset[FOV])
    assert len(dataset.workspace.embedding("features", dataset[FOV])) == count
    assert len(table(bench)) == count
    assert bench.correcting.unwritten == []


def test_links_are_coloured_by_their_reliability(widget, bench, qtbot, idle):
    bench.colour(ColourBy(Kind.RELIABILITY))
    idle(bench)
    palette = bench.session.palette
    assert palette.legend.title == "link reliability"
    assert (palette.index < 256).any()
    choose(qtbot, bench, "cut")
    press(qtbot, bench, KEYS["cut"])
    assert bench.session.palette.legend.title == "link reliability"
