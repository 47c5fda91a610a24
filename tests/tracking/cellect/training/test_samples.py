from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_dynaclr.tracking.cellect.training.points import make_points
from napari_dynaclr.tracking.cellect.training.samples import collate, make_sample, turned

SCALE = (1.0, 1.0, 1.0)


def sample(images, tracks, times=(0, 1, 2), origin=(0, 0, 0)):
    return make_sample(images, make_points(tracks, SCALE, 1), times, origin, SCALE)


def test_a_sample_knows_its_cells_and_where_they_come_from(images, tracks):
    one = sample(images, tracks, (1, 2, 2))
    assert one.images.shape == (3, 40, 40, 1)
    assert one.first.position.tolist() == [[11, 10, 0]]
    assert one.first.dividing.tolist() == [True]
    assert one.second.position[:, 0].tolist() == [6, 16, 30, 4]
    assert one.origin.tolist() == [0, 0, -1, -1]
    assert one.second.newborn.tolist() == [True, True, False, False]
    assert one.second.dividing.tolist() == [False] * 4  # the last frame stands for the next
    assert sample(images, tracks, (0, 2, 2)).origin.tolist() == [0, 0, 1, -1]


def test_near_an_edge_that_is_none_of_the_image_nothing_counts(images, tracks):
    points = make_points(tracks, SCALE, 1)
    part = images[:, :, :20, :20]
    one = make_sample(part, points, (1, 2, 2), (0, 0, 4), SCALE, (1, 40, 40))
    assert (one.low.tolist(), one.high.tolist()) == ([0, 5, 0], [15, 15, 1])
    assert one.second.position[:2].tolist() == [[6, 6, 0], [16, 6, 0]]
    assert one.second.inside.tolist() == [True, False]
    batch = collate([one])
    levels = batch.levels[0, 1, :, :, 0]
    assert levels[6].tolist() == [255] * 5 + [3, 4, 3, 2, 1] + [0] * 5 + [255] * 5
    assert (levels[15:] == 255).all()
    assert (batch.segmentation[0, 1, :, :, 0] == 255).equal(levels == 255)
    assert not batch.size[0, 1, :, :, 0][levels == 255].any()
    found = one.counted(np.array([[0, 6, 6], [0, 16, 6], [0, 14, 4], [0, 14, 14]]))
    assert found.tolist() == [[0, 6, 6], [0, 14, 14]]


def test_edges_of_the_image_count_and_cells_beyond_are_painted(images, tracks):
    points = make_points(tracks, SCALE, 1)
    shifted = make_points(tracks.assign(y=tracks["y"] - 12), SCALE, 1)
    one = make_sample(images, shifted, (0, 1, 2), (0, 0, 0), SCALE)
    assert one.first.position[0].tolist() == [-2, 10, 0]
    assert one.first.inside.tolist() == [False, True]
    batch = collate([one])
    assert int(batch.levels[0, 0, 0, 10]) == 2  # two rows outside
    assert int(batch.levels.max()) == 4
    far = make_sample(images[:, :, :5, :5], points, (0, 1, 2), (0, 20, 20), SCALE, (1, 40, 40))
    assert not len(far.first.position)


@pytest.mark.parametrize("seed", range(8))
def test_turning_moves_images_and_cells_alike(images, tracks, seed):
    plain = sample(images, tracks, (1, 2, 2))
    images = np.zeros_like(plain.images)
    for y, x, z in plain.second.position.astype(int):
        images[1, y, x, z] = 1
    low, high = np.array([3, 0, 0]), np.array([40, 35, 1])
    plain = replace(plain, images=images, low=low, high=high)
    one = turned(plain, np.random.default_rng(seed))
    count = tuple(slice(*ends) for ends in zip(one.low, one.high, strict=True))
    assert one.images[1][count].size == 37 * 35
    assert one.images[1][count].sum() == images[1, 3:, :35].sum()
    for y, x, z in one.second.position.astype(int):
        assert one.images[1, y, x, z] == 1
    assert one.images[1].sum() == 4


def test_a_batch_is_painted_and_brought_to_a_device(images, tracks):
    batch = collate([sample(images, tracks), sample(images, tracks, (1, 2, 2))])
    assert batch.images.shape == (2, 3, 40, 40, 1)
    assert batch.segmentation.shape == batch.levels.shape == batch.size.shape == (2, 2, 40, 40, 1)
    assert batch.division.shape == (2, 2, 2, 40, 40, 1)
    assert batch.division[1, 0, 0, 11, 10, 0] == 1  # the mother
    assert batch.division[1, 1, 1, 6, 10, 0] == 1  # a daughter
    assert batch.division[0, 0].sum() == 0
    assert batch.size[0, 0, 10, 10, 0] == pytest.approx((78 / np.pi) ** 0.5, rel=1e-5)
    assert batch.to(torch.device("cpu")).levels.equal(batch.levels)
