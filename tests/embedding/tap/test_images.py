"""Frames as the network sees them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr import open_dataset
from napari_dynaclr.embedding.events.maps import read_each
from napari_dynaclr.embedding.tap.images import normalise, prepare, project, read
from napari_dynaclr.embedding.tap.training.movies import Place, Stretch


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(100, 4000, (3, 40, 50)).astype(np.uint16)


def test_percentiles_become_0_and_1_and_nothing_is_clipped(stack):
    found = normalise(stack)
    assert found.dtype == np.float32
    assert np.percentile(found, [1, 99.8]) == pytest.approx([0, 1], abs=1e-5)
    assert found.min() < 0
    assert found.max() > 1
    low, high = np.percentile(stack, [1, 99.8])
    np.testing.assert_allclose(found, (stack - low) / (high - low), atol=1e-5)


def test_brightness_and_contrast_of_a_frame_do_not_matter(stack):
    np.testing.assert_allclose(normalise(stack * 3.5 + 900), normalise(stack), atol=1e-5)


def test_a_stack_is_scaled_as_a_whole_unless_it_is_projected(stack):
    stack[0] //= 2
    slices = prepare(stack, "slices")
    assert slices.shape == stack.shape
    assert slices[0].mean() < 0.6 * slices[1].mean()
    flat = prepare(stack, "max")
    assert flat.shape == (1, 40, 50)
    np.testing.assert_array_equal(flat, normalise(stack.max(0, keepdims=True)))


def test_the_source_stays_as_it_is(stack):
    pixels = stack.astype(np.float32)
    before = pixels.copy()
    prepare(pixels, "slices")
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_a_frame_of_one_value_is_all_zeros(value):
    assert not normalise(np.full((1, 9, 9), value)).any()


def test_gaps_get_the_median_and_tell_nothing_to_the_percentiles(stack):
    pixels = stack.astype(np.float32)
    pixels[0, :5] = np.nan
    pixels[1, 3, 3] = np.inf
    found = normalise(pixels)
    good = np.isfinite(pixels)
    np.testing.assert_array_equal(found[good], normalise(pixels[good]))
    assert found[0, 2, 2] == pytest.approx(np.median(found[good]), abs=1e-3)
    assert np.isfinite(found).all()


def test_few_bright_spots_on_an_even_ground_are_scaled_too():
    pixels = np.full((1, 100, 100), 10.0)
    pixels[0, 3, 3] = 60
    found = normalise(pixels)
    assert found.min() == 0
    assert found.max() == 1


def test_a_large_frame_is_scaled_by_a_sample_of_it():
    pixels = np.random.default_rng(1).normal(500, 60, (3, 1800, 1900)).astype(np.float32)
    assert np.percentile(normalise(pixels), [1, 99.8]) == pytest.approx([0, 1], abs=5e-3)


def test_a_projection_passes_over_gaps():
    pixels = np.array([[[1.0, np.nan]], [[np.nan, np.nan]]])
    np.testing.assert_array_equal(project(pixels), [[[1.0, np.nan]]])


def test_gaps_are_seen_alike_wherever_a_frame_is_looked_at(make_plate, stack):
    """In the viewer, in training and by the search, NaN of a slice do not show in a projection."""
    movie = np.stack([stack, stack + 1]).astype(np.float32)[:, None]
    movie[:, :, 1, 5:9, 5:9] = np.nan
    movie[:, :, [0, 2], 5:9, 5:9] = 3.0  # darker than the median, which a gap must not become
    fov = open_dataset(make_plate("gaps.zarr", {"A/1/0": movie}))["A/1/0"]
    expected = prepare(movie[0, 0], "max")
    assert expected[0, 5:9, 5:9].max() < expected.min() + 1e-6
    channel = fov.channels[0]
    (_, seen), _ = read(fov, channel, [0, 1])
    np.testing.assert_array_equal(prepare(seen, "max"), expected)
    (_, searched), _ = read_each(fov, channel, [0, 1])
    np.testing.assert_array_equal(prepare(searched, "max"), expected)
    place = Place(0, None, fov, channel, "max", 1)
    (_, learned), _ = Stretch(place, 0, 1).read([0, 1])
    np.testing.assert_allclose(learned, expected, atol=2e-3)
