from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.embedding.events.stopping import advice, false_share


def test_the_share_is_what_is_as_high_backwards():
    scores = np.array([9.0, 8.0, 7.0, 4.0, 3.0])
    # 1 of 3 down to 7.0, and 3 of 5 in the end: one more than is found backwards.
    assert false_share(scores, np.array([3.5, 3.0])).tolist() == pytest.approx(
        [1 / 4] * 4 + [3 / 5]
    )
    assert false_share(scores, np.array([])).tolist() == pytest.approx([1 / 5] * 5)
    assert false_share(scores, np.full(9, 10.0)).tolist() == [1.0] * 5
    assert false_share(np.array([]), scores).tolist() == []


def test_where_there_is_no_direction_as_much_is_found_backwards():
    rng = np.random.default_rng(0)
    scores, backwards = (np.sort(rng.gamma(2, size=400))[::-1] for _ in range(2))
    share = false_share(scores, backwards)
    assert share.min() > 0.5
    assert advice(share).startswith("No score is higher than chance would give")


def test_it_tells_how_many_of_a_mixture_are_right():
    rng = np.random.default_rng(1)
    noise, backwards = rng.gamma(2, size=300), rng.gamma(2, size=300)
    scores = np.concatenate([rng.normal(14, 2, 60), noise])
    order = np.argsort(-scores)
    share, right = false_share(scores[order], backwards), order < 60
    for limit in (0.1, 0.3):
        count = (share <= limit).sum()
        assert 1 - right[:count].mean() == pytest.approx(limit, abs=0.1)
    said = advice(share)
    assert said.startswith(f"The first {(share <= 0.1).sum()} have a higher score than chance")


def test_a_list_too_short_to_be_sure_says_what_is_known():
    assert advice(np.array([0.25, 0.25, 0.25, 0.25, 0.6])).startswith(
        "Of the first 4 events, about 25% have no direction in time"
    )


def test_of_a_handful_nothing_is_said_that_nobody_can_know():
    for count in (1, 2, 9):
        scores = np.arange(count, 0, -1.0)
        said = advice(false_share(scores, np.array([0.5])))
        assert "too few to tell" in said
        assert said.startswith("Nothing found in the movie played backwards has a score as high")
    assert "one event is" in advice(np.array([1.0]))
    # What is found backwards tells even of a handful, and nothing found tells of ten.
    assert advice(false_share(np.array([2.0, 1.0]), np.array([3.0]))).startswith("No score is")
    assert advice(np.full(10, 0.1)).startswith("The first 10 have a higher score")
