"""What is shown of the frame that someone looks at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_dynaclr import Job, open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.tap import frames
from napari_dynaclr.embedding.tap.attribution import attribution
from napari_dynaclr.embedding.tap.checkpoint import load_tap, save_tap
from napari_dynaclr.embedding.tap.dense import Extractor, frame_features
from napari_dynaclr.embedding.tap.frames import TapViewParams, frame_maps
from napari_dynaclr.embedding.tap.images import prepare
from napari_dynaclr.embedding.tap.method import TapParams

SHAPE = (4, 1, 3, 40, 48)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(100, 900, SHAPE).astype(np.uint16)


@pytest.fixture
def movie(make_plate, images, tmp_path):
    plate = make_plate("movie.zarr", {"A/1/0": images, "A/1/1": images[:1]})
    return open_dataset(plate, tmp_path / "movie.dynaclr")


@pytest.fixture
def params(arrow, tmp_path):
    path = tmp_path / "mine.safetensors"
    save_tap(path, arrow(), {"source_channel": "Nuclei", "delta_t": 2})
    yield TapViewParams(weights=str(path), device="cpu")
    frames.close()


@pytest.fixture
def passes(monkeypatch):
    """What the network is run over."""
    found = []
    plane = Extractor.plane

    def counting(self, image, job):
        found.append(image)
        return plane(self, image, job)

    monkeypatch.setattr(Extractor, "plane", counting)
    return found


@pytest.mark.parametrize(("stacks", "z"), [("slices", 2), ("slices", None), ("max", 2)])
def test_the_maps_are_those_of_the_frame(movie, images, params, stacks, z):
    params = params.model_copy(update={"stacks": stacks})
    found = frame_maps(movie, "A/1/0", 1, params, z=z)
    loaded = load_tap(Path(params.weights))
    place = 0 if stacks == "max" else 1 if z is None else z
    first, second = (prepare(images[t, 0], stacks)[place] for t in (1, 3))
    expected = attribution(loaded, first, second)
    np.testing.assert_allclose(found["attribution"], expected, atol=2e-3 * expected.max())
    colours, _ = frames.pca_colours(frame_features(loaded, first[None])[:, 0])
    assert found["features"].shape == (40, 48, 3)
    np.testing.assert_allclose(found["features"], colours, atol=0.02)


def test_going_through_a_movie_takes_one_pass_a_frame_with_the_same_colours(movie, params, passes):
    first = frame_maps(movie, "A/1/0", 0, params)
    assert len(passes) == 2
    third = frame_maps(movie, "A/1/0", 2, params)
    assert len(passes) == 2
    assert third["basis"] is first["basis"]
    assert "attribution" not in third  # there is no frame 4
    again = frame_maps(movie, "A/1/0", 0, params, basis=third["basis"])
    np.testing.assert_array_equal(again["features"], first["features"])
    assert len(passes) == 2


def test_only_what_is_wanted_is_made(movie, params, passes):
    assert set(frame_maps(movie, "A/1/0", 0, params, attribution=False)) == {"features", "basis"}
    assert len(passes) == 1
    assert set(frame_maps(movie, "A/1/0", 1, params, features=False)) == {"attribution"}


def test_other_weights_of_the_same_name_are_opened_anew(movie, params, arrow, passes):
    before = frame_maps(movie, "A/1/0", 0, params)
    save_tap(Path(params.weights), arrow(seed=9), {"source_channel": "Nuclei", "delta_t": 2})
    after = frame_maps(movie, "A/1/0", 0, params)
    assert len(passes) == 4
    assert not np.allclose(before["attribution"], after["attribution"])


def test_features_of_few_frames_are_kept(movie, params, passes, monkeypatch):
    monkeypatch.setattr(frames, "_BYTES", 2 * 5 * 40 * 48 * 2)
    for t in (0, 1, 2, 3, 0):
        frame_maps(movie, "A/1/0", t, params, attribution=False)
    assert len(passes) == 5
    assert sum(one.nbytes for one in frames._VIEWER._seen.values()) <= frames._BYTES


def test_settings_are_taken_from_those_of_others():
    other = TapParams(weights="a.safetensors", channel="Phase", stacks="max", radius=3)
    found = TapViewParams.of(TapViewParams(**other.model_dump(include={"weights", "channel"})))
    assert (found.weights, found.channel, found.delta_t) == ("a.safetensors", "Phase", None)


def test_bad_input_is_one_line(movie, params):
    def refused(match, fov="A/1/0", t=0, **changes):
        with pytest.raises(InvalidInput, match=match):
            frame_maps(movie, fov, t, params.model_copy(update=changes), Job())

    refused("has one time point", fov="A/1/1")
    assert "features" in frame_maps(movie, "A/1/1", 0, params, attribution=False)
    refused("too few for pairs 4 frames apart: set delta_t to 3", delta_t=4)
    refused("has no time point 9", t=9)
    refused("has no channel 'DIC'", channel="DIC")
    refused("There is no weights file", weights="nowhere.safetensors")


def test_a_frame_of_zeros_has_maps_too(make_plate, images, params, tmp_path):
    images[1] = 0
    dataset = open_dataset(make_plate("dark.zarr", {"A/1/0": images}), tmp_path / "dark.dynaclr")
    found = frame_maps(dataset, "A/1/0", 1, params)
    assert np.isfinite(found["features"]).all()
    assert np.isfinite(found["attribution"]).all()
