from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.embedding.profiler.training.positives import Partner, Positives
from napari_dynaclr.embedding.profiler.training.units import Places

# Wells 0 and 1 of two fields, well 2 of one; three times 30 min apart; two cells a field.
GRID = [
    (well, fov, cell, 30.0 * t)
    for well, fovs in ((0, (0, 1)), (1, (2, 3)), (2, (4,)))
    for fov in fovs
    for cell in (2 * fov, 2 * fov + 1)
    for t in range(3)
]


def places(rows):
    well, fov, thing, minutes = (np.array(column) for column in zip(*rows, strict=True))
    return Places(well, fov, thing, minutes.astype(float))


@pytest.mark.parametrize("window", [0.0, 30.0, 45.0, 1e6])
def test_partners_are_of_another_field_of_the_well_and_near_in_time(window):
    where = places(GRID)
    positives = Positives(where, window)
    rows = np.repeat(np.arange(len(GRID)), 40)
    drawn = positives.draw(rows, np.random.default_rng(0))
    assert (where.well[drawn] == where.well[rows]).all()
    apart = np.abs(where.minutes[drawn] - where.minutes[rows])
    assert apart.max() == min(30 * (window // 30), 60)
    several = where.well[rows] < 2
    assert (where.fov[drawn] != where.fov[rows])[several].all()
    # Where a well has one field: another cell of it, at any time of the window.
    assert (where.thing[drawn] != where.thing[rows])[~several].all()
    assert set(positives.best[where.well < 2]) == {Partner.OTHER_FIELD}
    assert set(positives.best[where.well == 2]) == {Partner.SAME_FIELD}
    # All that are possible come.
    first = set(drawn[rows == 0])
    possible = [
        i for i, (well, fov, _, minutes) in enumerate(GRID)
        if well == 0 and fov == 1 and minutes <= window
    ]  # fmt: skip
    assert first == set(possible)


def test_a_unit_alone_in_its_well_has_no_partner():
    lone = places([(0, 0, 0, 0.0), (0, 0, 0, 30.0), (1, 1, 1, 0.0), (1, 2, 2, 90.0)])
    assert Positives(lone, 60).best.tolist() == [Partner.NONE] * 4
    near = Positives(lone, 90)
    assert near.best.tolist() == [0, 0, Partner.OTHER_FIELD, Partner.OTHER_FIELD]
    assert near.draw(np.array([2, 3]), np.random.default_rng(0)).tolist() == [3, 2]


def test_a_rare_other_field_is_found_among_many_of_the_same():
    rows = [(0, 0, i, 0.0) for i in range(5000)] + [(0, 1, 5000, 0.0)]
    drawn = Positives(places(rows), 10).draw(np.arange(5), np.random.default_rng(0))
    assert drawn.tolist() == [5000] * 5
