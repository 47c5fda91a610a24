from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr import Job, evaluate, params
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.evaluation import robustness


def measured(monkeypatch, cells, **settings):
    monkeypatch.setattr(robustness, "read_trajectories", lambda *_: cells)
    given = params("evaluate", "robustness", reach=6.0, **settings)
    return robustness.measure(None, given, Job()).table.set_index("metric")["value"]


def test_an_embedding_that_tells_cells_apart_finds_every_break(monkeypatch, turning):
    values = measured(monkeypatch, turning, swaps=0.1, cuts=0.1)
    assert values["swapped_links"] == round(0.1 * 8 * 19 / 2) * 2
    assert values["cut_links"] == round(0.1 * 8 * 19)
    assert values["distance_true"] == pytest.approx(1 - np.cos(np.radians(1)), abs=1e-6)
    assert values["distance_swapped"] == pytest.approx(1), "directions at right angles"
    assert values["swaps_auc"] == values["swaps_among_largest"] == 1
    assert values["swaps_auc_position"] == 1, "0.1 um against 5"
    assert values["cuts_rejoined"] == 1
    assert 1 / 3 <= values["cuts_rejoined_chance"] <= 1 / 2
    assert values["smoothness_broken"] > 5 * values["smoothness_true"]


def test_an_embedding_that_knows_nothing_finds_no_break(monkeypatch, turning):
    noise = np.random.default_rng(0).normal(size=turning.vectors.shape).astype(np.float32)
    blind = type(turning)(noise, turning.cells)
    values = measured(monkeypatch, blind, swaps=0.2, cuts=0.2)
    assert 0.3 < values["swaps_auc"] < 0.7
    assert values["cuts_rejoined"] < 0.7
    assert values["cuts_rejoined_position"] == 1
    assert values["smoothness_broken"] == pytest.approx(values["smoothness_true"], rel=0.1)


def test_only_cuts_leave_what_is_about_exchanges_blank(monkeypatch, turning):
    values = measured(monkeypatch, turning, swaps=0.0, cuts=0.1)
    assert values["swapped_links"] == 0
    assert values[["distance_swapped", "swaps_auc", "swaps_among_largest"]].isna().all()
    assert values["cuts_rejoined"] == 1


def test_nothing_to_break_is_one_line(monkeypatch, turning):
    with pytest.raises(InvalidInput, match="Nothing could be broken: there are 152 steps"):
        measured(monkeypatch, turning, swaps=0.0, cuts=0.0)


def test_simulated_cells_are_told_from_their_neighbours(processed, figures):
    table = evaluate(processed, params("evaluate", "robustness", swaps=0.1))
    values = table.set_index("metric")["value"]
    assert values["distance_swapped"] > 2 * values["distance_true"]
    assert 0.8 < values["swaps_auc"] <= 1
    assert values["cuts_rejoined"] > 2 * values["cuts_rejoined_chance"]
    assert values["smoothness_broken"] > values["smoothness_true"]
    smooth = evaluate(processed).set_index("metric")["value"]["smoothness"]
    assert values["smoothness_true"] == pytest.approx(smooth)
    file = processed.workspace.evaluation("robustness")
    pd.testing.assert_frame_equal(pd.read_csv(file), table)
    assert file.with_suffix(".png").stat().st_size > 5000
    histogram, *examples = figures[0].axes
    labels = [text.get_text() for text in histogram.get_legend().get_texts()]
    assert labels == [
        f"true ({values['true_links']:.0f})",
        f"exchanged ({values['swapped_links']:.0f})",
    ]
    assert len(examples) == 3
    for axes in examples:
        assert [line.get_linestyle() for line in axes.lines[:4]] == ["-", "--", "-", "--"]
