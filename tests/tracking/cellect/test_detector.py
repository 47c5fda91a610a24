"""The network over a frame: in blocks as whole, given cells as found ones, memory that is short."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.core.device import Device
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.tracking.cellect.detector import Detector


def frames(shape=(6, 200, 180)):
    draw = np.random.default_rng(0)
    return [draw.normal(size=shape).astype(np.float32) for _ in range(2)]


def look(model, *, block, given=None, images=None):
    detector = Detector(model, Device.CPU, "full", block)
    return detector.look(*(images or frames()), (1.5, 1.0, 1.0), Job(), given)


def test_a_frame_in_blocks_has_the_cells_of_a_whole_one(small):
    whole, parts = look(small, block=512), look(small, block=128)
    assert len(whole.voxels) > 100
    np.testing.assert_array_equal(whole.voxels, parts.voxels)
    np.testing.assert_allclose(whole.cells.position, parts.cells.position)
    np.testing.assert_allclose(whole.cells.embedding, parts.cells.embedding, atol=1e-3)
    np.testing.assert_allclose(whole.cells.size, parts.cells.size, atol=1e-3)
    np.testing.assert_array_equal(whole.inside, parts.inside)


def test_positions_count_slices_by_their_spacing(small):
    seen = look(small, block=512)
    np.testing.assert_allclose(seen.cells.position, seen.voxels * [1.5, 1.0, 1.0])


def test_given_cells_come_back_in_their_order_as_they_would_be_found(small):
    found = look(small, block=512)
    order = np.random.default_rng(1).permutation(len(found.voxels))
    given = look(small, block=128, given=found.voxels[order])
    np.testing.assert_array_equal(given.voxels, found.voxels[order])
    wanted = found.cells.take(order)
    np.testing.assert_allclose(given.cells.embedding, wanted.embedding, atol=1e-3)
    np.testing.assert_allclose(given.cells.position, wanted.position)
    assert given.inside is None


def test_no_cells_given_are_none(small):
    seen = look(small, block=128, given=np.zeros((0, 3), np.int64))
    assert len(seen.cells) == 0


def test_short_memory_makes_blocks_smaller(small, monkeypatch):
    see, sides = Detector._see, []

    def short(self, images):
        sides.append(images.shape[2])
        if images.shape[2] > 128:
            raise RuntimeError("CUDA error: out of memory")
        return see(self, images)

    monkeypatch.setattr(Detector, "_see", short)
    detector = Detector(small, Device.CPU, "full")
    seen = detector.look(*frames(), (1.0, 1.0, 1.0), Job())
    assert sides[0] == 200
    assert detector.side == 128
    assert len(seen.voxels)


def test_memory_that_is_too_short_for_any_block_is_said(small, monkeypatch):
    def never(self, images):
        raise MemoryError

    monkeypatch.setattr(Detector, "_see", never)
    with pytest.raises(InvalidInput, match="does not fit into the memory"):
        look(small, block=None)


def test_other_errors_are_not_taken_for_short_memory(small, monkeypatch):
    def broken(self, images):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(Detector, "_see", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        look(small, block=None)
