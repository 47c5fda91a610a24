from __future__ import annotations

import shutil

import numpy as np
import pytest

from napari_dynaclr import Job, find, open_dataset, params
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.weights import find_preset, get_weights
from napari_dynaclr.embedding.tap.frames import TapViewParams
from napari_dynaclr.session.arrow_maps import ATTRIBUTION, FEATURES, ArrowMaps, saved_maps

pytest.importorskip("torch", reason="the extra 'torch' is not installed")


@pytest.fixture
def movie(make_plate):
    images = np.random.default_rng(0).integers(90, 400, (4, 1, 1, 48, 48)).astype(np.uint16)
    return open_dataset(make_plate("movie.zarr", {"A/1/0": images}))


def settings(**values):
    return params("find", "tap", device="cpu", **values)


def test_saved_maps_are_shown_where_they_are_of_these_settings_only(movie):
    find(movie, settings())

    def saved(name="tap", kind=ATTRIBUTION, **values):
        seen = TapViewParams.of(settings(**values))
        return saved_maps(movie, "A/1/0", name, kind, seen, Job())

    found = saved(count=3)
    assert found is not None
    assert saved(delta_t=2) is None, "not made with these settings"
    assert saved(kind=FEATURES) is saved("other") is saved("") is None
    maps = ArrowMaps()
    as_saved = maps.make(movie, "A/1/0", 1, 0, [ATTRIBUTION], settings(), "tap", Job())
    assert as_saved.read
    ((_, expected),) = found.frames(found.channels, [1])
    np.testing.assert_array_equal(as_saved.planes[ATTRIBUTION], expected[0, 0].clip(0))
    later = maps.make(movie, "A/1/0", 1, 0, [ATTRIBUTION], settings(delta_t=2), "tap", Job())
    assert not later.read
    assert np.abs(later.planes[ATTRIBUTION] - expected[0, 0].clip(0)).max() > 1e-3 * expected.max()
    maps.close()


def test_what_is_not_saved_waits_where_nothing_may_be_computed(movie):
    maps = ArrowMaps()
    made = maps.make(movie, "A/1/0", 0, 0, [ATTRIBUTION], settings(), "", Job(), compute=False)
    assert (made.planes, made.read) == ({}, False)
    assert made.hindrance
    assert not maps.is_open


def test_a_movie_too_short_for_pairs_has_features_all_the_same(make_plate):
    images = np.random.default_rng(0).integers(90, 400, (1, 1, 1, 48, 48)).astype(np.uint16)
    still = open_dataset(make_plate("still.zarr", {"A/1/0": images}))
    maps = ArrowMaps()
    made = maps.make(still, "A/1/0", 0, 0, [FEATURES, ATTRIBUTION], settings(), "", Job())
    assert list(made.planes) == [FEATURES]
    assert "one time point" in made.hindrance
    with pytest.raises(InvalidInput, match="one time point"):
        maps.make(still, "A/1/0", 0, 0, [ATTRIBUTION], settings(), "", Job())
    maps.close()


def test_the_same_network_by_another_path_is_the_same(movie, tmp_path):
    network = get_weights(find_preset("simulated-arrow", "arrow"), Job()).path
    find(movie, settings(weights=str(network)))
    copy = tmp_path / "copy.safetensors"
    shutil.copy(network, copy)
    for values in ({"weights": str(copy)}, {"weights": str(copy), "preset": "none"}, {}):
        seen = TapViewParams.of(settings(**values))
        assert saved_maps(movie, "A/1/0", "tap", ATTRIBUTION, seen, Job()) is not None
