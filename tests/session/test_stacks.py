from __future__ import annotations

import numpy as np

from napari_dynaclr.session.stacks import PlaneStack


def test_planes_that_are_not_there_are_zeros():
    stack = PlaneStack((5, 2, 3, 4), np.float32)
    stack.put(2, 1, np.ones((3, 4)))
    assert stack.holds(2, 1)
    assert not stack.holds(2, 0)
    assert stack[2, 1].shape == (3, 4)
    assert stack[2, 1].all()
    assert not stack[2, 0].any()
    assert stack[:, 1].sum(axis=(1, 2)).tolist() == [0, 0, 12, 0, 0]
    assert np.asarray(stack).shape == (5, 2, 3, 4)
    assert stack[..., 0].shape == (5, 2, 3)


def test_colours_have_an_axis_more():
    stack = PlaneStack((5, 1, 3, 4, 4), np.uint8)
    stack.put(0, 0, np.full((3, 4, 4), 9))
    assert stack[0, 0, :, :, :3].shape == (3, 4, 3)
    assert stack[0, 0].dtype == np.uint8
    assert (stack[0, 0, 1, 2] == 9).all()
    assert stack[slice(None), 0].shape == (5, 3, 4, 4)


def test_those_that_were_not_looked_at_for_longest_make_room():
    plane = np.ones((3, 4), np.float32)
    stack = PlaneStack((5, 1, 3, 4), np.float32, room=2 * plane.nbytes)
    stack.put(0, 0, plane)
    stack.put(1, 0, plane)
    _ = stack[0, 0]
    stack.put(2, 0, plane)
    assert [t for t in range(5) if stack.holds(t, 0)] == [0, 2]
    small = PlaneStack((5, 1, 3, 4), np.float32, room=0)
    small.put(3, 0, plane)
    assert small.holds(3, 0), "the newest is kept whatever its size"


def test_a_coarser_plane_covers_the_whole_image():
    stack = PlaneStack((1, 1, 4, 6), np.float32)
    stack.put(0, 0, np.array([[1, 2], [3, 4]]))
    assert stack[0, 0, 0].tolist() == [1, 1, 1, 2, 2, 2]
    assert stack[0, 0, :, 0].tolist() == [1, 1, 3, 3]
