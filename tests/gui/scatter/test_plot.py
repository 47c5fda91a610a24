from __future__ import annotations

import gc
import os
import weakref
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from effort import calls
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QImage, QWheelEvent
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.gui.scatter import canvas
from napari_dynaclr.gui.scatter.gl import Target
from napari_dynaclr.gui.scatter.lasso import in_polygon
from napari_dynaclr.gui.scatter.overlay import ends_of
from napari_dynaclr.gui.scatter.plot import NO_MAP, PointCloud
from napari_dynaclr.gui.scatter.view import View

pytestmark = pytest.mark.skipif(
    os.environ.get("QT_QPA_PLATFORM") == "offscreen",
    reason="the map needs OpenGL: install xvfb",
)

LEFT, SHIFT, ALT = (
    Qt.MouseButton.LeftButton,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.AltModifier,
)
GRID = np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), axis=-1).reshape(-1, 2)
"""Row 10 * y + x lies at (x, y)."""


@pytest.fixture
def make(qtbot):
    """Return a function that shows a map of points; all are closed, and none leaves a window."""
    before = set(QApplication.topLevelWidgets())
    made = []

    def build(xy=GRID, shown=True):
        plot = PointCloud()
        plot.resize(400, 400)
        plot.set_points(xy)
        made.append(plot)
        if shown:
            plot.show()
            qtbot.waitExposed(plot)
            qtbot.waitUntil(lambda: plot.canvas.isValid() and plot.canvas.complete)
        return plot

    yield build
    for plot in made:
        plot.close()
        plot.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert not set(QApplication.topLevelWidgets()) - before


def at(plot, xy):
    return QPoint(*np.rint(plot.xy_to_pixel(np.asarray(xy, float))).astype(int).tolist())


def colour(plot, image, xy, right=0):
    """The colour of a picture, in physical pixels, where a point lies."""
    ratio = image.shape[1] / plot.canvas.width()
    place = at(plot, xy) + QPoint(right, 0)
    return image[int((place.y() + 0.5) * ratio), int((place.x() + 0.5) * ratio), :3].astype(int)


def drag(qtbot, plot, corners, modifier=Qt.KeyboardModifier.NoModifier, button=LEFT):
    """Press at the first corner, move along straight lines, release at the last."""
    places = [at(plot, corner) for corner in corners]
    qtbot.mousePress(plot.canvas, button, modifier, places[0])
    for one, two in pairwise(places):
        for part in (0.25, 0.5, 0.75, 1.0):
            qtbot.mouseMove(plot.canvas, one + (two - one) * part)
    qtbot.mouseRelease(plot.canvas, button, modifier, places[-1])


def wheel(plot, pixel, notches):
    where = QPointF(*pixel)
    QApplication.sendEvent(
        plot.canvas,
        QWheelEvent(
            where,
            plot.canvas.mapToGlobal(where),
            QPoint(),
            QPoint(0, 120 * notches),
            LEFT.__class__.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        ),
    )


SQUARE = [(1.5, 1.5), (4.5, 1.5), (4.5, 3.5), (1.5, 3.5)]
IN_SQUARE = [22, 23, 24, 32, 33, 34]


def test_a_lasso_selects_the_points_inside(make, qtbot):
    plot = make()
    plot.mode = "lasso"
    with qtbot.waitSignal(plot.selected) as caught:
        drag(qtbot, plot, SQUARE)
    rows, how = caught.args
    assert rows.tolist() == IN_SQUARE
    assert how == "replace"
    assert not plot._overlay.outline


@pytest.mark.parametrize(("modifier", "how"), [(SHIFT, "add"), (ALT, "remove")])
def test_a_rectangle_adds_and_removes(make, qtbot, modifier, how):
    plot = make()
    plot.mode = "rectangle"
    with qtbot.waitSignal(plot.selected) as caught:
        drag(qtbot, plot, [(1.5, 3.5), (4.5, 1.5)], modifier)
    assert caught.args[0].tolist() == IN_SQUARE
    assert caught.args[1] == how


@pytest.mark.parametrize("mode", ["pan", "lasso", "rectangle"])
def test_a_click_names_the_nearest_point_within_eight_pixels(make, qtbot, mode):
    plot = make()
    plot.mode = mode
    caught = []
    plot.clicked.connect(lambda row, how: caught.append((row, how)))
    qtbot.mouseClick(plot.canvas, LEFT, pos=at(plot, (3, 2)) + QPoint(5, -5))
    qtbot.mouseClick(plot.canvas, LEFT, SHIFT, at(plot, (7, 7)))
    qtbot.mouseClick(plot.canvas, LEFT, pos=at(plot, (3, 2)) + QPoint(9, 0))
    assert caught == [(23, "replace"), (77, "add"), (-1, "replace")]


def test_hover_follows_the_mouse_and_ends_when_it_leaves(make, qtbot):
    plot = make()
    caught = []
    plot.hovered.connect(caught.append)
    for place in ((4, 4), (4, 4), (4.5, 4.5), (6, 4)):
        qtbot.mouseMove(plot.canvas, at(plot, place))
        qtbot.wait(60)
    QApplication.sendEvent(plot.canvas, QEvent(QEvent.Type.Leave))
    assert caught == [44, -1, 46, -1]


def test_pan_zoom_and_reset(make, qtbot):
    plot = make()
    start = plot.view
    changes = []
    plot.view_changed.connect(lambda: changes.append(plot.view))
    before = plot.xy_to_pixel(np.array([4.0, 4.0]))
    drag(qtbot, plot, [(4, 4), (5, 6)])
    moved = plot.xy_to_pixel(np.array([4.0, 4.0])) - before
    assert moved[0] > 20 and moved[1] < -40
    pixel = (100.0, 300.0)
    fixed = plot.pixel_to_xy(np.array(pixel))
    wheel(plot, pixel, 3)
    assert np.allclose(plot.pixel_to_xy(np.array(pixel)), fixed)
    assert plot.view.width < start.width / 1.9
    assert changes[-1] == plot.view
    qtbot.keyClick(plot.canvas, Qt.Key.Key_Home)
    assert plot.view == start
    wheel(plot, pixel, 3)
    qtbot.mouseDClick(plot.canvas, LEFT, pos=QPoint(50, 50))
    assert plot.view == start


def test_the_middle_button_and_space_pan_in_every_mode(make, qtbot):
    plot = make()
    plot.mode = "lasso"
    view = plot.view
    with qtbot.assertNotEmitted(plot.selected):
        drag(qtbot, plot, [(4, 4), (5, 6)], button=Qt.MouseButton.MiddleButton)
        assert plot.view != view
        plot.reset_view()
        qtbot.keyPress(plot.canvas, Qt.Key.Key_Space)
        drag(qtbot, plot, [(4, 4), (5, 6)])
        qtbot.keyRelease(plot.canvas, Qt.Key.Key_Space)
    assert plot.view != view
    with qtbot.waitSignal(plot.selected):
        drag(qtbot, plot, SQUARE)


def test_keys_choose_the_mode_and_escape_ends_a_lasso(make, qtbot):
    plot = make()
    seen = []
    plot.mode_changed.connect(seen.append)
    for key in (Qt.Key.Key_L, Qt.Key.Key_R, Qt.Key.Key_P, Qt.Key.Key_L):
        qtbot.keyClick(plot.canvas, key)
    assert seen == ["lasso", "rectangle", "pan", "lasso"]
    qtbot.mousePress(plot.canvas, LEFT, pos=QPoint(50, 50))
    qtbot.mouseMove(plot.canvas, QPoint(150, 60))
    assert plot._overlay.outline
    with qtbot.waitSignal(plot.selected) as caught:
        qtbot.keyClick(plot.canvas, Qt.Key.Key_Escape)
    assert caught.args[0].size == 0
    assert caught.args[1] == "replace"
    assert not plot._overlay.outline
    with qtbot.assertNotEmitted(plot.selected), qtbot.assertNotEmitted(plot.clicked):
        qtbot.mouseRelease(plot.canvas, LEFT, pos=QPoint(150, 200))
    with pytest.raises(ValueError, match="pan, lasso, rectangle"):
        plot.mode = "zoom"


def test_a_point_has_the_colour_it_was_given(make):
    plot = make([(0, 0), (1, 0), (0, 1)])
    plot.point_size = 20
    plot.set_theme("#102030", "white")
    plot.set_colours(np.array([[255, 0, 0, 255], [0, 200, 0, 255], [0, 0, 255, 128]], np.uint8))
    image = plot.canvas.picture()
    colours = np.array([colour(plot, image, xy) for xy in [(0, 0), (1, 0), (0, 1), (0.5, 0.5)]])
    blended = np.array([16, 32, 48]) * 127 / 255 + np.array([0, 0, 255]) * 128 / 255
    expected = np.array([[255, 0, 0], [0, 200, 0], blended, [16, 32, 48]])
    assert np.abs(colours - expected).max() <= 1
    assert (image[..., 3] == 255).all()


def test_what_is_on_screen_is_the_whole_picture(make, qtbot):
    """However many shares the points were drawn in."""
    xy = np.random.default_rng(0).normal(0, 1, (60_000, 2))
    plot = make(xy)
    colours = np.random.default_rng(1).integers(0, 255, (len(xy), 4), dtype=np.uint8)
    plot.set_colours(colours)
    plot.set_selected(np.arange(500))
    plot.set_highlighted([3, 5])
    qtbot.waitUntil(lambda: plot.canvas.complete)
    qtbot.wait(50)
    difference = np.abs(screen(plot).astype(int) - plot.canvas.picture()[..., :3])
    assert difference.max() <= 6  # fading rounds twice


def test_a_selection_is_ringed_and_dims_the_others(make):
    plot = make([(0, 0), (1, 0), (0, 1)])
    plot.point_size = 20
    plot.set_theme("black", "white")
    plot.set_colours(np.full((3, 4), [200, 0, 0, 255], np.uint8))
    plot.set_selected([1])
    image = plot.canvas.picture()
    chosen, other = (1, 0), (0, 0)
    assert colour(plot, image, chosen)[0] == 200
    assert colour(plot, image, other)[0] < 80
    assert colour(plot, image, chosen, right=10).min() > 100  # the ring is white
    assert colour(plot, image, other, right=10).max() < 80
    plot.set_selected([])
    assert colour(plot, plot.canvas.picture(), other)[0] == 200


def test_a_new_highlight_does_not_draw_the_points_again(make, qtbot, monkeypatch):
    plot = make(np.random.default_rng(0).normal(0, 1, (20_000, 2)))
    qtbot.wait(50)
    uploads, drawn = [], []
    painter = plot.canvas._painter
    for name in ("xy", "rgba", "order", "selected", "highlighted"):
        buffer = getattr(painter, name)
        monkeypatch.setattr(
            buffer,
            "upload",
            lambda data, often=False, name=name, buffer=buffer, real=buffer.upload: (
                uploads.append((name, len(data))),
                real(data, often),
            ),
        )
    real = painter.draw_points
    monkeypatch.setattr(
        painter,
        "draw_points",
        lambda rows, start, count, **uniforms: (
            drawn.append(count),
            real(rows, start, count, **uniforms),
        ),
    )
    plot.set_highlighted(np.arange(7))
    qtbot.waitUntil(lambda: bool(drawn))
    assert uploads == [("highlighted", 7)]
    assert drawn == [7, 7]  # rings, then points
    image = plot.canvas.picture()
    plot.set_highlighted([])
    assert (plot.canvas.picture() != image).any()


def screen(plot):
    """Paint one frame, and return it, (height, width, 3)."""
    seen = plot.canvas.grabFramebuffer().convertToFormat(QImage.Format.Format_RGBA8888)
    bits = seen.constBits()
    bits.setsize(seen.sizeInBytes())
    return np.frombuffer(bits, np.uint8).reshape(seen.height(), seen.width(), 4)[..., :3].copy()


def test_the_first_frame_after_a_pan_shows_the_selected_where_they_are(make, qtbot):
    plot = make()
    plot.set_selected([44])
    qtbot.waitUntil(lambda: plot.canvas.complete)
    plot._pan(60.0, 0.0)
    difference = np.abs(screen(plot).astype(int) - plot.canvas.picture()[..., :3])
    assert difference.max() <= 6  # fading rounds twice


def test_a_frame_draws_no_more_where_cells_are_selected(make, qtbot, monkeypatch):
    plot = make(np.random.default_rng(0).normal(0, 1, (15_000, 2)))
    plot.set_selected(np.arange(0, 15_000, 2))
    qtbot.waitUntil(lambda: plot.canvas.complete)
    drawn = []
    painter = plot.canvas._painter
    real = painter.draw_points
    monkeypatch.setattr(
        painter,
        "draw_points",
        lambda rows, start, count, **uniforms: (
            drawn.append(count),
            real(rows, start, count, **uniforms),
        ),
    )
    plot.canvas._share = 4000
    plot._pan(5.0, 5.0)
    screen(plot)
    assert 0 < drawn[0] <= 2000


def test_all_memory_on_the_graphics_card_is_given_back(make, monkeypatch):
    plot = make()
    deleted = []
    monkeypatch.setattr(Target, "delete", lambda self: deleted.append(self))
    painter = plot.canvas._painter
    plot.canvas._release()
    assert deleted == [painter.base, painter.front]


def test_a_recolour_uploads_one_buffer(make, qtbot, monkeypatch):
    plot = make()
    qtbot.wait(50)
    uploads = []
    painter = plot.canvas._painter
    for name in ("xy", "rgba", "order"):
        monkeypatch.setattr(
            getattr(painter, name),
            "upload",
            lambda data, often=False, name=name: uploads.append(name),
        )
    plot.set_colours(np.full((100, 4), 255, np.uint8))
    qtbot.waitUntil(lambda: bool(uploads))
    assert uploads == ["rgba"]


def test_rows_without_a_place_are_neither_drawn_nor_selected(make, qtbot):
    xy = GRID.copy()
    xy[22], xy[33, 0] = np.nan, np.inf
    plot = make(xy)
    plot.mode = "lasso"
    with qtbot.waitSignal(plot.selected) as caught:
        drag(qtbot, plot, SQUARE)
    assert caught.args[0].tolist() == [23, 24, 32, 34]
    plot.set_selected([22, 23])
    plot.set_highlighted([33, 34])
    plot.set_path([[22, 23, 33, 34]])
    assert plot.canvas.selected.tolist() == [23]
    assert plot.canvas.highlighted.tolist() == [34]
    assert np.array_equal(plot._overlay.lines[0], GRID[[23, 34]])


def test_no_points_one_point_and_all_in_one_place(make):
    plot = make(np.empty((0, 2)))
    assert plot._overlay.hint == NO_MAP
    plot.set_hint("Nothing here")
    assert plot._overlay.hint == "Nothing here"
    plot.set_points(np.full((5, 2), 3.0))
    assert plot._overlay.hint == ""
    assert np.allclose(plot.xy_to_pixel(np.array([3.0, 3.0])), 200)
    plot.set_points(np.full((4, 2), np.nan))
    assert plot._overlay.hint == "Nothing here"
    assert len(np.unique(plot.canvas.picture().reshape(-1, 4), axis=0)) == 1


def test_a_few_outliers_do_not_squeeze_the_map():
    xy = np.random.default_rng(0).uniform(0, 1, (1000, 2)).astype(np.float32)
    assert View.around(xy).width == pytest.approx(1.16, abs=0.01)
    xy[:3] = 1e4
    assert View.around(xy).width < 2
    size = (300, 200)
    view = View.around(xy)
    assert np.allclose(view.to_xy(view.to_pixel(xy, size), size), xy)


def test_the_view_is_kept_only_where_it_still_shows_what_it_did(make):
    plot = make()
    plot._zoom(3.0, (10.0, 10.0))
    view = plot.view
    plot.set_points(1.1 * GRID, keep_view=True)
    assert plot.view == view
    plot.set_points(GRID + 100, keep_view=True)  # they lie elsewhere
    assert plot.view == View.around((GRID + 100).astype(np.float32))
    plot.set_points(1.5 * GRID + 100, keep_view=True)  # all were in view: all stay in view
    assert plot.view == View.around((1.5 * GRID + 100).astype(np.float32))


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (View(0.0, 0.0, 4.0, 2.0), True),
        (View(0.9, -0.9, 4.0, 2.0), True),
        (View(2.5, 0.0, 4.0, 2.0), False),
        (View(0.0, 1.1, 4.0, 2.0), False),
        (View(0.0, 0.0, 7.9, 2.0), True),
        (View(0.0, 0.0, 8.1, 2.0), False),
        (View(0.0, 0.0, 4.0, 0.9), False),
    ],
)
def test_views_that_resemble_each_other(other, alike):
    view = View(0.0, 0.0, 4.0, 2.0)
    assert view.resembles(other) is alike
    assert other.resembles(view) is alike


def test_new_points_for_the_same_cells_keep_colours_and_selection(make):
    plot = make()
    colours = np.random.default_rng(0).integers(0, 255, (100, 4), dtype=np.uint8)
    plot.set_colours(colours)
    plot.set_selected([4, 5])
    plot._zoom(3.0, (10.0, 10.0))
    view = plot.view
    plot.set_points(GRID[::-1], keep_view=True)
    assert plot.view == view
    assert np.array_equal(plot.canvas.rgba, colours)
    assert sorted(plot.canvas.selected.tolist()) == [4, 5]
    plot.set_points(GRID[:50])
    assert plot.view != view
    assert plot.canvas.rgba.shape == (50, 4)
    assert plot.canvas.selected.size == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda plot: plot.set_points(np.zeros((3, 3))),
        lambda plot: plot.set_colours(np.zeros((3, 4), np.uint8)),
        lambda plot: plot.set_selected([100]),
        lambda plot: plot.set_highlighted([-1]),
        lambda plot: setattr(plot, "point_size", 0),
        lambda plot: plot.set_theme("no colour", "white"),
    ],
)
def test_wrong_values_are_named(make, call):
    with pytest.raises(ValueError, match=r"\w"):
        call(make(shown=False))


def test_a_hidden_map_leaves_the_graphics_card_alone(make, qtbot):
    plot = make(shown=False)
    plot.set_colours(np.full((100, 4), 255, np.uint8))
    plot.set_highlighted([1])
    qtbot.wait(30)
    assert plot.canvas._painter is None
    plot.show()
    qtbot.waitUntil(lambda: plot.canvas._painter is not None and plot.canvas.complete)
    plot.hide()
    order = plot.canvas._painter.highlighted
    plot.set_highlighted([1, 2, 3])
    qtbot.wait(30)
    assert order.size == 1


def test_undocking_keeps_the_picture(make, qtbot):
    """Qt makes a new OpenGL context then, and everything on the graphics card is gone."""
    window = QMainWindow()
    qtbot.addWidget(window)
    window.resize(600, 500)
    plot = make(shown=False)
    dock = QDockWidget(window)
    dock.setWidget(plot)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
    window.show()
    qtbot.waitExposed(window)
    painters = []
    for floating in (False, True, False):
        dock.setFloating(floating)
        qtbot.wait(100)
        qtbot.waitUntil(lambda: plot.canvas.isValid() and plot.canvas.complete)
        painters.append(plot.canvas._painter)
        image = plot.canvas.grab().toImage()
        place = at(plot, (3, 3)) * plot.devicePixelRatioF()
        assert image.pixelColor(place).lightness() > 100
    assert len({id(painter) for painter in painters}) == 3
    plot.setParent(None)


def test_several_maps_do_not_disturb_each_other(make):
    one, two = make(), make([(0, 0), (5, 5)])
    one.set_colours(np.full((100, 4), [255, 0, 0, 255], np.uint8))
    two.set_colours(np.full((2, 4), [0, 0, 255, 255], np.uint8))
    assert one.canvas.picture()[..., 0].max() == 255
    assert two.canvas.picture()[..., 2].max() == 255
    one.mode = "lasso"
    assert two.mode == "pan"


def test_a_closed_map_is_gone(qtbot):
    def show_and_close():
        plot = PointCloud()
        plot.set_points(GRID)
        plot.show()
        qtbot.waitUntil(lambda: plot.canvas.isValid() and plot.canvas.complete)
        plot.close()
        plot.deleteLater()
        return weakref.ref(plot.canvas)

    gone = show_and_close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    assert gone() is None


def test_a_path_starts_divides_and_ends():
    mother, daughters = [3, 4, 5], ([5, 6, 7], [5, 8])
    lines = [np.array(line) for line in (mother, *daughters)]
    assert ends_of(lines) == ([3], [7, 8])
    assert ends_of([]) == ([], [])


def test_saves_what_is_seen_as_png_and_svg(make, tmp_path):
    plot = make()
    plot.set_axis_names("PHATE 1", "PHATE 2")
    plot.set_path([[1, 2, 3], [3, 14]])
    plot.set_selected([50, 51])
    plot.set_highlighted([60])
    plot.shot(tmp_path / "map.png").write(tmp_path / "map.png")
    image = QImage(str(tmp_path / "map.png"))
    ratio = plot.devicePixelRatioF()
    assert (image.width(), image.height()) == (800 * ratio, 800 * ratio)
    plot.shot(tmp_path / "map.svg").write(tmp_path / "map.svg")
    text = (tmp_path / "map.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert "PHATE 1" in text
    assert "<image" not in text
    assert text.count("<use ") >= 100
    plot.set_points(np.random.default_rng(0).normal(0, 1, (30_000, 2)))
    plot.shot(tmp_path / "map.svg").write(tmp_path / "map.svg")
    assert "<image" in (tmp_path / "map.svg").read_text(encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"\.png or \.svg"):
        plot.shot(tmp_path / "map.jpg").write(tmp_path / "map.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.png", "map.svg"]


def test_points_are_never_visited_one_by_one(make):
    def effort(count):
        plot = make(np.random.default_rng(0).normal(0, 1, (count, 2)))
        colours = np.full((count, 4), 255, np.uint8)
        square = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0]])

        def work():
            plot.set_colours(colours)
            plot.set_highlighted([1, 2])
            plot.set_selected(np.arange(0, count, 3))
            plot._pan(3.0, 3.0)
            in_polygon(*plot.canvas.xy.T, square)

        return calls(work)

    assert effort(50_000) < 1.5 * effort(500) + 100


def test_leaving_out_covered_points_is_not_seen(make, monkeypatch):
    generator = np.random.default_rng(0)
    xy = generator.normal(0, 1, (20_000, 2))
    colours = np.full((len(xy), 4), 255, np.uint8)
    colours[:, :3] = generator.integers(0, 255, (len(xy), 3))
    pictures, drawn = [], []
    for few in (10**9, 1000):
        monkeypatch.setattr(canvas, "FEW", few)
        plot = make(xy)
        plot.set_colours(colours)
        plot.point_size = 3.0
        plot.set_selected(np.arange(5000))
        drawn.append(len(plot.canvas._uncovered(plot.canvas.order, 1.0)))
        pictures.append(plot.canvas.picture().astype(int))
    assert drawn[1] < 0.9 * drawn[0]
    # But for rims less than a pixel wide.
    assert (np.abs(pictures[0] - pictures[1]).max(axis=-1) > 64).mean() < 0.02
