from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.staining.training.feed import Cropping, Feed
from napari_dynaclr.staining.training.images import Frames

SIDE = 64
FRAME = 2 * 2 * SIDE * SIDE
"""Bytes."""


class Numbered(Frames):
    """Frames whose pixels say which they are; reading is counted."""

    def __init__(self, count, datasets=None, side=SIDE, depth=1):
        from types import SimpleNamespace

        numbers = datasets or [0] * count
        places = tuple(
            SimpleNamespace(number=number, fov=SimpleNamespace(shape=(1, depth, side, side)))
            for number in numbers
        )
        channels = SimpleNamespace(names=("Phase", "Nuclei"))
        rows = np.arange(count)
        super().__init__(channels, places, rows, np.zeros(count, int), np.ones(count))
        object.__setattr__(self, "reads", [])

    def runs(self, rows):
        return [rows[i : i + 1] for i in range(len(rows))]

    def read(self, rows, slices=slice(None)):
        for row in rows:
            self.reads.append(int(row))
            z, y, x = self.size(row)
            frame = np.zeros((2, z, y, x), np.float16)
            frame[0] = row
            frame[1] = np.arange(z)[:, None, None]
            yield int(row), frame[:, slices]


def feed(frames, room=1e9, size=4, crops=40, crop=16, depth=1, labelled=False, **more):
    rows = np.arange(len(frames.t))
    return Feed(frames, rows, Cropping((depth, crop, crop), labelled), size, crops, room, 0,
                Job(), **more)  # fmt: skip


def numbers(batches):
    return np.concatenate([batch[:, 0, 0, 0, 0] for batch in batches]).astype(int)


TIGHT = 3 * 4 * 16 * 16 * 4 + 5 * FRAME * 2


@pytest.mark.parametrize("room", [1e9, TIGHT])
def test_an_epoch_has_so_many_crops_of_all_frames(room):
    frames = Numbered(10)
    made = feed(frames, room)
    assert made.fits == (room == 1e9)
    assert len(made) == 10
    batches = list(made)
    assert {batch.shape for batch in batches} == {(4, 2, 1, 16, 16)}
    assert np.bincount(numbers(batches), minlength=10).tolist() == [4] * 10
    made.epoch = 1
    list(made)
    # In memory once; of more, once an epoch.
    assert sorted(frames.reads) == sorted([*range(10)] * (1 if room == 1e9 else 2))


@pytest.mark.parametrize("room", [1e9, TIGHT])
def test_the_same_epoch_has_the_same_batches_and_another_one_others(room):
    first, second = list(feed(Numbered(10), room)), list(feed(Numbered(10), room))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
    made = feed(Numbered(10), room)
    made.epoch = 1
    assert not np.array_equal(numbers(first), numbers(made))


@pytest.mark.parametrize("room", [1e9, TIGHT])
def test_processes_share_an_epoch_and_get_equally_many(room):
    parts = [feed(Numbered(10), room, rank=rank, ranks=2) for rank in (0, 1)]
    assert [len(part) for part in parts] == [5, 5]
    found = [numbers(part) for part in parts]
    assert [len(one) for one in found] == [20, 20]
    assert np.bincount(np.concatenate(found), minlength=10).tolist() == [4] * 10


def test_batches_of_streamed_frames_are_mixed():
    made = feed(Numbered(20), TIGHT, crops=200)
    assert not made.fits
    assert np.mean([len(set(numbers([batch]))) for batch in made]) > 2


def test_datasets_count_alike_however_large():
    frames = Numbered(12, datasets=[0] * 10 + [1] * 2)
    found = np.bincount(numbers(feed(frames, crops=80)), minlength=12)
    assert found[:10].sum() == found[10:].sum() == 40


def test_crops_come_from_where_the_label_is():
    rng = np.random.default_rng(0)
    frame = np.zeros((2, 1, 128, 128), np.float16)
    frame[1, :, 96:112, 16:32] = 9
    from napari_dynaclr.staining.training.images import label_map

    cropping = Cropping((1, 32, 32), True)
    found = [cropping.origin(frame, label_map(frame), rng) for _ in range(500)]
    inside = [abs(y + 16 - 104) <= 8 and abs(x + 16 - 24) <= 8 for _, y, x in found]
    assert 0.85 < np.mean(inside) < 0.97
    anywhere = Cropping((1, 32, 32), False)
    found = np.array([anywhere.origin(frame, label_map(frame), rng) for _ in range(500)])
    assert found[:, 1:].min() == 0
    assert found[:, 1:].max() == 96
    assert abs(found[:, 1:].mean() - 48) < 4


def test_of_deep_stacks_a_part_is_read_where_memory_is_short():
    frames = Numbered(4, depth=40)
    slices = []
    read = frames.read
    object.__setattr__(frames, "read", lambda rows, part: slices.append(part) or read(rows, part))
    made = feed(frames, 45 * FRAME, depth=3, crops=16)
    assert not made.fits
    depths = np.concatenate([batch[:, 1, :, 0, 0] for batch in made])
    assert (np.diff(depths, axis=1) == 1).all()
    assert all(3 <= part.stop - part.start <= 45 // 8 for part in slices)


def test_frames_smaller_than_a_crop_are_continued():
    frames = Numbered(3, side=24)
    assert {batch.shape for batch in feed(frames, crop=40)} == {(4, 2, 1, 40, 40)}


@pytest.mark.parametrize("room", [1e3, 3 * 4 * 16 * 16 * 4 + FRAME])
def test_too_little_memory_is_one_line(room):
    with pytest.raises(InvalidInput, match="too little memory for batches of 4 patches"):
        feed(Numbered(10), room)
