from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr import Job, classify, evaluate, params
from napari_dynaclr.comparison.labels import find_labels
from napari_dynaclr.comparison.scoring import judge


def test_features_score_as_classify_and_evaluate_say(processed):
    """Annotations, cross-validated: the same as the classifier's own scores."""
    classify(processed)
    expected = next(
        scores
        for scores in (processed.workspace.scores("infection")[by] for by in ("well", "fov"))
        if scores
    )
    found = judge(
        processed, "features", True, find_labels(processed, params("compare"), Job()), Job()
    )
    assert found["f1"] == pytest.approx(expected["f1"]["infected"])
    assert found["f1_mean_of_states"] == pytest.approx(expected["f1_macro"])
    assert np.isnan(found["f1_sd"])
    values = evaluate(processed).set_index("metric")["value"]
    assert found["smoothness"] == pytest.approx(values["smoothness"])
    assert found["dynamic_range"] == pytest.approx(values["dynamic_range"])


def test_held_out_cells_are_scored_by_what_was_learnt_elsewhere(processed, truth):
    settings = params("compare", truth=str(truth), held_out=("B/1/1",), draws=4, clicks=30)
    labels = find_labels(processed, settings, Job())
    found = judge(processed, "features", True, labels, Job())
    assert 0.85 < found["f1"] <= 1
    assert 0 < found["f1_sd"] < 0.2
    only = evaluate(processed.select(["B/1/1"])).set_index("metric")["value"]
    assert found["smoothness"] == pytest.approx(only["smoothness"]), "of the held-out FOV"

    # With the states of what is learnt exchanged, it is wrong where it was right.
    swap = {"infected": "uninfected", "uninfected": "infected"}
    learnt = tuple(one.assign(state=one["state"].map(swap)) for one in labels.learnt)
    wrong = type(labels)(**{**vars(labels), "learnt": learnt})
    assert judge(processed, "features", True, wrong, Job())["f1"] < 0.2


def test_without_states_distances_are_measured_all_the_same(processed):
    labels = find_labels(processed, params("compare", task="division"), Job())
    found = pd.Series(judge(processed, "features", True, labels, Job()))
    assert found[["f1", "f1_sd", "f1_mean_of_states"]].isna().all()
    assert found[["smoothness", "dynamic_range"]].notna().all()
