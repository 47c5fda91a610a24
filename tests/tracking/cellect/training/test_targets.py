from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.tracking.cellect.training.targets import paint

SHAPE = (12, 14, 6)


def plainly(shape, position, radius, dividing, newborn):
    """Voxel by voxel, and cell by cell."""
    owner = -np.ones(shape, int)
    segmentation, levels = np.zeros(shape, int), np.zeros(shape, int)
    size, division = np.zeros(shape), np.zeros((2, *shape), int)
    for place in np.ndindex(shape):
        away = [
            sum(((p - c) / r) ** 2 for p, c, r in zip(place, centre, reach, strict=True))
            for centre, reach in zip(position, radius, strict=True)
        ]
        if min(away) <= 1:
            cell = owner[place] = int(np.argmin(away))
            segmentation[place], size[place] = 1, radius[cell][0]
            division[:, *place] = dividing[cell], newborn[cell]
        for centre in position:
            steps = sum(abs(p - np.floor(c + 0.5)) for p, c in zip(place, centre, strict=True))
            levels[place] = max(levels[place], 4 - steps)
    for place in np.ndindex(shape):
        for axis in range(3):
            for step in (-1, 1):
                other = list(place)
                other[axis] += step
                if 0 <= other[axis] < shape[axis] and owner[place] >= 0:
                    beside = owner[tuple(other)]
                    if beside >= 0 and beside != owner[place]:
                        segmentation[place] = 2
    return segmentation, levels, size, division


@pytest.mark.parametrize("seed", range(4))
def test_maps_are_those_of_a_plain_drawing(seed):
    rng = np.random.default_rng(seed)
    position = rng.uniform(-2, 14, (5, 3)) * [1, 1, 0.5]
    radius = np.stack([rng.uniform(1.5, 4, 5)] * 3, 1) * [1, 1, 0.4]
    dividing, newborn = rng.random((2, 5)) < 0.5
    painted = paint(SHAPE, position, radius, dividing, newborn)
    names = ("segmentation", "levels", "size", "division")
    for name, expected in zip(
        names, plainly(SHAPE, position, radius, dividing, newborn), strict=True
    ):
        np.testing.assert_allclose(getattr(painted, name), expected, atol=1e-5, err_msg=name)


def test_a_centre_has_level_4_and_7_x_7_voxels_around_it():
    none = np.zeros(1, bool)
    one = paint((9, 9, 1), np.array([[4.0, 4.0, 0.0]]), np.full((1, 3), 5.0), none, none)
    assert one.levels[4, 4, 0] == 4
    assert one.levels[4, :, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1, 0]
    assert one.levels[2, 2, 0] == 0
    assert one.levels[3, 3, 0] == 2


def test_no_cells_are_background():
    nothing = np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, bool), np.zeros(0, bool)
    painted = paint(SHAPE, *nothing)
    assert not painted.segmentation.any()
    assert not painted.levels.any()
