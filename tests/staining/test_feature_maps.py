from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("timm", reason="the extra 'torch' is not installed")

import torch

from napari_dynaclr import evaluate, open_dataset, params, stain
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.staining.checkpoint import save_stainer
from napari_dynaclr.staining.feature_maps import feature_maps, frame_features, principal_colours

rng = np.random.default_rng(0)


def test_the_three_directions_of_most_variance_are_the_colours_each_by_itself():
    """Three patterns, independent of each other, mixed into ten features."""
    patterns = rng.normal(size=(3, 4000)) * np.array([[100.0], [10.0], [1.0]])
    mixing, _ = np.linalg.qr(rng.normal(size=(10, 3)))
    features = (mixing @ patterns + 5).reshape(10, 40, 100)
    found = principal_colours(features)
    assert found.colours.shape == (40, 100, 3)
    assert found.colours.dtype == np.float32
    assert (found.channels, found.size) == (10, (40, 100))
    assert found.explained.shape == (8,)
    assert found.explained[:3].sum() == pytest.approx(1)
    for i in range(3):
        shown = found.colours[..., i].ravel()
        low, high = np.percentile(patterns[i], [1, 99])
        expected = np.clip((patterns[i] - low) / (high - low), 0, 1)
        same = np.corrcoef(shown, expected)[0, 1]
        assert abs(same) > 0.98, "the sign of a component means nothing"
        assert (shown.min(), shown.max()) == (0, 1)


def test_of_a_large_map_some_pixels_tell_the_components_of_all():
    patterns = rng.normal(size=(2, 200 * 200)) * np.array([[9.0], [1.0]])
    features = patterns.reshape(2, 200, 200)
    found = principal_colours(features)
    assert abs(np.corrcoef(found.colours[..., 0].ravel(), patterns[0])[0, 1]) > 0.98
    assert (found.colours[..., 2] == 0).all(), "two features have no third component"
    np.testing.assert_array_equal(principal_colours(features).colours, found.colours)


def test_features_without_any_structure_are_black():
    found = principal_colours(np.full((4, 5, 6), 3.0))
    assert found.colours.shape == (5, 6, 3)
    assert not found.colours.any()
    assert not found.explained.any()


@pytest.mark.parametrize("shape", [{}, {"depth": 5, "stem": (5, 2, 2)}, {"kind": "unext2"}])
def test_every_stage_of_every_network_has_a_map(small, shape):
    network = small(**shape)
    side = 2 * network.config.stride
    images = rng.normal(size=(1, network.config.depth, side, side)).astype(np.float32)
    maps = feature_maps(network, images)
    assert list(maps) == list(network.features(torch.from_numpy(images)[None]))
    assert maps["encoder_0"].colours.shape == (*maps["encoder_0"].size, 3)
    assert maps["encoder_0"].size[0] == side // network.config.stem[1]
    for one in maps.values():
        assert np.isfinite(one.colours).all()
        assert one.colours.std() > 0


def saved(network, path):
    about = {
        "source_channels": ["Phase"],
        "target_channels": ["nuclei_prediction", "membrane_prediction"],
        "normalization": "mean-std",
        "statistics": "fov",
    }
    save_stainer(path, network, about)
    return params("stain", preset="none", weights=str(path), device="cpu")


def test_maps_of_a_frame_are_as_large_as_it_and_in_place(make_plate, small, tmp_path):
    """Of a size that is no multiple of anything; a bright square is where it is."""
    movie = rng.normal(1000, 5, (2, 1, 1, 45, 71))
    movie[1, :, :, 8:20, 40:60] += 3000
    dataset = open_dataset(make_plate("movie.zarr", {"A/1/0": movie.astype(np.uint16)}, ("Phase",)))
    settings = saved(small(), tmp_path / "small.safetensors")
    maps = frame_features(dataset, "A/1/0", 1, settings)
    assert next(iter(maps)) == "encoder_0"
    for one in maps.values():
        assert one.shape == (45, 71, 3)
        assert one.dtype == np.float32
    inside = np.zeros((45, 71), bool)
    inside[8:20, 40:60] = True
    finest = maps["encoder_0"]

    def contrast(rows, columns):
        """How much the square stands out, were it that much elsewhere."""
        there = np.roll(inside, (rows, columns), (0, 1))
        return np.abs(finest[there].mean(axis=0) - finest[~there].mean(axis=0)).sum()

    here = contrast(0, 0)
    assert here > 1.2 * max(contrast(r, c) for r, c in ((6, 0), (-6, 0), (0, 6), (0, -6)))


def test_a_stack_is_seen_around_the_slice_and_continued_where_it_is_thin(
    make_plate, small, tmp_path
):
    stack = rng.normal(1000, 300, (1, 1, 9, 32, 32)).astype(np.uint16)
    dataset = open_dataset(make_plate("movie.zarr", {"A/1/0": stack}, ("Phase",)))
    settings = saved(small(depth=5, stem=(5, 2, 2)), tmp_path / "small.safetensors")
    maps = [frame_features(dataset, "A/1/0", 0, settings, z)["encoder_0"] for z in (0, 2, 3, None)]
    np.testing.assert_array_equal(maps[0], maps[1])  # the first five slices
    assert (maps[1] != maps[2]).any()
    middle = frame_features(dataset, "A/1/0", 0, settings, 4)["encoder_0"]
    np.testing.assert_array_equal(maps[3], middle)
    with pytest.raises(InvalidInput, match="no slice 9: it has 0 to 8"):
        frame_features(dataset, "A/1/0", 0, settings, 9)
    thin = open_dataset(make_plate("thin.zarr", {"A/1/0": stack[:, :, :3]}, ("Phase",)))
    assert frame_features(thin, "A/1/0", 0, settings)["encoder_0"].shape == (32, 32, 3)


def test_a_frame_that_memory_does_not_hold_is_one_line(dataset, small, tmp_path, monkeypatch):
    def short(_network, _images):
        raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")

    monkeypatch.setattr("napari_dynaclr.staining.feature_maps.feature_maps", short)
    with pytest.raises(InvalidInput, match="The memory does not hold"):
        frame_features(dataset, "A/1/0", 0, saved(small(), tmp_path / "small.safetensors"))


def test_cancelled_it_stops(dataset, small, tmp_path):
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        frame_features(dataset, "A/1/0", 0, saved(small(), tmp_path / "small.safetensors"), job=job)


def test_the_network_of_the_last_run_is_drawn_between_image_and_stain(dataset, small, tmp_path):
    dataset = dataset.select(["B/1/0"])
    asked = params("evaluate", "stain-features", time_point=2)
    with pytest.raises(MissingInput, match="run 'stain' first"):
        evaluate(dataset, asked)
    stain(dataset, saved(small(), tmp_path / "small.safetensors"))
    table = evaluate(dataset, asked)
    stages = ["encoder_0", "encoder_1", "encoder_2", "decoder_0", "decoder_1"]
    assert table["stage"].tolist() == stages
    assert table["height"].tolist()[:3] == [96, 48, 24]
    assert table["features"].tolist()[:3] == [8, 16, 32]
    assert table["explained"].between(0, 1).all()
    file = dataset.workspace.evaluation("stain-features")
    assert len(pd.read_csv(file)) == 5
    assert file.with_suffix(".png").stat().st_size > 5000


def test_a_real_network_goes_through_the_test_with_worse_images(dataset, small, tmp_path):
    """Random weights stain nothing, but alike what is alike."""
    dataset = dataset.select(["B/1/0"])
    stain(dataset, saved(small(), tmp_path / "small.safetensors"))
    levels = {"blur": [4], "noise": [], "contrast": [], "magnification": [0.5], "time_points": 1}
    table = evaluate(dataset, params("evaluate", "stain-robustness", **levels))
    assert set(table["virtual"]) == {"nuclei_prediction", "membrane_prediction"}
    assert table["frames"].eq(1).all()
    assert table["pcc"].between(-1, 1).all()
    neutral = table[(table["perturbation"] == "blur") & (table["level"] == 0)]
    blurred = table[(table["perturbation"] == "blur") & (table["level"] == 4)]
    assert (neutral["pcc"].to_numpy() != blurred["pcc"].to_numpy()).all()
