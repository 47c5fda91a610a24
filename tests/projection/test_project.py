from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from napari_dynaclr import Job, open_dataset, project
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingInput
from napari_dynaclr.core.registry import parse
from napari_dynaclr.projection import pca, phate


def path_of_cells(count=120, dimensions=10, seed=0):
    """Cells along a line in a space of many dimensions, and how far along each one is."""
    generator = np.random.default_rng(seed)
    along = generator.permutation(np.linspace(0, 10, count))
    direction = generator.normal(0, 1, dimensions)
    noise = generator.normal(0, 0.5, (count, dimensions))
    return (np.outer(along, direction) + noise).astype(np.float32), along


def order(points, along):
    """How well the first axis of a map keeps the order of the cells, 0 to 1."""
    return abs(spearmanr(points[:, 0], along).statistic)


def shards(dataset):
    return [dataset.workspace.embedding("features", fov) for fov in dataset.fovs]


def test_pca_is_that_of_the_standardised_embedding_of_all_fovs(processed):
    table = project(processed, parse("project", "pca", {"components": 5}))
    assert list(table) == ["fov_name", "track_id", "t", "id", *(f"PCA{i}" for i in range(1, 6))]
    vectors = np.concatenate([np.asarray(shard.X, np.float64) for shard in shards(processed)])
    vectors = vectors[:, vectors.std(axis=0) > 1e-12]
    expected = PCA(5, svd_solver="full").fit_transform(StandardScaler().fit_transform(vectors))
    found = table[[f"PCA{i}" for i in range(1, 6)]].to_numpy()
    sign = np.sign((expected * found).sum(axis=0))
    np.testing.assert_allclose(found * sign, expected, atol=2e-3 * np.abs(expected).max())
    stored = np.concatenate([shard.obsm["X_pca"] for shard in shards(processed)])
    np.testing.assert_array_equal(stored, found)


def test_pca_keeps_no_more_components_than_there_are():
    vectors = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    assert pca.fit(vectors, pca.PcaParams(components=8), Job()).shape == (6, 3)


def test_dimensions_without_variance_make_no_nan(processed):
    from napari_dynaclr.core.shards import standardized

    matrix = standardized([np.array([[1, 5], [1, 7]], np.float32), np.array([[1, 9]], np.float32)])
    np.testing.assert_allclose(matrix[:, 0], 0)
    np.testing.assert_allclose(matrix[:, 1], np.array([-1, 0, 1]) * np.sqrt(1.5), rtol=1e-6)


@pytest.mark.parametrize("fit_cells", [20_000, 100])
def test_phate_keeps_the_order_of_cells_however_many_of_them_shape_the_map(fit_cells):
    vectors, along = path_of_cells(160)
    params = phate.PhateParams(knn=10, fit_cells=fit_cells)
    found = phate.fit(vectors, params, Job())
    assert found.shape == (160, 2)
    assert found.dtype == np.float32
    assert order(found, along) > 0.95


def test_phate_repeats_by_its_seed():
    vectors, _ = path_of_cells()
    one, again, other = (
        phate.fit(vectors, phate.PhateParams(knn=10, fit_cells=100, seed=seed), Job())
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_phate_has_as_many_dimensions_as_asked_for():
    vectors, _ = path_of_cells()
    assert phate.fit(vectors, phate.PhateParams(components=3, knn=10), Job()).shape == (120, 3)


def test_phate_takes_one_cell_more_than_it_refuses():
    vectors = np.random.default_rng(0).normal(size=(13, 5)).astype(np.float32)
    params = phate.PhateParams(knn=10)
    assert phate.fit(vectors[:12], params, Job()).shape == (12, 2)
    with pytest.raises(InvalidInput, match="needs more than 11 cells, there are 11: lower knn"):
        phate.fit(vectors[:11], params, Job())


def test_phate_is_kept_in_obsm_beside_the_others(processed):
    table = project(processed, parse("project", "phate", {}))
    assert list(table)[4:] == ["PHATE1", "PHATE2"]
    start = 0
    for shard in shards(processed):
        assert {"X_pca", "X_phate"} <= set(shard.obsm)
        rows = table.iloc[start : start + len(shard)]
        np.testing.assert_array_equal(shard.obsm["X_phate"], rows[["PHATE1", "PHATE2"]])
        assert rows["id"].tolist() == shard.obs["id"].tolist()
        start += len(shard)


@pytest.mark.slow
def test_umap_repeats_by_its_seed_and_keeps_the_order():
    pytest.importorskip("umap")
    from napari_dynaclr.projection import umap

    vectors, along = path_of_cells(90)
    params = umap.UmapParams(neighbors=8)
    one, again = (umap.fit(vectors, params, Job()) for _ in range(2))
    assert one.shape == (90, 2)
    np.testing.assert_array_equal(one, again)
    assert order(one, along) > 0.9
    with pytest.raises(InvalidInput, match="UMAP with 8 neighbours needs more cells"):
        umap.fit(vectors[:8], params, Job())


@pytest.mark.parametrize(
    ("method", "values", "message"),
    [
        ("pca", {}, "PCA needs at least 2 cells, there are 1"),
        ("phate", {}, "needs more than 16 cells, there are 1: lower knn, or use --method pca"),
    ],
)
def test_too_few_cells_are_one_line_and_leave_no_map(make_plate, method, values, message):
    from napari_dynaclr import embed, segment, track

    labels = np.zeros((1, 1, 1, 24, 24), np.uint16)
    labels[..., 4:12, 4:12] = 1
    dataset = open_dataset(make_plate("movie.zarr", {"A/1/0": labels * 7 + 1}))
    masks = make_plate("labels.zarr", {"A/1/0": labels})
    segment(dataset, parse("segment", "import", {"path": str(masks)}))
    track(dataset)
    embed(dataset)
    with pytest.raises(InvalidInput, match=message):
        project(dataset, parse("project", method, values))
    assert not shards(dataset)[0].obsm


def test_one_fov_by_itself_has_its_own_map(processed):
    whole = shards(processed)[0].obsm["X_pca"]
    others = shards(processed)[1].obsm["X_pca"]
    project(processed.select([processed.fov_names[0]]), parse("project", "pca", {}))
    alone = shards(processed)[0].obsm["X_pca"]
    assert alone.shape == whole.shape
    assert not np.allclose(np.abs(alone), np.abs(whole), rtol=1e-3)
    np.testing.assert_allclose(alone.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_array_equal(shards(processed)[1].obsm["X_pca"], others)


def test_what_the_shards_held_before_is_still_there(processed):
    before = shards(processed)[2]
    project(processed, parse("project", "pca", {"components": 3}))
    after = shards(processed)[2]
    np.testing.assert_array_equal(before.X, after.X)
    assert (after.obs["predicted_infection"] == before.obs["predicted_infection"]).all()
    np.testing.assert_array_equal(
        after.obsm["predicted_infection_proba"], before.obsm["predicted_infection_proba"]
    )


@pytest.mark.parametrize("embedding", ["features", "dynaclr"])
def test_without_the_embedding_it_names_the_stage_to_run(dataset, embedding):
    with pytest.raises(MissingInput, match=f"No embedding '{embedding}' found for FOV A/1/0"):
        project(dataset, parse("project", "pca", {"embedding": embedding}))


def test_phate_is_cancelled_in_the_midst_of_its_fit(monkeypatch):
    import phate as library

    begun, end = threading.Event(), threading.Event()

    def fit_transform(_self, _vectors):
        begun.set()
        end.wait(30)

    monkeypatch.setattr(library.PHATE, "fit_transform", fit_transform)
    job = Job()
    asked = []

    def cancel():
        begun.wait(30)
        asked.append(time.monotonic())
        job.cancel()

    threading.Thread(target=cancel, daemon=True).start()
    with pytest.raises(Cancelled):
        phate.fit(path_of_cells()[0], phate.PhateParams(), job)
    assert time.monotonic() - asked[0] < 2
    end.set()
