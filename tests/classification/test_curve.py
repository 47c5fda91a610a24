from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from napari_dynaclr import classify
from napari_dynaclr.classification.curve import (
    CURVE_COLUMNS,
    export_curve,
    predicted_curve,
    state_curve,
)
from napari_dynaclr.core.errors import InvalidInput, MissingInput


def table(hits, cells, well="A/1", t=0):
    """One time point: so many hits among so many cells, by FOV."""
    rows = [
        (f"{well}/{fov}", t, "infected" if i < hit else "uninfected")
        for fov, (hit, count) in enumerate(zip(hits, cells, strict=True))
        for i in range(count)
    ]
    return pd.DataFrame(rows, columns=["fov_name", "t", "s"])


def only(hits, cells, **options):
    (row,) = state_curve(table(hits, cells), "s", "infected", 1800, **options).itertuples()
    return row


@pytest.mark.parametrize(("hits", "cells"), [([3], [40]), ([0, 0], [9, 5]), ([8, 7], [8, 7])])
def test_with_few_fovs_the_band_is_wilsons(hits, cells):
    row = only(hits, cells)
    expected = stats.binomtest(sum(hits), sum(cells)).proportion_ci(0.95, "wilson")
    assert row.cells == sum(cells)
    assert row.fraction == sum(hits) / sum(cells)
    assert (row.low, row.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_fovs_that_differ_widen_the_band_and_fovs_that_agree_do_not_narrow_it():
    apart, alike = only([5, 45, 10, 40], [50] * 4), only([25] * 4, [50] * 4)
    assert apart.fraction == alike.fraction == 0.5
    assert apart.high - apart.low > 2 * (alike.high - alike.low)
    cells = stats.binomtest(100, 200).proportion_ci(0.95, "wilson")
    assert alike.low < cells.low < cells.high < alike.high
    between = only([18, 32, 20, 30], [50] * 4)
    by_fov = stats.t.ppf(0.975, 3) * stats.sem(np.array([18, 32, 20, 30]) / 50)
    assert (between.high - between.low) / 2 == pytest.approx(by_fov, rel=0.1)


def test_the_band_covers_the_truth_as_often_as_it_says():
    """Simulated wells: FOVs whose chance of infection varies as a beta distribution."""
    generator = np.random.default_rng(0)
    covered, of_cells, repeats = 0, 0, 400
    for _ in range(repeats):
        p = generator.beta(6, 14, 5)
        hits = generator.binomial(60, p)
        row = only(hits, [60] * 5)
        covered += row.low <= 0.3 <= row.high
        plain = stats.binomtest(int(hits.sum()), 300).proportion_ci(0.95, "wilson")
        of_cells += plain.low <= 0.3 <= plain.high
    assert 0.92 < covered / repeats < 0.99
    assert of_cells / repeats < 0.8, "what a band of independent cells would claim"


def test_wells_and_times_are_kept_apart_and_in_order():
    whole = pd.concat(
        [table([1], [4], "B/1", 2), table([2], [4], "A/2", 10), table([3], [4], "A/2", 2)]
    )
    curve = state_curve(whole, "s", "infected", 1800)
    assert list(curve) == CURVE_COLUMNS
    assert curve[["well", "t"]].to_numpy().tolist() == [["A/2", 2], ["A/2", 10], ["B/1", 2]]
    assert curve["hours"].tolist() == [1, 5, 1]
    assert curve["fraction"].tolist() == [0.75, 0.5, 0.25]
    assert ((curve["low"] < curve["fraction"]) & (curve["fraction"] < curve["high"])).all()
    assert state_curve(whole, "s", "infected", None)["hours"].isna().all()


def test_cells_of_which_nothing_is_known_do_not_count():
    whole = table([2], [4])
    more = whole.iloc[:3].assign(s=[None, "unknown", ""])
    curve = state_curve(pd.concat([whole, more]), "s", "infected", None)
    assert curve["cells"].tolist() == [4]
    assert state_curve(more, "s", "infected", None).empty


def test_numbers_are_states_too():
    assert state_curve(table([1], [2]).assign(s=[1, 0]), "s", "1", None)["fraction"][0] == 0.5


def test_a_table_without_the_column_is_refused():
    with pytest.raises(InvalidInput, match="lacks the column wrong"):
        state_curve(table([1], [2]), "wrong", "infected", None)


def test_the_curve_of_a_dataset_is_exported(embedded, tmp_path):
    dataset = embedded.dataset
    with pytest.raises(MissingInput, match="No predictions of 'infection' found: run 'classify'"):
        predicted_curve(dataset, "infection", "infected")
    embedded.annotate(embedded.some())
    table = classify(dataset)
    curve = export_curve(dataset, tmp_path / "new" / "curve.csv", "infection", "infected")
    assert set(curve["well"]) == {"A/1", "B/1"}
    hits = table["predicted_infection"] == "infected"
    assert (curve["fraction"] * curve["cells"]).sum() == pytest.approx(hits.sum())
    stored = pd.read_csv(tmp_path / "new" / "curve.csv")
    pd.testing.assert_frame_equal(stored, curve, check_dtype=False)
    one = predicted_curve(dataset.select(["B/*"]), "infection", "infected")
    assert set(one["well"]) == {"B/1"}
    with pytest.raises(InvalidInput, match="'sick' is no state of infection: there are infected"):
        predicted_curve(dataset, "infection", "sick")
