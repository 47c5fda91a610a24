from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr.core.measures import (
    cosine_distances,
    dynamic_range,
    effective_rank,
    smoothness,
    trajectory_distances,
    unit_vectors,
)


def rows(seed, tracks=5, times=8, dimensions=4, keep=0.7):
    """Shuffled rows of tracks with gaps."""
    generator = np.random.default_rng(seed)
    track, t = np.divmod(np.arange(tracks * times), times)
    kept = generator.permutation(np.flatnonzero(generator.random(len(t)) < keep))
    vectors = generator.normal(0, 1, (len(kept), dimensions))
    return vectors, track[kept] * 10 + 3, t[kept]


def cosine(a, b):
    return 1 - np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))


def naive(vectors, tracks, times):
    """Eqs. 1 and 2 of dynaclr.txt, A.4, word by word; per track: adjacent and all pairs."""
    adjacent, pairs = {}, {}
    for i in range(len(vectors)):
        for j in range(len(vectors)):
            if tracks[i] == tracks[j] and times[i] < times[j]:
                distance = cosine(vectors[i], vectors[j])
                pairs.setdefault(tracks[i], []).append(distance)
                if times[j] == times[i] + 1:
                    adjacent.setdefault(tracks[i], []).append(distance)
    return adjacent, pairs


@given(seed=st.integers(0, 2**32 - 1), keep=st.floats(0.3, 1.0))
@settings(max_examples=25, deadline=None)
def test_distances_are_those_of_a_naive_loop_over_shuffled_rows_with_gaps(seed, keep):
    vectors, tracks, times = rows(seed, keep=keep)
    adjacent, random = trajectory_distances(vectors, tracks, times, random_pairs=4, seed=1)
    by_track, pairs = naive(vectors, tracks, times)
    expected = [d for track in sorted(by_track) for d in by_track[track]]
    np.testing.assert_allclose(sorted(adjacent), sorted(expected), atol=1e-12)
    # Every random pair is two different nodes of the track of its adjacent pair.
    assert len(random) == 4 * len(adjacent)
    start = 0
    for track in sorted(by_track):
        count = 4 * len(by_track[track])
        allowed = np.array(pairs[track])
        for distance in random[start : start + count]:
            assert np.abs(allowed - distance).min() < 1e-12
        start += count


def test_smoothness_is_the_ratio_of_the_means():
    vectors, tracks, times = rows(3, tracks=1, times=12, keep=1.0)
    adjacent, random = trajectory_distances(vectors, tracks, times, random_pairs=4000)
    by_track, _ = naive(vectors, tracks, times)
    # The expectation of a partner drawn evenly from the rest of the track.
    order = np.argsort(times)
    ordered = vectors[order]
    partner = [
        np.mean([cosine(ordered[i], ordered[j]) for j in range(12) if j != i]) for i in range(11)
    ]
    expected = np.mean(by_track[3]) / np.mean(partner)
    assert smoothness(adjacent, random) == pytest.approx(expected, rel=0.02)


def test_a_steady_walk_is_smoother_than_a_jumpy_one():
    angle = np.linspace(0, np.pi, 40)
    steady = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    jumpy = steady[np.random.default_rng(0).permutation(40)]
    track, times = np.zeros(40, int), np.arange(40)
    one, other = (smoothness(*trajectory_distances(v, track, times)) for v in (steady, jumpy))
    assert one < 0.02
    assert 0.7 < other < 1.3


@given(seed=st.integers(0, 1000), factor=st.floats(1e-3, 1e3))
@settings(max_examples=15, deadline=None)
def test_the_scale_of_the_embedding_and_the_order_of_rows_do_not_matter(seed, factor):
    vectors, tracks, times = rows(seed)
    again = np.random.default_rng(seed + 1).permutation(len(vectors))
    expected = trajectory_distances(vectors, tracks, times)
    found = trajectory_distances(vectors[again] * factor, tracks[again] + 100, times[again])
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_random_pairs_repeat_by_their_seed():
    vectors, tracks, times = rows(0)
    one, again, other = (
        trajectory_distances(vectors, tracks, times, seed=seed)[1] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_track_with_gaps_everywhere_has_no_adjacent_pair():
    adjacent, random = trajectory_distances(np.eye(3), np.zeros(3, int), np.array([0, 2, 4]))
    assert len(adjacent) == len(random) == 0


@pytest.mark.parametrize(
    ("near", "far", "width"), [(0.1, 0.9, 0.05), (0.5005, 1.0005, 1e-5), (0.02, 1.5, 0.01)]
)
def test_dynamic_range_is_the_distance_of_the_peaks(near, far, width):
    generator = np.random.default_rng(0)
    adjacent = generator.normal(near, width, 4000)
    # A long tail moves the mean but not the peak.
    random = np.concatenate([generator.normal(far, width, 4000), generator.uniform(0, 2, 1000)])
    assert dynamic_range(adjacent, random) == pytest.approx(far - near, abs=max(width, 0.015))


def test_distances_without_spread_are_their_own_peak():
    assert dynamic_range(np.full(5, 0.25), np.full(9, 1.0)) == pytest.approx(0.75)
    assert dynamic_range(np.array([0.25]), np.array([1.0])) == pytest.approx(0.75)


def test_many_distances_are_sampled_by_the_seed():
    generator = np.random.default_rng(0)
    adjacent, random = generator.normal(0.2, 0.05, 30_000), generator.normal(1.0, 0.2, 30_000)
    one, again = (dynamic_range(adjacent, random, 3) for _ in range(2))
    assert one == again == pytest.approx(0.8, abs=0.06)


def test_the_rank_is_the_number_of_dimensions_that_are_used():
    generator = np.random.default_rng(0)
    line = generator.normal(size=(400, 1)) @ generator.normal(size=(1, 16))
    plane = generator.normal(size=(4000, 3)) @ np.linalg.qr(generator.normal(size=(16, 16)))[0][:3]
    assert effective_rank(line + 5) == pytest.approx(1)
    assert effective_rank(plane) == pytest.approx(3, abs=0.01)
    assert effective_rank(generator.normal(size=(4000, 16))) == pytest.approx(16, abs=0.1)
    assert effective_rank(np.ones((10, 4))) == 0


def test_distances_of_many_pairs_are_those_of_each_and_zeros_make_no_nan():
    vectors = np.random.default_rng(0).normal(size=(50, 6))
    vectors[7] = 0
    generator = np.random.default_rng(1)
    one, other = generator.integers(8, 50, (2, 70_000))  # more than a block
    found = cosine_distances(unit_vectors(vectors), one, other)
    for i in (0, 65_535, 65_536, 69_999):
        assert found[i] == pytest.approx(cosine(vectors[one[i]], vectors[other[i]]))
    assert cosine_distances(unit_vectors(vectors), np.array([7]), np.array([3])).item() == 1
