from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.tracking.cellect.images import normalise
from napari_dynaclr.tracking.cellect.training.frames import gather, hold_out


@pytest.fixture
def places(dataset, truth):
    return gather([dataset], "Nuclei", "scaled", str(truth), Job())


def test_frames_are_read_as_inference_shows_them(places, dataset):
    (t, frame), *_ = places[0].read([4, 5])
    (_, raw), *_ = dataset.fovs[0].frames(["Nuclei"], [4])
    assert (t, frame.dtype, frame.shape) == (4, np.float16, (1, 192, 192))
    np.testing.assert_allclose(frame, normalise(raw[0], "scaled"), atol=2e-3)


@pytest.mark.parametrize(("unit", "count"), [("fov", 1), ("well", 2)])
def test_fovs_or_wells_are_held_out_whole(places, unit, count):
    train, held, told = hold_out(places, 0.2, unit, 0)
    assert len(held) == count
    assert len(train) == 4 - count
    names = {one.place.fov.name for one in train} & {one.place.fov.name for one in held}
    assert not names
    assert told.startswith("Held out for validation: ")
    assert {(one.first, one.last) for one in train + held} == {(0, 9)}


def test_of_a_single_movie_the_last_frames_are_held_out(places):
    train, held, told = hold_out(places[:1], 0.2, "fov", 0)
    assert (train[0].first, train[0].last) == (0, 7)
    assert (held[0].first, held[0].last) == (8, 9)
    assert "the last frames of each movie" in told
    train, held, _ = hold_out(places, 0.5, "time", 0)
    assert {(one.first, one.last) for one in train} == {(0, 4)}
    assert {(one.first, one.last) for one in held} == {(5, 9)}
    assert train[0].starts() == [0, 1, 2, 3]  # none that goes on into what is held out
    assert train[0].times(3, 1) == (3, 4, 4)
    assert train[0].times(1, 1) == (1, 2, 3)
    assert hold_out(places, 0, "fov", 0)[1:] == ([], "")


def test_a_movie_of_two_frames_is_learned_from_whole(dataset, truth):
    fov = dataset.fovs[0]
    places = gather([dataset.select([fov.name])], "Nuclei", "scaled", str(truth), Job())
    short = [type(places[0])(0, _Short(fov), "Nuclei", "scaled", places[0].points)]
    train, held, told = hold_out(short, 0.2, "time", 0)
    assert [(one.first, one.last) for one in train] == [(0, 1)]
    assert not held
    assert "too short" in told


class _Short:
    """A FOV of which two frames are left."""

    def __init__(self, fov):
        self.name, self.well, self.shape = fov.name, fov.well, (2, *fov.shape[1:])


def test_one_frame_is_none_to_link(make_plate, tmp_path):
    plate = make_plate("one.zarr", {"A/1/0": np.ones((1, 1, 1, 32, 32))}, channels=("Nuclei",))
    with pytest.raises(InvalidInput, match="A/1/0 has one frame only: linking is learned from two"):
        gather([open_dataset(plate, tmp_path / "w")], "Nuclei", "scaled", "", Job())
