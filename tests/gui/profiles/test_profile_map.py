from __future__ import annotations

import re

import numpy as np
import pytest
from plain import plain_bench, rest, show, shut
from qtpy.QtCore import QPointF, Qt

from napari_dynaclr import params
from napari_dynaclr.gui.profiles.profile_map import ProfileMapPanel
from napari_dynaclr.gui.profiles.profiles_widget import ProfilesWidget

LEFT = Qt.MouseButton.LeftButton
PLAIN = params("profile", "cells", embedding="features", map="none", standardize="plate")


def opened(bench, qtbot):
    made = ProfileMapPanel(bench.viewer)
    made.resize(420, 520)
    qtbot.addWidget(made)
    made.show()
    rest(bench, qtbot)
    return made


@pytest.fixture
def panel(windowless, qtbot):
    made = opened(windowless, qtbot)
    windowless.run_stage("profile", PLAIN, windowless.session.dataset.fov_names)
    rest(windowless, qtbot)
    return made


def choose(box, name, bench, qtbot):
    """Choose as a click on an item of a list does."""
    index = box.findData(name)
    assert index >= 0, f"{name} is not offered"
    box.setCurrentIndex(index)
    box.activated.emit(index)
    rest(bench, qtbot)


def offered(box):
    return [box.itemData(i) for i in range(box.count())]


def test_what_was_profiled_is_shown_by_itself(panel):
    assert len(panel.cloud.canvas.xy) == 40
    assert np.isfinite(panel.cloud.canvas.xy).all()
    assert panel.cloud._overlay.hint == ""
    assert "A" in panel.legend.names.text()
    assert offered(panel.level) == ["field", "well_time", "well"]
    assert "plate" not in offered(panel.colour)
    assert not panel.profile.isVisible(), "there is one only"
    assert not panel.note.isVisible()


def test_without_profiles_it_says_what_to_do(windowless, qtbot):
    made = opened(windowless, qtbot)
    assert "then Run" in made.cloud._overlay.hint
    assert not made.about.isVisible()
    bare = plain_bench()
    empty = ProfileMapPanel(bare.viewer)
    qtbot.addWidget(empty)
    empty.show()
    assert empty.cloud._overlay.hint == "Open a dataset first"
    shut(bare, qtbot)


def test_it_looks_for_profiles_before_it_says_that_there_are_none(windowless, qtbot):
    made = ProfileMapPanel(windowless.viewer)
    qtbot.addWidget(made)
    made.show()
    assert made.cloud._overlay.hint == "looking for profiles…"
    rest(windowless, qtbot)
    assert "then Run" in made.cloud._overlay.hint
    dataset = windowless.session.dataset
    windowless.session.open(None)
    windowless.session.open(dataset)
    assert made.cloud._overlay.hint == "looking for profiles…"
    rest(windowless, qtbot)


def test_how_they_were_made_is_said_beside_the_map(panel, windowless, qtbot):
    made = panel.made.text()
    assert made.startswith("Made of embedding 'features', standardised by plate, each row of the")
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d\.$", made), "and when"


def test_with_few_profiles_it_says_why_there_is_no_other_map(windowless, qtbot):
    panel = opened(windowless, qtbot)
    wanted = params("profile", "cells", embedding="features", map="phate")
    windowless.run_stage("profile", wanted, windowless.session.dataset.fov_names)
    rest(windowless, qtbot)
    assert offered(panel.map) == ["phate", "pca"]
    assert not panel.note.isVisible()
    choose(panel.level, "well_time", windowless, qtbot)
    assert offered(panel.map) == ["pca"]
    assert panel.note.text().startswith("Principal components: 20 profiles are too few for PHATE")


def test_run_is_in_sight(windowless, qtbot):
    made = ProfilesWidget(windowless.viewer)
    made.resize(440, 900)
    qtbot.addWidget(made)
    made.show()
    rest(windowless, qtbot)
    button = made.step.run_button
    area = made.tabs.currentWidget().viewport()
    qtbot.waitUntil(lambda: area.rect().contains(button.mapTo(area, button.rect().bottomLeft())))
    assert made.map.cloud.height() >= 200, "and the map is still one"


def test_levels_and_colours_are_chosen(panel, windowless, qtbot):
    choose(panel.level, "well_time", windowless, qtbot)
    assert len(panel.cloud.canvas.xy) == 20
    choose(panel.colour, "hours", windowless, qtbot)
    assert panel.legend.bar.isVisible()
    assert len({tuple(one) for one in panel.cloud.canvas.rgba}) == 10
    choose(panel.level, "well", windowless, qtbot)
    assert len(panel.cloud.canvas.xy) == 2
    assert offered(panel.colour) == ["condition", "well", "cells"]


def test_a_point_says_what_it_is_and_leads_there(panel, windowless, qtbot):
    shown = windowless.session.profiles.shown
    row = int(shown.at("A/1/1", 6, windowless.session.dataset)[0])
    x, y = panel.cloud.xy_to_pixel(panel.cloud.canvas.xy[row])
    place = QPointF(float(x), float(y)).toPoint()
    qtbot.mouseMove(panel.cloud.canvas, place)
    panel.cloud.tools.hovered.emit((float(x), float(y)))
    assert panel.about.text().startswith("FOV A/1/1, t=6 (")
    assert len(panel.cloud._overlay.lines) == 1
    assert len(panel.cloud._overlay.lines[0]) == 10, "the course of the field"
    qtbot.mouseClick(panel.cloud.canvas, LEFT, pos=place)
    rest(windowless, qtbot)
    assert windowless.session.fov.name == "A/1/1"
    assert windowless.session.frame == 6
    assert panel.cloud.canvas.highlighted.tolist() == [row]


def test_what_is_on_screen_is_shown_larger(panel, windowless, qtbot):
    shown = windowless.session.profiles.shown
    windowless.viewer.dims.set_point(0, 8)
    here = shown.at("B/1/0", 8, windowless.session.dataset)
    assert len(here) == 1
    assert panel.cloud.canvas.highlighted.tolist() == here.tolist()


def test_another_dataset_has_none_of_them(panel, windowless, qtbot, make_plate):
    image = np.arange(3 * 32 * 32, dtype=np.uint16).reshape(3, 1, 1, 32, 32)
    show(windowless, qtbot, make_plate("other.zarr", {"C/3/0": image}))
    assert len(panel.cloud.canvas.xy) == 0
    assert "then Run" in panel.cloud._overlay.hint
