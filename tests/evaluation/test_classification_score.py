from __future__ import annotations

import pandas as pd
import pytest

from napari_dynaclr import evaluate
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.registry import parse


def run(dataset, truth, tmp_path, **values):
    file = tmp_path / "truth.csv"
    truth.to_csv(file, index=False)
    table = evaluate(dataset, parse("evaluate", "classification", {"truth": str(file), **values}))
    return table.set_index("state")


@pytest.fixture
def judged(processed):
    """Ten predictions of a known confusion: 4 hits, 1 miss, 2 false alarms, 3 right refusals."""
    file = processed.workspace.predictions("infection")
    predictions = pd.read_csv(file)
    # Far apart, so that each true cell has one candidate only.
    predictions = predictions[predictions["t"] == 0].groupby("fov_name").head(3).head(10)
    predictions["y"] = range(0, 1000, 100)
    predictions["predicted_infection"] = ["infected"] * 6 + ["uninfected"] * 4
    predictions.to_csv(file, index=False)
    truth = predictions[["fov_name", "t", "y", "x"]].copy()
    truth["infection_state"] = ["infected"] * 4 + ["uninfected"] * 5 + ["infected"]
    return processed, truth


def test_precision_recall_and_f1_of_a_known_confusion(judged, tmp_path):
    dataset, truth = judged
    assert len(truth) == 10
    table = run(dataset, truth, tmp_path)
    assert list(table) == ["precision", "recall", "f1", "cells", "missed"]
    infected, uninfected = table.loc["infected"], table.loc["uninfected"]
    assert infected["precision"] == pytest.approx(4 / 6)
    assert infected["recall"] == pytest.approx(4 / 5)
    assert infected["f1"] == pytest.approx(8 / 11)
    assert uninfected["precision"] == pytest.approx(3 / 4)
    assert uninfected["recall"] == pytest.approx(3 / 5)
    assert uninfected["f1"] == pytest.approx(6 / 9)
    assert table["cells"].to_dict() == {"infected": 5, "uninfected": 5, "macro": 10}
    assert table.loc["macro", "f1"] == pytest.approx((8 / 11 + 6 / 9) / 2)


def test_cells_beyond_reach_and_cells_without_a_state_do_not_count(judged, tmp_path):
    dataset, truth = judged
    truth.iloc[0, truth.columns.get_loc("y")] += 11.0  # 6.05 um
    truth.iloc[1, truth.columns.get_loc("infection_state")] = None
    assert run(dataset, truth, tmp_path).loc["macro", "cells"] == 8
    assert run(dataset, truth, tmp_path, radius=6.1).loc["macro", "cells"] == 9


def test_a_held_out_well_is_measured_by_itself(judged, tmp_path):
    dataset, truth = judged
    in_b = truth["fov_name"].str.startswith("B").sum()
    assert 0 < in_b < 10
    assert run(dataset.select(["B/1"]), truth, tmp_path).loc["macro", "cells"] == in_b


def test_simulated_infection_is_predicted_well(processed, truth):
    params = parse("evaluate", "classification", {"truth": str(truth / "annotations.csv")})
    table = evaluate(processed, params).set_index("state")
    assert table.loc["infected", "f1"] > 0.9
    assert table.loc["macro", "cells"] > 300


@pytest.mark.parametrize(
    ("change", "values", "error", "message"),
    [
        (lambda t: t, {"task": "death"}, MissingInput, "No predictions of 'death' found"),
        (
            lambda t: t.drop(columns="infection_state"),
            {},
            InvalidInput,
            "lacks the column infection",
        ),
        (lambda t: t.assign(t=t["t"] + 50), {}, InvalidInput, "is within 6 um of a predicted one"),
    ],
)
def test_each_fault_is_one_line(judged, tmp_path, change, values, error, message):
    dataset, truth = judged
    with pytest.raises(error, match=message):
        run(dataset, change(truth), tmp_path, **values)
