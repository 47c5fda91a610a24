"""Frames as the network sees them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.tracking.cellect.images import normalise, rescaled_size, resize


def frame():
    return np.random.default_rng(0).uniform(100, 4000, (3, 40, 50))


def test_scaled_does_not_depend_on_gain_and_offset_of_the_camera():
    image = frame()
    np.testing.assert_allclose(
        normalise(image, "scaled"), normalise(7 * image + 300, "scaled"), atol=1e-5
    )


def test_scaled_images_are_bounded_where_a_few_pixels_are_hot():
    image = frame()
    image[0, 0, 0] = 1e9
    found = normalise(image, "scaled")
    assert 0 <= found.min() <= found.max() < 2.5


def test_the_papers_normalisations():
    image = frame()
    np.testing.assert_allclose(normalise(image, "log"), np.log(image + 1), rtol=1e-6)
    np.testing.assert_allclose(normalise(image, "none"), image, rtol=1e-6)
    assert np.isfinite(normalise(image - 1000, "log")).all()


def test_a_frame_of_one_intensity_is_nothing():
    assert not normalise(np.full((1, 8, 8), 7.0), "scaled").any()


def test_resizing_keeps_what_is_large():
    image = np.zeros((2, 40, 40), np.float32)
    image[1, 10:20, 20:30] = 1
    small = resize(image, rescaled_size((40, 40), 0.5))
    assert small.shape == (2, 20, 20)
    assert small[1, 7, 12] == pytest.approx(1)
    assert small.sum() == pytest.approx(image.sum() / 4, rel=1e-3)
    assert resize(image, (40, 40)) is image
