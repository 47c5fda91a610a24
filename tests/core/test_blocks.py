"""Blocks: all of a frame, each voxel once, in the network's grid."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.core.blocks import plan


@pytest.mark.parametrize("shape", [(1, 300, 300), (40, 130, 517), (7, 64, 1000)])
def test_the_kept_parts_make_up_the_frame(shape):
    count = np.zeros(shape, int)
    image = np.arange(count.size).reshape(shape)
    for block in plan(shape, (32, 128, 128), (4, 32, 32), 16):
        count[block.keep] += 1
        assert (image[block.read][block.inner] == image[block.keep]).all()
        for axis, (read, keep) in enumerate(zip(block.read, block.keep, strict=True)):
            assert read.stop - read.start <= max((32, 128, 128)[axis], 0)
            halo = (4, 32, 32)[axis]
            assert read.start == 0 or keep.start - read.start >= halo
            assert read.stop == shape[axis] or read.stop - keep.stop >= halo
            assert axis == 0 or read.start % 16 == 0
    assert (count == 1).all()


def test_a_frame_that_fits_is_one_block():
    (block,) = plan((1, 100, 90), (32, 128, 128), (4, 32, 32), 16)
    assert block.read == block.keep == (slice(0, 1), slice(0, 100), slice(0, 90))


def test_a_block_smaller_than_its_halo_still_makes_headway():
    blocks = plan((1, 100, 100), (32, 32, 32), (4, 32, 32), 16)
    assert len(blocks) == 49
