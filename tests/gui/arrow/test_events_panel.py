from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from plain import plain_bench, rest, show, shut
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from windows import SHIFT, canvas, click, pixel_of

from napari_dynaclr import open_dataset
from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.journal import Journal
from napari_dynaclr.gui.annotate.annotate_widget import AnnotateWidget
from napari_dynaclr.gui.arrow.event_table import Line
from napari_dynaclr.gui.arrow.events_panel import EventsPanel
from napari_dynaclr.gui.finding import KEYS
from napari_dynaclr.session import Scope

CTRL = Qt.KeyboardModifier.ControlModifier
LEFT = Qt.MouseButton.LeftButton
FOV, LINE = "B/1/0", Line._fields


def write(dataset, fov_name, rows, name="tap"):
    """Write events (t, z, y, x, score) as 'find' does."""
    fov = dataset[fov_name]
    table = pd.DataFrame(rows, columns=["t", "z", "y", "x", "score"])
    table["rank"] = np.arange(1, len(table) + 1)
    table["id"] = table["track_id"] = -1
    write_csv(dataset.workspace.events_csv(name, fov), table)
    dataset.workspace.mark_complete(f"events.{name}", fov, "key")


def on_cells(bench, times=(2, 5, 7)):
    """Events on cells of FOV B/1/0, one at each time, the likeliest first."""
    cells = bench.session.cells
    rows = []
    for i, t in enumerate(times):
        row = int(cells.at(FOV, t)[i])
        rows.append((t, *map(float, cells.position[row]), 1.0 - 0.1 * i))
    return rows


def shown(bench, qtbot, made):
    """A panel with three events on cells in FOV B/1/0, and one in A/1/0."""
    dataset = bench.session.dataset
    write(dataset, FOV, on_cells(bench))
    write(dataset, "A/1/0", [(4, 0.0, 60.0, 70.0, 0.95)])
    bench.finding.read()
    rest(bench, qtbot)
    return made


@pytest.fixture
def panel(windowless, qtbot):
    made = EventsPanel(windowless.viewer)
    qtbot.addWidget(made)
    made.show()
    return shown(windowless, qtbot, made)


def lines(panel):
    return panel.table.lines


def judged(panel):
    return [line.judged for line in lines(panel)]


def written(bench):
    """What stands beside the circles."""
    return layer(bench).text.string.array.tolist()


def given(bench):
    """States of the task "division" on disk."""
    journal = Journal(bench.session.dataset.workspace.journal)
    return [mark.state for mark, _ in journal.latest() if mark.task == "division"]


def layer(bench):
    return bench.layers.layer("events")


# -- the list -----------------------------------------------------------------


def test_events_are_listed_and_drawn_the_likeliest_first(panel, windowless):
    assert [line.rank for line in lines(panel)] == ["1", "2", "3"]
    assert [line.time.split()[0] for line in lines(panel)] == ["t=2", "t=5", "t=7"]
    assert lines(panel)[0].time.endswith("h)"), "and when that was, in hours"
    assert [line.score for line in lines(panel)] == ["1", "0.9", "0.8"]
    cells = windowless.session.cells
    tracks = [str(cells.track[cells.at(FOV, t)[i]]) for i, t in enumerate((2, 5, 7))]
    assert [line.cell for line in lines(panel)] == tracks
    assert panel.table.isColumnHidden(2), "all are of this FOV"
    assert panel.heading.text() == "3 likely events, 0 judged"
    points = layer(windowless)
    assert points.data[:, 0].tolist() == [2, 5, 7]
    np.testing.assert_allclose(points.data[:, 1:], [row[1:4] for row in on_cells(windowless)])
    assert not points.editable
    assert written(windowless) == ["1", "2", "3"]


def test_what_is_found_backwards_tells_how_many_are_by_chance(panel, windowless, qtbot):
    column = LINE.index("chance")
    assert panel.table.isColumnHidden(column), "an earlier version has not looked backwards"
    dataset = windowless.session.dataset
    found = pd.DataFrame({"t": [1], "z": [0.0], "y": [5.0], "x": [5.0], "score": [0.95]})
    write_csv(dataset.workspace.backwards_csv("tap", dataset[FOV]), found)
    windowless.finding.read()
    rest(windowless, qtbot)
    assert not panel.table.isColumnHidden(column)
    assert [line.chance for line in lines(panel)] == ["67%", "67%", "67%"]
    assert "played backwards" in panel.table.headerItem().toolTip(column)
    windowless.finding.set_scope(Scope.PLATE)
    rest(windowless, qtbot)
    assert panel.table.isColumnHidden(column), "of A/1/0 it is not known"


def test_an_event_that_lies_on_no_cell_has_none(panel, windowless, qtbot):
    write(windowless.session.dataset, FOV, [(2, 0.0, -500.0, -500.0, 0.5)])
    windowless.finding.read()
    rest(windowless, qtbot)
    assert [line.cell for line in lines(panel)] == [""]


def test_without_events_one_line_says_what_to_do(windowless, qtbot):
    made = EventsPanel(windowless.viewer)
    qtbot.addWidget(made)
    made.show()
    rest(windowless, qtbot)
    assert made.heading.text() == "No events yet. Run the search above."
    assert not made.table.isVisible()
    assert not made.accept_button.isVisible()
    write(windowless.session.dataset, "A/1/0", [])
    windowless.session.results_changed.emit("find")
    rest(windowless, qtbot)
    assert made.heading.text().startswith("Nothing has been looked for in this FOV")
    write(windowless.session.dataset, FOV, [])
    windowless.session.results_changed.emit("find")
    rest(windowless, qtbot)
    assert made.heading.text() == "The search has found no events here."


def test_nothing_is_said_of_cells_and_events_before_they_are_read(fresh_windowless, qtbot):
    bench, session = fresh_windowless, fresh_windowless.session
    write(session.dataset, FOV, [(3, 0.0, 60.0, 70.0, 0.9)])
    made = EventsPanel(bench.viewer)
    qtbot.addWidget(made)
    made.show()
    assert made.heading.text() == "reading events…"
    rest(bench, qtbot)
    bench.finding.look_at(0)
    rest(bench, qtbot)
    bench.load_cells()
    assert made.hindrance.text() == "reading cells…"
    assert not made.track_button.isVisible()
    rest(bench, qtbot)
    assert "not tracked" in made.hindrance.text()
    session.open(session.dataset)
    assert made.heading.text() == "reading events…", "not that there are none"


def test_a_click_on_a_row_goes_there(panel, windowless, qtbot):
    item = panel.table.topLevelItem(1)
    qtbot.mouseClick(panel.table.viewport(), LEFT, pos=panel.table.visualItemRect(item).center())
    rest(windowless, qtbot)
    session = windowless.session
    assert session.frame == 5
    assert windowless.viewer.dims.point[0] == 5
    assert session.events.found.position == 1
    [row] = session.selection
    assert tuple(session.cells.position[row]) == pytest.approx(on_cells(windowless)[1][1:4])
    assert panel.heading.text() == "2 of 3 likely events, 0 judged"
    sizes = layer(windowless).size
    assert sizes[1] > sizes[0] == sizes[2], "the one that is looked at is ringed"
    widths = layer(windowless).border_width
    assert widths[1] > widths[0] == widths[2]


def test_events_of_the_whole_plate_lead_to_their_fovs(panel, windowless, qtbot):
    windowless.finding.set_scope(Scope.PLATE)
    rest(windowless, qtbot)
    assert [line.field for line in lines(panel)] == [FOV, "A/1/0", FOV, FOV]
    assert not panel.table.isColumnHidden(2)
    assert layer(windowless).data[:, 0].tolist() == [2, 5, 7], "those of this FOV are drawn"
    windowless.finding.look_at(1)
    rest(windowless, qtbot)
    assert windowless.session.fov.name == "A/1/0"
    assert windowless.session.frame == 4
    assert layer(windowless).data[:, 0].tolist() == [4]
    assert written(windowless) == ["2"], "its rank among all"
    assert len(lines(panel)) == 4


def test_events_of_a_stack_are_seen_in_every_slice(make_plate, qtbot):
    images = np.random.default_rng(0).integers(90, 400, (4, 1, 5, 48, 48)).astype(np.uint16)
    dataset = open_dataset(make_plate("stack.zarr", {"A/1/0": images}))
    dataset.workspace.prepare(dataset.channels)
    write(dataset, "A/1/0", [(2, 2.0, 20.0, 22.0, 0.9), (1, 4.0, 30.0, 12.0, 0.8)])
    bench = show(plain_bench(), qtbot, dataset.root, "A/1/0", dataset.workspace.path)
    made = EventsPanel(bench.viewer)
    qtbot.addWidget(made)
    made.show()
    rest(bench, qtbot)
    bench.finding.look_at(0)
    rest(bench, qtbot)
    for z in (0, 3):
        bench.viewer.dims.set_point(1, z * dataset["A/1/0"].scale[0])
        assert layer(bench).data.tolist() == [[2, z, 20, 22], [1, z, 30, 12]]
        assert layer(bench)._view_data.tolist() == [[20, 22]], "of this time only"
    shut(bench, qtbot)


# -- judging ------------------------------------------------------------------


def test_accepted_and_rejected_ones_are_marked_and_on_disk(panel, windowless, qtbot):
    bench, events = windowless, windowless.session.events
    assert not panel.accept_button.isEnabled(), "which one?"
    panel.next_button.click()
    rest(bench, qtbot)
    qtbot.mouseClick(panel.accept_button, LEFT)
    rest(bench, qtbot)
    assert events.found.position == 1, "the next one"
    qtbot.mouseClick(panel.reject_button, LEFT)
    rest(bench, qtbot)
    assert judged(panel) == ["✓", "✗", ""]
    assert panel.heading.text() == "3 of 3 likely events, 2 judged"
    colours = layer(bench).border_color
    assert len({tuple(one) for one in colours}) == 3
    assert written(bench) == ["1: division", "2: no division", "3"], "not told by colour alone"
    assert sorted(given(bench)) == ["interphase", "mitosis"]
    qtbot.mouseClick(panel.undo_button, LEFT)
    rest(bench, qtbot)
    assert judged(panel) == ["✓", "", ""]


def test_of_a_fov_that_is_not_tracked_events_are_looked_at_only(fresh_windowless, qtbot):
    bench = fresh_windowless
    write(bench.session.dataset, FOV, [(3, 0.0, 60.0, 70.0, 0.9)])
    made = EventsPanel(bench.viewer)
    qtbot.addWidget(made)
    made.show()
    rest(bench, qtbot)
    bench.finding.step(1)
    rest(bench, qtbot)
    assert bench.session.frame == 3
    assert made.hindrance.text() == (
        "FOV B/1/0 is not tracked: events can be looked at, not accepted."
    )
    assert made.track_button.isVisible()
    assert not made.accept_button.isEnabled()
    bench.finding.accept()
    assert bench.session.last_said == made.hindrance.text()
    assert not bench.session.dataset.workspace.journal.exists()


@pytest.fixture
def fresh_windowless(dataset, qtbot):
    made = plain_bench()
    yield show(made, qtbot, dataset.root, FOV, dataset.workspace.path)
    shut(made, qtbot)


# -- in a real window ---------------------------------------------------------


@pytest.fixture
def docked(bench, qtbot):
    made = EventsPanel(bench.viewer)
    add(bench, qtbot, made)
    bench.viewer.reset_view()
    return shown(bench, qtbot, made)


def add(bench, qtbot, made):
    bench.viewer.window.add_dock_widget(made, name=type(made).__name__, area="right")
    window = bench.viewer.window._qt_window
    window.activateWindow()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is window and made.isVisible())


def press(qtbot, bench, key):
    modifier = Qt.KeyboardModifier.NoModifier
    *held, name = key.split("+")
    for one in held:
        modifier |= {"Shift": SHIFT, "Ctrl": CTRL}[one]
    qtbot.keyClick(canvas(bench.viewer), getattr(Qt.Key, f"Key_{name}"), modifier)
    rest(bench, qtbot)


def test_keys_walk_accept_reject_and_undo(docked, bench, qtbot):
    session = bench.session
    press(qtbot, bench, KEYS["next"])
    assert session.frame == 2
    press(qtbot, bench, KEYS["accept"])
    assert session.frame == 5
    press(qtbot, bench, KEYS["reject"])
    assert session.frame == 7
    assert judged(docked) == ["✓", "✗", ""]
    press(qtbot, bench, KEYS["undo"])
    press(qtbot, bench, KEYS["undo"])
    assert judged(docked) == ["", "", ""]
    press(qtbot, bench, KEYS["redo"])
    assert judged(docked) == ["✓", "", ""]
    press(qtbot, bench, KEYS["previous"])
    assert session.frame == 5


def test_a_click_on_a_circle_goes_to_its_event(docked, bench, qtbot):
    bench.viewer.dims.set_point(0, 5)
    rest(bench, qtbot)
    click(qtbot, bench, pixel_of(bench, on_cells(bench)[1][1:4]))
    rest(bench, qtbot)
    assert bench.session.events.found.position == 1
    assert docked.table.current == 1


def test_with_the_annotation_open_keys_are_for_one_thing_at_a_time(docked, bench, qtbot):
    add(bench, qtbot, made := AnnotateWidget(bench.viewer))
    press(qtbot, bench, KEYS["next"])
    press(qtbot, bench, KEYS["accept"])
    assert given(bench) == ["mitosis"]
    press(qtbot, bench, KEYS["undo"])
    assert judged(docked) == ["", "", ""]
    assert bench.session.marks.counts("infection"), "once, not twice"
    made.session.set_state("infected")
    assert not docked.switch.isChecked()
    press(qtbot, bench, KEYS["next"])
    assert bench.session.events.found.position == 1
    docked.switch.click()
    assert bench.session.state == ""


def test_put_away_it_takes_no_clicks_and_no_keys(docked, bench, qtbot):
    docked.parentWidget().close()
    qtbot.waitUntil(lambda: not bench.session.events.active)
    assert not bench.finding.wanted
    press(qtbot, bench, KEYS["next"])
    assert bench.session.events.found.position == -1
