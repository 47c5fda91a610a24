from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.normalize import statistics
from napari_dynaclr.staining.training.images import (
    Channels,
    Scaling,
    gather,
    hold_out,
    label_map,
)

PLAIN = Channels(
    "Phase", ("Nuclei", "Membrane"), Scaling("mean-std", "fov"), Scaling("median-iqr", "fov")
)


def frames_of(dataset, channels=PLAIN, every=1):
    return gather([dataset], channels, every, Job())


def test_frames_come_normalised_as_they_are_to_be_learned_from(dataset):
    frames, empty = frames_of(dataset)
    assert empty == 0
    assert len(frames.t) == 4 * 10
    row = 13
    fov, t = frames.places[frames.place[row]].fov, int(frames.t[row])
    ((found, frame),) = frames.read(np.array([row]))
    assert (found, frame.shape, frame.dtype) == (row, (3, 1, 192, 192), np.float16)
    for number, name in enumerate(PLAIN.names):
        known = statistics(dataset, fov, [name])[name]
        sub, div = ("median", "iqr") if number else ("mean", "std")
        raw = np.asarray(fov.image(name)[t], float)
        expected = (raw - known[sub]) / known[div]
        np.testing.assert_allclose(frame[number], expected, atol=0.02, rtol=2e-3)


def test_each_time_point_can_be_normalised_by_itself_and_some_left_out(dataset):
    own = Scaling("mean-std", "timepoint")
    frames, _ = frames_of(dataset, Channels("Phase", (), own, own), every=4)
    assert sorted(set(frames.t)) == [0, 4, 8]
    for _, frame in frames.read(frames.of([1])):
        assert abs(float(frame[:, :, ::32, ::32].mean(dtype=float))) < 1e-2
        assert abs(float(frame[:, :, ::32, ::32].std(dtype=float)) - 1) < 1e-2


def test_equalised_stains_are_as_contrasted_where_they_are_weak(dataset, make_plate, tmp_path):
    raw = np.asarray(dataset.fovs[0].image("Nuclei")[:1], np.float32)
    phase = np.asarray(dataset.fovs[0].image("Phase")[:1], np.float32)
    raw[..., :96] = raw.min() + 0.15 * (raw[..., :96] - raw.min())  # a half that is hardly labelled
    plate = make_plate(
        "weak.zarr", {"A/1/0": np.stack([phase, raw], 1)}, channels=("Phase", "Nuclei")
    )
    weak = open_dataset(plate, tmp_path / "weak.dynaclr")
    scaling = Scaling("mean-std", "fov")
    contrasts = []
    for equalize in (False, True):
        frames, _ = frames_of(weak, Channels("Phase", ("Nuclei",), scaling, scaling, equalize))
        ((_, frame),) = frames.read(np.array([0]))
        target = frame[1, 0].astype(float)
        contrasts.append(target[:, :96].std() / target[:, 96:].std())
    assert contrasts[0] < 0.3
    assert contrasts[1] > 2 * contrasts[0]


@pytest.fixture
def stack(make_plate, tmp_path):
    """A stack of blobs in some slices of nine, and noise in all."""
    rng = np.random.default_rng(0)
    image = rng.normal(100, 3, (2, 2, 9, 96, 80)).astype(np.float32)
    for _ in range(12):
        y, x = rng.integers(0, (66, 50))
        image[:, 1, 3:6, y : y + 30, x : x + 30] += 200
    plate = make_plate("stack.zarr", {"A/1/0": image}, channels=("Phase", "Nuclei"))
    return open_dataset(plate, tmp_path / "stack.dynaclr")


@pytest.mark.parametrize("level", ["fov", "timepoint"])
def test_what_is_learned_of_a_slice_does_not_depend_on_what_was_read_with_it(stack, level):
    scaling = Scaling("mean-std", level)
    frames, _ = frames_of(stack, Channels("Phase", ("Nuclei",), scaling, scaling, True))
    ((_, whole),) = frames.read(np.array([1]))
    for some in (slice(0, 9), slice(2, 7), slice(5, 6), slice(8, 9)):
        ((_, part),) = frames.read(np.array([1]), some)
        np.testing.assert_array_equal(part, whole[:, some])


def test_equalising_does_not_blow_up_the_noise_of_slices_without_a_stain(stack):
    scaling = Scaling("mean-std", "fov")
    frames, _ = frames_of(stack, Channels("Phase", ("Nuclei",), scaling, scaling, True))
    ((_, frame),) = frames.read(np.array([0]))
    spread = frame[1].astype(float).std(axis=(1, 2))
    assert spread[[0, 1, 2, 6, 7, 8]].max() < 0.3 * spread[3:6].min()
    assert abs(frame[1, ::4].astype(float).mean()) < 0.1  # the slices that tell the statistics
    assert abs(frame[1, ::4].astype(float).std() - 1) < 0.1


def test_a_sparse_stain_that_stays_of_one_value_is_refused(make_plate, tmp_path):
    rng = np.random.default_rng(0)
    image = rng.normal(100, 3, (2, 2, 1, 128, 128)).astype(np.float32)
    image[:, 1] = 5
    image[:, 1, :, 60:80, 60:80] += rng.uniform(100, 200, (2, 1, 20, 20))
    plate = make_plate("sparse.zarr", {"A/1/0": image}, channels=("Phase", "Nuclei"))
    sparse = open_dataset(plate, tmp_path / "sparse.dynaclr")
    source = Scaling("mean-std", "fov")
    iqr = Channels("Phase", ("Nuclei",), source, Scaling("median-iqr", "fov"), True)
    with pytest.raises(InvalidInput, match="also once equalised, its iqr is about 0") as caught:
        frames_of(sparse, iqr)
    assert "\n" not in str(caught.value)
    frames, _ = frames_of(sparse, Channels("Phase", ("Nuclei",), source, source, True))
    ((_, frame),) = frames.read(np.array([0]))
    assert np.abs(frame[1]).max() < 20


def test_empty_frames_are_left_out_and_weakly_labelled_ones_are_rarer(
    dataset, make_plate, tmp_path
):
    fov = dataset.fovs[0]
    image = np.stack([np.asarray(fov.image(name)[:5], np.float32) for name in PLAIN.names], 1)
    image[1, 1] = 0
    image[3, 1] = 100 + 0.1 * (image[3, 1] - 100)
    plate = make_plate("some.zarr", {"A/1/0": image, "A/1/1": image * 0}, channels=PLAIN.names)
    frames, empty = frames_of(open_dataset(plate, tmp_path / "some.dynaclr"))
    assert empty == 1 + 5
    assert frames.t.tolist() == [0, 2, 3, 4]
    assert frames.labelled.mean() == pytest.approx(1)
    assert frames.labelled[2] < 0.8 * frames.labelled[[0, 1, 3]].min()
    nothing = make_plate("none.zarr", {"A/1/0": image * 0}, channels=PLAIN.names)
    with pytest.raises(InvalidInput, match="Every frame is empty in Phase or Nuclei"):
        frames_of(open_dataset(nothing, tmp_path / "none.dynaclr"))


def test_a_stain_that_is_mostly_of_one_value_is_refused(make_plate, tmp_path):
    image = np.random.default_rng(0).normal(100, 3, (2, 3, 1, 128, 128)).astype(np.float32)
    image[:, 1:] = 5
    image[:, 1:, :, ::32, ::32][..., 0, 0] = 900
    plate = make_plate("flat.zarr", {"A/1/0": image}, channels=PLAIN.names)
    with pytest.raises(InvalidInput, match="its iqr is 0: choose the normalisation mean-std"):
        frames_of(open_dataset(plate, tmp_path / "flat.dynaclr"))


@pytest.mark.parametrize(("unit", "count"), [("fov", 1), ("well", 2)])
def test_whole_fovs_or_wells_are_held_out(dataset, unit, count):
    frames, _ = frames_of(dataset)
    rows, held, told = hold_out(frames, 0.2, unit, 0)
    assert len(rows) + len(held) == len(frames.t)
    assert len(set(frames.place[held])) == count
    assert not set(frames.place[held]) & set(frames.place[rows])
    assert told.startswith("Held out for validation: ")
    rows, held, told = hold_out(frames, 0, unit, 0)
    assert (len(rows), len(held), told) == (40, 0, "")


def test_where_a_frame_is_labelled_is_known(dataset):
    frame = np.zeros((2, 2, 40, 64), np.float16)
    frame[1] = -1
    frame[1, :, 16:32, 32:48] = 8
    where = label_map(frame)
    assert where.shape == (3, 4)
    assert np.unravel_index(where.argmax(), where.shape) == (1, 2)
    assert where.sum() == pytest.approx(where[1, 2])
    assert (label_map(frame[:1]) == 1).all()
