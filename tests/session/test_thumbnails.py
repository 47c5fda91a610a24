from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr import open_dataset
from napari_dynaclr.core.multiscale import Multiscale
from napari_dynaclr.session.frames import ChunkCache, FovImage
from napari_dynaclr.session.thumbnails import Look, Place, thumbnails

RED = np.linspace(0, 1, 256, dtype=np.float32)[:, None] * np.array([1, 0, 0], np.float32)
GREEN = RED[:, [1, 0, 2]]


def read_patches(dataset, places, *about, **more):
    """All thumbnails, in the order of their places."""
    found = dict(thumbnails(dataset, places, *about, **more))
    return [found[i] for i in range(len(places))]


@pytest.fixture
def movie(make_plate):
    """One FOV (T=3, C=2, Z=2, Y=32, X=40) whose pixels say where they are."""
    t, c, z, _, x = np.indices((3, 2, 2, 32, 40))
    image = np.where(c == 0, 10 * t + 100 * z, 0) + np.where(c == 1, x, 0)
    return open_dataset(make_plate("p.zarr", {"A/1/0": image.astype(np.uint16)}, ("one", "two")))


def test_the_cell_is_in_the_middle_and_channels_add_up(movie):
    looks = [Look("one", (0, 255), RED), Look("two", (0, 255), GREEN)]
    [patch] = read_patches(movie, [Place("A/1/0", 2, 1.2, 15, 20)], looks, width=9)
    assert patch.shape == (9, 9, 3)
    assert patch.dtype == np.uint8
    assert (patch[..., 0] == 120).all()  # t=2, the nearest plane, z=1
    assert patch[4].tolist() == [[120, x, 0] for x in range(16, 25)]


def test_outside_the_image_is_black(movie):
    looks = [Look("two", (-100, 155), GREEN)]
    [patch] = read_patches(movie, [Place("A/1/0", 0, 0, 0, 39)], looks, width=9)
    assert (patch[4:, :5, 1] > 0).all()
    assert (patch[:4] == 0).all()
    assert (patch[:, 5:] == 0).all()


def test_pictures_come_in_the_order_asked_for_and_each_chunk_is_read_once(movie, monkeypatch):
    reads = []
    read = FovImage._read
    monkeypatch.setattr(FovImage, "_read", lambda *a: (reads.append(a[1:]), read(*a))[1])
    places = [Place("A/1/0", t, 0, 16, x) for x in (10, 20) for t in (2, 0, 1)]
    patches = read_patches(movie, places, [Look("one", (0, 255), RED)], width=8)
    assert [int(patch[4, 4, 0]) for patch in patches] == [20, 0, 10, 20, 0, 10]
    assert len(reads) == len(set(reads))


def test_the_first_asked_for_comes_first(movie):
    places = [Place("A/1/0", 2, 0, 16, 10), Place("A/1/0", 0, 0, 5, 5), Place("A/1/0", 2, 0, 9, 9)]
    order = [i for i, _ in thumbnails(movie, places, [Look("one")], 8)]
    assert order == [0, 2, 1]


def test_a_cache_of_other_views_is_used(movie, monkeypatch):
    cache = ChunkCache()
    look, place = [Look("one", (0, 255), RED)], [Place("A/1/0", 1, 0, 16, 16)]
    first = read_patches(movie, place, look, 8, cache=cache)
    monkeypatch.setattr(FovImage, "_read", lambda *_: pytest.fail("read again"))
    assert np.array_equal(first, read_patches(movie, place, look, 8, cache=cache))


def test_what_cannot_be_read_is_black_and_the_rest_is_shown(movie, monkeypatch):
    read = FovImage._read

    def damaged(self, t, z, group):
        if t == 1:
            raise __import__("napari_dynaclr").core.errors.InvalidInput("damaged")
        return read(self, t, z, group)

    monkeypatch.setattr(FovImage, "_read", damaged)
    places = [Place("A/1/0", t, 0, 16, 20) for t in range(3)]
    looks = [Look("two", (0, 255), GREEN), Look("no such channel")]
    patches = read_patches(movie, places, looks, 8)
    assert [bool(patch.any()) for patch in patches] == [True, False, True]


def test_contrast_is_found_where_none_is_given(movie):
    [patch] = read_patches(movie, [Place("A/1/0", 0, 0, 16, 20)], [Look("two")], 38)
    assert patch[16].min() < 30
    assert patch[16].max() > 225


def test_nan_is_dark(make_plate):
    image = np.full((1, 1, 1, 16, 16), np.nan, np.float32)
    image[..., 8:, :] = 1
    dataset = open_dataset(make_plate("n.zarr", {"A/1/0": image}))
    [patch] = read_patches(dataset, [Place("A/1/0", 0, 0, 7.5, 7.5)], [Look("Nuclei", (0, 1))], 16)
    assert patch[0].max() == 0
    assert patch[-1].min() == 255


def test_nothing_asked_for_reads_nothing(movie, monkeypatch):
    monkeypatch.setattr(Multiscale, "open", lambda *_: pytest.fail("opened"))
    assert read_patches(movie, [], [Look("one")]) == []
