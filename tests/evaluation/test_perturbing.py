from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.evaluation.perturbing import NEUTRAL, magnify, perturb

rng = np.random.default_rng(0)


def image():
    return rng.integers(100, 4000, (2, 3, 40, 60)).astype(np.uint16)


@pytest.mark.parametrize("kind", NEUTRAL)
def test_at_its_neutral_level_nothing_changes(kind):
    raw = image()
    found = perturb(raw, kind, NEUTRAL[kind])
    np.testing.assert_array_equal(found, raw)
    assert found.dtype == np.float32


def test_blur_stays_within_slices_and_keeps_the_light():
    raw = np.zeros((1, 3, 41, 41), np.uint16)
    raw[0, 1, 20, 20] = 1000
    found = perturb(raw, "blur", 2.0)
    assert found[0, [0, 2]].max() == 0
    assert found.sum() == pytest.approx(1000, rel=1e-3)
    assert found[0, 1, 20, 20] == pytest.approx(1000 / (2 * np.pi * 4), rel=0.02)


def test_noise_is_a_multiple_of_each_channels_own_spread_and_repeatable():
    raw = image()
    raw[1] *= 10
    found = perturb(raw, "noise", 0.5, seed=3)
    for noisy, before in zip(found, raw, strict=True):
        assert (noisy - before).std() == pytest.approx(0.5 * before.std(), rel=0.05)
    np.testing.assert_array_equal(perturb(raw, "noise", 0.5, seed=3), found)
    assert (perturb(raw, "noise", 0.5, seed=4) != found).any()


def test_contrast_bends_intensities_between_the_extremes():
    raw = image()
    found = perturb(raw, "contrast", 2.0)
    assert found.min(axis=(1, 2, 3)).tolist() == raw.min(axis=(1, 2, 3)).tolist()
    np.testing.assert_allclose(found.max(axis=(1, 2, 3)), raw.max(axis=(1, 2, 3)), rtol=1e-6)
    order = np.argsort(raw[0].ravel(), kind="stable")
    assert (np.diff(found[0].ravel()[order]) >= 0).all()
    assert found.mean() < raw.mean() < perturb(raw, "contrast", 0.5).mean()
    flat = np.full((1, 1, 4, 4), 7, np.uint16)
    np.testing.assert_array_equal(perturb(flat, "contrast", 2.0), flat)


def test_enlarged_the_middle_is_shown_in_as_many_pixels():
    labels = np.zeros((1, 40, 60), np.uint32)
    labels[0, 15:25, 25:35] = 70_000
    found = magnify(labels, 2.0, labels=True)
    assert found.shape == labels.shape
    assert set(np.unique(found)) == {0, 70_000}
    assert (found > 0).sum() == 4 * 100
    rows, columns = np.nonzero(found[0])
    assert (rows.mean(), columns.mean()) == (19.5, 29.5), "it is the middle"


def test_reduced_all_is_shown_with_fewer_pixels_and_stripes_do_not_turn_into_others():
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (1, 40, 30))
    found = magnify(stripes, 0.5)
    assert found.shape == (1, 20, 30)
    assert found[0, :, 2:-2].std() < 0.15
    assert found.mean() == pytest.approx(0.5, abs=0.02)
    labels = np.zeros((1, 40, 60), np.uint32)
    labels[0, 10:30, 20:40] = 5
    assert (magnify(labels, 0.5, labels=True) == 5).sum() == 100
