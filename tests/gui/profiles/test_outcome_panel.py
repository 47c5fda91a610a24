from __future__ import annotations

import pandas as pd
import pytest
from plain import rest
from qtpy.QtCore import Qt

from napari_dynaclr import evaluation, params, profile
from napari_dynaclr.gui.profiles.outcome_panel import OutcomePanel
from napari_dynaclr.session.outcomes import NUISANCE, RETRIEVAL, Outcome
from napari_dynaclr.session.profiles import read_profiles

LEFT = Qt.MouseButton.LeftButton
PLAIN = params("profile", "cells", embedding="features", map="none", standardize="plate")


def retrieval():
    row = {
        "split": "leave one well out", "condition": "all", "queries": 12, "wells": 12,
        "accuracy": 0.75, "chance": 1 / 3, "p": 0.005,
        "mean_average_precision": 0.7, "chance_precision": 0.4,
    }  # fmt: skip
    rows = [row, {**row, "condition": "mock"}, {**row, "condition": "drug", "accuracy": 0.5}]
    return pd.DataFrame([*rows, {**row, "split": "4-fold over wells", "p": 0.4}])


def nuisance():
    return pd.DataFrame(
        {
            "nuisance": ["row", "field position"],
            "score": [0.3, 0.9],
            "chance": [0.33, 0.25],
            "chance_high": [0.5, 0.4],
            "p": [0.6, 0.01],
            "meaning": ["The row of the well cannot be told.", "The place can be told."],
        }
    )


@pytest.fixture
def measured(monkeypatch):
    """What 'evaluate' is asked for; it measures nothing."""
    asked = []

    def measure(dataset, settings, job):
        asked.append((dataset.fov_names, settings))
        table = retrieval() if hasattr(settings, "level") else nuisance()
        dataset.workspace.prepare(dataset.channels)
        return evaluation.report.Report(table)

    for name in ("retrieval", "nuisance"):
        module = __import__(f"napari_dynaclr.evaluation.{name}", fromlist=["measure"])
        monkeypatch.setattr(module, "measure", measure)
    return asked


@pytest.fixture
def panel(windowless, measured, qtbot):
    dataset = windowless.session.dataset
    profile(dataset, PLAIN)
    made = OutcomePanel(windowless.viewer)
    made.resize(380, 500)
    qtbot.addWidget(made)
    made.show()
    rest(windowless, qtbot)
    return made


def look(panel, bench, qtbot, level="field"):
    bench.session.profiles.show(read_profiles(bench.session.dataset, "features", level))
    rest(bench, qtbot)


def test_without_a_profile_it_says_what_to_do(panel):
    assert panel.reason.text() == "Profile the wells first."
    assert not panel.buttons[RETRIEVAL].isEnabled()
    assert not panel.charts[RETRIEVAL].isVisible()


def test_both_tests_are_said_in_words_and_drawn(panel, windowless, measured, qtbot):
    look(panel, windowless, qtbot, "well")
    assert not panel.reason.isVisible()
    for name in (RETRIEVAL, NUISANCE):
        qtbot.mouseClick(panel.buttons[name], LEFT)
        rest(windowless, qtbot)
    [(names, first), (_, second)] = measured
    assert (first.profile, first.level, second.profile) == ("features", "well", "features")
    assert names == windowless.session.dataset.fov_names
    assert panel.words[RETRIEVAL].text().splitlines() == [
        "Leave one well out: the condition is told right for 75% of 12 wells, better than chance "
        "(33%, p = 0.005).",
        "4-fold over wells: the condition is told right for 75% of 12 wells, not clearly "
        "better than chance (33%, p = 0.4).",
    ]
    assert "The place can be told." in panel.words[NUISANCE].text()
    assert panel.charts[RETRIEVAL].picture is not None
    assert panel.charts[NUISANCE].isVisible()
    assert panel.progress.text.text().startswith("finished")


def test_what_the_last_tests_came_to_is_there_again(panel, windowless, qtbot):
    look(panel, windowless, qtbot)
    qtbot.mouseClick(panel.buttons[RETRIEVAL], LEFT)
    rest(windowless, qtbot)
    said = panel.words[RETRIEVAL].text()
    assert "fields in 12 wells" in said
    again = OutcomePanel(windowless.viewer)
    qtbot.addWidget(again)
    again.show()
    rest(windowless, qtbot)
    assert again.words[RETRIEVAL].text() == said
    assert not again.words[NUISANCE].isVisible()


def test_a_profile_that_was_made_anew_has_not_been_tested(panel, windowless, qtbot):
    look(panel, windowless, qtbot)
    qtbot.mouseClick(panel.buttons[RETRIEVAL], LEFT)
    rest(windowless, qtbot)
    assert panel.words[RETRIEVAL].isVisible()
    dataset = windowless.session.dataset
    profile(dataset, PLAIN.model_copy(update={"standardize": "none"}))
    for fov in dataset.fovs:  # the clock of the ledger has whole seconds
        path = dataset.workspace._ledger("profiles.features", fov)
        text = path.read_text()
        path.write_text(text.replace(dataset.workspace.finished("profiles.features", fov), "9999"))
    look(panel, windowless, qtbot)
    assert not panel.words[RETRIEVAL].isVisible()


def test_bars_are_of_the_first_split_with_those_no_better_than_chance_pale():
    bars = Outcome(RETRIEVAL, "mine", "well", retrieval()).bars()
    assert bars["name"].tolist() == ["all conditions", "mock", "drug"]
    assert bars["score"].tolist() == [0.75, 0.75, 0.5]
    assert Outcome(NUISANCE, "mine", "", nuisance()).bars()["tells"].tolist() == [False, True]
