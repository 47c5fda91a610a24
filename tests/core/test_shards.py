from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_dynaclr.core.shards import nodes, read_shard, standardized, vectors, write_shard


def shard(rows, fill=1.0):
    obs = pd.DataFrame({"track_id": range(rows), "t": 0, "state": "infected"})
    obs.index = obs.index.astype(str)
    return ad.AnnData(
        X=np.full((rows, 3), fill, np.float32), obs=obs, obsm={"X_pca": np.ones((rows, 2))}
    )


def test_a_shard_comes_back_as_written(tmp_path):
    write_shard(tmp_path / "a" / "A_1_0.zarr", shard(4))
    back = read_shard(tmp_path / "a" / "A_1_0.zarr")
    np.testing.assert_array_equal(vectors(back), np.ones((4, 3), np.float32))
    assert vectors(back).dtype == np.float32
    assert nodes(back)["track_id"].tolist() == [0, 1, 2, 3]
    assert nodes(back)["state"].tolist() == ["infected"] * 4
    assert nodes(back).index.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(back.obsm["X_pca"], np.ones((4, 2)))


def test_a_shard_is_replaced_whole(tmp_path):
    path = tmp_path / "A_1_0.zarr"
    write_shard(path, shard(5))
    write_shard(path, shard(2, fill=7))
    assert read_shard(path).shape == (2, 3)
    assert [p.name for p in tmp_path.iterdir()] == ["A_1_0.zarr"]


def test_a_crash_while_writing_leaves_the_old_shard(tmp_path, monkeypatch):
    path = tmp_path / "A_1_0.zarr"
    write_shard(path, shard(5))
    plain = ad.io.write_elem

    def crash(*args, **kwargs):
        plain(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(ad.io, "write_elem", crash)
    with pytest.raises(KeyboardInterrupt):
        write_shard(path, shard(2))
    monkeypatch.undo()
    assert len(read_shard(path)) == 5
    write_shard(path, shard(2))
    assert len(read_shard(path)) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["A_1_0.zarr"]


def test_shards_are_zarr_2_for_older_readers(tmp_path):
    write_shard(tmp_path / "s.zarr", shard(2))
    assert json.loads((tmp_path / "s.zarr" / ".zgroup").read_text()) == {"zarr_format": 2}
    assert not list((tmp_path / "s.zarr").rglob("zarr.json"))


@given(
    parts=st.integers(1, 4).flatmap(
        lambda columns: st.lists(
            hnp.arrays(
                np.float32,
                st.tuples(st.integers(1, 6), st.just(columns)),
                elements=st.floats(-100, 100, width=32),
            ),
            min_size=1,
            max_size=3,
        )
    )
)
@settings(deadline=None, max_examples=40)
def test_standardized_dimensions_have_mean_0_and_variance_1_or_0(parts):
    before = [part.copy() for part in parts]
    matrix = standardized(parts)
    whole = np.concatenate(before).astype(float)
    assert matrix.shape == whole.shape
    np.testing.assert_allclose(matrix.mean(axis=0), 0, atol=1e-3)
    for column, original in zip(matrix.T, whole.T, strict=True):
        if original.std() > 0.1:
            assert column.std() == pytest.approx(1, abs=1e-3)
        elif original.std() == 0:
            np.testing.assert_allclose(column, 0, atol=1e-3)
    for part, original in zip(parts, before, strict=True):
        np.testing.assert_array_equal(part, original)
