from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from napari_dynaclr.embedding.events.picking import apart, inside, peaks

SCALE = (1.5, 0.5, 0.5)


def spots(shape, *places):
    maps = np.zeros(shape, np.float32)
    for *place, height in places:
        maps[tuple(place)] = height
    return maps


def test_peaks_are_the_highest_places_of_blurred_maps_the_highest_first():
    maps = spots((1, 100, 120), (0, 20, 30, 50.0), (0, 70, 90, 80.0))
    found = peaks(maps, SCALE, smoothing=1.0, radius=6.0)
    assert found[["z", "y", "x"]].to_numpy().tolist() == [[0, 70, 90], [0, 20, 30]]
    # A point becomes a Gaussian of 2 pixels: its height divided by 2 pi sigma^2.
    np.testing.assert_allclose(found["score"], np.array([80.0, 50.0]) / (2 * np.pi * 4), rtol=0.01)


def test_without_blur_peaks_are_as_high_as_the_map():
    found = peaks(spots((1, 40, 40), (0, 9, 11, 3.0)), SCALE, smoothing=0.0, radius=6.0)
    assert found.to_numpy().tolist() == [[0, 9, 11, 3.0]]


def test_of_several_slices_the_highest_counts():
    maps = spots((5, 60, 60), (1, 20, 30, 10.0), (3, 20, 30, 40.0))
    found = peaks(maps, SCALE, smoothing=0.5, radius=6.0)
    assert found[["z", "y", "x"]].to_numpy().tolist() == [[3, 20, 30]]


def test_a_map_of_zeros_has_no_peaks():
    assert peaks(np.zeros((2, 30, 30), np.float32), SCALE, 1.0, 6.0).empty


def table(*rows):
    return pd.DataFrame(rows, columns=["t", "z", "y", "x", "score"]).astype(float)


def test_what_is_near_in_space_and_time_is_one_event():
    rows = table(
        (0, 0, 10, 10, 5.0),
        (1, 0, 12, 10, 9.0),  # a frame later, 1 um away: the higher one is kept
        (4, 0, 10, 10, 4.0),  # the same place, but 90 min later
        (1, 0, 80, 10, 3.0),  # the same time, elsewhere
    )
    kept = apart(rows, SCALE, minutes=30, radius=10, window=60, count=10)
    assert kept.tolist() == [1, 2, 3]
    assert apart(rows, SCALE, 30, 10, 90, 10).tolist() == [1, 3]
    assert apart(rows, SCALE, 30, 0.9, 0, 10).tolist() == [1, 0, 2, 3]
    assert apart(rows, SCALE, 30, 10, 60, 2).tolist() == [1, 2]


def test_slices_count_by_their_distance():
    rows = table((0, 0, 10, 10, 5.0), (0, 4, 10, 10, 4.0))  # 6 um apart in z
    assert apart(rows, SCALE, 30, 5.9, 60, 10).tolist() == [0, 1]
    assert apart(rows, SCALE, 30, 6.1, 60, 10).tolist() == [0]


@given(st.integers(0, 10_000), st.floats(1, 40), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_no_two_events_are_together_and_none_is_left_out_without_a_higher_one(seed, radius, frames):
    generator = np.random.default_rng(seed)
    count = 60
    rows = pd.DataFrame(
        {
            "t": generator.integers(0, 12, count),
            "z": 0.0,
            "y": generator.uniform(0, 200, count),
            "x": generator.uniform(0, 200, count),
            "score": generator.permutation(count) + 1.0,
        }
    )
    kept = apart(rows, SCALE, 10, radius, 10 * frames, count)
    places = rows[["z", "y", "x"]].to_numpy() * SCALE
    near = cdist(places, places) <= radius
    t = rows["t"].to_numpy()
    together = near & (np.abs(t[:, None] - t) <= frames)
    np.fill_diagonal(together, False)
    assert not together[np.ix_(kept, kept)].any()
    score = rows["score"].to_numpy()
    for row in set(range(count)) - set(kept.tolist()):
        assert any(together[row, one] and score[one] > score[row] for one in kept)


def test_nothing_to_choose_from():
    assert apart(table(), SCALE, 30, 10, 60, 5).tolist() == []


@pytest.mark.parametrize("sizes", [(64, 64), (65, 33)])
def test_peaks_at_the_border_are_peaks_too(sizes):
    found = peaks(spots((1, *sizes), (0, 0, 0, 5.0)), SCALE, 0.0, 6.0)
    assert found[["y", "x"]].to_numpy().tolist() == [[0, 0]]


def test_places_near_the_edge_are_told_apart():
    places = pd.DataFrame({"y": [0, 1, 2, 30, 57, 58], "x": 30})
    away = inside(places, (60, 61), SCALE, border=1.25)  # 2.5 pixels
    assert away.tolist() == [False, False, True, True, True, False]
    assert inside(places, (60, 61), SCALE, border=0).all()
    assert not inside(places.rename(columns={"y": "x", "x": "y"}), (61, 60), SCALE, 1.25)[0]
