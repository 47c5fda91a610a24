from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_dynaclr.core.normalize import summarize
from napari_dynaclr.embedding.scaling import (
    MODES,
    RANGES,
    has_gaps,
    percentile_range,
    scale_patches,
)


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
def patches():
    shape = (5, 2, 3, 16, 16)
    return np.random.default_rng(0).gamma(2, 100, shape).astype(np.uint16)


def stretch(image):
    low, high = np.percentile(image.astype(float), [50, 99])
    return (image - low) / (high - low)


def test_every_mode_against_its_formula(patches, pool):
    known = summarize(patches * 2)
    plain = patches.astype(float)
    expected = {
        "mean-std": (plain - known["mean"]) / known["std"],
        "cell-percentiles": np.stack([[stretch(c) for c in patch] for patch in plain]),
        "fov-percentiles": (plain - known["median"]) / (known["p99"] - known["median"]),
        "batch-percentiles": np.stack([stretch(plain[:, c]) for c in range(2)], axis=1),
        "none": plain,
    }
    for name in RANGES:
        high = min(known["max"], known["p99"] + 0.3 * (known["p99"] - known["p1"]))
        expected[name] = np.clip((plain - known["p1"]) / (high - known["p1"]), 0, 1)
    assert expected.keys() == MODES.keys() | RANGES.keys()
    for mode, values in expected.items():
        found = scale_patches(patches, [mode] * 2, [known] * 2, pool)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-4, err_msg=mode)


def test_channels_are_scaled_each_in_its_way(patches, pool):
    known = summarize(patches)
    found = scale_patches(patches, ["none", "cell-percentiles"], [known, {}], pool)
    np.testing.assert_array_equal(found[:, 0], patches[:, 0])
    np.testing.assert_allclose(found[3, 1], stretch(patches[3, 1]), rtol=1e-4, atol=1e-4)


def test_a_cells_own_percentiles_do_not_depend_on_its_batch_mates_but_the_batch_s_do(patches, pool):
    for mode, same in (("cell-percentiles", True), ("batch-percentiles", False)):
        together = scale_patches(patches, [mode] * 2, [{}] * 2, pool)[1]
        alone = scale_patches(patches[1:2], [mode] * 2, [{}] * 2, pool)[0]
        assert np.array_equal(together, alone) is same


def test_a_flat_patch_is_only_shifted(pool):
    flat = np.full((1, 1, 1, 8, 8), 7, np.uint16)
    for mode in ("cell-percentiles", "batch-percentiles"):
        assert not scale_patches(flat, [mode], [{}], pool).any()


@pytest.mark.parametrize("mode", MODES)
def test_what_is_not_finite_is_filled(pool, mode):
    image = np.random.default_rng(1).normal(50, 5, (3, 1, 1, 16, 16)).astype(np.float32)
    known = summarize(image)
    expected = scale_patches(image, [mode], [known], pool)
    image[0, ..., 3, 3], image[2] = np.inf, np.nan
    found = scale_patches(image, [mode], [known], pool)
    assert np.isfinite(found).all()
    assert not found[2].any()
    if mode != "batch-percentiles":
        np.testing.assert_array_equal(found[1], expected[1])
        changed = ~np.isclose(found[0], expected[0], rtol=0.2, atol=0.2)
        assert changed.sum() <= 1


@pytest.mark.parametrize(
    ("image", "gaps"),
    [
        ([1.0, np.nan], True),
        ([np.inf, -np.inf], True),
        ([-np.inf, 1.0], True),
        ([3e38, 3e38], False),  # whose sum is more than float32 holds
        ([0.0, -2.0], False),
    ],
)
def test_gaps_are_pixels_without_a_finite_value(image, gaps):
    assert has_gaps(np.array(image, np.float32)) is gaps


def test_whole_numbers_have_no_gaps():
    assert not has_gaps(np.full(9, 65535, np.uint16))


def test_percentiles_are_monai_s(patches, pool):
    transforms = pytest.importorskip("monai.transforms")
    theirs = transforms.ScaleIntensityRangePercentiles(50, 99, 0.0, 1.0)
    found = scale_patches(patches, ["cell-percentiles"] * 2, [{}] * 2, pool)
    for one, patch in zip(found[:, 0], patches[:, 0], strict=True):
        np.testing.assert_allclose(one, theirs(patch.astype(np.float32)), atol=1e-4)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=300))
def test_percentiles_are_numpy_s(values):
    image = np.array(values, np.float32)
    before = image.copy()
    expected = np.percentile(image.astype(np.float64), (50, 99))
    np.testing.assert_allclose(percentile_range(image), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(image, before)
