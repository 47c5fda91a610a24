"""Coarse masks: near their centre, inside of cells, never lost."""

from __future__ import annotations

import numpy as np

from napari_dynaclr.tracking.cellect.coarse import coarse_masks, enlarged


def disk(shape, centre, radius):
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= radius**2


def test_touching_cells_are_divided_between_their_centres():
    shape = (9, 40, 60)
    one, two = (4, 20, 20), (4, 20, 34)
    inside = disk(shape, one, 8) | disk(shape, two, 8)
    masks = coarse_masks(inside, np.array([one, two]), np.array([8.0, 8.0]), (1.0, 1.0, 1.0))
    assert (masks[inside] > 0).all()
    assert not masks[~inside].any()
    assert (masks[4, 20, :27] < 2).all()
    assert (masks[4, 20, 28:] != 1).all()


def test_a_cell_ends_where_its_radius_says():
    inside = np.ones((1, 60, 60), bool)
    masks = coarse_masks(inside, np.array([[0, 30, 30]]), np.array([10.0]), (1.0, 1.0, 1.0))
    assert np.isclose((masks == 1).sum(), np.pi * 13**2, rtol=0.05)


def test_slices_count_by_their_spacing():
    inside = np.ones((21, 40, 40), bool)
    masks = coarse_masks(inside, np.array([[10, 20, 20]]), np.array([10.0]), (4.0, 1.0, 1.0))
    z, y, _ = np.nonzero(masks)
    assert np.ptp(z) + 1 == 7  # 13 pixels to either side are 3 slices of 4
    assert np.ptp(y) + 1 == 27


def test_each_cell_has_its_centre_even_in_background():
    masks = coarse_masks(
        np.zeros((1, 10, 10), bool), np.array([[0, 2, 3], [0, 7, 7]]), np.ones(2), (1.0, 1.0, 1.0)
    )
    assert masks[0, 2, 3] == 1
    assert masks[0, 7, 7] == 2
    assert masks.astype(bool).sum() == 2


def test_no_cells_make_no_masks():
    none = np.zeros((0, 3), np.int64)
    assert not coarse_masks(np.ones((1, 4, 4), bool), none, np.zeros(0), (1.0, 1.0, 1.0)).any()


def test_masks_in_another_size_keep_every_cell():
    masks = np.zeros((2, 30, 30), np.uint32)
    masks[0, 3:12, 3:12] = 1
    masks[1, 29, 29] = 2
    small = enlarged(masks, (10, 10), np.array([[0, 2, 2], [1, 9, 9]]))
    assert small.shape == (2, 10, 10)
    assert (small == 1).sum() == 9
    assert small[1, 9, 9] == 2
    large = enlarged(masks, (60, 60), np.array([[0, 14, 14], [1, 59, 59]]))
    assert (large == 1).sum() == 4 * 81


def test_half_a_radius_belongs_to_a_cell_where_nothing_is_said_to_be_inside():
    found = coarse_masks(
        np.zeros((1, 21, 21), bool), np.array([[0, 10, 10]]), np.array([8.0]), (1.0, 1.0, 1.0)
    )
    y, x = np.nonzero(found[0])
    assert np.hypot(y - 10, x - 10).max() == 4
