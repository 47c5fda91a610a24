"""Cross-validation that never puts one cell on both sides of a split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score
from sklearn.model_selection import StratifiedGroupKFold

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def scores(truth: NDArray[np.str_], predicted: NDArray[np.str_]) -> dict[str, Any]:
    """Compare predicted with true states.

    Returns
    -------
    dict
        ``cells``, ``accuracy``, ``f1_macro``, ``f1`` by state, ``states`` and the
        ``confusion`` matrix (rows: truth, columns: predicted) in their order.
    """
    states = sorted({*truth.tolist(), *predicted.tolist()})
    by_state = f1_score(truth, predicted, labels=states, average=None, zero_division=0)
    matrix = confusion_matrix(truth, predicted, labels=states)
    return {
        "cells": len(truth),
        "accuracy": float((truth == predicted).mean()),
        "f1_macro": float(np.mean(by_state)),
        "f1": dict(zip(states, map(float, by_state), strict=True)),
        "states": states,
        "confusion": matrix.tolist(),
    }


def calibration(
    truth: NDArray[np.str_], states: list[str], probability: NDArray[np.floating], bins: int = 10
) -> dict[str, Any]:
    """Compare how sure a classifier was with how often it was right.

    Guo, Pleiss, Sun and Weinberger 2017, section 2: predictions are grouped by their
    confidence, the probability of the likeliest state, in steps of equal width.

    Parameters
    ----------
    truth
        True states, (N,).
    states
        What the columns of ``probability`` are about, (S,).
    probability
        Of each state, by a classifier that has not learnt from these cells, (N, S).
    bins
        Steps between 0 and 1.

    Returns
    -------
    dict
        ``confidence`` and ``accuracy`` (means) and ``cells`` (count) of each step that
        has cells, in order; ``expected_error``, the mean distance of the two, weighted
        by cells (the expected calibration error).
    """
    confidence = probability.max(axis=1)
    right = np.array(states)[probability.argmax(axis=1)] == truth
    # A confidence on the border of two steps is of the lower one, as with Guo et al.
    step = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    cells = np.bincount(step, minlength=bins)
    held = cells > 0
    sure = np.bincount(step, confidence, bins)[held] / cells[held]
    accurate = np.bincount(step, right, bins)[held] / cells[held]
    return {
        "confidence": sure.tolist(),
        "accuracy": accurate.tolist(),
        "cells": cells[held].tolist(),
        "expected_error": float(np.average(np.abs(sure - accurate), weights=cells[held])),
    }


def cross_validate(
    fit: Callable[[NDArray[np.float32], NDArray[np.str_]], Any],
    vectors: NDArray[np.float32],
    states: NDArray[np.str_],
    groups: NDArray[np.str_],
    folds: int,
) -> dict[str, Any] | None:
    """Score on groups that were not learnt from, each group once at most.

    Parameters
    ----------
    fit
        Fits a classifier, its scaler included, to vectors and states; it has
        ``predict_proba`` and ``classes_``.
    vectors, states
        The annotated cells, (N, D) and (N,).
    groups
        What must stay together: lineages, FOVs or wells, (N,).
    folds
        Parts, lowered to the number of groups of the rarest state.

    Returns
    -------
    dict or None
        :func:`scores`, and their :func:`calibration`; None where some state occurs in
        one group only, so that nothing can be held out.
    """
    groups_of_rarest = min(len(np.unique(groups[states == state])) for state in np.unique(states))
    parts = min(folds, groups_of_rarest)
    if parts < 2:
        return None
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=0)
    names = np.unique(states)
    probability = np.full((len(states), len(names)), np.nan)
    for train, test in splitter.split(vectors, states, groups):
        if len(np.unique(states[train])) < 2:
            continue
        model = fit(vectors[train], states[train])
        # A state that the rest has no cell of has no chance.
        probability[test] = 0.0
        columns = np.searchsorted(names, model.classes_)
        probability[np.ix_(test, columns)] = model.predict_proba(vectors[test])
    tested = ~np.isnan(probability[:, 0])
    if not tested.any():
        return None
    truth, probability = states[tested], probability[tested]
    found = scores(truth, names[probability.argmax(axis=1)])
    return found | {"calibration": calibration(truth, names.tolist(), probability)}
