from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_dynaclr.evaluation.instances import THRESHOLDS, Counts, overlaps

label_images = arrays(np.uint16, (2, 4, 5), elements=st.integers(0, 4))


def test_iou_and_average_precision_by_hand():
    truth, found = np.zeros((2, 10, 30), np.uint32)
    truth[0:4, 0:10], found[0:4, 0:8] = 7, 90_000  # 32 of 40 pixels: IoU 0.8
    truth[5:9, 0:10], found[5:9, 4:14] = 8, 3  # 24 in common, 56 in all: 0.43
    truth[0:4, 20:25] = 9  # missed
    found[6:8, 20:30] = 4_000_000_000  # not there
    common = overlaps(truth, found)
    assert common.truth.tolist() == [7, 8, 9]
    assert common.found.tolist() == [3, 90_000, 4_000_000_000]
    pairs = dict(zip(map(tuple, common.pairs.tolist()), common.iou, strict=True))
    assert pairs == {(0, 1): pytest.approx(0.8), (1, 0): pytest.approx(24 / 56)}
    counts = Counts.of(truth, found)
    assert (counts.truth, counts.found) == (3, 3)
    assert counts.matches.tolist() == [1, 1, 1, 1, 1, 1, 1, 0, 0, 0], "0.8 counts at 0.80"
    assert counts.ap50 == pytest.approx(1 / 5)
    assert counts.ap == pytest.approx(0.7 / 5)


def test_an_object_halved_matches_once():
    truth, found = np.zeros((2, 4, 8), np.uint8)
    truth[:] = 1
    found[:, :4], found[:, 4:] = 1, 2
    counts = Counts.of(truth, found)
    assert counts.matches[0] == 1, "both halves reach 0.5, one may have it"
    assert counts.ap50 == pytest.approx(1 / 2)


def test_objects_of_two_slices_are_one():
    truth = np.zeros((2, 4, 4), np.uint16)
    truth[:, :2] = 5
    found = truth.copy()
    found[1] = 0
    assert overlaps(truth, found).iou.tolist() == [0.5]
    assert Counts.of(truth, truth).ap == 1


def test_no_object_is_no_score_and_no_match_is_zero():
    nothing, one = np.zeros((4, 4), np.uint16), np.ones((4, 4), np.uint16)
    assert np.isnan(Counts.of(nothing, nothing).ap50)
    assert Counts.of(one, nothing).ap == Counts.of(nothing, one).ap == 0
    total = Counts.none() + Counts.of(one, nothing) + Counts.of(one, one)
    assert (total.truth, total.found, total.ap50) == (2, 1, 0.5)


def most_matches(truth, found, threshold):
    """Count by trying everything."""
    a, b = (sorted(set(np.unique(one)) - {0}) for one in (truth, found))
    if len(a) > len(b):
        a, b, truth, found = b, a, found, truth
    good = {
        (i, j): ((truth == i) & (found == j)).sum()
        >= threshold * ((truth == i) | (found == j)).sum()
        for i, j in itertools.product(a, b)
    }
    return max(
        (sum(good[pair] for pair in zip(a, chosen, strict=True))
         for chosen in itertools.permutations(b, len(a))),
        default=0,
    )  # fmt: skip


@settings(deadline=None)
@given(label_images, label_images, st.sampled_from([0.1, 0.34, 0.5, 0.75]))
def test_as_many_match_as_there_can_be_one_to_one(truth, found, threshold):
    pairs = overlaps(truth, found).matched(threshold)
    assert len(pairs) == most_matches(truth, found, threshold)
    assert all(len(set(side)) == len(pairs) for side in pairs.T)


@settings(deadline=None)
@given(label_images, label_images, st.permutations(range(1, 5)))
def test_scores_lie_between_0_and_1_fall_with_the_threshold_and_know_neither_side_nor_name(
    truth, found, names
):
    counts, back = Counts.of(truth, found), Counts.of(found, truth)
    assert np.all(np.diff(counts.matches) <= 0)
    np.testing.assert_array_equal(counts.matches, back.matches)
    renamed = np.array([0, *names])[found].astype(np.uint16)
    np.testing.assert_array_equal(Counts.of(truth, renamed).matches, counts.matches)
    if counts.truth + counts.found:
        assert np.all((counts.precisions >= 0) & (counts.precisions <= 1))
        assert counts.ap <= counts.ap50 + 1e-12
    same = Counts.of(truth, truth)
    assert same.matches.tolist() == [same.truth] * len(THRESHOLDS)
