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
        Fits a classifier, its scaler included, to vectors and states.
    vectors, states
        The annotated cells, (N, D) and (N,).
    groups
        What must stay together: lineages, FOVs or wells, (N,).
    folds
        Parts, lowered to the number of groups of the rarest state.

    Returns
    -------
    dict or None
        :func:`scores`; None where some state occurs in one group only, so that
        nothing can be held out.
    """
    groups_of_rarest = min(len(np.unique(groups[states == state])) for state in np.unique(states))
    parts = min(folds, groups_of_rarest)
    if parts < 2:
        return None
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=0)
    truth: list[NDArray[np.str_]] = []
    predicted: list[NDArray[np.str_]] = []
    for train, test in splitter.split(vectors, states, groups):
        if len(np.unique(states[train])) < 2:
            continue
        truth.append(states[test])
        predicted.append(fit(vectors[train], states[train]).predict(vectors[test]))
    if not truth:
        return None
    return scores(np.concatenate(truth), np.concatenate(predicted))
