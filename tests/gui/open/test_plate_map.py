from __future__ import annotations

import pytest
from effort import calls
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QToolTip

from napari_dynaclr.gui.open.plate_map import COLOURS, PlateMap
from napari_dynaclr.session.plate import STEPS

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def wells(qtbot):
    made = PlateMap()
    qtbot.addWidget(made)
    made.resize(320, 300)
    made.show()
    return made


def colour_at(widget, place):
    picture = widget.grab()
    ratio = picture.devicePixelRatio()
    return picture.toImage().pixelColor(round(place.x() * ratio), round(place.y() * ratio)).name()


def off_centre(widget, well):
    """Inside the disc of a well, beside the dot of annotations."""
    rect = widget._rect(well)
    return rect.center() + QPointF(rect.width() * 0.27, 0)


def press(widget, qtbot, key):
    """Press a key as one who watches: the well that is chosen is shown."""
    chosen = []
    widget.chosen.connect(chosen.append)
    qtbot.keyClick(widget, key)
    widget.chosen.disconnect(chosen.append)
    if chosen:
        widget.set_well(chosen[0])
    return chosen


@pytest.mark.parametrize("step", STEPS)
def test_a_well_has_the_colour_of_its_last_step(wells, step):
    done = set(STEPS[: STEPS.index(step) + 1])
    wells.set_status({"A/1/0": done, "A/2/0": set()})
    assert colour_at(wells, off_centre(wells, "A/1")) == QColor(COLOURS[step]).name()
    assert colour_at(wells, off_centre(wells, "A/2")) == QColor(COLOURS[""]).name()


def test_steps_can_be_told_apart():
    assert set(COLOURS) == {"", *STEPS}
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_a_well_is_as_far_as_its_fov_that_has_come_least_far(wells):
    wells.set_status({"A/1/0": {"segmented", "tracked"}, "A/1/1": {"segmented"}})
    assert wells.step_of("A/1") == "segmented"


def test_a_dot_says_that_some_cells_are_annotated(wells):
    wells.set_status(
        {"A/1/0": {"tracked", "annotated"}, "A/1/1": {"tracked"}, "A/2/0": {"tracked"}}
    )
    yellow, green = QColor(COLOURS["annotated"]).name(), QColor(COLOURS["tracked"]).name()
    assert colour_at(wells, wells._rect("A/1").center()) == yellow
    assert colour_at(wells, off_centre(wells, "A/1")) == green
    assert colour_at(wells, wells._rect("A/2").center()) == green


def test_the_well_on_show_is_ringed(wells):
    wells.set_status({"A/1/0": set(), "A/2/0": set()})
    before = wells.grab().toImage()
    wells.set_well("A/2")
    after = wells.grab().toImage()
    changed = [
        (x, y)
        for x in range(after.width())
        for y in range(after.height())
        if before.pixel(x, y) != after.pixel(x, y)
    ]
    assert changed
    ring = wells._rect("A/2").adjusted(-2, -2, 2, 2)
    assert all(ring.contains(QPointF(x, y)) for x, y in changed)


def test_wells_lie_in_the_order_of_a_plate(wells):
    names = ["B/10/0", "A/2/0", "AA/1/0", "A/10/0", "B/1/0"]
    wells.set_status({name: set() for name in names})
    assert wells._rows == ["A", "B", "AA"]
    assert wells._columns == ["1", "2", "10"]


def test_the_mouse_picks_wells_and_nothing_else(wells, qtbot):
    wells.set_status({"A/1/0": set(), "B/2/0": set()})
    with qtbot.waitSignal(wells.chosen) as chosen:
        qtbot.mouseClick(wells, LEFT, pos=wells._rect("B/2").center().toPoint())
    assert chosen.args == ["B/2"]
    with qtbot.assertNotEmitted(wells.chosen):
        for x, y in ((40, 80), (2, 2), (310, 290)):  # A/2 is no well of this plate
            qtbot.mouseClick(wells, LEFT, pos=QPointF(x, y).toPoint())
    assert wells.well_at(QPointF(-5, -5)) == ""


def test_arrows_go_from_well_to_well_over_gaps_and_stop_at_the_rim(wells, qtbot):
    wells.set_status({name: set() for name in ("A/1/0", "A/4/0", "B/1/0", "B/2/0", "D/1/0")})
    wells.set_well("A/1")
    right, left, up, down = (getattr(Qt.Key, f"Key_{k}") for k in ("Right", "Left", "Up", "Down"))
    walked = [press(wells, qtbot, key) for key in (right, right, left, down, right, up, left, down)]
    # From B/2 there is no well above.
    assert walked == [["A/4"], [], ["A/1"], ["B/1"], ["B/2"], [], ["B/1"], ["D/1"]]
    assert press(wells, qtbot, Qt.Key.Key_A) == []


def test_arrows_find_their_way_where_the_well_on_show_is_of_another_plate(wells, qtbot):
    assert press(wells, qtbot, Qt.Key.Key_Right) == []
    wells.set_well("H/12")
    wells.set_status({"A/1/0": set(), "A/2/0": set()})
    assert press(wells, qtbot, Qt.Key.Key_Right) == ["A/1"]


def test_the_mouse_is_told_what_has_been_done_in_a_well(wells, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr(QToolTip, "showText", lambda _place, text, _widget: told.append(text))
    wells.set_status({"A/1/0": {"segmented", "tracked"}, "A/1/1": {"segmented"}, "A/2/0": set()})
    for well in ("A/1", "A/2"):
        qtbot.mouseMove(wells, wells._rect(well).center().toPoint())
        qtbot.wait(20)  # else two moves are one
    assert told == [
        "Well A/1, 2 FOVs\nsegmented: 2\ntracked: 1",
        "Well A/2, 1 FOV\nnothing done yet",
    ]


def plate_of(rows, columns):
    """What is done in a plate of so many rows and columns, with two FOVs in each well."""
    names = [
        f"{chr(65 + r)}/{c + 1}/{f}" for r in range(rows) for c in range(columns) for f in "01"
    ]
    return {name: {"tracked"} for name in names}


def test_384_wells_fit_a_narrow_dock(wells):
    wells.set_status(plate_of(16, 24))
    assert wells._rect("P/24").right() <= wells.width()
    assert wells._rect("P/24").bottom() <= wells.sizeHint().height()
    assert wells.well_at(wells._rect("P/24").center()) == "P/24"
    assert wells.minimumSizeHint().width() <= 300


def test_every_well_is_visited_once_to_be_drawn(wells):
    def effort(rows, columns):
        def work():
            wells.set_status(plate_of(rows, columns))
            wells.grab()

        return calls(work)

    few, many = effort(4, 6), effort(16, 24)
    assert few > 24  # the drawing is counted
    assert many < 16 * few
    assert many < 100 * 384
