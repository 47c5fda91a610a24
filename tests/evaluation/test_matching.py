from __future__ import annotations

import numpy as np
import pandas as pd

from napari_dynaclr.evaluation.matching import match_centroids, match_labels


def test_a_cell_matches_the_true_one_of_which_it_covers_more_than_half():
    truth, ours = np.zeros((2, 1, 10, 20), np.uint32)
    truth[0, :, 0:4], ours[0, :, 0:3] = 5, 70_000  # three quarters
    truth[0, :, 6:10], ours[0, :, 8:12] = 6, 8  # exactly half: not more
    truth[0, 0, 15] = 7
    assert match_labels(truth, ours).tolist() == [[5, 70_000]]


def test_one_cell_over_two_true_ones_matches_both_the_larger_overlap_first():
    truth, ours = np.zeros((2, 1, 10, 20), np.uint32)
    truth[0, :, 0:4], truth[0, :, 5:12], ours[0, :, 0:12] = 1, 2, 9
    assert match_labels(truth, ours).tolist() == [[2, 9], [1, 9]]


def test_nothing_matches_where_one_side_is_empty():
    truth, ours = np.zeros((2, 1, 4, 4), np.uint32)
    assert match_labels(truth, ours).shape == (0, 2)
    assert match_labels(truth + 1, ours).shape == (0, 2)
    assert match_labels(truth, ours + 1).shape == (0, 2)


def table(*rows):
    return pd.DataFrame(rows, columns=["t", "z", "y", "x"])


def test_centroids_match_only_if_each_is_the_others_nearest_at_the_same_time():
    truth = table((0, 0, 0, 0), (0, 0, 10, 0), (1, 0, 0, 0), (2, 0, 0, 0))
    ours = table((1, 0, 50, 0), (0, 0, 9, 0), (0, 0, 7, 0), (2, 0, 2, 0))
    pairs = match_centroids(truth, ours, (1, 1, 1), 8.0)
    # The first true cell is nearest to one of ours that is nearer to the second.
    assert sorted(map(tuple, pairs.tolist())) == [(1, 1), (3, 3)]


def test_reach_is_in_um():
    truth, ours = table((0, 0, 0, 0)), table((0, 1, 0, 3))
    assert len(match_centroids(truth, ours, (4.0, 1.0, 1.0), 5.0)) == 1
    assert len(match_centroids(truth, ours, (4.0, 1.0, 1.0), 4.9)) == 0


def test_no_common_time_is_no_match():
    assert match_centroids(table((0, 0, 0, 0)), table((1, 0, 0, 0)), (1, 1, 1), 9).shape == (0, 2)
