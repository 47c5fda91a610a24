from __future__ import annotations

import os
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from plain import plain_bench, rest, show, shut
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QFileDialog

from napari_dynaclr.core.registry import params
from napari_dynaclr.gui.map.map_widget import MapPanel
from napari_dynaclr.gui.workbench import Workbench
from napari_dynaclr.session import Scope
from napari_dynaclr.session.colours import ColourBy, Kind

pytestmark = pytest.mark.skipif(
    os.environ.get("QT_QPA_PLATFORM") == "offscreen",
    reason="the map needs OpenGL: install xvfb",
)
LEFT = Qt.MouseButton.LeftButton
SHIFT, ALT = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier
NONE = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def told(monkeypatch):
    """What the user is told has gone wrong."""
    lines = []
    monkeypatch.setattr(Workbench, "explain", lambda _self, error: lines.append(str(error)))
    return lines


@pytest.fixture
def bench(processed, qtbot, told):
    made = plain_bench()
    yield show(made, qtbot, processed.root, "B/1/0", processed.workspace.path)
    shut(made, qtbot)


@pytest.fixture
def panel(bench, qtbot):
    made = MapPanel(bench.viewer)
    qtbot.addWidget(made)
    made.resize(420, 560)
    made.show()
    rest(bench, qtbot)
    return made


def pick(box, index):
    """Choose from a box as a user does."""
    box.setCurrentIndex(index)
    box.activated.emit(index)


def colour_by(panel, colour):
    pick(panel.colour, panel._colours.index(colour))


def place_of(panel, row):
    """Where a cell is on the map, in pixels."""
    xy = panel.session.cells.maps[panel.session.map_name][row]
    return QPoint(*(round(float(one)) for one in panel.cloud.xy_to_pixel(xy)))


def lonely(panel):
    """Rows of cells that have no other cell near them on the map."""
    xy = panel.cloud.xy_to_pixel(panel.session.cells.maps[panel.session.map_name])
    distance = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    inside = (xy > 5).all(axis=1) & (xy < [panel.cloud.width() - 5, panel.cloud.height() - 5]).all(
        1
    )
    return np.flatnonzero((distance.min(axis=1) > 12) & inside)


def lasso(panel, qtbot, corners, modifier=NONE):
    canvas = panel.cloud.canvas
    qtbot.mousePress(canvas, LEFT, modifier, corners[0])
    for corner in corners[1:]:
        qtbot.mouseMove(canvas, corner)
        qtbot.wait(5)
    qtbot.mouseRelease(canvas, LEFT, modifier, corners[-1])


def around(panel, rows):
    """A lasso around some cells."""
    places = np.array([[p.x(), p.y()] for p in (place_of(panel, row) for row in rows)])
    (x0, y0), (x1, y1) = places.min(axis=0) - 4, places.max(axis=0) + 4
    return [QPoint(int(x), int(y)) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]


def highlighted(panel):
    return sorted(panel.cloud.canvas.highlighted)


# -- what it shows --------------------------------------------------------


def test_all_cells_in_scope_are_on_the_map(panel, bench, qtbot):
    cells = bench.session.cells
    assert panel.count.text() == f"{len(cells)} cells"
    np.testing.assert_array_equal(panel.cloud.canvas.xy, cells.maps["pca"])
    assert panel.cloud._overlay.captions == ("PCA 1", "PCA 2")
    assert panel.map.currentText() == "PCA"
    assert not panel.embedding.isVisible()  # there is only one


def test_without_a_map_it_says_what_to_do(dataset, qtbot, told):
    bench = plain_bench()
    panel = MapPanel(bench.viewer)
    qtbot.addWidget(panel)
    panel.show()
    for _ in range(2):
        assert panel.count.text() == ""
        assert "run Segment and track" in panel.cloud._overlay.hint
        assert not panel.map.isVisible()
        show(bench, qtbot, dataset.root, "B/1/0", dataset.workspace.path)
    panel.grab()
    shut(bench, qtbot)


def test_maps_that_do_not_fit_each_other_are_not_drawn_as_one(panel, bench, qtbot):
    panel.scope.setCurrentText(Scope.PLATE.value)
    rest(bench, qtbot)
    assert np.isfinite(panel.cloud.canvas.xy).all()
    bench.run_stage("project", params("project", "pca"), ["B/1/0"])
    rest(bench, qtbot)
    assert not len(panel.cloud.canvas.order)
    assert "made in several runs" in panel.cloud._overlay.hint
    panel.scope.setCurrentText(Scope.FOV.value)
    rest(bench, qtbot)
    assert len(panel.cloud.canvas.order) == len(bench.session.cells)


def test_cells_without_a_map_say_what_to_run(bench, panel, qtbot):
    bench.run_stage("track", params("track", max_distance=4.0), ["B/1/0"])
    rest(bench, qtbot)
    assert "run Embed, then Project" in panel.cloud._overlay.hint


@pytest.mark.parametrize(("scope", "fovs"), [(Scope.WELL, 2), (Scope.PLATE, 4)])
def test_the_scope_changes_the_cells_of_the_session(panel, bench, qtbot, scope, fovs):
    panel.scope.setCurrentText(scope.value)
    rest(bench, qtbot)
    assert bench.session.scope is scope
    assert len(bench.session.cells.fovs) == fovs
    assert panel.count.text() == f"{len(bench.session.cells)} cells"


def test_the_scope_follows_the_session(panel, bench, qtbot):
    bench.set_scope(Scope.PLATE)
    rest(bench, qtbot)
    assert panel.scope.currentText() == "whole plate"
    assert len(panel.cloud.canvas.xy) == len(bench.session.cells)


def test_another_map_can_be_chosen(panel, bench, qtbot):
    bench.run_stage("project", params("project", "phate", knn=3), ["B/1/0"])
    rest(bench, qtbot)
    assert [panel.map.itemText(i) for i in range(panel.map.count())] == ["PHATE", "PCA"]
    assert bench.session.map_name == "phate"  # the one that people prefer
    pick(panel.map, 1)
    assert bench.session.map_name == "pca"
    np.testing.assert_array_equal(panel.cloud.canvas.xy, bench.session.cells.maps["pca"])
    assert panel.cloud._overlay.captions == ("PCA 1", "PCA 2")


# -- colours --------------------------------------------------------------


@pytest.mark.parametrize(
    "colour",
    [
        ColourBy(Kind.TRACK),
        ColourBy(Kind.STATE, "infection"),
        ColourBy(Kind.PREDICTION, "infection"),
        ColourBy(Kind.CONFIDENCE, "infection"),
        ColourBy(Kind.WELL),
        ColourBy(Kind.FOV),
    ],
    ids=lambda one: one.title,
)
def test_a_colour_that_is_chosen_is_that_of_all_views(panel, bench, qtbot, colour):
    colour_by(panel, colour)
    rest(bench, qtbot)
    session = bench.session
    assert session.colour_by == colour
    assert session.palette.legend.title == colour.title
    np.testing.assert_array_equal(panel.cloud.canvas.rgba, session.palette.rgba)


def test_any_feature_can_be_the_colour(panel, bench, qtbot):
    features = [one for one in panel._colours if one.kind is Kind.FEATURE]
    assert [one.name for one in features] == bench.features
    colour_by(panel, features[3])
    rest(bench, qtbot)
    assert bench.session.palette.legend.title == features[3].title
    assert panel.legend.bar.isVisible()


def test_the_choice_and_the_legend_follow_the_session(panel, bench, qtbot):
    bench.colour(ColourBy(Kind.PREDICTION, "infection"))
    rest(bench, qtbot)
    assert panel.colour.currentText() == "prediction (infection)"
    assert "infected" in panel.legend.names.text()
    bench.colour(ColourBy(Kind.CONFIDENCE, "infection"))
    rest(bench, qtbot)
    assert panel.legend.bar.isVisible()
    assert not panel.legend.names.isVisible()


def test_a_new_state_recolours_the_map(panel, bench, qtbot):
    session = bench.session
    colour_by(panel, ColourBy(Kind.STATE, "infection"))
    rest(bench, qtbot)
    row = int(np.flatnonzero(session.cells.t == 9)[0])
    states = ("infected", "uninfected")
    given = session.marks.get("B/1/0", int(session.cells.id[row]), "infection")
    other = states[given is not None and given.state == states[0]]
    before = panel.cloud.canvas.rgba[row].copy()
    session.annotate([row], other)
    rest(bench, qtbot)
    assert not np.array_equal(panel.cloud.canvas.rgba[row], before)


# -- selection ------------------------------------------------------------


def test_a_selection_made_elsewhere_is_on_the_map(panel, bench):
    bench.session.select([3, 5, 8])
    assert sorted(panel.cloud.canvas.selected) == [3, 5, 8]
    bench.session.select([])
    assert len(panel.cloud.canvas.selected) == 0


def test_a_lasso_selects_in_the_session(panel, bench, qtbot):
    session = bench.session
    qtbot.mouseClick(panel.modes.button(panel.modes.id(panel.modes.buttons()[1])), LEFT)
    assert panel.cloud.mode == "lasso"
    one, two = lonely(panel)[:2]
    lasso(panel, qtbot, around(panel, [one]))
    assert session.selection.tolist() == [one]
    assert bench.viewer.status == "1 cells selected"
    lasso(panel, qtbot, around(panel, [two]), SHIFT)
    assert session.selection.tolist() == sorted([one, two])
    lasso(panel, qtbot, around(panel, [one]), ALT)
    assert session.selection.tolist() == [two]
    qtbot.keyClick(panel.cloud.canvas, Qt.Key.Key_Escape)
    assert len(session.selection) == 0


def test_a_click_goes_to_the_cell_in_space_and_time(panel, bench, qtbot):
    session, viewer = bench.session, bench.viewer
    row = int(next(row for row in lonely(panel) if session.cells.t[row] > 2))
    viewer.scene.camera.zoom = 20
    qtbot.mouseClick(panel.cloud.canvas, LEFT, NONE, place_of(panel, row))
    assert session.selection.tolist() == [row]
    assert session.frame == session.cells.t[row]
    assert viewer.dims.current_step[0] == session.cells.t[row]
    where = session.cells.position[row] * session.fov.scale
    away = np.abs(np.array(viewer.scene.camera.center[1:]) - where[1:])
    assert (away <= np.array(viewer.canvas.size) / 2 / 20).all()


def test_a_click_goes_to_the_cell_in_another_fov(panel, bench, qtbot):
    panel.scope.setCurrentText(Scope.PLATE.value)
    rest(bench, qtbot)
    session = bench.session
    others = [row for row in lonely(panel) if session.cells.name(row) == "A/1/1"]
    row = int(others[0])
    qtbot.mouseClick(panel.cloud.canvas, LEFT, NONE, place_of(panel, row))
    qtbot.waitUntil(lambda: session.fov.name == "A/1/1", timeout=10_000)
    rest(bench, qtbot)
    assert session.frame == session.cells.t[row]
    assert session.selection.tolist() == [row]


def test_shift_adds_a_cell_and_a_click_on_nothing_lets_go(panel, bench, qtbot):
    session, canvas = bench.session, panel.cloud.canvas
    frame = session.frame
    one, two = (int(row) for row in lonely(panel)[:2])
    session.select([one])
    qtbot.mouseClick(canvas, LEFT, SHIFT, place_of(panel, two))
    assert session.selection.tolist() == sorted([one, two])
    assert session.frame == frame  # it adds; it does not jump
    qtbot.mouseClick(canvas, LEFT, SHIFT, QPoint(2, 2))
    assert len(session.selection) == 2
    qtbot.mouseClick(canvas, LEFT, NONE, QPoint(2, 2))
    assert len(session.selection) == 0


def test_the_track_of_the_selected_cell_is_drawn_through_the_map(panel, bench):
    session = bench.session
    overlay = panel.cloud._overlay
    longest = int(np.bincount(session.cells.track).argmax())
    rows = session.cells.of_track("B/1/0", longest)
    session.select([rows[1]])
    lines = [line.tolist() for line in overlay.lines]
    assert session.cells.maps["pca"][rows].tolist() in lines
    session.select([rows[0], session.cells.of_track("B/1/0", int(session.cells.track[-1]))[0]])
    assert list(overlay.lines) == []  # of two tracks, none


def test_daughters_are_drawn_from_where_their_mother_ended(panel, bench, qtbot):
    panel.scope.setCurrentText(Scope.PLATE.value)
    rest(bench, qtbot)
    session = bench.session
    born = np.flatnonzero(session.cells.parent >= 0)
    if not len(born):
        pytest.skip("no cell of this plate divides")
    name, track = session.cells.name(born[0]), int(session.cells.track[born[0]])
    mother = session.cells.of_track(name, int(session.cells.parent[born[0]]))
    session.select([int(born[0])])
    places = session.cells.maps["pca"]
    rows = np.concatenate([mother[-1:], session.cells.of_track(name, track)])
    drawn = [line.tolist() for line in panel.cloud._overlay.lines]
    assert places[rows].tolist() in drawn


def test_the_cells_on_screen_are_highlighted(panel, bench, qtbot):
    session = bench.session
    assert highlighted(panel) == sorted(session.here())
    session.set_frame(6)
    assert highlighted(panel) == sorted(np.flatnonzero(session.cells.t == 6))
    panel.scope.setCurrentText(Scope.PLATE.value)
    rest(bench, qtbot)
    assert highlighted(panel) == sorted(session.cells.at("B/1/0", 6))
    bench.show_fov("A/1/0")
    rest(bench, qtbot)
    assert highlighted(panel) == sorted(session.cells.at("A/1/0", session.frame))


def test_the_mouse_shows_a_cell_after_a_moment(panel, bench, qtbot):
    row = int(lonely(panel)[0])
    qtbot.mouseMove(panel.cloud.canvas, QPoint(2, 2))
    qtbot.mouseMove(panel.cloud.canvas, place_of(panel, row))
    qtbot.waitUntil(panel.card.isVisible, timeout=10_000)
    assert panel.card.text.text().startswith(f"track {bench.session.cells.track[row]}\n")
    panel.cloud.hovered.emit(-1)
    assert not panel.card.isVisible()


def test_a_card_goes_with_the_map(panel, bench, qtbot):
    for waited in (True, False):
        panel.show()
        rest(bench, qtbot)
        panel.cloud.hovered.emit(-1)
        panel.cloud.hovered.emit(3)
        if waited:
            qtbot.waitUntil(panel.card.isVisible, timeout=10_000)
        panel.hide()
        qtbot.wait(200)  # longer than it takes for a card to be asked for
        rest(bench, qtbot)
        assert not panel.card.isVisible()


# -- modes, fit, keys -----------------------------------------------------


def test_buttons_and_modes_follow_each_other(panel, qtbot):
    buttons = {button.objectName(): button for button in panel.modes.buttons()}
    assert [name for name, button in buttons.items() if button.isChecked()] == [panel.cloud.mode]
    for name, button in buttons.items():
        qtbot.mouseClick(button, LEFT)
        assert panel.cloud.mode == name
    panel.cloud.setFocus()
    qtbot.keyClick(panel.cloud.canvas, Qt.Key.Key_P)
    assert [name for name, button in buttons.items() if button.isChecked()] == ["pan"]


def test_fit_shows_everything_again(panel, qtbot):
    whole = panel.cloud.view
    panel.cloud._zoom(3.0, (10.0, 10.0))
    assert panel.cloud.view != whole
    qtbot.mouseClick(panel.fit, LEFT)
    assert panel.cloud.view == whole


def test_where_one_looks_is_kept_while_it_is_the_same_map(panel, bench, qtbot):
    panel.cloud._zoom(3.0, (100.0, 100.0))
    view = panel.cloud.view
    bench.load_cells()
    rest(bench, qtbot)
    assert panel.cloud.view == view
    panel.hide()
    panel.show()
    assert panel.cloud.view == view
    panel.scope.setCurrentText(Scope.PLATE.value)
    rest(bench, qtbot)
    assert panel.cloud.view == panel.cloud._whole
    panel.cloud._zoom(3.0, (100.0, 100.0))
    bench.run_stage("project", params("project", "phate", knn=3), bench.session.dataset.fov_names)
    rest(bench, qtbot)
    assert bench.session.map_name == "phate"
    assert panel.cloud.view == panel.cloud._whole


def test_a_run_that_gives_the_same_cells_keeps_what_is_selected(panel, bench, qtbot):
    bench.session.select([2, 4])
    bench.load_cells()
    rest(bench, qtbot)
    assert sorted(panel.cloud.canvas.selected) == [2, 4]


# -- saving ---------------------------------------------------------------


def save(panel, bench, qtbot, monkeypatch, path, suffix):
    """Save by the menu."""
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    [action] = [one for one in panel.save.menu().actions() if suffix in one.text()]
    action.trigger()
    rest(bench, qtbot)


def test_it_is_saved_as_a_picture(panel, bench, qtbot, tmp_path, monkeypatch):
    colour_by(panel, ColourBy(Kind.TRACK))
    rest(bench, qtbot)
    save(panel, bench, qtbot, monkeypatch, tmp_path / "map", "PNG")
    image = QImage(str(tmp_path / "map.png"))
    assert image.width() == 2 * panel.cloud.width()
    shades = {
        image.pixel(x, y) for x in range(0, image.width(), 3) for y in range(0, image.height(), 3)
    }
    assert len(shades) > 20
    assert bench.viewer.status == f"saved {tmp_path / 'map.png'}"


def test_it_is_saved_as_a_vector_graphic(panel, bench, qtbot, tmp_path, monkeypatch):
    save(panel, bench, qtbot, monkeypatch, tmp_path / "map.svg", "SVG")
    root = ET.parse(tmp_path / "map.svg").getroot()
    assert root.tag.endswith("svg")
    points = [one for one in root.iter() if one.tag.endswith("use")]
    assert len(points) >= len(bench.session.cells)


def test_the_cells_are_saved_as_a_table(panel, bench, qtbot, tmp_path, monkeypatch):
    session = bench.session
    session.select([1, 4])
    save(panel, bench, qtbot, monkeypatch, tmp_path / "cells", "CSV")
    table = pd.read_csv(tmp_path / "cells.csv")
    cells = session.cells
    assert len(table) == len(cells)
    assert (table["fov_name"] == "B/1/0").all()
    np.testing.assert_array_equal(
        table[["track_id", "t", "id"]], np.stack([cells.track, cells.t, cells.id], 1)
    )
    np.testing.assert_allclose(table[["z", "y", "x"]], cells.position, rtol=1e-5)
    np.testing.assert_allclose(table[["PCA1", "PCA2"]], cells.maps["pca"], rtol=1e-4)
    assert np.flatnonzero(table["selected"]).tolist() == [1, 4]
    prediction = cells.predictions["infection"]
    assert table["predicted_infection"].tolist() == [prediction.states[i] for i in prediction.codes]
    np.testing.assert_allclose(table["confidence_infection"], prediction.confidence, rtol=1e-4)
    given = session.marks.codes(cells, "infection", ("uninfected", "infected"))
    wanted = [("uninfected", "infected", np.nan)[i] for i in given]
    pd.testing.assert_series_equal(
        table["infection_state"], pd.Series(wanted, name="infection_state"), check_dtype=False
    )


@pytest.mark.parametrize("suffix", ["PNG", "SVG", "CSV"])
def test_where_it_cannot_be_saved_it_says_so_in_a_line(
    panel, bench, qtbot, tmp_path, monkeypatch, told, suffix
):
    file = tmp_path / "file"
    file.write_text("in the way")
    save(panel, bench, qtbot, monkeypatch, file / "folder" / "map", suffix)
    assert len(told) == 1
    assert "\n" not in told[0]
    assert "part of the path is a file" in told[0]


def test_giving_up_saving_saves_nothing(panel, bench, qtbot, tmp_path, monkeypatch, told):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))
    for action in panel.save.menu().actions():
        action.trigger()
    rest(bench, qtbot)
    assert told == []


# -- hidden ---------------------------------------------------------------


def test_a_hidden_map_does_no_work_and_catches_up(panel, bench, qtbot, monkeypatch):
    calls = []
    for name in ("set_points", "set_colours", "set_selected", "set_highlighted", "set_path"):
        real = getattr(panel.cloud, name)

        def spy(*args, real=real, name=name, **kwargs):
            calls.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(panel.cloud, name, spy)
    session = bench.session
    panel.hide()
    bench.colour(ColourBy(Kind.TRACK))
    session.set_frame(5)
    session.select([7])
    bench.set_scope(Scope.WELL)
    rest(bench, qtbot)
    assert calls == []
    panel.show()
    assert set(calls) == {
        "set_points",
        "set_colours",
        "set_selected",
        "set_highlighted",
        "set_path",
    }
    assert len(panel.cloud.canvas.xy) == len(session.cells)
    assert panel.scope.currentText() == "this well"
    assert panel.colour.currentText() == "track"
    assert highlighted(panel) == sorted(session.here())
    np.testing.assert_array_equal(panel.cloud.canvas.rgba, session.palette.rgba)


def test_opened_again_it_shows_what_it_showed(panel, bench, qtbot):
    colour_by(panel, ColourBy(Kind.CONFIDENCE, "infection"))
    panel.scope.setCurrentText(Scope.WELL.value)
    rest(bench, qtbot)
    bench.session.select([4])
    panel.close()
    again = MapPanel(bench.viewer)
    qtbot.addWidget(again)
    again.show()
    assert again.scope.currentText() == "this well"
    assert again.colour.currentText() == "confidence (infection)"
    assert sorted(again.cloud.canvas.selected) == [4]
    np.testing.assert_array_equal(again.cloud.canvas.rgba, bench.session.palette.rgba)
