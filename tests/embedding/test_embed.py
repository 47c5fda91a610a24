from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pytest

from napari_dynaclr import Job, embed, open_dataset, segment, track
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.tables import TRACK_COLUMNS
from napari_dynaclr.embedding import features
from napari_dynaclr.embedding.export import export_embedding
from napari_dynaclr.embedding.features import FeaturesParams


def vectors(dataset, fov):
    return np.asarray(dataset.workspace.embedding("features", fov).X)


def test_the_shard_is_plain_anndata_with_the_track_columns(processed):
    for fov in processed.fovs:
        shard = ad.read_zarr(processed.workspace.shard("features", fov))
        assert list(shard.obs)[: 1 + len(TRACK_COLUMNS)] == ["fov_name", *TRACK_COLUMNS]
        tracks = processed.workspace.tracks(fov)
        for column in TRACK_COLUMNS:
            np.testing.assert_array_equal(shard.obs[column], tracks[column])
        assert (shard.obs["fov_name"] == fov.name).all()
        assert shard.obs["at_border"].dtype == bool
        assert shard.obs_names.tolist() == [f"{fov.name}/{node}" for node in tracks["id"]]
        assert shard.X.dtype == np.float32
        assert np.isfinite(shard.X).all()
        assert shard.var["description"].str.len().min() > 10
        assert shard.uns["data_path"] == str(processed.root)
        assert shard.uns["tracks_path"].endswith("plate.dynaclr/tracks.zarr")
        assert FeaturesParams.model_validate_json(shard.uns["params"]) == FeaturesParams()


def test_the_shard_is_zarr_2_on_disk(processed):
    shard = processed.workspace.shard("features", processed.fovs[0])
    assert json.loads((shard / ".zgroup").read_text()) == {"zarr_format": 2}
    assert not list(shard.rglob("zarr.json"))


def test_border_cells_are_kept_and_flagged(processed):
    for fov in processed.fovs:
        shard = processed.workspace.embedding("features", fov)
        frames = dict(processed.workspace.labels("tracks", fov).frames(["labels"]))
        for _, cell in shard.obs.iterrows():
            y, x = np.nonzero(frames[cell["t"]][0, 0] == cell["track_id"])
            meets = y.min() == 0 or x.min() == 0 or y.max() == 191 or x.max() == 191
            assert cell["at_border"] == meets
        assert 0 < shard.obs["at_border"].sum() < len(shard)


def test_a_run_killed_between_time_points_gives_what_an_unbroken_one_gives(
    processed, tmp_path, monkeypatch
):
    fov = processed["B/1/0"]
    unbroken = vectors(processed, fov)
    params = FeaturesParams(radial_bins=6, ring=3.5)
    expected_table = embed(processed.select(["B/1/0"]), params)
    expected = vectors(processed, fov)
    assert not np.array_equal(expected, unbroken)

    processed.workspace.forget("embeddings.features", fov)
    original, seen = features.embed_fov, []

    def dies(dataset, fov, tracks, times, params, job):
        for t, frame in original(dataset, fov, tracks, times, params, job):
            seen.append(t)
            yield t, frame
            if len(seen) == 5:
                raise KeyboardInterrupt

    monkeypatch.setattr(features, "embed_fov", dies)
    with pytest.raises(KeyboardInterrupt):
        embed(processed.select(["B/1/0"]), params)
    assert processed.workspace.key("embeddings.features", fov) is None

    # A process of its own would open the workspace anew.
    again = open_dataset(processed.root, processed.workspace.path).select(["B/1/0"])
    table = embed(again, params)
    assert seen == list(range(10)), "finished time points are not redone"
    np.testing.assert_array_equal(vectors(again, fov), expected)
    assert table.equals(expected_table)


def test_time_points_finished_under_other_settings_are_not_mixed_in(processed, monkeypatch):
    one = processed.select(["A/1/0"])
    fov = one.fovs[0]
    embed(one, FeaturesParams(ring=2.0))
    expected = vectors(one, fov)
    original, count = features.embed_fov, []

    def dies(*args):
        for item in original(*args):
            count.append(1)
            if len(count) == 4:
                raise KeyboardInterrupt
            yield item

    with monkeypatch.context() as patch:
        patch.setattr(features, "embed_fov", dies)
        with pytest.raises(KeyboardInterrupt):
            embed(one, FeaturesParams(ring=5.0))
    embed(one, FeaturesParams(ring=2.0))
    np.testing.assert_array_equal(vectors(one, fov), expected)


def test_progress_counts_the_time_points(processed):
    seen = []
    embed(processed.select(["A/1/0"]), FeaturesParams(ring=2.0), Job(seen.append))
    inner = [(p.done, p.total) for p in seen if p.text == "A/1/0" and p.level == 1]
    assert inner == [(i, 10) for i in range(11)]


def movie(make_plate, levels):
    """Two FOVs of one box; levels[fov][t] is the background, the box is 10 brighter."""
    images, labels = {}, {}
    for name, by_time in levels.items():
        image = np.zeros((len(by_time), 1, 1, 64, 64), np.float32)
        for t, level in enumerate(by_time):
            noise = np.random.default_rng(t).normal(0, 2, (64, 64))
            image[t, 0, 0] = level + noise
            image[t, 0, 0, 20:40, 20:40] += 10
        images[name] = image
        labels[name] = np.zeros(image.shape, np.uint16)
        labels[name][..., 20:40, 20:40] = 1
    dataset = open_dataset(make_plate("movie.zarr", images))
    masks = make_plate("labels.zarr", labels)
    segment(dataset, parse("segment", "import", {"path": str(masks)}))
    track(dataset, parse("track", "masks", {}))
    return dataset, images


def brightness(dataset, level):
    embed(dataset, FeaturesParams(normalization=level, radius=3.0, radial_bins=1))
    result = {}
    for fov in dataset.fovs:
        shard = dataset.workspace.embedding("features", fov)
        result[fov.name] = shard[:, "Nuclei_mean"].X[:, 0]
    return result


def test_intensities_are_scaled_by_the_dataset_the_fov_or_the_time_point(make_plate):
    dataset, images = movie(make_plate, {"A/1/0": [50, 60, 70], "A/1/1": [500, 600, 700]})
    masked = {n: image[..., 20:40, 20:40].mean((1, 2, 3, 4)) for n, image in images.items()}
    grid = {name: image[..., ::32, ::32] for name, image in images.items()}
    pooled = np.stack(list(grid.values()))
    expected = {
        "none": masked,
        "dataset": {n: (masked[n] - pooled.mean()) / pooled.std() for n in images},
        "fov": {n: (masked[n] - grid[n].mean()) / grid[n].std() for n in images},
        "timepoint": {
            n: (masked[n] - grid[n].mean((1, 2, 3, 4))) / grid[n].std((1, 2, 3, 4)) for n in images
        },
    }
    for level, values in expected.items():
        found = brightness(dataset, level)
        for name in images:
            np.testing.assert_allclose(found[name], values[name], rtol=2e-4, atol=2e-4)


def test_without_tracks_it_names_the_stage_to_run(dataset):
    with pytest.raises(MissingInput, match="No tracks found for FOV A/1/0: run 'track' first"):
        embed(dataset)


def test_tracks_that_fit_no_label_are_refused(processed):
    fov = processed.fovs[0]
    file = processed.workspace.tracks_csv(fov)
    table = processed.workspace.tracks(fov)
    table["track_id"] += 1000
    table.loc[table["parent_track_id"] >= 0, "parent_track_id"] += 1000
    table.to_csv(file, index=False)
    with pytest.raises(InvalidInput, match=r"track 100\d has no pixels in the label image"):
        embed(processed, FeaturesParams(ring=2.0))


def test_new_tracks_are_embedded_anew_and_maps_of_the_old_ones_are_gone(processed):
    track(processed, parse("track", "masks", {}))
    embed(processed)
    for fov in processed.fovs:
        shard = processed.workspace.embedding("features", fov)
        assert "X_pca" not in shard.obsm
        assert processed.workspace.key("projection.features.pca", fov) is None
        assert len(shard) == len(processed.workspace.tracks(fov))


def test_export_joins_the_fovs_for_scanpy(processed, tmp_path):
    joined = export_embedding(processed, tmp_path / "all.zarr")
    read = ad.read_zarr(tmp_path / "all.zarr")
    sizes = [len(processed.workspace.tracks(fov)) for fov in processed.fovs]
    assert (
        read.shape == joined.shape == (sum(sizes), vectors(processed, processed.fovs[0]).shape[1])
    )
    assert read.obs["fov_name"].value_counts().to_dict() == dict(
        zip(processed.fov_names, sizes, strict=True)
    )
    assert read.obsm["X_pca"].shape[0] == sum(sizes)
    assert "description" in read.var
    for target, message in (
        (tmp_path / "all.zarr", "exists already"),
        (tmp_path / "a.h5ad", "ends in .zarr"),
    ):
        with pytest.raises(InvalidInput, match=message):
            export_embedding(processed, target)
