from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint

from napari_dynaclr.gui.train.preview import Preview


@pytest.fixture
def preview(qtbot):
    made = Preview()
    qtbot.addWidget(made)
    return made


def shown(preview, place):
    colour = preview.grab().toImage().pixelColor(place)
    return colour.red(), colour.green(), colour.blue()


def middle(preview, column, row, columns, side):
    """Middle of a picture, side pixels square."""
    line = preview.fontMetrics().height()
    height = side + line + 8
    return QPoint(
        round((column + 0.5) * preview.width() / columns), round(row * height + line + 2 + side / 2)
    )


def test_pictures_stand_beside_each_other_in_grey(preview):
    preview.resize(300, 200)
    preview.show_pictures(
        {"dark": np.zeros((8, 8)), "half": np.full((8, 8), 0.5), "light": np.ones((8, 8))}
    )
    preview.show()
    side = (300 + 4) / 3 - 4
    found = [shown(preview, middle(preview, i, 0, 3, side)) for i in range(3)]
    assert found == [(0, 0, 0), (128, 128, 128), (255, 255, 255)]
    assert preview.titles == ["dark", "half", "light"]


def test_they_are_upright(preview):
    preview.resize(120, 200)
    picture = np.zeros((8, 8))
    picture[:4] = 1  # light above
    preview.show_pictures({"one": picture})
    preview.show()
    line = preview.fontMetrics().height()
    assert shown(preview, QPoint(60, line + 12))[0] == 255
    assert shown(preview, QPoint(60, line + 100))[0] == 0


def test_where_it_is_narrow_there_are_more_rows(preview):
    preview.show_pictures({str(i): np.ones((8, 8)) for i in range(5)})
    one, two, five = (preview.heightForWidth(width) for width in (600, 300, 90))
    assert one < two < five
    columns = [
        1 + max(column for _, column in preview.places(w)[0].values()) for w in (600, 300, 10)
    ]
    assert columns == [5, 3, 1]


def test_predictions_stand_below_what_they_are_to_be_like(preview):
    titles = ["Phase", "Nuclei", "Membrane", "nuclei_prediction", "membrane_prediction"]
    preview.show_pictures({title: np.ones((8, 8)) for title in titles})
    places, _ = preview.places(300)
    assert places == {
        "Phase": (0, 0),
        "Nuclei": (0, 1),
        "Membrane": (0, 2),
        "nuclei_prediction": (1, 1),
        "membrane_prediction": (1, 2),
    }
    narrow, _ = preview.places(170)
    assert narrow["Membrane"] == (2, 0)
    assert narrow["membrane_prediction"] == (3, 0)
    assert narrow["nuclei_prediction"] == (1, 1)
    assert len(set(narrow.values())) == 5


def test_what_is_no_number_or_out_of_range_is_black_or_white(preview):
    preview.resize(200, 200)
    preview.show_pictures({"nan": np.full((4, 4), np.nan), "high": np.full((4, 4), 7.0)})
    preview.show()
    side = (200 + 4) / 2 - 4
    assert shown(preview, middle(preview, 0, 0, 2, side)) == (0, 0, 0)
    assert shown(preview, middle(preview, 1, 0, 2, side)) == (255, 255, 255)


def test_without_pictures_it_takes_no_room(preview):
    preview.show_pictures({"one": np.ones((4, 4))})
    assert preview.heightForWidth(200) > 0
    preview.show_pictures({})
    assert preview.heightForWidth(200) == 0
    assert not preview.isVisible()
