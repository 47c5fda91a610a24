from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_dynaclr import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.fov import Fov
from napari_dynaclr.session.frames import ChunkCache, FovImage

AXES = "tczyx"
SHAPE = {"t": 5, "c": 3, "z": 4, "y": 7, "x": 6}
CHUNKS = (
    {"t": 1, "c": 1, "z": 1, "y": 7, "x": 6},
    {"t": 2, "c": 2, "z": 3, "y": 3, "x": 4},
    {"t": 5, "c": 3, "z": 4, "y": 7, "x": 5},
    {"t": 3, "c": 1, "z": 2, "y": 2, "x": 6},
)
KINDS = ("tczyx", "tczyx", "tzyx", "czyx", "yx")


def write(path, axes="tczyx", chunks=CHUNKS[0], version="0.4", dtype="u2"):
    """One image whose pixels are all different; returns it and its pixels (T, C, Z, Y, X)."""
    shape = tuple(SHAPE[a] for a in axes)
    data = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    scale = [{"type": "scale", "scale": [1.0] * len(axes)}]
    ome = {
        "multiscales": [
            {
                "version": version,
                "axes": [{"name": a} for a in axes],
                "datasets": [{"path": "0", "coordinateTransformations": scale}],
            }
        ],
        "omero": {"channels": [{"label": name} for name in ("one", "two", "three")]},
    }
    group.attrs.update({"ome": {"version": version, **ome}} if version == "0.5" else ome)
    extra = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if version == "0.4" else {}
    with zarr.config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}):
        array = group.create_array(
            "0", shape=shape, dtype=dtype, chunks=tuple(chunks[a] for a in axes), **extra
        )
        array[...] = data
    for place, axis in enumerate(AXES):
        if axis not in axes:
            data = np.expand_dims(data, place)
    return open_dataset(path).fovs[0], data


class Images(list):
    def __repr__(self):
        return "images"  # hypothesis writes down what a test is given, all pixels if asked to


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images of all axes and chunks, with their pixels (T, Z, Y, X) of one channel."""
    home = tmp_path_factory.mktemp("images")
    found = Images()
    for i, axes in enumerate(KINDS):
        for j, chunks in enumerate(CHUNKS):
            version = "0.5" if (i + j) % 2 else "0.4"
            fov, data = write(home / f"{i}_{j}.zarr", axes, chunks, version, ("u2", ">f4")[j % 2])
            channel = data.shape[1] - 1
            found.append((fov, fov.channels[channel], data[:, channel]))
    return found


@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_any_basic_index_is_numpys(images, data):
    fov, channel, pixels = images[data.draw(st.integers(0, len(KINDS) * len(CHUNKS) - 1))]
    image = FovImage(fov, channel, ChunkCache(data.draw(st.sampled_from([0, 500, 10_000]))))
    assert (image.shape, image.ndim, len(image)) == (pixels.shape, 4, len(pixels))
    assert image.dtype == fov.dtype
    assert image.size == pixels.size
    for _ in range(3):
        index = data.draw(hnp.basic_indices(pixels.shape))
        np.testing.assert_array_equal(image[index], pixels[index])
        assert np.shape(image[index]) == np.shape(pixels[index])


@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_time_points_may_be_picked_in_any_order(images, data):
    fov, channel, pixels = images[data.draw(st.integers(0, len(KINDS) * len(CHUNKS) - 1))]
    image = FovImage(fov, channel, ChunkCache())
    times = np.array(data.draw(st.lists(st.integers(0, len(pixels) - 1), min_size=1)))
    np.testing.assert_array_equal(image[times], pixels[times])
    np.testing.assert_array_equal(np.asarray(image), pixels)


def test_outside_is_refused_as_by_numpy(images):
    fov, channel, pixels = images[0]
    image = FovImage(fov, channel, ChunkCache())
    for index in [(len(pixels),), (0, pixels.shape[1]), (0, 0, 99), (-9,), (0, 0, 0, 0, 0)]:
        with pytest.raises(IndexError):
            image[index]


@pytest.fixture
def reads(monkeypatch):
    """What was read from the disk, in order."""
    seen = []
    plain = FovImage._read
    monkeypatch.setattr(FovImage, "_read", lambda self, *at: seen.append(at) or plain(self, *at))
    return seen


def test_scrubbing_through_time_and_z_reads_every_chunk_once(tmp_path, reads):
    fov, data = write(tmp_path / "i.zarr", chunks=CHUNKS[1])
    cache = ChunkCache()
    images = [FovImage(fov, name, cache) for name in fov.channels]
    for t in range(5):
        for z in range(4):
            for c, image in enumerate(images):
                np.testing.assert_array_equal(image[t, z], data[t, c, z])
    assert len(reads) == len(set(reads)) == 3 * 2 * 2, "channels of a chunk come together"


def test_a_plane_on_screen_is_not_copied(tmp_path):
    fov, _ = write(tmp_path / "i.zarr", chunks=CHUNKS[1])
    image = FovImage(fov, "one", ChunkCache())
    assert np.shares_memory(image[1, 2], image[1, 2])


def test_reading_ahead_is_for_what_comes_next(tmp_path, reads):
    fov, _ = write(tmp_path / "i.zarr")
    image = FovImage(fov, "two", ChunkCache())
    image.load(3, 1)
    for outside in [(-1, 0), (5, 0), (0, -1), (0, 4)]:
        image.load(*outside)
    assert reads == [(3, 1, 1)]
    _ = image[3, 1]
    assert len(reads) == 1


def test_threads_that_want_the_same_chunk_wait_for_one_that_reads():
    cache, reads, got = ChunkCache(), [], []
    begin = threading.Barrier(8)

    def read():
        reads.append(1)
        time.sleep(0.05)
        return np.ones(3)

    def want():
        begin.wait(10)
        got.append(cache.get("chunk", read))

    threads = [threading.Thread(target=want) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(10)
    assert reads == [1]
    assert len({id(one) for one in got}) == 1
    assert len(got) == 8


def test_threads_read_different_chunks_at_the_same_time():
    cache, both = ChunkCache(), threading.Barrier(2)

    def read():
        both.wait(10)  # breaks unless the other one is being read too
        return np.ones(1)

    threads = [threading.Thread(target=cache.get, args=(key, read)) for key in "ab"]
    for one in threads:
        one.start()
    for one in threads:
        one.join(20)
    assert "a" in cache
    assert "b" in cache


def test_who_waited_for_a_read_that_failed_tries_again():
    cache, reading, outcome = ChunkCache(), threading.Event(), []

    def fails():
        reading.set()
        time.sleep(0.05)
        raise InvalidInput("damaged")

    def first():
        try:
            cache.get("chunk", fails)
        except InvalidInput as error:
            outcome.append(str(error))

    thread = threading.Thread(target=first)
    thread.start()
    reading.wait(10)
    assert cache.get("chunk", lambda: np.ones(1)).tolist() == [1]
    thread.join(10)
    assert outcome == ["damaged"]


@given(
    keys=st.lists(st.integers(0, 9), max_size=40),
    room=st.integers(0, 6),
)
def test_what_is_kept_fits_and_is_what_was_used_last(keys, room):
    size = np.ones(1).nbytes
    cache = ChunkCache(room * size)
    recent: list[int] = []
    for key in keys:
        held = key in recent[: max(room, 1)]
        read = []
        cache.get(key, lambda read=read: read.append(1) or np.ones(1))
        assert bool(read) is not held
        recent = [key, *(one for one in recent if one != key)]
    assert [key for key in range(10) if key in cache] == sorted(recent[: max(room, 1)])


def test_a_chunk_larger_than_the_room_is_kept_until_the_next():
    cache = ChunkCache(10)
    cache.get("large", lambda: np.ones(100))
    assert "large" in cache
    cache.get("small", lambda: np.ones(1))
    assert "large" not in cache
    assert "small" in cache


def test_a_cache_that_was_emptied_reads_again():
    cache = ChunkCache()
    cache.get("a", lambda: np.ones(1))
    cache.clear()
    assert "a" not in cache
    assert cache.get("a", lambda: np.zeros(1)).tolist() == [0]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_damaged_chunk_is_named_in_one_line_and_the_others_are_shown(tmp_path, version):
    fov, data = write(tmp_path / "i.zarr", version=version)
    first = "0" if version == "0.4" else "0/c"
    chunk = tmp_path / "i.zarr" / first / "2/1/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:5])
    image = FovImage(fov, "two", ChunkCache())
    for _ in range(2):  # and nobody waits for ever for a chunk that cannot be read
        with pytest.raises(InvalidInput) as caught:
            _ = image[2, 0]
        assert "\n" not in str(caught.value)
        assert "FOV 0/0/0, channel two, time point 2" in str(caught.value)
    np.testing.assert_array_equal(image[2, 1], data[2, 1, 1])
    chunk.unlink()
    assert (image[2, 0] == 0).all(), "what was never written is empty, not damaged"


def test_virtual_stain_is_shown_as_a_channel_of_the_fov(tmp_path):
    fov, own = write(tmp_path / "i.zarr", axes="tzyx")
    stain, data = write(tmp_path / "s.zarr", chunks=CHUNKS[1])
    both, cache = Fov(fov.path, fov.name, Fov(stain.path, fov.name)), ChunkCache()
    assert both.channels == ["one", "one", "two", "three"]
    np.testing.assert_array_equal(FovImage(both, "two", cache)[3, 2], data[3, 1, 2])
    np.testing.assert_array_equal(FovImage(both, "one", cache)[3, 2], own[3, 0, 2])
    with pytest.raises(InvalidInput, match="no channel 'Actin'"):
        FovImage(both, "Actin", cache)
