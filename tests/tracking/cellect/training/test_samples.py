from __future__ import annotations

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


def test_cells_at_the_edge_are_painted_but_not_counted(images, tracks):
    one = sample(images[:, :, :20, :20], tracks, (0, 1, 2), (0, 12, 2))
    assert one.first.position.tolist() == [[-2, 8, 0]]
    assert one.first.inside.tolist() == [False]
    batch = collate([one])
    assert int(batch.segmentation[0, 0].max()) == 1
    assert int(batch.levels[0, 0].max()) == 2  # two rows outside
    assert not len(sample(images[:, :, :5, :5], tracks, (0, 1, 2), (0, 20, 20)).first.position)


@pytest.mark.parametrize("seed", range(8))
def test_turning_moves_images_and_cells_alike(images, tracks, seed):
    plain = sample(images, tracks, (1, 2, 2))
    images = np.zeros_like(plain.images)
    for y, x, z in plain.second.position.astype(int):
        images[1, y, x, z] = 1
    one = turned(
        type(plain)(images, plain.first, plain.second, plain.origin), np.random.default_rng(seed)
    )
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
