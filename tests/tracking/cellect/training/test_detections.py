from __future__ import annotations

import numpy as np

from napari_dynaclr.tracking.cellect.training.detections import (
    Detections,
    matched,
    near_centres,
    true_centres,
)
from napari_dynaclr.tracking.cellect.training.points import make_points
from napari_dynaclr.tracking.cellect.training.samples import make_sample

SCALE = (1.0, 1.0, 1.0)
SHAPE = (40, 40, 1)


def seen(images, tracks):
    return make_sample(images, make_points(tracks, SCALE, 1), (1, 2, 2), (0, 0, 0), SCALE).second


def test_true_centres_are_in_the_engines_order_of_axes(images, tracks):
    found = true_centres(seen(images, tracks))
    assert found.voxels.tolist() == [[0, 6, 10], [0, 16, 10], [0, 30, 31], [0, 4, 34]]
    assert found.cell.tolist() == [0, 1, 2, 3]


def test_centres_are_those_of_the_cells_they_lie_in(images, tracks):
    voxels = np.array([[0, 30, 33], [0, 25, 20], [0, 16, 10], [0, 30, 31]])
    found = matched(voxels, seen(images, tracks))
    assert dict(zip(map(tuple, found.voxels), found.cell, strict=True)) == {
        (0, 30, 33): 2, (0, 25, 20): -1, (0, 16, 10): 1, (0, 30, 31): 2,
    }  # fmt: skip
    once = found.once()
    assert sorted(once.cell.tolist()) == [-1, 1, 2]
    assert once.voxels[once.cell == 2].tolist() == [[0, 30, 31]]  # the nearer one
    nothing = matched(np.zeros((0, 3), np.int64), seen(images, tracks))
    assert isinstance(nothing, Detections)
    assert not len(nothing.cell)


def test_places_near_the_centres_are_all_cells_some_twice_and_some_wrong(images, tracks):
    cells, rng = seen(images, tracks), np.random.default_rng(0)
    drawn = [near_centres(cells, SHAPE, rng) for _ in range(50)]
    assert all(set(range(4)) <= set(one.cell.tolist()) for one in drawn)
    assert any((one.cell < 0).any() for one in drawn)
    assert any(np.bincount(one.cell[one.cell >= 0]).max() == 2 for one in drawn)
    for one in drawn:
        assert (one.voxels >= 0).all()
        assert (one.voxels < [1, 40, 40]).all()
        assert len(np.unique(one.voxels, axis=0)) == len(one.voxels)
        places = one.voxels[:, [1, 2, 0]]
        away = np.linalg.norm(places - cells.position[one.cell], axis=1)
        assert (away[one.cell >= 0] < 2 * cells.radius[one.cell, 0][one.cell >= 0]).all()
