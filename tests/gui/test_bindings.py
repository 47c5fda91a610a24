from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QLineEdit
from windows import ALT, SHIFT, canvas, click, drag, hover, place_of


@pytest.fixture
def shown(bench, qtbot):
    """The bench, its window laid out and drawn."""
    qtbot.waitExposed(bench.viewer.window._qt_window)
    bench.viewer.reset_view()
    qtbot.wait(50)
    return bench


def nowhere(bench):
    """A place in the image that is far from every cell."""
    fov, cells = bench.session.fov, bench.session.cells
    here = cells.position[bench.session.here()][:, 1:]
    grid = np.stack(np.meshgrid(*[np.arange(4, n - 4, 4.0) for n in fov.shape[2:]]), -1)
    grid = grid.reshape(-1, 2)
    away = np.sqrt(((grid[:, None] - here[None]) ** 2).sum(-1)).min(axis=1)
    return (0.0, *map(float, grid[away.argmax()]))


def test_a_click_in_the_centre_of_every_cell_selects_that_cell(shown, qtbot):
    session, wrong = shown.session, []
    for t in (0, 4, 9):
        shown.viewer.dims.set_point(0, t)
        for row in session.here():
            click(qtbot, shown, place_of(shown, row))
            if list(session.selection) != [row]:
                wrong.append((t, row))
    assert wrong == []


def test_a_click_says_what_is_known_of_the_cell(shown, qtbot):
    row = int(shown.session.here()[0])
    track, t = shown.session.cells.track[row], shown.session.frame
    click(qtbot, shown, place_of(shown, row))
    assert shown.viewer.status.startswith(f"track {track}, t={t}")
    assert "predicted" in shown.viewer.status


def test_a_drag_pans_and_selects_nothing(shown, qtbot):
    row = int(shown.session.here()[0])
    start, before = place_of(shown, row), shown.viewer.scene.camera.center
    drag(qtbot, shown, start, start + QPoint(60, 40))
    assert len(shown.session.selection) == 0
    assert shown.viewer.scene.camera.center != before


def test_a_trembling_hand_still_clicks(shown, qtbot):
    row = int(shown.session.here()[0])
    start = place_of(shown, row)
    drag(qtbot, shown, start, start + QPoint(2, 1))
    assert list(shown.session.selection) == [row]


def test_shift_adds_and_takes_away(shown, qtbot):
    one, two = (int(row) for row in shown.session.here()[:2])
    click(qtbot, shown, place_of(shown, one))
    click(qtbot, shown, place_of(shown, two), SHIFT)
    assert sorted(shown.session.selection) == sorted([one, two])
    assert shown.viewer.status == "2 cells selected"
    click(qtbot, shown, place_of(shown, one), SHIFT)
    assert list(shown.session.selection) == [two]


def test_a_click_beside_all_cells_says_so_and_selects_nothing(shown, qtbot):
    from windows import pixel_of

    shown.radius = 1.0
    shown.session.select([int(shown.session.here()[0])])
    place = pixel_of(shown, nowhere(shown))
    click(qtbot, shown, place, SHIFT)
    assert len(shown.session.selection) == 1
    click(qtbot, shown, place)
    assert len(shown.session.selection) == 0
    assert shown.viewer.status == "no cell within 1 um of the click"


def test_outside_the_image_there_is_no_cell(shown):
    height, width = shown.session.fov.shape[2:]
    sy, sx = shown.session.fov.scale[1:]
    shown.radius = 1e4
    assert shown.mouse.row_at((0.0, 0.0, -sy, 5.0)) == -1
    assert shown.mouse.row_at((0.0, 0.0, 5.0, (width + 1) * sx)) == -1
    assert shown.mouse.row_at((0.0, 0.0, height / 2 * sy, width / 2 * sx)) >= 0


def test_a_click_with_an_active_state_annotates_and_says_so(shown, qtbot):
    session = shown.session
    session.set_task("death")
    session.set_state("dead")
    heard = []
    session.said.connect(heard.append)
    row = int(session.here()[0])
    click(qtbot, shown, place_of(shown, row))
    said = f"track {session.cells.track[row]}, t={session.frame}: dead"
    # Napari may say where the mouse is right after.
    qtbot.waitUntil(lambda: any(line.startswith(said) for line in heard))
    name = session.cells.name(row)
    assert session.marks.get(name, int(session.cells.id[row]), "death").state == "dead"
    journal = session.dataset.workspace.journal.read_text().splitlines()
    assert '"dead"' in journal[-1]


def test_other_buttons_are_not_ours(shown, qtbot):
    place = place_of(shown, int(shown.session.here()[0]))
    for button in (Qt.MouseButton.RightButton, Qt.MouseButton.MiddleButton):
        click(qtbot, shown, place, button=button)
        assert len(shown.session.selection) == 0


@pytest.mark.parametrize(("kind", "mode"), [("labels", "paint"), ("points", "add")])
def test_clicks_are_the_layers_while_it_is_edited(shown, qtbot, kind, mode):
    viewer, session = shown.viewer, shown.session
    row = int(session.here()[0])
    if kind == "labels":
        own = viewer.add_labels(np.zeros(session.fov.shape[2:], np.uint8), name="mine")
        own.scale = session.fov.scale[1:]
    else:
        own = viewer.add_points(np.zeros((0, 2)), name="mine")
    viewer.layers.selection.active = own
    own.mode = mode
    click(qtbot, shown, place_of(shown, row))
    assert len(session.selection) == 0
    assert own.data.any() if kind == "labels" else len(own.data) == 1
    own.mode = "pan_zoom"
    click(qtbot, shown, place_of(shown, row))
    assert list(session.selection) == [row]


def test_in_3d_the_first_cell_on_the_line_of_sight_is_meant(shown, qtbot):
    viewer, session = shown.viewer, shown.session
    viewer.dims.ndisplay = 3
    qtbot.wait(50)
    rows = session.here()
    hits = 0
    for row in rows:
        click(qtbot, shown, place_of(shown, row))
        hits += list(session.selection) == [row]
    assert hits == len(rows)
    shown.layers.layer("cells").visible = False
    click(qtbot, shown, place_of(shown, int(rows[0])))
    assert len(session.selection) == 0


def test_the_cell_under_the_cursor(shown, qtbot):
    row = int(shown.session.here()[0])
    shown.viewer.mouse_over_canvas = True
    hover(shown, place_of(shown, row))
    qtbot.waitUntil(lambda: shown.row_under_cursor() >= 0)
    assert shown.row_under_cursor() == row
    shown.viewer.mouse_over_canvas = False
    assert shown.row_under_cursor() == -1


def test_the_keys_step_through_the_fovs_whatever_layer_is_active(shown, qtbot, idle):
    viewer, layers = shown.viewer, shown.layers
    own = viewer.add_points(np.zeros((1, 2)))
    widget = canvas(viewer)
    widget.setFocus()
    channel = f"channel {shown.session.fov.channels[0]}"
    for active in (own, *(layers.layer(role) for role in (channel, "cells", "tracks", "marks"))):
        viewer.layers.selection.active = active
        qtbot.keyClick(widget, Qt.Key.Key_Right, ALT)
        qtbot.waitUntil(lambda: shown.session.fov.name == "B/1/1", timeout=10_000)
        assert viewer.status == "FOV B/1/1 (4 of 4)"
        qtbot.keyClick(widget, Qt.Key.Key_Right, ALT)
        assert viewer.status == "this is the last FOV"
        qtbot.keyClick(widget, Qt.Key.Key_Left, ALT)
        qtbot.waitUntil(lambda: shown.session.fov.name == "B/1/0", timeout=10_000)
    idle(shown)
    assert viewer.layers.selection.active is layers.layer("marks")
    # And wherever the focus is.
    box = QLineEdit()
    viewer.window.add_dock_widget(box)
    qtbot.keyClick(box, Qt.Key.Key_Right, ALT)
    qtbot.waitUntil(lambda: shown.session.fov.name == "B/1/1", timeout=10_000)
