"""Which pixels a cell's features are the mean of."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch

from napari_dynaclr.embedding.tap.dense import Tile
from napari_dynaclr.embedding.tap.regions import Regions

SCALE = (2.0, 0.5, 0.5)


def cells(*rows):
    return pd.DataFrame(rows, columns=["track_id", "z", "y", "x"])


@pytest.fixture
def labels():
    """Two cells of three slices, the second partly above the first, and one of another table."""
    image = np.zeros((3, 30, 40), np.uint32)
    image[0, 5:15, 5:15] = 9
    image[2, 10:20, 10:20] = 4
    image[1, 25:30, 30:40] = 77
    return image


def pixels(regions, cell):
    mask = np.zeros(regions.shape, bool)
    mine = regions.cell == cell
    mask[regions.plane[mine], regions.y[mine], regions.x[mine]] = True
    assert mask.sum() == mine.sum()  # none twice
    return mask


TABLE = cells((9, 0, 9.5, 9.5), (4, 2, 14.5, 14.5))


def test_masks_slice_by_slice(labels):
    regions = Regions.of(labels, TABLE, "slices", 5.0, SCALE)
    assert regions.shape == labels.shape
    assert regions.planes() == [0, 2]
    np.testing.assert_array_equal(pixels(regions, 0), labels == 9)
    np.testing.assert_array_equal(pixels(regions, 1), labels == 4)
    assert not regions.at_border().any()


def test_masks_are_projected_each_by_itself(labels):
    labels[1, 5:15, 5:15] = 9
    regions = Regions.of(labels, TABLE, "max", 5.0, SCALE)
    assert regions.shape == (1, 30, 40)
    for cell, label in enumerate((9, 4)):  # also what another one lies over
        np.testing.assert_array_equal(pixels(regions, cell)[0], (labels == label).any(0))


def test_a_cell_without_a_mask_is_a_disc_around_its_centre(labels):
    table = cells((9, 0, 9.5, 9.5), (5, 1.4, 20.0, 30.0))
    regions = Regions.of(labels, table, "slices", 2.0, SCALE)
    y, x = np.mgrid[:30, :40]
    disc = np.hypot(y - 20, x - 30) * 0.5 <= 2.0
    expected = np.zeros(labels.shape, bool)
    expected[1] = disc
    np.testing.assert_array_equal(pixels(regions, 1), expected)
    np.testing.assert_array_equal(pixels(regions, 0), labels == 9)
    flat = Regions.of(labels, table, "max", 2.0, SCALE)
    np.testing.assert_array_equal(pixels(flat, 1)[0], disc)


@pytest.mark.parametrize("place", [(0.2, 3.0), (29.9, 39.9), (-3.0, 50.0)])
def test_a_disc_is_never_empty_and_never_leaves_the_image(labels, place):
    regions = Regions.of(labels, cells((5, 7, *place)), "slices", 0.01, SCALE)
    assert len(regions.cell) == 1
    assert regions.plane[0] == 2
    assert regions.at_border()[0]


def test_means_come_together_from_tiles(labels):
    regions = Regions.of(labels, TABLE, "slices", 5.0, SCALE)
    features = np.random.default_rng(0).normal(size=(6, *labels.shape)).astype(np.float32)
    total = np.zeros((6, 2))
    for plane in regions.planes():
        for y in (slice(0, 12), slice(12, 30)):
            for x in (slice(0, 11), slice(11, 40)):
                z = torch.from_numpy(features[:, plane, y, x].copy())
                regions.add(total, Tile(y, x, z), plane)
    expected = [features[:, labels == label].mean(1) for label in (9, 4)]
    np.testing.assert_allclose(regions.means(total), expected, atol=1e-6)


def test_cells_that_touch_something(labels):
    regions = Regions.of(labels, cells((77, 1, 27, 35), (9, 0, 9.5, 9.5)), "slices", 5.0, SCALE)
    assert regions.at_border().tolist() == [True, False]
    where = np.zeros(labels.shape, bool)
    where[0, 5, 5] = where[2] = True
    assert regions.touch(where).tolist() == [False, True]


@pytest.mark.parametrize("stacks", ["slices", "max"])
def test_what_is_at_hand_hardly_grows_with_the_cells(stacks):
    labels = np.full((16, 200, 200), 9, np.uint32)
    table = cells((9, 0, 99.5, 99.5))
    tracemalloc.start()
    Regions.of(labels, table, stacks, 5.0, SCALE)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 32 * labels.size
