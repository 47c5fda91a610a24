from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.core.plate_writer import FovWriter
from napari_dynaclr.gui.layers.growing import Growing
from napari_dynaclr.session.frames import FovImage


@pytest.fixture
def writer(dataset):
    """Return a function that starts to write a result of A/1/0."""

    def start(channels=("nuclei_prediction", "membrane_prediction"), dtype=np.float32):
        dataset.workspace.prepare(dataset.channels)
        return FovWriter(dataset.workspace, "stain", dataset["A/1/0"], "key", channels, dtype)

    return start


def write(writer, t):
    frame = np.zeros((len(writer._channels), 1, 192, 192), writer._array.dtype)
    frame[..., 96:, :] = 10 * (t + 1)
    writer.write(t, frame)
    return writer.part(t)


def test_it_shows_what_has_been_made_and_zeros_for_the_rest(dataset, writer):
    one = writer()
    growing = Growing(write(one, 0), dataset["A/1/0"])
    assert growing.layers == {}
    growing.prepare()
    names = ["nuclei_prediction", "membrane_prediction"]
    assert list(growing.layers) == [f"channel {name}" for name in names]
    data, about, kind = growing.layers["channel nuclei_prediction"]
    assert kind == "image"
    assert about["name"] == "nuclei_prediction"
    assert about["contrast_limits"] == (0, 10)
    assert about["colormap"] == "bop blue"
    assert data[0].max() == 10
    assert not data[1].any()  # looked at too early
    write(one, 1)
    assert not data[1].any()  # nobody has said that it is there
    growing.made(1)
    assert data[1].max() == 20
    assert not data[2:].any()
    assert data[:3, 0].shape == (3, 192, 192)


def test_what_has_not_been_made_is_not_read(dataset, writer, monkeypatch):
    read = []
    real = FovImage._read

    def spy(self, t, z, group):
        read.append(t)
        return real(self, t, z, group)

    monkeypatch.setattr(FovImage, "_read", spy)
    growing = Growing(write(writer(), 0), dataset["A/1/0"])
    growing.prepare()
    growing.load(0)
    growing.load(5)
    _ = [data[t, 0] for data, _, _ in growing.layers.values() for t in range(10)]
    assert set(read) == {0}


def test_a_run_that_goes_on_shows_what_the_earlier_one_had_made(dataset, writer):
    one = writer()
    parts = [write(one, t) for t in range(4)]
    growing = Growing(parts[3], dataset["A/1/0"])
    growing.prepare()
    data, _, _ = growing.layers["channel nuclei_prediction"]
    assert [int(data[t, 0].max()) for t in range(5)] == [10, 20, 30, 40, 0]


def test_time_points_made_while_it_is_prepared_are_not_forgotten(dataset, writer):
    one = writer()
    growing = Growing(write(one, 0), dataset["A/1/0"])
    write(one, 1)
    growing.made(1)
    growing.prepare()
    data, _, _ = growing.layers["channel nuclei_prediction"]
    assert data[1].max() == 20


def test_numbers_of_cells_are_labels(dataset, writer):
    growing = Growing(write(writer(["labels"], np.uint32), 0), dataset["A/1/0"])
    growing.prepare()
    [(_, about, kind)] = growing.layers.values()
    assert kind == "labels"
    assert about["name"] == "stain (running)"
    assert "contrast_limits" not in about


def test_what_has_not_been_made_is_dark_also_where_a_stain_is_less_than_zero(dataset, writer):
    one = writer()
    frame = np.full((2, 1, 192, 192), -3, np.float32)
    frame[..., 96:, :] = 10
    one.write(0, frame)
    growing = Growing(one.part(0), dataset["A/1/0"])
    growing.prepare()
    data, about, _ = growing.layers["channel nuclei_prediction"]
    assert about["contrast_limits"] == (-3, 10)
    assert set(np.unique(data[5])) == {-3}
