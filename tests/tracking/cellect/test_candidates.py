"""The nearest candidates, and what the MLPs are told of a pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_dynaclr.tracking.cellect.candidates import Cells, in_pixels, nearest, pair_features


def cells(position, *, seed=0, length=4):
    count = len(position)
    draw = torch.Generator().manual_seed(seed)
    return Cells(
        np.asarray(position, np.float32).reshape(-1, 3),
        torch.randn(count, length, generator=draw),
        torch.rand(count, generator=draw) * 5 + 1,
        torch.rand(count, 2, generator=draw),
    )


def test_distances_count_slices_by_their_spacing():
    found = in_pixels(np.array([[2, 3, 4]]), (1.5, 0.5, 0.5))
    np.testing.assert_allclose(found, [[6, 3, 4]])
    np.testing.assert_allclose(in_pixels(np.array([[2, 3, 4]]), (1, 1, 1)), [[2, 3, 4]])


def test_candidates_are_the_nearest_in_order():
    draw = np.random.default_rng(0)
    one, other = draw.normal(size=(20, 3)), draw.normal(size=(30, 3))
    found = nearest(one, other, 5)
    distance = np.linalg.norm(one[:, None] - other[None], axis=-1)
    np.testing.assert_array_equal(found.rows, np.argsort(distance, axis=1)[:, :5])
    assert found.there.all()


def test_no_cell_is_its_own_candidate_even_where_two_are_at_one_place():
    places = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 5, 0], [0, 6, 0]], float)
    found = nearest(places, places, 2, same=True)
    assert (found.rows != np.arange(5)[:, None]).all()
    assert set(found.rows[0]) == {1, 2}
    assert found.rows[3, 0] == 4


@pytest.mark.parametrize("others", [1, 3])
def test_missing_candidates_are_marked(others):
    found = nearest(np.zeros((4, 3)), np.arange(3 * others, dtype=float).reshape(-1, 3), 5)
    assert found.rows.shape == found.there.shape == (4, 5)
    assert found.there.sum(1).tolist() == [others] * 4
    assert (found.rows[:, others:] == found.rows[:, [others - 1]]).all()


def test_a_cell_alone_in_its_frame_has_no_candidates():
    found = nearest(np.zeros((1, 3)), np.zeros((1, 3)), 5, same=True)
    assert not found.there.any()


def test_pairs_are_described_as_the_published_weights_take_it():
    one, two = cells([[0, 0, 0]]), cells([[3, 0, 4], [0, 1, 0]], seed=1)
    features = pair_features(one, two, nearest(one.position, two.position, 2))
    assert features.offset.tolist() == [[[1, 0, 0], [0, 4, 3]]]  # y, x, z; the nearest first
    own, other = one.size[0], two.size[0]
    expected = [other - own, other / (own + 1), 5, other - 5, float(other > 5), other / 5.0001]
    torch.testing.assert_close(features.size[0, 1], torch.tensor([float(v) for v in expected]))
    (keeps, divides), (keeps2, divides2) = one.division[0].tolist(), two.division[0].tolist()
    both = float(keeps > 0.5 and divides2 > 0.5)
    torch.testing.assert_close(
        features.division[0, 1],
        torch.tensor([keeps, divides, keeps2, divides2, both, keeps * divides2]),
    )
    torch.testing.assert_close(features.candidate[0, 0], two.embedding[1])


def test_taken_cells_keep_all_they_have():
    some = cells(np.arange(12))
    taken = some.take(np.array([3, 1]))
    np.testing.assert_array_equal(taken.position, some.position[[3, 1]])
    torch.testing.assert_close(taken.embedding, some.embedding[[3, 1]])
    assert len(taken) == 2
