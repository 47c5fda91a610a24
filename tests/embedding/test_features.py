from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import regionprops
from skimage.segmentation import expand_labels

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.features import FeaturesParams, columns, frame_features

PIXEL = 0.5
SCALE = (2.0, PIXEL, PIXEL)
PARAMS = FeaturesParams(ring=1.6, radius=4.0, radial_bins=4)


def blobs(seed=0, shape=(60, 70), count=9):
    """Labels with gaps in their numbers, some cut by the border, and two channels."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int64)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for i in range(count):
        cy, cx = generator.uniform(0, shape)
        ry, rx = generator.uniform(3, 9, 2)
        mask = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
        labels[mask & (labels == 0)] = 3 * i + 2
    images = generator.normal(0, 1, (2, 1, *shape)).astype(np.float32)
    return labels, images


@pytest.fixture(scope="module", params=[0, 1, 2])
def measured(request):
    labels, images = blobs(request.param)
    table, border = frame_features(labels[None], images, SCALE, ["A", "B"], PARAMS)
    return labels, images[:, 0], table, border


def test_one_row_per_label_and_one_described_column_per_feature(measured, dataset):
    labels, _, table, _ = measured
    assert table.index.tolist() == np.unique(labels[labels > 0]).tolist()
    params = FeaturesParams(channels=("A", "B"), ring=1.6, radius=4.0, radial_bins=4)
    described = columns(dataset.fovs[0], params)
    assert described.index.tolist() == table.columns.tolist()
    assert described["description"].is_unique
    assert described["description"].str.len().min() > 10


def test_shape_features_are_those_of_regionprops_in_um(measured):
    labels, _, table, _ = measured
    for cell in regionprops(labels):
        row = table.loc[cell.label]
        assert row["area"] == pytest.approx(cell.area * PIXEL**2)
        assert row["perimeter"] == pytest.approx(cell.perimeter * PIXEL)
        assert row["perimeter_to_area"] == pytest.approx(cell.perimeter / cell.area / PIXEL)
        assert row["eccentricity"] == pytest.approx(cell.eccentricity)
        assert row["major_axis"] == pytest.approx(cell.axis_major_length * PIXEL)
        assert row["minor_axis"] == pytest.approx(cell.axis_minor_length * PIXEL)
        expected = 4 * np.pi * cell.area / cell.perimeter**2
        assert row["form_factor"] == pytest.approx(expected)


def test_intensity_features_are_those_of_the_pixels_in_the_mask(measured):
    labels, images, table, _ = measured
    for name, image in zip("AB", images, strict=True):
        for label, row in table.iterrows():
            values = image[labels == label].astype(float)
            assert row[f"{name}_mean"] == pytest.approx(values.mean(), abs=1e-6)
            assert row[f"{name}_std"] == pytest.approx(values.std(), abs=1e-6)
            low, high = np.percentile(values, [25, 75])
            assert row[f"{name}_iqr"] == pytest.approx(high - low, abs=1e-6)
            for p in (5, 25, 50, 75, 95):
                assert row[f"{name}_p{p}"] == pytest.approx(np.percentile(values, p), abs=1e-6)


def test_the_ring_is_the_neighbourhood_that_belongs_to_no_cell(measured):
    labels, images, table, _ = measured
    ring = expand_labels(labels, 1.6 / PIXEL)
    ring[labels > 0] = 0
    for label, row in table.iterrows():
        if not (ring == label).any():
            continue
        mean = images[0][ring == label].mean()
        assert row["A_ring_mean"] == pytest.approx(mean, abs=1e-6)
        inside = images[0][labels == label].mean()
        assert row["A_mask_minus_ring"] == pytest.approx(inside - mean, abs=1e-6)


def test_texture_compares_neighbours_within_the_cell(measured):
    labels, images, table, _ = measured
    image = images[1].astype(float)
    for label, row in table.iterrows():
        mask = labels == label
        down = (mask[1:] & mask[:-1]).nonzero()
        right = (mask[:, 1:] & mask[:, :-1]).nonzero()
        square = (
            np.concatenate([(image[1:] - image[:-1])[down], (image[:, 1:] - image[:, :-1])[right]])
            ** 2
        )
        if not len(square):
            continue
        assert row["B_texture_contrast"] == pytest.approx(square.mean(), abs=1e-5)
        homogeneity = (1 / (1 + square)).mean()
        assert row["B_texture_homogeneity"] == pytest.approx(homogeneity, abs=1e-5)
        correlation = 1 - square.mean() / (2 * image[mask].var())
        assert row["B_texture_correlation"] == pytest.approx(correlation, abs=1e-4)


def test_radial_profile_is_the_mean_by_distance_from_the_centroid(measured):
    labels, images, table, _ = measured
    y, x = np.indices(labels.shape)
    for cell in regionprops(labels):
        cy, cx = np.rint(cell.centroid)
        distance = np.hypot(y - cy, x - cx) * PIXEL
        whole = images[0][distance < 4.0].mean()
        for i in range(4):
            ring = images[0][(distance >= i) & (distance < i + 1)].mean()
            assert table.loc[cell.label, f"A_radial_{i}"] == pytest.approx(ring - whole, abs=1e-5)


def test_constructed_rings_have_their_levels():
    """A bright nucleus of radius 5, a dimmer cytoplasm to 8, nothing beyond."""
    y, x = np.indices((41, 41))
    distance = np.hypot(y - 20, x - 20)
    image = np.where(distance < 5, 10.0, np.where(distance < 8, 4.0, 0.0)).astype(np.float32)
    labels = (distance < 5).astype(np.int64) * 8
    params = FeaturesParams(ring=3.0, radius=10.0, radial_bins=10)
    table, border = frame_features(labels[None], image[None, None], (1, 1, 1), ["A"], params)
    row = table.loc[8]
    assert (row["A_mean"], row["A_std"], row["A_iqr"]) == (10, 0, 0)
    assert row["A_ring_mean"] == pytest.approx(4.0, abs=0.3)
    assert row["A_mask_minus_ring"] == pytest.approx(6.0, abs=0.3)
    profile = row[[f"A_radial_{i}" for i in range(10)]].to_numpy(float)
    whole = image[distance < 10].mean()
    np.testing.assert_allclose(profile + whole, [10] * 5 + [4] * 3 + [0] * 2, atol=1e-5)
    assert not border.loc[8]


def test_texture_tells_a_smooth_cell_from_a_chequered_one():
    y, x = np.indices((20, 40))
    labels = np.zeros((20, 40), np.int64)
    labels[4:16, 4:16], labels[4:16, 24:36] = 1, 2
    image = np.where(x < 20, y / 4, (y + x) % 2 * 2.0).astype(np.float32)
    table, _ = frame_features(labels[None], image[None, None], SCALE, ["A"], PARAMS)
    smooth, rough = table.loc[1], table.loc[2]
    assert smooth["A_texture_correlation"] > 0.8
    assert rough["A_texture_correlation"] == pytest.approx(-1.0, abs=1e-4)
    assert rough["A_texture_contrast"] == pytest.approx(4.0)
    assert smooth["A_texture_homogeneity"] > 0.9 > rough["A_texture_homogeneity"]


def test_cells_at_any_of_the_four_edges_are_flagged():
    labels = np.zeros((30, 30), np.int64)
    places = {1: (0, 12), 2: (26, 12), 3: (12, 0), 4: (12, 26), 5: (12, 12), 6: (1, 1)}
    for label, (y, x) in places.items():
        labels[y : y + 4, x : x + 4] = label
    image = np.zeros((1, 1, 30, 30), np.float32)
    _, border = frame_features(labels[None], image, SCALE, ["A"], PARAMS)
    assert border.to_dict() == {1: True, 2: True, 3: True, 4: True, 5: False, 6: False}


def test_stacks_are_projected_masks_by_maximum_intensities_by_mean():
    labels, images = blobs()
    stack = np.zeros((3, *labels.shape), np.int64)
    for z in range(3):
        stack[z] = np.where(np.arange(labels.shape[1]) % 3 == z, labels, 0)
    levels = np.stack([images[:, 0] - 1, images[:, 0], images[:, 0] + 1], axis=1)
    flat, _ = frame_features(labels[None], images, SCALE, ["A", "B"], PARAMS)
    deep, _ = frame_features(stack, levels, SCALE, ["A", "B"], PARAMS)
    np.testing.assert_allclose(flat, deep, atol=1e-4)


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    kind=st.sampled_from(["pixel", "scatter", "line", "full"]),
    level=st.sampled_from([0.0, 1.0, 1e6, "noise"]),
)
@settings(max_examples=60, deadline=None)
def test_no_feature_is_ever_nan(seed, height, width, kind, level):
    """One-pixel cells, lines, cells that fill the image, constant intensities."""
    generator = np.random.default_rng(seed)
    labels = np.zeros((height, width), np.int64)
    if kind == "pixel":
        labels[generator.integers(height), generator.integers(width)] = 4
    elif kind == "scatter":
        labels[:] = generator.integers(0, 4, labels.shape)
        labels[0, 0] = 1
    elif kind == "line":
        labels[generator.integers(height)] = 2
    else:
        labels[:] = 1
    shape = (1, 1, height, width)
    image = generator.normal(0, 1, shape) if level == "noise" else np.full(shape, level)
    table, _ = frame_features(labels[None], image.astype(np.float32), SCALE, ["A"], PARAMS)
    values = table.to_numpy(np.float32)
    assert np.isfinite(values).all()
    assert table.index.tolist() == np.unique(labels[labels > 0]).tolist()


def test_an_unknown_channel_is_one_line(processed):
    from napari_dynaclr import embed

    with pytest.raises(InvalidInput, match="no channel 'Phse'"):
        embed(processed, FeaturesParams(channels=("Phse",)))


def test_a_cell_hidden_below_another_is_measured_as_if_alone():
    yy, xx = np.mgrid[:60, :60]
    below = (yy - 30) ** 2 + (xx - 28) ** 2 < 8**2
    above = (yy - 30) ** 2 + (xx - 32) ** 2 < 12**2
    labels = np.zeros((4, 60, 60), np.uint32)
    labels[0][below] = 1
    labels[3][above] = 2
    alone = np.where(labels == 1, 1, 0)
    images = np.random.default_rng(0).normal(size=(1, 4, 60, 60)).astype(np.float32)
    params = FeaturesParams()
    both, _ = frame_features(labels, images, (2.0, 0.5, 0.5), ["A"], params)
    single, _ = frame_features(alone, images, (2.0, 0.5, 0.5), ["A"], params)
    assert sorted(both.index) == [1, 2]
    same = [name for name in both if "ring" not in name]
    np.testing.assert_allclose(both.loc[1, same], single.loc[1, same])
