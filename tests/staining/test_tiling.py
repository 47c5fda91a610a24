from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr.staining.tiling import padding, reflected, tiles


@settings(deadline=None)
@given(
    multiple=st.sampled_from([1, 8, 32]),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    tile=st.integers(1, 12),
    overlap=st.integers(0, 300),
)
def test_tiles_cover_every_pixel_with_weights_that_sum_to_one(multiple, size, tile, overlap):
    shape = (size[0] * multiple, size[1] * multiple)
    total = np.zeros(shape)
    found = tiles(shape, tile * multiple, overlap, multiple)
    for one in found:
        assert one.weights.shape == total[one.y, one.x].shape
        assert one.weights.dtype == np.float32
        assert (one.weights >= 0).all()
        assert one.y.start % multiple == one.x.start % multiple == 0
        assert one.weights.shape == found[0].weights.shape
        total[one.y, one.x] += one.weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


@settings(deadline=None)
@given(length=st.integers(1, 100), multiple=st.integers(1, 64))
def test_padding_reaches_the_next_multiple_and_no_further(length, multiple):
    before, after = padding(length, multiple)
    assert (length + before + after) % multiple == 0
    assert 0 <= before <= after <= before + 1
    assert before + after < multiple


def test_neighbours_share_at_least_the_overlap():
    found = tiles((320, 64), 128, 40, 32)
    rows = [one.y for one in found]
    assert all(a.stop - b.start >= 64 for a, b in pairwise(rows))
    assert {one.x for one in found} == {slice(0, 64)}
    # At the edge of a tile inside the frame its neighbour decides, at the edge of the frame it.
    assert found[0].weights[-1].max() < 0.01
    assert found[0].weights[0].min() == 1


def test_a_tile_is_rounded_down_to_the_multiple_and_never_larger_than_the_frame():
    assert tiles((64, 64), 100, 8, 32)[0].y == slice(0, 64)
    assert {one.weights.shape for one in tiles((128, 128), 95, 8, 32)} == {(64, 64)}
    assert {one.weights.shape for one in tiles((128, 128), 1, 8, 32)} == {(32, 32)}


def test_a_frame_that_is_no_multiple_is_refused():
    with pytest.raises(ValueError, match="33 is no multiple of 32"):
        tiles((33, 32), 32, 0, 32)


def test_reflection_goes_to_and_fro_where_there_is_little():
    assert reflected(4, 2, 1).tolist() == [2, 1, 0, 1, 2, 3, 2]
    assert reflected(2, 3, 3).tolist() == [1, 0, 1, 0, 1, 0, 1, 0]
    assert reflected(1, 2, 2).tolist() == [0] * 5
