from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.training.pairs import (
    Nodes,
    PairSampler,
    balanced,
    families,
    frames_of,
)


def nodes(rows):
    """Nodes of (dataset, fov, track, parent, t) each."""
    table = np.array(rows, np.int64).reshape(-1, 5)
    dataset, fov, track, parent, t = table.T
    return Nodes(dataset, fov, track, parent, t, families(fov, track, parent))


def track(number, times, fov=0, parent=-1, dataset=0):
    return [(dataset, fov, number, parent, t) for t in times]


MOVIE = nodes(
    [
        *track(1, range(4)),  # divides into 2 and 3
        *track(2, range(4, 8), parent=1),
        *track(3, range(4, 6), parent=1),
        *track(4, [0, 1, 3, 4, 5, 6, 7]),  # lost at t=2
        *track(1, range(8), fov=1),  # another cell of the same number
    ]
)


def drawn(sampler, seeds=40):
    for seed in range(seeds):
        yield sampler.draw(seed)


def root(node):
    """Founder of a node's lineage, by hand."""
    own = int(MOVIE.track[node])
    return (int(MOVIE.fov[node]), {2: 1, 3: 1}.get(own, own) if MOVIE.fov[node] == 0 else own)


@pytest.mark.parametrize("tau", [1, 2, 3])
@pytest.mark.parametrize("lineage", [True, False])
def test_time_aware_positives_are_the_same_cell_exactly_tau_later(tau, lineage):
    sampler = PairSampler(MOVIE, "time-aware", {0: tau}, lineage=lineage)
    daughters = set()
    for batch in drawn(sampler):
        for a, p, n in zip(batch.anchor, batch.positive, batch.negative, strict=True):
            assert MOVIE.t[p] == MOVIE.t[a] + tau == MOVIE.t[n]
            assert MOVIE.fov[p] == MOVIE.fov[a]
            assert root(p) == root(a)
            assert root(n) != root(a)
            if MOVIE.track[p] != MOVIE.track[a]:
                daughters.add(int(MOVIE.track[p]))
    assert daughters == ({2, 3} if lineage else set())


def test_cells_without_a_later_self_are_no_anchors():
    sampler = PairSampler(MOVIE, "time-aware", {0: 1}, lineage=False)
    found = {(int(MOVIE.fov[i]), int(MOVIE.track[i]), int(MOVIE.t[i])) for i in sampler.anchors}
    assert (0, 4, 1) not in found  # lost at t=2
    assert (0, 1, 3) not in found  # divides
    assert {(0, 1, 0), (0, 4, 0), (1, 1, 6), (0, 2, 6)} <= found
    assert not any(t == 7 for _, _, t in found)


def test_cell_aware_negatives_are_of_other_lineages_at_any_time():
    times = set()
    for batch in drawn(PairSampler(MOVIE, "cell-aware")):
        np.testing.assert_array_equal(batch.anchor, batch.positive)
        for a, n in zip(batch.anchor, batch.negative, strict=True):
            assert root(a) != root(n)
            times.add(int(MOVIE.t[n] - MOVIE.t[a]))
    assert len(times) > 5


def test_classical_negatives_are_any_other_image():
    own = 0
    for batch in drawn(PairSampler(MOVIE, "classical")):
        np.testing.assert_array_equal(batch.anchor, batch.positive)
        assert (batch.anchor != batch.negative).all()
        own += sum(root(a) == root(n) for a, n in zip(batch.anchor, batch.negative, strict=True))
    assert own > 0


def test_each_dataset_has_its_own_offset_and_its_own_negatives():
    both = nodes(
        [
            *(row for k in (1, 2, 3) for row in track(k, range(12))),
            *(row for k in (1, 2, 3) for row in track(k, range(12), fov=1, dataset=1)),
        ]
    )
    for batch in drawn(PairSampler(both, "time-aware", {0: 1, 1: 3}), seeds=10):
        step = both.t[batch.positive] - both.t[batch.anchor]
        np.testing.assert_array_equal(step, np.where(both.dataset[batch.anchor] == 0, 1, 3))
        np.testing.assert_array_equal(both.dataset[batch.negative], both.dataset[batch.anchor])


def test_every_anchor_is_drawn_once_in_an_order_of_the_seed():
    sampler = PairSampler(MOVIE, "time-aware", {0: 1})
    whole = sampler.draw(3).anchor
    assert sorted(whole) == sampler.anchors.tolist()
    np.testing.assert_array_equal(whole, sampler.draw(3).anchor)
    assert whole.tolist() != sampler.draw(4).anchor.tolist()
    twice = sampler.draw(3, 2 * len(whole)).anchor
    assert sorted(twice) == sorted([*whole, *whole])


def test_only_the_rows_among_which_to_choose_are_anchors():
    among = MOVIE.t < 2
    sampler = PairSampler(MOVIE, "time-aware", {0: 1}, among=among)
    assert set(sampler.anchors) == set(PairSampler(MOVIE, "time-aware", {0: 1}).anchors) & set(
        np.flatnonzero(among)
    )
    batch = sampler.draw(0)
    assert MOVIE.t[batch.positive].max() == 2


def test_sisters_are_relatives_also_without_their_mother():
    orphans = MOVIE.take(MOVIE.t >= 4)
    sisters = orphans.family[(orphans.fov == 0) & np.isin(orphans.track, [2, 3])]
    assert len(set(sisters)) == 1
    batch = PairSampler(orphans, "time-aware", {0: 1}).draw(0, 200)
    assert (orphans.family[batch.anchor] != orphans.family[batch.negative]).all()


def test_balanced_groups_give_equally_many_anchors():
    uneven = nodes([*(row for k in range(1, 10) for row in track(k, range(20))),
                    *track(1, range(20), fov=1), *track(2, range(20), fov=1)])  # fmt: skip
    sampler = PairSampler(uneven, "time-aware", {0: 1}, weights=balanced(uneven.fov))
    groups = uneven.fov[sampler.draw(0, 4000).anchor]
    assert abs((groups == 1).mean() - 0.5) < 0.05


@pytest.mark.parametrize(
    "movie",
    [
        [],
        track(1, [0]) + track(2, [0]),  # tracks of one frame
        track(1, range(5)),  # nobody else
        track(1, range(3)) + track(2, range(3), parent=1),  # relatives only
    ],
)
def test_without_a_pair_it_says_so(movie):
    with pytest.raises(InvalidInput, match="No cell has both a positive and a negative"):
        PairSampler(nodes(movie), "time-aware", {0: 1})


def test_tracks_in_a_circle_end():
    circle = nodes(track(1, range(3), parent=2) + track(2, range(3), parent=1)
                   + track(5, range(6)) + track(6, range(6)))  # fmt: skip
    sampler = PairSampler(circle, "time-aware", {0: 4})
    assert len(sampler.draw().anchor) == 4


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    tau=st.integers(1, 4),
    lineage=st.booleans(),
    strategy=st.sampled_from(["time-aware", "cell-aware", "classical"]),
)
def test_pairs_are_those_found_the_plain_way(seed, tau, lineage, strategy):
    generator = np.random.default_rng(seed)
    rows = []
    for fov in range(2):
        for number in range(1, 6):
            parent = int(generator.integers(0, number)) or -1
            times = np.flatnonzero(generator.random(8) < 0.7)
            rows += track(number, times.tolist(), fov=fov, parent=parent)
    movie = nodes(rows)
    known = {(f, k, t): i for i, (_, f, k, _, t) in enumerate(rows)}
    parent = {(f, k): p for _, f, k, p, _ in rows}

    def later(f, k, t):
        if (f, k, t) in known:
            return {known[f, k, t]}
        if not lineage:
            return set()
        born = [one for (g, one), p in parent.items() if g == f and p == k]
        return {row for one in born for row in later(f, one, t)}

    try:
        sampler = PairSampler(movie, strategy, {0: tau}, lineage=lineage)
    except InvalidInput:
        return
    batch = sampler.draw(seed)
    for a, p in zip(batch.anchor.tolist(), batch.positive.tolist(), strict=True):
        _, f, k, _, t = rows[a]
        assert p in (later(f, k, t + tau) if strategy == "time-aware" else {a})


@pytest.mark.parametrize(
    ("tau", "unit", "interval", "frames"),
    [(1, "frames", None, 1), (3, "frames", 10, 3), (30, "min", 10, 3), (30, "min", 30.5, 1)],
)
def test_tau_in_frames(tau, unit, interval, frames):
    assert frames_of(tau, unit, interval) == frames


@pytest.mark.parametrize(
    ("tau", "unit", "interval", "says"),
    [
        (0, "frames", None, "whole number of at least 1"),
        (1.5, "frames", None, "whole number"),
        (25, "min", 10, "use 20 min"),
        (5, "min", 30, "use 30 min"),
        (30, "min", None, "give tau in frames"),
    ],
)
def test_tau_that_fits_no_frame_says_what_does(tau, unit, interval, says):
    with pytest.raises(InvalidInput, match=says):
        frames_of(tau, unit, interval)
