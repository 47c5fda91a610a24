from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from napari_dynaclr import evaluate
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.shards import write_shard
from napari_dynaclr.evaluation.correlation import spearman


@given(seed=st.integers(0, 2**32 - 1), ties=st.booleans())
@settings(max_examples=20, deadline=None)
def test_every_pair_of_columns_is_as_scipy_says(seed, ties):
    generator = np.random.default_rng(seed)
    one, other = generator.normal(size=(30, 3)), generator.normal(size=(30, 4))
    if ties:
        one, other = one.round(), other.round()
    found = spearman(one, other)
    assert found.shape == (3, 4)
    for i in range(3):
        for j in range(4):
            assert found[i, j] == pytest.approx(spearmanr(one[:, i], other[:, j]).statistic)


def test_a_constant_column_correlates_with_nothing():
    assert spearman(np.arange(5.0)[:, None], np.ones((5, 1))).item() == 0


def test_components_are_named_after_what_they_rank_like(processed):
    table = evaluate(processed, parse("evaluate", "correlation", {"components": 3}))
    assert list(table) == ["component", "explained", "feature", "rho"]
    shards = [processed.workspace.embedding("features", fov) for fov in processed.fovs]
    assert len(table) == 3 * shards[0].n_vars
    features = np.concatenate([np.asarray(shard.X) for shard in shards])
    names = shards[0].var_names
    stored = np.concatenate([shard.obsm["X_pca"] for shard in shards])
    for i, (name, part) in enumerate(table.groupby("component")):
        assert name == f"PC{i + 1}"
        assert (part["rho"].abs().diff().dropna() <= 1e-9).all(), "the strongest first"
        best = part.iloc[0]
        column = features[:, names.get_loc(best["feature"])]
        expected = spearmanr(stored[:, i], column).statistic
        assert abs(best["rho"]) == pytest.approx(abs(expected), abs=1e-3)
        assert abs(best["rho"]) > 0.5
    explained = table.groupby("component")["explained"].first()
    assert explained.is_monotonic_decreasing
    assert 0 < explained.sum() <= 1


def test_embeddings_of_different_cells_are_refused(processed):
    fov = processed.fovs[0]
    shard = processed.workspace.embedding("features", fov)
    write_shard(processed.workspace.shard("other", fov), shard[1:].copy())
    processed.workspace.mark_complete("embeddings.other", fov, "key")
    with pytest.raises(
        InvalidInput, match="'other' and 'features' were made from different tracks"
    ):
        evaluate(
            processed.select([fov.name]), parse("evaluate", "correlation", {"embedding": "other"})
        )


def test_too_few_cells_are_one_line(processed):
    fov = processed.fovs[0]
    shard = processed.workspace.embedding("features", fov)
    write_shard(processed.workspace.shard("features", fov), shard[:2].copy())
    with pytest.raises(InvalidInput, match="at least 3 cells, there are 2"):
        evaluate(processed.select([fov.name]), parse("evaluate", "correlation", {}))


def test_the_pictures_show_the_strongest_features_and_cells_along_the_components(
    processed, figures
):
    given = {"components": 2, "strongest": 3, "patches": 5, "channels": ("Phase", "Sensor")}
    table = evaluate(processed, parse("evaluate", "correlation", {**given, "patch_size": 32}))
    heat, cells = figures
    shown = [label.get_text() for label in heat.axes[0].get_yticklabels()]
    strongest = [part["feature"].head(3).tolist() for _, part in table.groupby("component")]
    assert set(shown) == {name for names in strongest for name in names}
    values = heat.axes[0].images[0].get_array()
    rho = table.set_index(["component", "feature"])["rho"]
    for i, name in enumerate(shown):
        assert values[i].tolist() == pytest.approx([rho["PC1", name], rho["PC2", name]])
    (axes,) = cells.axes
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["PC1\nPhase", "PC1\nSensor", "PC2\nPhase", "PC2\nSensor"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["low", "high"]
    assert axes.images[0].get_array().shape == (4 * 35, 5 * 35), "of 32, and 3 between"
    file = processed.workspace.evaluation("correlation")
    for picture in (file.with_suffix(".png"), file.with_name("correlation-patches.png")):
        assert picture.stat().st_size > 5000


def test_no_cells_are_drawn_if_none_are_asked_for(processed, figures):
    evaluate(processed, parse("evaluate", "correlation", {"patches": 0}))
    assert len(figures) == 1


def test_a_channel_that_is_not_there_is_one_line(processed):
    with pytest.raises(InvalidInput, match="'GFP'"):
        evaluate(processed, parse("evaluate", "correlation", {"channels": ("GFP",)}))
