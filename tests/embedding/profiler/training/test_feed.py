from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.embedding.profiler.training.feed import Feed
from napari_dynaclr.embedding.profiler.training.units import Places
from napari_dynaclr.embedding.training.cells import Pixels

WELLS, FIELDS, TIMES, CELLS = 4, 3, 5, 4
COUNT = WELLS * FIELDS * TIMES * CELLS
EACH = 2 * 4


@pytest.fixture
def places():
    well, fov, t, cell = (
        one.ravel() for one in np.indices((WELLS, FIELDS, TIMES, CELLS), dtype=np.int64)
    )
    fov = well * FIELDS + fov
    return Places(well, fov, fov * CELLS + cell, 10.0 * t)


@pytest.fixture
def reader():
    """Reads images that show their row; keeps what was asked for."""
    asked = []

    def read(rows, _report):
        asked.append(rows)
        patches = np.repeat(rows.astype(np.float16), 4).reshape(-1, 1, 1, 2, 2)
        return Pixels(rows, patches)

    read.asked = asked
    return read


def feed(places, read, window=20.0, room=1e6, **given):
    usual = {"size": 16, "looks": 1, "seed": 0, "job": Job()}
    usual |= given
    rows = np.arange(len(places), dtype=np.intp)
    return Feed(places, rows, window, read, EACH, room=room, **usual)


def rows_of(batches):
    images = [one.image[:, 0, 0, 0].astype(int) for one in batches]
    partners = [one.partner[:, 0, 0, 0].astype(int) for one in batches]
    return np.concatenate(images), np.concatenate(partners)


def check_partners(places, image, partner):
    assert (places.well[image] == places.well[partner]).all()
    assert (places.fov[image] != places.fov[partner]).all()
    assert np.abs(places.minutes[image] - places.minutes[partner]).max() <= 20


def test_all_images_come_once_in_another_order_every_epoch(places, reader):
    one = feed(places, reader)
    assert one.fits
    assert len(one) == COUNT // 16
    first = rows_of(list(one))
    assert sorted(first[0]) == list(range(COUNT))
    check_partners(places, *first)
    again = rows_of(list(one))
    assert np.array_equal(first, again)  # the same epoch
    one.epoch = 1
    assert not np.array_equal(first, rows_of(list(one)))
    assert len(reader.asked) == 1  # nothing is read twice


def test_more_looks_are_more_batches_of_the_same_images(places, reader):
    image, _ = rows_of(list(feed(places, reader, looks=3)))
    assert np.bincount(image).tolist() == [3] * COUNT


def test_without_local_aggregation_there_are_no_partners(places, reader):
    batches = list(feed(places, reader, window=None))
    assert sum(map(len, batches)) == COUNT
    assert all(one.partner is None for one in batches)


def test_block_by_block_each_image_is_read_once_and_memory_is_bounded(places, reader):
    room = 3 * 2 * 16 * EACH + 3 * 60 * EACH
    one = feed(places, reader, room=room)
    assert not one.fits
    image, partner = rows_of(list(one))
    assert len(image) == COUNT // 16 * 16
    check_partners(places, image, partner)
    assert max(map(len, reader.asked)) <= 60
    read = np.concatenate(reader.asked)
    assert np.bincount(read, minlength=COUNT).max() == 1
    assert len(np.unique(image)) == len(image)
    # Several wells come together: those that are pulled together have others to differ from.
    assert np.median([len(np.unique(places.well[rows])) for rows in reader.asked]) >= 2
    one.epoch = 1
    assert not np.array_equal(image, rows_of(list(one))[0])


def test_a_time_point_with_more_cells_than_there_is_room_for_is_divided_with_all_fields(reader):
    fov = np.repeat(np.arange(4), 100)
    crowd = Places(np.zeros(400, np.int64), fov, np.arange(400), np.zeros(400))
    room = 3 * 2 * 16 * EACH + 3 * 80 * EACH
    one = feed(crowd, reader, room=room)
    list(one)
    assert max(map(len, reader.asked)) <= 80
    assert all(len(np.unique(fov[rows])) == 4 for rows in reader.asked)


def test_processes_share_an_epoch(places, reader):
    parts = [rows_of(list(feed(places, reader, rank=rank, ranks=2)))[0] for rank in range(2)]
    assert len(parts[0]) == len(parts[1])
    assert not set(parts[0]) & set(parts[1])


def test_batches_that_do_not_fit_are_refused(places, reader):
    with pytest.raises(InvalidInput, match="choose a smaller batch_size or patch_size"):
        feed(places, reader, room=100.0)


def test_no_partner_at_all_is_one_line(reader):
    lone = Places(np.arange(6), np.arange(6), np.arange(6), np.zeros(6))
    with pytest.raises(InvalidInput, match="another field, cell or time point of the same well"):
        feed(lone, reader)
    with pytest.raises(InvalidInput, match="1 images to learn from"):
        feed(lone.take(np.array([0])), reader, window=None)


def test_what_is_in_memory_is_not_read_again(places, reader):
    one = feed(places, reader)
    some = np.array([3, 8, 40])
    assert one.pixels(some)[:, 0, 0, 0].tolist() == [3, 8, 40]
    list(one)
    assert len(reader.asked) == 1
    assert feed(places, reader, room=1e3).pixels(some)[:, 0, 0, 0].tolist() == [3, 8, 40]
    assert reader.asked[1].tolist() == [3, 8, 40]
