from __future__ import annotations

import pytest
from qtpy.QtGui import QColor

from napari_dynaclr.gui.map.legend import LegendBar
from napari_dynaclr.session.colours import Legend


@pytest.fixture
def bar(qtbot):
    made = LegendBar()
    qtbot.addWidget(made)
    made.show()
    return made


def test_it_takes_no_room_where_there_is_nothing_to_say(bar):
    for part in (bar.names, bar.low, bar.high, bar.bar):
        assert not part.isVisible()


def test_categories_are_named_in_their_colours(bar):
    bar.set_legend(Legend("state", (("infected", "#d55e00"), ("a < b & c", "#0072b2"))))
    text = bar.names.text()
    assert 'color:#d55e00">●</span>&nbsp;infected' in text
    assert "a &lt; b &amp; c" in text
    assert bar.names.isVisible()
    assert not bar.bar.isVisible()


def test_of_very_many_categories_some_are_named(bar):
    bar.set_legend(Legend("well", tuple((f"A/{i}", "#123456") for i in range(384))))
    assert bar.names.text().count("●") == 16
    assert bar.names.text().endswith("and 368 more")


def test_numbers_are_a_range_of_colours(bar):
    bar.set_legend(Legend("confidence", low=0.51234, high=123456.0, colormap="viridis"))
    assert (bar.low.text(), bar.high.text()) == ("0.5123", "1.235e+05")
    assert bar.bar.isVisible()
    assert not bar.names.isVisible()
    image = bar.bar.pixmap().toImage()
    assert QColor(image.pixel(0, 0)).name() == "#440154"
    assert QColor(image.pixel(image.width() - 1, 0)).name() == "#fde725"


def test_one_takes_the_place_of_the_other(bar):
    bar.set_legend(Legend("confidence", colormap="magma"))
    bar.set_legend(Legend("state", (("infected", "#d55e00"),)))
    assert not bar.bar.isVisible()
    bar.set_legend(None)
    assert not bar.names.isVisible()
