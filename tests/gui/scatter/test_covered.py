from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr.gui.scatter.covered import uncovered
from napari_dynaclr.gui.scatter.view import View


def plain(xy, view, size, ratio, reach):
    """The same, a point at a time."""
    rim = int(np.ceil(reach * ratio)) + 1
    last = {}
    for row, point in enumerate(xy):
        x, y = view.to_pixel(point, size) * ratio
        if -rim <= x < size[0] * ratio + rim and -rim <= y < size[1] * ratio + rim:
            last[int(np.floor(x)), int(np.floor(y))] = row
    return sorted(last.values())


@settings(deadline=None, max_examples=50)
@given(
    places=st.lists(st.tuples(st.integers(-12, 40), st.integers(-12, 40)), max_size=60),
    ratio=st.sampled_from([1.0, 2.0]),
    reach=st.sampled_from([1.0, 2.5]),
)
def test_the_last_point_of_every_pixel_in_view_is_seen(places, ratio, reach):
    # Units of half a pixel, and a quarter off: no point lies between two pixels.
    xy = (np.array(places, np.float32).reshape(-1, 2) + 0.5) / 2
    view = View(x=8.0, y=8.0, width=16.0, height=16.0)
    found = uncovered(xy, view, (16, 16), ratio, reach)
    assert found.tolist() == plain(xy, view, (16, 16), ratio, reach)


def test_places_that_are_no_numbers_are_not_seen():
    xy = np.array([[np.nan, 0.0], [0.0, 0.0], [np.inf, 0.0]], np.float32)
    assert uncovered(xy, View(), (10, 10), 1.0, 2.0).tolist() == [1]
