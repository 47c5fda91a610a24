from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.embedding.tap.training.movies import (
    BLOCK,
    Place,
    Stretch,
    content_of,
    hold_out,
    require_pairs,
)


def places(dataset, step=1):
    return [Place(0, dataset, fov, "Nuclei", "slices", step) for fov in dataset.fovs]


def test_content_is_where_something_is_bright_or_dark():
    frame = np.random.default_rng(0).normal(0.5, 0.01, (2, 70, 64))
    frame[0, 20:30, 36:44] = 1.0
    frame[1, 66:, :8] = 0.0
    found = content_of(frame)
    assert found.shape == (2, 5, 4)
    assert [np.unravel_index(one.argmax(), one.shape) for one in found] == [(1, 2), (4, 0)]
    assert found.min() == 0
    assert BLOCK == 16


def test_whole_fovs_are_held_out_and_of_one_its_last_frames(dataset):
    train, held, told = hold_out(places(dataset), 0.25, "fov", 0)
    assert (len(train), len(held)) == (3, 1)
    assert told.startswith("Held out for validation: ")
    train, held, told = hold_out(places(dataset)[:1], 0.25, "fov", 0)
    assert told == "Held out for validation: the last frames of each movie."
    assert (train[0].first, train[0].last, held[0].first, held[0].last) == (0, 7, 8, 9)
    assert hold_out(places(dataset), 0.0, "fov", 0)[1] == []


def test_by_time_both_parts_hold_a_pair_or_nothing_is_held_out(dataset):
    train, held, _ = hold_out(places(dataset, step=3), 0.2, "time", 0)
    assert {(one.first, one.last) for one in train} == {(0, 5)}
    assert {(one.first, one.last) for one in held} == {(6, 9)}
    train, held, told = hold_out(places(dataset, step=6), 0.2, "time", 0)
    assert (len(train), held) == (4, [])
    assert told == "The movies are too short to hold out frames of them."


def test_frames_of_one_value_are_left_out_and_said(movie):
    images = np.random.default_rng(0).normal(size=(6, 1, 32, 32)).astype(np.float32)
    images[2] = 0
    stretch = Stretch(places(movie(images))[0], 0, 5)
    assert stretch.starts() == [0, 1, 2, 3, 4]  # nothing has been read yet
    assert [t for t, _ in stretch.read(range(6))] == list(range(6))
    assert (stretch.empty, stretch.starts()) == ([2], [0, 3, 4])
    job = Job()
    require_pairs([stretch], "Nuclei", job)
    assert job.notes == ["FOV A/1/0: 1 frame is of one value, such as zeros, and left out: t = 2."]


@pytest.mark.parametrize(
    ("kept", "says"),
    [([], "holds frames of one value only, such as zeros"), ([1, 3], "No two frames of channel")],
)
def test_without_a_pair_there_is_nothing_to_learn(movie, kept, says):
    images = np.full((5, 1, 32, 32), 7, np.float32)
    images[kept] += np.random.default_rng(0).normal(size=(32, 32))
    stretch = Stretch(places(movie(images))[0], 0, 4)
    list(stretch.read(range(5)))
    with pytest.raises(InvalidInput, match=says) as caught:
        require_pairs([stretch], "Nuclei", Job())
    assert "\n" not in str(caught.value)


def test_stacks_are_slices_or_their_maximum(movie):
    images = np.random.default_rng(0).uniform(size=(2, 3, 32, 32)).astype(np.float32)
    dataset = movie(images)
    for stacks, depth in (("slices", 3), ("max", 1)):
        stretch = Stretch(Place(0, dataset, dataset.fovs[0], "Nuclei", stacks, 1), 0, 1)
        frames = dict(stretch.read([0, 1]))
        assert frames[0].shape == (depth, 32, 32)
        assert frames[0].dtype == np.float16
        assert stretch.pixels == (3 * 32 * 32, depth * 32 * 32)
        assert stretch.content[0].shape == (depth, 2, 2)
