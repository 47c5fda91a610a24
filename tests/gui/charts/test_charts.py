from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr.classification.curve import state_curve
from napari_dynaclr.classification.validation import calibration, scores
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.gui.charts.charts import Chart, render, save
from napari_dynaclr.gui.charts.drawings import Ink, draw_confusion, draw_curve, draw_reliability
from napari_dynaclr.gui.runner import Runner

STATES = np.array(["infected"] * 12 + ["uninfected"] * 8)
FOUND = np.array(["infected"] * 10 + ["uninfected"] * 10)


def figure_of(drawing, ink=None):
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    drawing(figure, ink or Ink())
    return figure


def curve(wells=3, interval=1800.0):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        [(f"A/{w}/{f}", t) for w in range(wells) for f in range(2) for t in range(10)] * 5,
        columns=["fov_name", "t"],
    )
    table["state"] = np.where(rng.random(len(table)) < table["t"] / 10, "infected", "uninfected")
    return state_curve(table, "state", "infected", interval)


@pytest.fixture
def runner(qtbot):
    made = Runner()
    yield made
    made.close()


def test_the_matrix_shows_the_numbers_in_the_tasks_order():
    drawing = partial(draw_confusion, scores=scores(STATES, FOUND), order=("uninfected",))
    (axes,) = figure_of(drawing).axes
    shown = {text.get_position(): text.get_text() for text in axes.texts}
    assert shown == {(0, 0): "8", (1, 0): "0", (0, 1): "2", (1, 1): "10"}
    assert [t.get_text() for t in axes.get_xticklabels()] == ["uninfected", "infected"]


def test_a_state_that_nothing_was_annotated_as_draws_without_a_warning():
    found = scores(np.array(["a", "a"]), np.array(["a", "b"]))
    figure_of(partial(draw_confusion, scores=found))


def test_reliability_has_a_dot_per_step_of_confidence():
    probability = np.array([[0.9, 0.1]] * 10 + [[0.25, 0.75]] * 10)
    found = calibration(STATES, ["infected", "uninfected"], probability)
    (axes,) = figure_of(partial(draw_reliability, calibration=found)).axes
    dots = axes.collections[-1].get_offsets()
    np.testing.assert_allclose(dots, [[0.75, 0.8], [0.9, 1.0]], atol=1e-6)
    low, high = axes.get_ylim()
    assert low <= 0.8 <= 1.0 <= high


@pytest.mark.parametrize(("interval", "label", "end"), [(1800.0, "hours", 4.5), (None, "point", 9)])
def test_the_curve_has_a_line_and_a_band_per_well(interval, label, end):
    (axes,) = figure_of(partial(draw_curve, curve=curve(3, interval), state="infected")).axes
    assert [line.get_label() for line in axes.lines] == ["A/0", "A/1", "A/2"]
    assert len(axes.collections) == 3
    assert label in axes.get_xlabel()
    assert axes.get_xlim()[1] == end


def test_of_many_wells_the_one_on_screen_stands_out():
    (axes,) = figure_of(partial(draw_curve, curve=curve(12), state="infected", well="A/7")).axes
    assert len(axes.lines) == 12
    bold = [line for line in axes.lines if line.get_linewidth() > 2]
    assert [line.get_label() for line in bold] == ["A/7"]
    assert len(axes.collections) == 1


def test_one_time_point_is_a_dot():
    one = curve().query("t == 0")
    (axes,) = figure_of(partial(draw_curve, curve=one, state="infected")).axes
    assert axes.lines[0].get_marker() == "o"


def test_places_and_values_of_a_picture_are_inverse():
    picture = render(partial(draw_curve, curve=curve(), state="infected"), Ink(), (320, 200), 2.0)
    assert picture.pixels.shape == (400, 640, 4)
    assert picture.value_at(picture.place_of(3.2)) == pytest.approx(3.2)
    left, top, wide, high = picture.box
    assert 0 < left < left + wide <= 320
    assert 0 < top < top + high <= 200
    assert picture.value_at(-50) == 0.0
    assert picture.value_at(900) == pytest.approx(4.5)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf", "PNG"])
def test_saved_charts_are_what_their_name_says(kind, tmp_path):
    file = tmp_path / f"curve.{kind}"
    save(partial(draw_curve, curve=curve(), state="infected"), file, (400, 300))
    begin = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind.lower()]
    assert file.read_bytes().startswith(begin)


def test_other_kinds_of_file_are_refused_by_name(tmp_path):
    with pytest.raises(InvalidInput, match=r"curve\.tif.*\.png"):
        save(partial(draw_curve, curve=curve(), state="x"), tmp_path / "curve.tif", (400, 300))
    assert not list(tmp_path.iterdir())


def test_a_chart_draws_in_the_background_and_tells_where_one_clicks(qtbot, runner):
    from qtpy.QtCore import QPoint, Qt

    chart = Chart(runner, 180)
    qtbot.addWidget(chart)
    chart.resize(320, 180)
    chart.show()
    assert chart.picture is None
    with qtbot.waitSignal(chart.drawn):
        chart.show_drawing(partial(draw_curve, curve=curve(), state="infected"))
    place = chart.picture.place_of(2.0)
    with qtbot.waitSignal(chart.clicked) as clicked:
        qtbot.mouseClick(chart, Qt.MouseButton.LeftButton, pos=QPoint(round(place), 60))
    assert clicked.args[0] == pytest.approx(2.0, abs=0.05)


def test_a_cursor_needs_no_new_drawing(qtbot, runner):
    chart = Chart(runner, 180)
    qtbot.addWidget(chart)
    chart.resize(320, 180)
    chart.show()
    with qtbot.waitSignal(chart.drawn):
        chart.show_drawing(partial(draw_curve, curve=curve(), state="infected"))
    before, picture = chart.grab().toImage(), chart.picture
    chart.set_cursor(1.5)
    after = chart.grab().toImage()
    assert chart.picture is picture
    assert not runner.is_busy
    ratio = chart.devicePixelRatioF()
    x = int(picture.place_of(1.5) * ratio)
    y = int((picture.box[1] + 5) * ratio)
    near = [after.pixelColor(x + i, y) != before.pixelColor(x + i, y) for i in (-1, 0, 1)]
    assert any(near)


def test_a_hidden_chart_draws_when_it_is_shown(qtbot, runner):
    chart = Chart(runner, 180)
    qtbot.addWidget(chart)
    chart.resize(320, 180)
    chart.show_drawing(partial(draw_curve, curve=curve(), state="infected"))
    assert not runner.is_busy
    with qtbot.waitSignal(chart.drawn):
        chart.show()


def test_the_newest_of_many_wishes_is_shown(qtbot, runner):
    drawn = []

    def drawing(figure, ink, name):
        drawn.append(name)
        figure.subplots()

    chart = Chart(runner, 120)
    qtbot.addWidget(chart)
    chart.resize(200, 120)
    chart.show()
    with qtbot.waitSignal(chart.drawn):
        for name in range(40):
            chart.show_drawing(partial(drawing, name=name))
    assert drawn[-1] == 39
    assert len(drawn) < 10
    chart.set_ink(Ink(paper="#000000"))
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert len(drawn) < 11


def test_a_drawing_that_fails_is_reported_and_leaves_the_rest_alone(qtbot, runner):
    def drawing(figure, ink):
        raise ValueError("odd")

    chart = Chart(runner, 120)
    qtbot.addWidget(chart)
    chart.resize(200, 120)
    chart.show()
    with qtbot.waitSignal(runner.failed):
        chart.show_drawing(drawing)
    with qtbot.waitSignal(chart.drawn):
        chart.show_drawing(partial(draw_curve, curve=curve(), state="infected"))


def test_a_chart_that_is_gone_gets_nothing(qtbot, runner):
    from qtpy.QtCore import QEvent
    from qtpy.QtWidgets import QApplication

    chart = Chart(runner, 180)
    chart.resize(320, 180)
    chart.show()
    chart.show_drawing(partial(draw_curve, curve=curve(), state="infected"))
    assert runner.is_busy
    chart.deleteLater()
    QApplication.sendPostedEvents(chart, QEvent.Type.DeferredDelete)
    qtbot.waitUntil(lambda: not runner.is_busy)  # an exception would fail the test
