from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from napari_dynaclr.tracking import matching
from napari_dynaclr.tracking.matching import match


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    none=st.floats(0.05, 3),
    sizes=st.sampled_from([(1, 1000), (5, 1000), (1000, 1000), (1000, 0)]),
)
@settings(max_examples=150, deadline=None)
def test_the_total_is_the_least_there_is(seed, shape, none, sizes):
    """As a dense solver finds it: in batches of any size, or by auction."""
    generator = np.random.default_rng(seed)
    cost = generator.random(shape)
    rows, columns = np.nonzero(generator.random(shape) < 0.35)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_BATCH", sizes[0])
        patch.setattr(matching, "_LARGE", sizes[1])
        chosen = match(rows, columns, cost[rows, columns], none)
    assert len(set(rows[chosen])) == len(set(columns[chosen])) == len(chosen)
    dense = np.full((shape[0], shape[1] + shape[0]), 1e3)
    dense[rows, columns] = cost[rows, columns]
    dense[np.arange(shape[0]), shape[1] + np.arange(shape[0])] = none
    best = dense[linear_sum_assignment(dense)].sum()
    total = cost[rows[chosen], columns[chosen]].sum() + none * (shape[0] - len(chosen))
    assert total == pytest.approx(best, abs=1e-9 if sizes[1] else 1e-4 * none * shape[0])


def test_without_pairs_none_is_chosen():
    nothing = np.empty(0, np.intp)
    assert match(nothing, nothing, np.empty(0), 1.0).tolist() == []
