from __future__ import annotations

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from napari_dynaclr.core.chunks import open_chunks

BLOSC = [(2, numcodecs.Blosc("lz4")), (2, numcodecs.Blosc("zstd")), (3, BloscCodec())]


def make(path, zarr_format, compressors, **options):
    array = zarr.create_array(
        path,
        shape=(4, 64),
        chunks=(1, 64),
        dtype="u2",
        zarr_format=zarr_format,
        compressors=compressors,
        **options,
    )
    array[:] = np.random.default_rng(0).integers(1, 60_000, array.shape)
    return array[:]


@pytest.mark.parametrize(("zarr_format", "codec"), BLOSC, ids=["2-lz4", "2-zstd", "3-zstd"])
@pytest.mark.parametrize("keep", [0, 5, 16, 40, -1])
def test_a_truncated_blosc_chunk_is_refused_not_filled_from_memory(
    tmp_path, zarr_format, codec, keep
):
    pixels = make(tmp_path / "a", zarr_format, codec)
    chunk = tmp_path / "a" / ("2.0" if zarr_format == 2 else "c/2/0")
    chunk.write_bytes(chunk.read_bytes()[:keep])
    array = open_chunks(tmp_path / "a")
    with pytest.raises((ValueError, RuntimeError)):
        array[2]
    np.testing.assert_array_equal(array[3], pixels[3])


@pytest.mark.parametrize("options", [{}, {"shards": (2, 64)}], ids=["plain", "sharded"])
@pytest.mark.parametrize("codec", [None, ZstdCodec(), BloscCodec()], ids=["none", "zstd", "blosc"])
def test_whole_chunks_are_read_as_written(tmp_path, codec, options):
    pixels = make(tmp_path / "a", 3, codec, **options)
    np.testing.assert_array_equal(open_chunks(tmp_path / "a")[:], pixels)


def test_a_shard_whose_index_comes_first_is_not_taken_for_a_blosc_buffer(tmp_path):
    codec = zarr.codecs.ShardingCodec(
        chunk_shape=(1, 64), codecs=[zarr.codecs.BytesCodec(), BloscCodec()], index_location="start"
    )
    array = zarr.create(
        store=tmp_path / "a", shape=(4, 64), chunks=(2, 64), dtype="u2", codecs=[codec]
    )
    array[1:] = 7
    np.testing.assert_array_equal(open_chunks(tmp_path / "a")[:, 0], [0, 7, 7, 7])


def test_the_array_cannot_be_written(tmp_path):
    make(tmp_path / "a", 3, None)
    with pytest.raises(ValueError, match="read-only"):
        open_chunks(tmp_path / "a")[0] = 1


def test_big_endian_pixels_are_read_also_after_iohub_switched_the_codec_pipeline(tmp_path):
    path = tmp_path / "a"
    array = zarr.create_array(path, shape=(2, 8), chunks=(1, 8), dtype=">u2", zarr_format=2)
    array[:] = np.arange(16).reshape(2, 8)
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        np.testing.assert_array_equal(open_chunks(path)[:], np.arange(16).reshape(2, 8))
        assert zarr.config.get("codec_pipeline.path") == "zarrs.ZarrsCodecPipeline"


def test_the_setting_of_the_process_is_left_alone(tmp_path):
    make(tmp_path / "a", 3, None)
    before = zarr.config.get("codec_pipeline.path")
    open_chunks(tmp_path / "a")
    assert zarr.config.get("codec_pipeline.path") == before
