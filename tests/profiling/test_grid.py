from __future__ import annotations

import numpy as np
import pytest
from iohub.ngff import TransformationMeta, open_ome_zarr

from napari_dynaclr import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.profiling.grid import corner, in_square


@pytest.fixture
def well(tmp_path):
    """Return a function that writes fields of a well at given places (y, x)."""

    def make(places, name="well.zarr"):
        with open_ome_zarr(
            tmp_path / name, layout="hcs", mode="w-", channel_names=["a"], version="0.5"
        ) as plate:
            for number, place in enumerate(places):
                moved = [TransformationMeta(type="scale", scale=[1.0, 1.0, 1.0, 0.5, 0.5])]
                if place is not None:
                    at = [0.0, 0.0, 0.0, *map(float, place)]
                    moved.append(TransformationMeta(type="translation", translation=at))
                position = plate.create_position("A", "1", str(number))
                position.create_image("0", np.ones((1, 1, 1, 4, 4), np.uint8), transform=moved)
        return open_dataset(tmp_path / name).fovs

    return make


def test_places_are_read_and_put_in_order_row_by_row(well):
    rng = np.random.default_rng(0)
    grid = [(100 * y, 100 * x) for y in range(4) for x in range(4)]
    shuffled = rng.permutation(16)
    # Stages waver.
    places = [np.array(grid[i]) + rng.uniform(-20, 20, 2) for i in shuffled]
    fovs = well(places)
    assert corner(fovs[0]) == pytest.approx(tuple(places[0]))
    assert [int(shuffled[i]) for i in in_square(fovs, "auto")] == list(range(16))


def test_numbers_row_by_row_or_to_and_fro(well):
    fovs = well([None] * 9)
    assert corner(fovs[0]) is None
    # "10" comes after "9": numbers, not text.
    assert in_square(fovs, "rows") == list(range(9))
    assert in_square(fovs, "snake") == [0, 1, 2, 5, 4, 3, 6, 7, 8]
    assert in_square(well([None] * 16, "more.zarr"), "rows") == list(range(16))


@pytest.mark.parametrize(
    "places",
    [
        [None] * 9,
        [(0, 0)] * 9,
        [(0, 100 * i) for i in range(9)],
        [(100 * y + 60 * (x == 2), 100 * x) for y in range(3) for x in range(3)],
    ],
    ids=["none", "all the same", "a line", "crooked"],
)
def test_what_is_no_square_is_refused_with_what_to_do(well, places):
    with pytest.raises(InvalidInput, match=r"no square of 3 x 3: give their order with field_ord"):
        in_square(well(places), "auto")


def test_other_numbers_of_fields_are_refused(well):
    with pytest.raises(InvalidInput, match=r"Well A/1 has 4 fields: only 9 or 16 in a square"):
        in_square(well([None] * 4), "rows")
