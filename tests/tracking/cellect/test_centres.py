"""Centres: the highest of their surroundings, each once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_dynaclr.tracking.cellect.centres import MASK, _highest, find_centres
from napari_dynaclr.tracking.cellect.network import Maps


def maps(peaks, shape=(8, 30, 40)):
    """Maps with cones of level 4 at some places (z, y, x); everything is a cell."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    top = np.full(shape, -5.0)
    for (cz, cy, cx), height in peaks:
        distance = np.sqrt((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2)
        top = np.maximum(top, height - distance)
    levels = torch.zeros(1, 5, shape[1], shape[2], shape[0])
    levels[0, 4] = torch.as_tensor(top).permute(1, 2, 0)
    segmentation = torch.zeros(1, 3, *levels.shape[2:])
    segmentation[:, 1] = 1
    none = torch.zeros(1, 1, *levels.shape[2:])
    return Maps(segmentation, levels, none, none, none)


def places(found):
    return sorted(map(tuple, found.voxels.tolist()))


def test_each_peak_is_found_where_it_is():
    wanted = [(2, 5, 7), (5, 20, 30), (2, 5, 13)]
    found = find_centres(maps([(place, 3.0) for place in wanted]))
    assert places(found) == sorted(wanted)
    assert (found.confidence > 0.9).all()


def test_of_two_within_the_mask_the_higher_one_is_taken():
    found = find_centres(maps([((2, 5, 7), 3.0), ((3, 6, 9), 2.6)]))
    assert places(found) == [(2, 5, 7)]
    apart = find_centres(maps([((2, 5, 7), 3.0), ((4, 5, 7), 2.6)]))
    assert len(apart.voxels) == 2  # the mask is 3 slices deep


def test_of_a_plateau_one_voxel_is_taken():
    both = maps([((2, 5, 7), 3.0), ((2, 5, 8), 3.0), ((2, 7, 7), 3.0)])
    assert len(find_centres(both).voxels) == 1


def test_where_another_level_is_higher_is_no_centre():
    some = maps([((2, 5, 7), 3.0)])
    some.levels[0, 2] = 4.0
    assert not len(find_centres(some).voxels)


@pytest.mark.parametrize("shape", [(1, 9, 7), (2, 9, 7), (3, 5, 6), (8, 4, 11), (6, 1, 5)])
def test_the_highest_around_is_that_of_pooling_in_three_dimensions(shape):
    image = torch.rand(1, *shape[1:], shape[0], generator=torch.Generator().manual_seed(0)) - 2
    mask = [side if side <= length else 1 for side, length in zip(MASK, shape, strict=True)]
    z, y, x = mask
    pooled = F.max_pool3d(image, (y, x, z), stride=1, padding=(y // 2, x // 2, z // 2))
    assert _highest(image, mask).equal(pooled)


def test_background_has_no_centres():
    some = maps([((2, 5, 7), 3.0), ((2, 20, 20), 3.0)])
    some.segmentation[0, 0, :, :10] = 5
    assert places(find_centres(some)) == [(2, 20, 20)]


def test_where_the_segmentation_is_unsure_centres_count():
    some = maps([((2, 5, 7), 3.0)])
    some.segmentation[0, 0] = 1.5  # likelier background than cell, as of dividing cells at first
    assert places(find_centres(some)) == [(2, 5, 7)]


def test_a_single_slice_has_a_flat_mask():
    found = find_centres(maps([((0, 0, 0), 3.0), ((0, 29, 39), 2.0)], (1, 30, 40)))
    assert places(found) == [(0, 0, 0), (0, 29, 39)]
