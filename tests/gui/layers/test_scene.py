from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr import open_dataset
from napari_dynaclr.core.normalize import statistics
from napari_dynaclr.gui.layers import prepare
from napari_dynaclr.gui.layers.scene import AXES, OWNER, UNITS, look_of, space_of
from napari_dynaclr.session.frames import ChunkCache, FovImage


@pytest.fixture
def read(monkeypatch):
    """Time points that are read from disk."""
    times = []
    real = FovImage._read

    def spy(self, t, z, group):
        times.append((self._name, t, z))
        return real(self, t, z, group)

    monkeypatch.setattr(FovImage, "_read", spy)
    return times


def test_every_channel_is_a_layer_with_name_scale_units_and_axes(dataset):
    fov = dataset["A/1/0"]
    scene = prepare(dataset, fov, ChunkCache())
    assert list(scene.layers) == [f"channel {name}" for name in fov.channels]
    for role, (data, about, kind) in scene.layers.items():
        assert kind == "image"
        assert about["name"] == role.removeprefix("channel ")
        assert about["scale"] == (1.0, *fov.scale)
        assert about["units"] == UNITS
        assert about["axis_labels"] == AXES
        assert about["metadata"] == {OWNER: role}
        assert data.shape == fov.shape
        assert data.dtype == fov.dtype
        np.testing.assert_array_equal(data[3], fov.image(about["name"])[3].compute())


def test_of_the_channels_one_and_the_nuclei_are_seen_at_first(dataset):
    scene = prepare(dataset, dataset["A/1/0"], ChunkCache())
    assert [about["visible"] for _, about, _ in scene.layers.values()] == [True, True, False, False]


def test_only_the_first_view_is_read(dataset, read):
    scene = prepare(dataset, dataset["A/1/0"], ChunkCache(), t=6)
    assert {t for _, t, _ in read} == {6}
    seen = {name.rpartition(" ")[2] for name, _, _ in read}
    assert seen <= set(scene.fov.channels)
    assert "Phase" in seen


def test_a_later_time_point_than_there_is_shows_the_last(dataset, read):
    prepare(dataset, dataset["A/1/0"], ChunkCache(), t=99)
    assert {t for _, t, _ in read} == {9}


def test_contrast_is_a_robust_sample_where_there_are_no_statistics(make_plate):
    random = np.random.default_rng(0)
    image = random.normal(100, 10, (3, 1, 1, 256, 256)).astype(np.float32)
    image[0, 0, 0, 0, 0] = 1e6  # a hot pixel
    dataset = open_dataset(make_plate("hot.zarr", {"A/1/0": image}))
    scene = prepare(dataset, dataset.fovs[0], ChunkCache())
    low, high = scene.layers["channel Nuclei"][1]["contrast_limits"]
    assert 60 < low < 90
    assert 110 < high < 1000


def test_contrast_comes_from_statistics_where_there_are_some(dataset):
    fov = dataset["A/1/0"]
    [known] = statistics(dataset, fov, ["Nuclei"]).values()
    scene = prepare(dataset, fov, ChunkCache())
    low, high = scene.layers["channel Nuclei"][1]["contrast_limits"]
    assert low == pytest.approx(known["p1"])
    assert known["p99"] <= high <= known["max"]


@pytest.mark.parametrize("value", [0, 7])
def test_a_flat_image_has_a_contrast_too(make_plate, value):
    image = np.full((2, 1, 1, 64, 64), value, np.uint16)
    dataset = open_dataset(make_plate("flat.zarr", {"A/1/0": image}))
    scene = prepare(dataset, dataset.fovs[0], ChunkCache())
    low, high = scene.layers["channel Nuclei"][1]["contrast_limits"]
    assert low == value
    assert high > low


@pytest.mark.parametrize(
    ("channel", "colormap"),
    [
        ("Phase3D", "gray"),
        ("raw GFP EX488", "green"),
        ("mCherry", "magenta"),
        ("nuclei_prediction", "bop blue"),
        ("Membrane", "bop orange"),
        ("something else", "gray"),
    ],
)
def test_channels_have_their_usual_colours(channel, colormap):
    assert look_of(channel)["colormap"] == colormap


def test_colours_add_up_and_grey_lies_below(dataset):
    layers = prepare(dataset, dataset["A/1/0"], ChunkCache()).layers
    blending = {about["name"]: about["blending"] for _, about, _ in layers.values()}
    assert blending["Phase"] == "translucent_no_depth"
    assert blending["Nuclei"] == blending["Membrane"] == "additive"


def test_tracked_cells_come_with_their_labels(processed):
    fov = processed["A/1/0"]
    scene = prepare(processed, fov, ChunkCache())
    data, about, kind = scene.layers["cells"]
    assert kind == "labels"
    assert scene.labels is data
    assert about["name"] == "cells"
    assert list(scene.layers)[-1] == "cells"  # above the channels
    tracks = processed.workspace.tracks(fov)
    here = set(tracks.loc[tracks["t"] == 4, "track_id"])
    assert set(np.unique(data[4])) - {0} == here


def test_segmented_cells_are_seen_before_they_are_tracked(dataset):
    from napari_dynaclr import segment

    segment(dataset.select(["A/1/0"]))
    scene = prepare(dataset, dataset["A/1/0"], ChunkCache())
    assert scene.layers["cells"][0][0].any()
    assert scene.labels is None  # numbers of segments are no track ids


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1, 40, 50), (3, 1, 5, 40, 50), (1, 2, 4, 40, 50), (2, 3, 1, 40, 50)],
    ids=["one plane", "3D", "one time point", "channels"],
)
def test_datasets_of_every_shape(make_plate, shape):
    t, c, z, y, x = shape
    image = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    names = tuple("abc"[:c])
    path = make_plate("any.zarr", {"A/1/0": image}, names, (2.0, 0.5, 0.25))
    dataset = open_dataset(path)
    scene = prepare(dataset, dataset.fovs[0], ChunkCache(), t=5)
    assert list(scene.layers) == [f"channel {name}" for name in names]
    for i, (data, about, _) in enumerate(scene.layers.values()):
        assert data.shape == (t, z, y, x)
        assert about["scale"] == (1.0, 2.0, 0.5, 0.25)
        np.testing.assert_array_equal(data, image[:, i])
    assert space_of(scene.fov)["scale"] == (1.0, 2.0, 0.5, 0.25)
