from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_dynaclr import open_dataset, segment
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.registry import parse
from napari_dynaclr.sample import SimulateParams, simulate
from napari_dynaclr.segmentation.threshold import ThresholdParams, nuclei_channel, segment_frame

FLAT = (1.0, 1.0, 1.0)


def disc(shape, centre, radius, level):
    """A blurred disc (or ball) of some brightness."""
    grid = np.meshgrid(*map(np.arange, shape), indexing="ij")
    square = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True))
    return ndimage.gaussian_filter(level * (square < radius**2).astype(np.float32), 1.0)


def noisy(image, seed=0):
    return image + 100 + np.random.default_rng(seed).normal(0, 3, image.shape).astype(np.float32)


def f1_at_half(truth, found):
    """F1 of objects that agree with an intersection over union above one half."""
    hits = 0
    for label in np.unique(truth[truth > 0]):
        mask = truth == label
        for other in np.unique(found[mask & (found > 0)]):
            match = found == other
            hits += (mask & match).sum() / (mask | match).sum() > 0.5
    return 2 * hits / (len(np.unique(truth)) + len(np.unique(found)) - 2)


def scores(dataset, truth_path):
    truth = open_dataset(truth_path)
    for fov in dataset.fovs:
        labels = dataset.workspace.labels("segmentation", fov)
        true_frames = truth[fov.name].frames(["nucleus_labels"], allow_empty=True)
        for (_, ours), (_, true) in zip(labels.frames(["labels"]), true_frames, strict=True):
            yield f1_at_half(true[0], ours[0])


def test_simulated_nuclei_are_found_with_an_f1_above_095(processed, truth):
    assert np.mean(list(scores(processed, truth))) >= 0.95


def test_nuclei_in_a_stack_are_found_with_an_f1_of_09(tmp_path):
    params = SimulateParams(
        wells_per_condition=1, fovs_per_well=1, time_points=2, z_slices=9, size=256
    )
    dataset = open_dataset(simulate(tmp_path / "stack.zarr", params))
    segment(dataset)
    truth = open_dataset(tmp_path / "stack_truth.zarr")
    found = []
    for fov in dataset.fovs:
        pairs = zip(
            truth[fov.name].frames(["nucleus_labels"]),
            dataset.workspace.labels("segmentation", fov).frames(["labels"]),
            strict=True,
        )
        found += [f1_at_half(true[0], ours[0]) for (_, true), (_, ours) in pairs]
    assert np.mean(found) >= 0.9  # overlap of volumes, not of their projections


def test_table_counts_the_labels_that_were_written(processed):
    import pandas as pd

    for fov in processed.fovs:
        counts = pd.read_csv(processed.workspace.plate("segmentation") / fov.name / "cells.csv")
        frames = processed.workspace.labels("segmentation", fov).frames(["labels"])
        assert counts["cells"].tolist() == [len(np.unique(frame)) - 1 for _, frame in frames]


@pytest.mark.parametrize("apart", [16, 20, 24])
def test_touching_discs_are_split(apart):
    shape = (80, 100)
    image = np.maximum(disc(shape, (40, 40), 10, 500), disc(shape, (40, 40 + apart), 10, 500))
    labels = segment_frame(noisy(image)[None], FLAT, ThresholdParams(diameter=20))
    assert labels.max() == 2
    assert labels[0, 40, 36] != labels[0, 40, 44 + apart]


def test_touching_balls_are_split_in_a_stack_of_thick_slices():
    shape = (12, 60, 60)
    grid = np.meshgrid(*map(np.arange, shape), indexing="ij")
    image = np.zeros(shape, np.float32)
    for x in (20, 37):
        square = (2 * (grid[0] - 6)) ** 2 + (grid[1] - 30) ** 2 + (grid[2] - x) ** 2
        image[square < 100] = 500
    labels = segment_frame(noisy(image), (2.0, 1.0, 1.0), ThresholdParams(diameter=20))
    assert labels.max() == 2


def test_one_disc_stays_whole():
    image = disc((80, 80), (40, 40), 12, 500)
    assert segment_frame(noisy(image)[None], FLAT, ThresholdParams(diameter=24)).max() == 1


def test_dim_nuclei_are_found_beside_bright_mitotic_ones():
    shape = (160, 160)
    image = np.zeros(shape, np.float32)
    bright, dim = [(40, 40), (120, 120)], [(40, 75), (40, 120), (80, 80), (120, 40), (120, 85)]
    for centre in bright:
        image = np.maximum(image, disc(shape, centre, 7, 3000))
    for centre in dim:
        image = np.maximum(image, disc(shape, centre, 10, 300))
    labels = segment_frame(noisy(image)[None], FLAT, ThresholdParams(diameter=20))[0]
    assert all(labels[centre] for centre in bright + dim)
    assert labels.max() == len(bright) + len(dim)


def test_an_uneven_background_hides_no_nucleus_and_makes_none():
    shape = (160, 160)
    slope = np.linspace(0, 400, shape[1], dtype=np.float32)[None].repeat(shape[0], 0)
    centres = [(40, 30), (40, 130), (120, 30), (120, 130)]
    image = slope + sum(disc(shape, centre, 10, 500) for centre in centres)
    labels = segment_frame(noisy(image)[None], FLAT, ThresholdParams(diameter=20))[0]
    assert labels.max() == 4
    assert all(labels[centre] for centre in centres)


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_constant_frame_has_no_cells(value):
    labels = segment_frame(np.full((1, 64, 64), value, np.float32), FLAT, ThresholdParams())
    assert labels.dtype == np.uint32
    assert not labels.any()


def test_labels_are_consecutive_from_one():
    shape = (200, 200)
    centres = [(y, x) for y in (30, 80, 130, 175) for x in (25, 75, 125, 170)]
    image = sum(disc(shape, c, 8 + i % 3, 300 + 40 * i) for i, c in enumerate(centres))
    labels = segment_frame(noisy(image)[None], FLAT, ThresholdParams(diameter=18))
    assert np.unique(labels).tolist() == list(range(len(centres) + 1))


def test_small_objects_are_dropped_by_their_size_in_um():
    shape = (100, 100)
    image = disc(shape, (30, 30), 10, 500) + disc(shape, (70, 70), 4, 500)
    one, both = (
        segment_frame(noisy(image)[None], FLAT, ThresholdParams(diameter=20, min_size=fraction))
        for fraction in (0.5, 0.05)
    )
    assert (one.max(), both.max()) == (1, 2)
    assert one[0, 30, 30]


def test_the_same_picture_at_another_voxel_size_gives_the_same_cells():
    """All lengths are in um: pixels of half the size and half the diameter change nothing."""
    shape = (120, 120)
    centres = [(30, 30), (30, 48), (90, 40), (80, 95)]
    image = noisy(sum(disc(shape, centre, 9, 500) for centre in centres))[None]
    whole = segment_frame(image, FLAT, ThresholdParams(diameter=18))
    half = segment_frame(image, (0.5, 0.5, 0.5), ThresholdParams(diameter=9))
    assert whole.max() == 4
    np.testing.assert_array_equal(whole, half)


def test_more_sensitivity_finds_dimmer_nuclei():
    shape = (120, 120)
    image = noisy(disc(shape, (35, 35), 10, 900) + disc(shape, (85, 85), 10, 150))[None]
    found = {
        s: segment_frame(image, FLAT, ThresholdParams(diameter=20, sensitivity=s))[0, 85, 85] > 0
        for s in (0.1, 4)
    }
    assert found == {0.1: False, 4: True}


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (["Phase", "Nuclei"], "Nuclei"),
        (["BF", "nuclei_prediction", "membrane_prediction"], "nuclei_prediction"),
        (["GFP", "DAPI (405)"], "DAPI (405)"),
        (["Hoechst", "Nucleus"], "Nucleus"),
        (["mCherry-H2B", "Phase"], "mCherry-H2B"),
    ],
)
def test_the_channel_named_after_nuclei_is_taken(channels, expected):
    assert nuclei_channel(channels) == expected


def test_a_named_channel_is_taken_before_one_named_after_nuclei():
    assert nuclei_channel(["Nuclei", "Sensor"], "Sensor") == "Sensor"


def test_without_a_nuclear_channel_the_choices_are_named():
    with pytest.raises(InvalidInput, match=r"Phase, GFP with channel="):
        nuclei_channel(["Phase", "GFP"])


def test_an_unknown_channel_is_one_line(dataset):
    with pytest.raises(InvalidInput, match="no channel 'Nucleii': choose one of Phase, Nuclei"):
        segment(dataset, ThresholdParams(channel="Nucleii"))


@pytest.mark.parametrize(("value", "word"), [(0.0, "zeros"), (np.nan, "NaN")])
def test_an_empty_frame_stops_or_is_left_without_cells(make_plate, value, word):
    image = np.stack([noisy(disc((64, 64), (32, 32), 10, 500), seed) for seed in range(3)])
    image[1] = value
    path = make_plate("a.zarr", {"A/1/0": image[:, None, None].astype(np.float32)})
    dataset = open_dataset(path)
    params = {"diameter": 20}
    with pytest.raises(InvalidInput, match=f"time point 1 holds nothing but {word}"):
        segment(dataset, parse("segment", "threshold", params))
    table = segment(dataset, parse("segment", "threshold", {**params, "empty_frames": "skip"}))
    assert table["cells"].tolist() == [1, 0, 1]


def test_stray_nan_pixels_do_no_harm(make_plate):
    image = noisy(disc((64, 64), (32, 32), 10, 500)).astype(np.float32)
    image[5, 5] = image[32, 32] = np.nan
    dataset = open_dataset(make_plate("a.zarr", {"A/1/0": image[None, None, None]}))
    assert segment(dataset, ThresholdParams(diameter=20))["cells"].tolist() == [1]


@pytest.mark.parametrize(("slices", "step"), [(2, 1.5), (3, 5.0), (5, 2.5)])
def test_flat_nuclei_of_a_stack_are_found(slices, step):
    plane = disc((64, 64), (20, 20), 8, 500) + disc((64, 64), (44, 44), 8, 500)
    image = np.stack([plane] + [np.zeros_like(plane)] * (slices - 1))
    labels = segment_frame(noisy(image), (step, 0.75, 0.75), ThresholdParams(diameter=12))
    assert labels[0, 20, 20] != labels[0, 44, 44]
    assert labels[0, 20, 20] > 0 < labels[0, 44, 44]


def test_a_stack_without_cells_has_none():
    image = noisy(np.zeros((4, 64, 64)))
    assert segment_frame(image, (5.0, 0.75, 0.75), ThresholdParams()).shape == (4, 64, 64)
