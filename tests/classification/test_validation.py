from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from napari_dynaclr import classify
from napari_dynaclr.classification import linear
from napari_dynaclr.classification.validation import calibration, cross_validate, scores
from napari_dynaclr.core.registry import parse


class Spy:
    """A fit that remembers what it was given and predicts nothing useful."""

    def __init__(self):
        self.trained, self.tested, self.states = [], [], []

    def __call__(self, vectors, states):
        self.trained.append(vectors[:, 0].tolist())
        self.states.append(states)
        return self

    @property
    def classes_(self):
        return np.unique(self.states[-1])

    def predict_proba(self, vectors):
        self.tested.append(vectors[:, 0].tolist())
        return np.tile([0.75, 0.25], (len(vectors), 1))


def cells(count=60, groups=12, seed=0):
    generator = np.random.default_rng(seed)
    group = generator.integers(0, groups, count)
    states = np.where(generator.random(count) < 0.4, "a", "b")
    return np.arange(count, dtype=np.float32)[:, None], states, group.astype(str)


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_on_both_sides_of_a_split_and_every_cell_is_tested_once(seed):
    vectors, states, groups = cells(seed=seed)
    spy = Spy()
    cross_validate(spy, vectors, states, groups, 4)
    assert len(spy.trained) == 4
    for train, test in zip(spy.trained, spy.tested, strict=True):
        in_train, in_test = (set(groups[np.array(rows, int)]) for rows in (train, test))
        assert not in_train & in_test
        assert len(train) + len(test) == 60
    assert sorted(np.concatenate(spy.tested)) == list(range(60))


def test_folds_are_lowered_to_the_groups_of_the_rarest_state():
    states = np.array(["a"] * 10 + ["b"] * 10)
    groups = np.array([str(i) for i in range(10)] + ["x", "y", "z"] * 3 + ["z"])
    spy = Spy()
    found = cross_validate(spy, np.zeros((20, 1), np.float32), states, groups, 10)
    assert len(spy.trained) == 3
    assert found["cells"] == 20
    assert found["confusion"] == [[10, 0], [10, 0]]
    assert found["calibration"] == {
        "confidence": [0.75], "accuracy": [0.5], "cells": [20], "expected_error": 0.25
    }  # fmt: skip


def test_a_state_that_a_fold_has_not_learnt_has_no_chance_there():
    states = np.array(["a", "a", "b", "b", "c", "c"] * 2)
    groups = np.array(["1", "2"] * 6)

    class Blind(Spy):
        """Never learns of b."""

        classes_ = np.array(["a", "c"])

    found = cross_validate(Blind(), np.zeros((12, 1), np.float32), states, groups, 2)
    assert found["states"] == ["a", "b", "c"]
    assert np.array(found["confusion"])[:, 1].sum() == 0
    assert found["calibration"]["confidence"] == [0.75]


def test_calibration_of_known_bins():
    probability = np.array([[0.95, 0.05]] * 10 + [[0.35, 0.65]] * 4 + [[0.5, 0.5]])
    truth = np.array([*"aaaaaaaaab", *"bbab", "a"])
    found = calibration(truth, ["a", "b"], probability)
    np.testing.assert_allclose(found["confidence"], [0.5, 0.65, 0.95])
    np.testing.assert_allclose(found["accuracy"], [1, 0.75, 0.9])
    assert found["cells"] == [1, 4, 10]
    assert found["expected_error"] == pytest.approx((0.5 * 1 + 0.1 * 4 + 0.05 * 10) / 15)


def test_an_honest_classifier_is_told_from_one_that_boasts():
    generator = np.random.default_rng(0)
    p = generator.uniform(size=20_000)
    truth = np.where(generator.random(len(p)) < p, "a", "b")

    def error(of_a):
        return calibration(truth, ["a", "b"], np.stack([of_a, 1 - of_a], 1))["expected_error"]

    assert error(p) < 0.02
    assert error(np.where(p > 0.5, 0.99, 0.01)) > 0.2


def test_a_state_of_one_group_only_cannot_be_held_out():
    states = np.array(["a"] * 6 + ["b"] * 6)
    groups = np.array([*"uvwxyz", *"k" * 6])
    assert cross_validate(Spy(), np.zeros((12, 1), np.float32), states, groups, 5) is None


def test_a_fold_never_learns_from_one_state_only():
    states = np.array(["a", "b", "b", "b", "a", "a"])
    groups = np.array(["1", "1", "2", "2", "3", "3"])
    spy = Spy()
    cross_validate(spy, np.zeros((6, 1), np.float32), states, groups, 2)
    assert all(len(set(seen)) == 2 for seen in spy.states)


def test_scores_of_a_known_confusion():
    truth = np.array(["a"] * 10 + ["b"] * 5 + ["c"] * 2)
    predicted = np.array(["a"] * 8 + ["b"] * 2 + ["b"] * 4 + ["a"] + ["d"] * 2)
    found = scores(truth, predicted)
    assert found["states"] == ["a", "b", "c", "d"]
    assert found["confusion"] == [[8, 2, 0, 0], [1, 4, 0, 0], [0, 0, 0, 2], [0, 0, 0, 0]]
    assert found["accuracy"] == pytest.approx(12 / 17)
    assert found["f1"]["a"] == pytest.approx(16 / 19)
    assert found["f1"]["b"] == pytest.approx(8 / 11)
    assert found["f1"]["c"] == found["f1"]["d"] == 0
    assert found["f1_macro"] == pytest.approx(
        f1_score(truth, predicted, average="macro", zero_division=0)
    )


def test_scaler_and_classifier_see_the_training_cells_of_their_fold_only(embedded, monkeypatch):
    """Every fit of the scaler is on the vectors that fit was called with, mother and daughters
    always together."""
    seen, scaled = [], []
    original, original_scaler = linear.fit, StandardScaler.fit
    monkeypatch.setattr(
        linear, "fit", lambda vectors, *rest: seen.append(vectors) or original(vectors, *rest)
    )
    monkeypatch.setattr(
        StandardScaler,
        "fit",
        lambda self, vectors, *rest: (
            scaled.append(vectors) or original_scaler(self, vectors, *rest)
        ),
    )
    embedded.annotate(embedded.truth)
    classify(embedded.dataset, parse("classify", "linear", {"folds": 4}))
    assert len(seen) == len(scaled) == 4 + 4 + 2 + 1, "tracks, FOVs, wells, all"
    for one, other in zip(seen, scaled, strict=True):
        np.testing.assert_array_equal(one, other)
    whole = np.concatenate(
        [
            np.asarray(embedded.dataset.workspace.embedding("features", f).X)
            for f in embedded.dataset.fovs
        ]
    )
    truth = embedded.truth
    place = {row.tobytes(): i for i, row in enumerate(whole)}
    lineage = truth["fov_name"] + "/" + truth["track_id"].replace({7: 1, 8: 1}).astype(str)
    groups = [lineage] * 4 + [truth["fov_name"]] * 4 + [truth["fov_name"].str[:3]] * 2
    for vectors, group in zip(seen[:-1], groups, strict=True):
        rows = [place[row.tobytes()] for row in vectors]
        train = np.isin(np.arange(len(whole)), rows)
        assert 0 < train.sum() < len(whole)
        assert not set(group[train]) & set(group[~train])
    assert len(seen[-1]) == len(whole)
