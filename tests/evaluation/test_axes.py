from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr import Job, open_dataset
from napari_dynaclr.evaluation.axes import cells_along, draw_patches


@given(seed=st.integers(0, 2**32 - 1), cells=st.integers(9, 400), count=st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_cells_rise_along_each_component_and_none_stands_there_twice(seed, cells, count):
    points = np.random.default_rng(seed).normal(size=(cells, 3)) * [5, 2, 1]
    chosen = cells_along(points, count, np.ones(cells, bool))
    assert chosen.shape == (3, count)
    for k, rows in enumerate(chosen):
        assert (np.diff(points[rows, k]) >= 0).all()
        assert len(set(rows.tolist())) == count


def test_other_components_stay_near_their_middle():
    points = np.random.default_rng(0).normal(size=(20_000, 3)) * [5, 2, 1]
    for k, rows in enumerate(cells_along(points, 8, np.ones(len(points), bool))):
        others = np.delete(points[rows] / points.std(axis=0), k, axis=1)
        assert np.abs(others).mean() < 0.3, "0.8 if they were drawn at random"
        low, high = np.percentile(points[:, k], [1, 99])
        assert points[rows[0], k] == pytest.approx(low, abs=0.15 * (high - low))
        assert points[rows[-1], k] == pytest.approx(high, abs=0.15 * (high - low))


def test_cells_at_the_border_are_left_out_where_there_are_others():
    points = np.random.default_rng(0).normal(size=(100, 2))
    usable = np.arange(100) % 2 == 0
    assert usable[cells_along(points, 5, usable)].all()
    assert cells_along(points, 5, np.arange(100) < 3).shape == (2, 5)


def test_every_patch_stands_in_its_place(make_plate):
    """Two FOVs, each pixel of which says its time and place."""
    images = {
        f"A/1/{i}": (1000 * i + np.arange(2 * 2 * 12 * 12).reshape(2, 2, 1, 12, 12)).astype("f4")
        for i in range(2)
    }
    dataset = open_dataset(make_plate("a.zarr", images, ("One", "Two")))
    cells = pd.DataFrame(
        {"fov_name": ["A/1/0", "A/1/1", "A/1/0", "A/1/1"], "t": [0, 1, 1, 0], "z": 0.0,
         "y": [3.5, 7.5, 4.5, 5.5], "x": [3.5, 4.5, 7.5, 5.5]}
    )  # fmt: skip
    chosen = np.array([[0, 1], [3, 2]])
    figure = draw_patches(dataset, cells, chosen, ["PC1", "PC2"], ["Two", "One"], 8, Job())
    (axes,) = figure.axes
    mosaic = np.asarray(axes.images[0].get_array())
    expected = {}
    for c, channel in enumerate((1, 0)):
        for k in range(2):
            for i, cell in enumerate(chosen[k]):
                row = cells.iloc[cell]
                y, x = int(row["y"] - 3.5), int(row["x"] - 3.5)
                image = images[row["fov_name"]][row["t"], channel, 0]
                expected[2 * k + c, i] = image[y : y + 8, x : x + 8]
    for c in range(2):
        these = np.stack([patch for (row, _), patch in expected.items() if row % 2 == c])
        low, high = np.percentile(these, [1, 99.7])
        for (row, column), patch in expected.items():
            if row % 2 == c:
                here = mosaic[11 * row : 11 * row + 8, 11 * column : 11 * column + 8]
                np.testing.assert_allclose(
                    here, np.clip((patch - low) / (high - low), 0, 1), atol=1e-6
                )
