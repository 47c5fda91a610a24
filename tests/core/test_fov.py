from __future__ import annotations

import lzma
import tracemalloc
from collections import Counter

import numcodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from napari_dynaclr import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.plate_writer import FovWriter

CHANNELS = ["Phase", "Nuclei", "Sensor"]


@pytest.fixture
def one(tmp_path, write_image):
    """Write pixels (T, C, Z, Y, X) as an image and open it."""

    def make(data, **options):
        options.setdefault("channels", CHANNELS[: data.shape[1]])
        path = write_image(tmp_path / "image.zarr", data, **options)
        return open_dataset(path).fovs[0]

    return make


def refusal(frames):
    with pytest.raises(InvalidInput) as caught:
        list(frames)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names(tmp_path, write_plate, pixels):
    plate = write_plate(tmp_path / "p.zarr", {"B/03/000": pixels((1, 1, 1, 4, 4))})
    fov = open_dataset(plate)["B/03/000"]
    assert (fov.name, fov.well, fov.file_name) == ("B/03/000", "B/03", "B_03_000")
    assert fov.dtype == np.dtype("u2")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("time_chunk", [1, 2, 3, 10])
@pytest.mark.parametrize("channel_chunk", [1, 2, 3])
@pytest.mark.parametrize("wanted", [[0], [2, 0], [0, 1, 2]])
def test_each_chunk_is_read_once(
    one, pixels, chunk_reads, version, time_chunk, channel_chunk, wanted
):
    data = pixels((7, 3, 2, 8, 6))
    fov = one(data, chunks=(time_chunk, channel_chunk, 1, 4, 6), version=version)
    chunk_reads.clear()
    for t, frame in fov.frames([CHANNELS[c] for c in wanted]):
        np.testing.assert_array_equal(frame, data[t, wanted])
    counts = Counter(chunk_reads)
    assert set(counts.values()) == {1}
    per_time = len({c // channel_chunk for c in wanted}) * 2 * 2
    assert len(counts) == -(-7 // time_chunk) * per_time


@given(
    times=st.sets(st.integers(0, 8)),
    time_chunk=st.integers(1, 9),
)
@settings(deadline=None, max_examples=25)
def test_some_times_read_only_their_chunks_once(
    tmp_path_factory, write_image, pixels, times, time_chunk
):
    data = pixels((9, 1, 1, 4, 4))
    path = write_image(
        tmp_path_factory.mktemp("f") / "i.zarr", data, chunks=(time_chunk, 1, 1, 4, 4)
    )
    fov = open_dataset(path).fovs[0]
    with pytest.MonkeyPatch.context() as patch:
        asked = []
        kind = type(fov._multiscale)
        plain = kind.read
        patch.setattr(
            kind,
            "read",
            lambda self, start, stop, *rest: (
                asked.append((start, stop)) or plain(self, start, stop, *rest)
            ),
        )
        found = dict(fov.frames(["channel_0"], sorted(times)))
    assert list(found) == sorted(times)
    for t, frame in found.items():
        np.testing.assert_array_equal(frame, data[t])
    blocks = [start // time_chunk for start, _ in asked]
    assert blocks == sorted({t // time_chunk for t in times})
    assert all((stop - 1) // time_chunk == start // time_chunk for start, stop in asked)


def test_a_block_is_read_when_it_is_needed_not_before(one, pixels, chunk_reads):
    fov = one(pixels((6, 1, 1, 4, 4)), chunks=(2, 1, 1, 4, 4))
    frames = fov.frames(["Phase"])
    seen = []
    for _ in range(6):
        next(frames)
        seen.append(len(chunk_reads))
    assert seen == [1, 1, 2, 2, 3, 3]


def test_memory_does_not_grow_with_the_movie(one):
    frame_bytes = 128 * 128 * 2
    fov = one(np.ones((60, 1, 1, 128, 128), "u2"), compressors=None)
    fov.shape  # noqa: B018
    for _ in fov.frames(["Phase"], [0]):
        pass
    tracemalloc.start()
    for _ in fov.frames(["Phase"]):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 15 * frame_bytes


@pytest.mark.parametrize("time", [-1, 3, 99])
def test_a_time_point_outside_the_movie_is_refused(one, pixels, time):
    fov = one(pixels((3, 1, 1, 4, 4)))
    assert refusal(fov.frames(["Phase"], [time])) == (
        f"FOV 0/0/0 has no time point {time}: it has 0 to 2."
    )


def test_no_times_give_no_frames(one, pixels):
    assert list(one(pixels((3, 1, 1, 4, 4))).frames(["Phase"], [])) == []


def test_an_unknown_channel_is_refused_with_the_known_ones(one, pixels):
    fov = one(pixels((1, 2, 1, 4, 4)))
    said = refusal(fov.frames(["Phase", "Actin"]))
    assert said == "FOV 0/0/0 has no channel 'Actin': choose one of Phase, Nuclei."
    with pytest.raises(InvalidInput, match="Actin"):
        fov.image("Actin")


@pytest.mark.parametrize(("fill", "what"), [(0.0, "zeros"), (np.nan, "NaN")], ids=["zeros", "nan"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_an_empty_frame_is_refused_by_name(one, pixels, fill, what, dtype):
    data = pixels((3, 2, 1, 4, 4)).astype(dtype)
    data[1, 1] = fill
    fov = one(data)
    said = refusal(fov.frames(["Phase", "Nuclei"]))
    assert said.startswith(f"FOV 0/0/0, channel Nuclei, time point 1 holds nothing but {what}")
    assert len(list(fov.frames(["Phase"]))) == 3
    frames = dict(fov.frames(["Phase", "Nuclei"], allow_empty=True))
    np.testing.assert_array_equal(frames[1][1], 0)
    np.testing.assert_array_equal(frames[1][0], data[1, 0])


def test_an_integer_frame_of_zeros_is_refused(one, pixels):
    data = pixels((3, 1, 1, 4, 4))
    data[2] = 0
    assert "time point 2 holds nothing but zeros" in refusal(one(data).frames(["Phase"]))


@pytest.mark.parametrize("place", [(0, 0), (3, 5), (31, 39)])
def test_a_single_bright_pixel_is_something(one, place):
    data = np.zeros((1, 1, 2, 32, 40), "f4")
    data[0, 0, 1, *place] = 1
    data[0, 0, 0, 0, 0] = np.nan
    ((_, frame),) = one(data).frames(["Phase"], fill_nan=False)
    np.testing.assert_array_equal(frame, data[0])


def test_zeros_with_some_nan_are_still_nothing(one):
    data = np.zeros((1, 1, 1, 4, 4), "f4")
    data[..., 0] = np.nan
    assert "nothing but zeros" in refusal(one(data).frames(["Phase"]))


def test_stray_nan_become_the_median_of_their_frame(one, pixels):
    data = pixels((2, 2, 1, 4, 4)).astype("f4")
    data[1, 0, 0, 0, :2] = np.nan
    frames = dict(one(data).frames(["Phase", "Nuclei"]))
    expected = data.copy()
    expected[1, 0, 0, 0, :2] = np.nanmedian(data[1, 0])
    for t in range(2):
        np.testing.assert_array_equal(frames[t], expected[t])


CODECS = [
    ("0.4", None),
    ("0.4", numcodecs.Blosc("lz4")),
    ("0.4", numcodecs.Blosc("zstd", shuffle=2)),
    ("0.4", numcodecs.Zlib()),
    ("0.4", numcodecs.GZip()),
    ("0.4", numcodecs.LZMA(preset=lzma.PRESET_DEFAULT)),
    ("0.5", None),
    ("0.5", ZstdCodec()),
    ("0.5", BloscCodec()),
    ("0.5", GzipCodec()),
]


@pytest.mark.parametrize(
    ("version", "codec"), CODECS, ids=lambda v: type(v).__name__ if not isinstance(v, str) else v
)
@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_chunk_is_named(one, pixels, version, codec, part):
    fov = one(pixels((4, 2, 1, 16, 16)), version=version, compressors=codec)
    chunk = fov.path / "0" / ("2/1/0/0/0" if version == "0.4" else "c/2/1/0/0/0")
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: int(len(whole) * part)])
    said = refusal(fov.frames(["Nuclei"]))
    assert said.startswith("Cannot read FOV 0/0/0, time point 2, channel Nuclei: a chunk is dam")
    assert len(list(fov.frames(["Phase"]))) == 4
    assert [t for t, _ in fov.frames(["Nuclei"], [0, 1, 3])] == [0, 1, 3]


def test_a_damaged_block_of_several_time_points_is_named_as_such(one, pixels):
    fov = one(pixels((4, 1, 1, 4, 4)), chunks=(2, 1, 1, 4, 4), compressors=None)
    (fov.path / "0" / "1/0/0/0/0").write_bytes(b"x")
    assert "time point 2-3, channel Phase" in refusal(fov.frames(["Phase"]))


@pytest.fixture
def stained(tmp_path, write_plate, pixels):
    """A plate whose first FOV has virtual stain in the workspace, and the stain's pixels."""
    plate = write_plate(
        tmp_path / "p.zarr",
        {name: pixels((3, 2, 1, 8, 8)) for name in ("A/1/0", "A/1/1")},
        channels=CHANNELS[:2],
        chunks=(2, 1, 1, 8, 8),
    )
    dataset = open_dataset(plate)
    dataset.workspace.prepare(dataset.channels)
    names = ["nuclei_prediction", "membrane_prediction"]
    writer = FovWriter(dataset.workspace, "stain", dataset["A/1/0"], "key", names, np.float32)
    stain = pixels((3, 2, 1, 8, 8), seed=5).astype("f4")
    for t in range(3):
        writer.write(t, stain[t])
    writer.publish()
    return open_dataset(plate), stain


def test_virtual_stain_is_a_channel_like_the_others(stained, pixels, chunk_reads):
    dataset, stain = stained
    fov = dataset["A/1/0"]
    assert fov.channels == ["Phase", "Nuclei", "nuclei_prediction", "membrane_prediction"]
    np.testing.assert_array_equal(fov.image("membrane_prediction").compute(), stain[:, 1])
    chunk_reads.clear()
    for t, frame in fov.frames(["membrane_prediction", "Phase"]):
        np.testing.assert_array_equal(frame[0], stain[t, 1])
        np.testing.assert_array_equal(frame[1], pixels((3, 2, 1, 8, 8))[t, 0])
    assert set(Counter(chunk_reads).values()) == {1}
    assert len(chunk_reads) == 2 + 3


def test_a_fov_without_virtual_stain_has_its_own_channels_only(stained):
    dataset, _ = stained
    assert dataset["A/1/1"].channels == ["Phase", "Nuclei"]
    with pytest.raises(InvalidInput, match="FOV A/1/1 has no channel 'nuclei_prediction'"):
        dataset["A/1/1"].image("nuclei_prediction")


def test_a_channel_of_the_source_wins_over_one_of_the_stain(tmp_path, write_image, pixels):
    data = pixels((1, 1, 1, 4, 4))
    path = write_image(tmp_path / "i.zarr", data, channels=["nuclei_prediction"])
    workspace = open_dataset(path).workspace
    workspace.prepare(["nuclei_prediction"])
    fov = open_dataset(path).fovs[0]
    writer = FovWriter(workspace, "stain", fov, "key", ["nuclei_prediction"], "f4")
    writer.write(0, np.zeros((1, 1, 4, 4), "f4"))
    writer.publish()
    again = open_dataset(path).fovs[0]
    np.testing.assert_array_equal(again.image("nuclei_prediction").compute(), data[:, 0])
