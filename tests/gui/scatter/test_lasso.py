from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from napari_dynaclr.gui.scatter import lasso
from napari_dynaclr.gui.scatter.lasso import in_polygon, nearest


def columns(xy):
    return tuple(np.ascontiguousarray(column, dtype=np.float32) for column in np.transpose(xy))


def reference(xy, polygon):
    closed = np.vstack([polygon, polygon[:1]])
    return np.flatnonzero(Outline(closed).contains_points(np.asarray(xy, np.float32)))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(-6, 6)] * 2), min_size=3, max_size=25),
    st.sampled_from([1.0, 1e-3, 0.37, 1e4]),
    st.sampled_from([0.0, 100.0, -7.3]),
    st.integers(0, 2**32 - 1),
)
def test_points_in_any_polygon_are_those_that_matplotlib_finds(corners, scale, offset, seed):
    polygon = np.array(corners) * scale + offset
    rng = np.random.default_rng(seed)
    xy = (rng.uniform(-7, 7, (4000, 2)) * scale + offset).astype(np.float32)
    # Half of them on the grid of the vertices: on corners and edges, where rounding decides.
    xy[::2] = np.round((xy[::2] - offset) / scale) * scale + offset
    few, lasso.FEW = lasso.FEW, 0
    try:
        assert np.array_equal(in_polygon(*columns(xy), polygon), reference(xy, polygon))
    finally:
        lasso.FEW = few


def test_a_long_lasso_around_many_points():
    rng = np.random.default_rng(0)
    xy = rng.normal(0, 1, (100_000, 2)).astype(np.float32)
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radius = 1 + 0.4 * np.sin(5 * angle)
    polygon = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    inside = in_polygon(*columns(xy), polygon)
    assert 20_000 < len(inside) < 80_000
    assert np.array_equal(inside, reference(xy, polygon))


@pytest.mark.parametrize(
    "polygon", [[], [(0, 0)], [(0, 0), (1, 1)], [(0, 0), (0, 5), (0, 9)], [(1, 1)] * 5]
)
def test_an_outline_without_area_holds_nothing(polygon):
    xy = np.random.default_rng(0).uniform(-1, 1, (5000, 2))
    assert in_polygon(*columns(xy), polygon).size == 0


def test_nan_is_never_inside_nor_near():
    xy = np.full((5000, 2), np.nan)
    xy[7] = 0.5
    square = [(0, 0), (1, 0), (1, 1), (0, 1)]
    assert in_polygon(*columns(xy), square).tolist() == [7]
    assert nearest(*columns(xy), (0.0, 0.0), 10.0) == 7


def test_nearest_is_the_nearest_within_a_circle():
    xy = [(0, 0), (3, 0), (3, 4)]
    assert nearest(*columns(xy), (2.9, 0.2), 1.0) == 1
    assert nearest(*columns(xy), (2.0, 3.0), 1.4) == -1  # its box holds (3, 4), the circle not
    assert nearest(*columns(np.empty((0, 2))), (0.0, 0.0), 1.0) == -1
