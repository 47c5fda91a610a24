from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr import Job, open_dataset
from napari_dynaclr.core.errors import Cancelled
from napari_dynaclr.core.patches import crop, iter_patches


def numbered(z, y, x):
    """An image (2, Z, Y, X) in which every pixel tells its place."""
    first = np.arange(z * y * x).reshape(z, y, x)
    return np.stack([first, -first])


@st.composite
def situations(draw):
    extent = tuple(draw(st.integers(1, n)) for n in (4, 12, 12))
    size = tuple(draw(st.integers(1, n)) for n in (5, 15, 15))
    centres = draw(
        st.lists(
            st.tuples(*(st.floats(0, n - 1) for n in extent)),
            max_size=6,
        )
    )
    return extent, size, np.array(centres).reshape(-1, 3)


def start_of(centre, size):
    return np.floor(np.asarray(centre) - (np.asarray(size) - 1) / 2 + 0.5).astype(int)


@pytest.mark.parametrize("border", ["clamp", "pad"])
@given(situation=situations())
@settings(deadline=None, max_examples=60)
def test_crop_against_plain_indexing(border, situation):
    extent, size, centres = situation
    frame = numbered(*extent)
    patches, at_border = crop(frame, centres, size, border)
    assert patches.shape == (len(centres), 2, *size)
    for patch, flagged, centre in zip(patches, at_border, centres, strict=True):
        start = start_of(centre, size)
        inside = all(s >= 0 and s + n <= e for s, n, e in zip(start, size, extent, strict=True))
        assert flagged == (not inside)
        index = []
        for s, n, e in zip(start, size, extent, strict=True):
            if border == "clamp":
                s = min(max(s, 0), e - n) if n <= e else (e - n) // 2
            places = np.arange(s, s + n) % (2 * e)  # the image reflected without end
            index.append(np.where(places < e, places, 2 * e - 1 - places))
        np.testing.assert_array_equal(patch[0], frame[0][np.ix_(*index)])
        np.testing.assert_array_equal(patch[1], -patch[0])


@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_an_odd_window_is_centred_on_the_pixel(size):
    frame = numbered(1, 21, 21)
    patches, at_border = crop(frame, np.array([[0, 10, 11]]), (1, size, size))
    assert patches[0, 0, 0, size // 2, size // 2] == frame[0, 0, 10, 11]
    assert not at_border[0]


@pytest.mark.parametrize("size", [2, 4, 8])
def test_an_even_window_has_the_centroid_within_half_a_pixel_of_its_middle(size):
    frame = numbered(1, 21, 21)
    patches, _ = crop(frame, np.array([[0, 10.0, 10.4]]), (1, size, size))
    corner = np.argwhere(frame[0, 0] == patches[0, 0, 0, 0, 0])[0]
    middle = corner + (size - 1) / 2
    assert np.abs(middle - [10.0, 10.4]).max() <= 0.5


def test_the_source_is_not_changed_and_patches_are_copies():
    frame = numbered(1, 6, 6)
    before = frame.copy()
    patches, _ = crop(frame, np.array([[0, 3, 3.0], [0, 0, 0.0]]), (1, 3, 3), "pad")
    patches[:] = 0
    np.testing.assert_array_equal(frame, before)


def test_pixels_keep_their_type():
    frame = numbered(1, 6, 6).astype("u2")
    assert crop(frame, np.array([[0, 0, 0.0]]), (1, 3, 3), "pad")[0].dtype == np.uint16


# -- over a movie


def cells(rows):
    return pd.DataFrame(rows, columns=["t", "z", "y", "x"])


@pytest.fixture
def movie(tmp_path, write_image, pixels):
    data = pixels((6, 2, 3, 16, 16))
    path = write_image(
        tmp_path / "i.zarr", data, channels=["Phase", "Nuclei"], chunks=(2, 1, 1, 8, 16)
    )
    return data, open_dataset(path).fovs[0]


def test_patches_of_a_3d_movie(movie):
    data, fov = movie
    tracks = cells([(4, 1, 8, 8), (0, 1, 5.2, 9.9), (4, 0, 0, 15), (0, 1, 8, 8)])
    batches = list(iter_patches(fov, tracks, ["Nuclei", "Phase"], (3, 5, 5)))
    assert [batch.t for batch in batches] == [0, 4]
    assert [batch.rows.tolist() for batch in batches] == [[1, 3], [0, 2]]
    assert [batch.at_border.tolist() for batch in batches] == [[False, False], [False, True]]
    swapped = data[:, ::-1]
    np.testing.assert_array_equal(batches[0].patches[0], swapped[0, :, 0:3, 3:8, 8:13])
    np.testing.assert_array_equal(batches[1].patches[0], swapped[4, :, 0:3, 6:11, 6:11])
    np.testing.assert_array_equal(batches[1].patches[1], swapped[4, :, 0:3, 0:5, 11:16])


@pytest.mark.parametrize("border", ["clamp", "pad"])
def test_no_cell_is_dropped(movie, border):
    _, fov = movie
    generator = np.random.default_rng(1)
    tracks = cells([(t, *generator.uniform(0, (2, 15, 15))) for t in generator.integers(0, 6, 40)])
    batches = list(iter_patches(fov, tracks, ["Phase"], (1, 7, 7), border))
    rows = np.concatenate([batch.rows for batch in batches])
    assert sorted(rows.tolist()) == list(range(40))
    for batch in batches:
        assert set(tracks["t"].to_numpy()[batch.rows]) == {batch.t}


def test_each_chunk_is_read_once(movie, chunk_reads):
    _, fov = movie
    tracks = cells([(t, 1, y, 8) for t in (5, 0, 1, 4) for y in (1, 8, 14)])
    chunk_reads.clear()
    list(iter_patches(fov, tracks, ["Phase", "Nuclei"], (1, 5, 5)))
    assert set(Counter(chunk_reads).values()) == {1}
    assert len(chunk_reads) == 2 * 2 * 3 * 2


def test_without_cells_nothing_is_read(movie, chunk_reads):
    _, fov = movie
    chunk_reads.clear()
    assert list(iter_patches(fov, cells([]), ["Phase"], (1, 5, 5))) == []
    assert chunk_reads == []


def test_the_index_of_the_table_does_not_matter(movie):
    _, fov = movie
    tracks = cells([(1, 0, 8, 8), (0, 0, 8, 8)]).set_index(pd.Index([7, 7]))
    rows = [batch.rows.tolist() for batch in iter_patches(fov, tracks, ["Phase"], (1, 3, 3))]
    assert rows == [[1], [0]]


def test_cancel_stops_at_the_next_time_point(movie):
    _, fov = movie
    job = Job()
    seen = []
    with pytest.raises(Cancelled):
        for batch in iter_patches(fov, cells([(t, 0, 8, 8) for t in range(6)]), ["Phase"],
                                  (1, 3, 3), job=job):  # fmt: skip
            seen.append(batch.t)
            job.cancel()
    assert seen == [0]


def test_a_time_point_with_many_cells_comes_in_parts(movie):
    _, fov = movie
    tracks = cells([(t, 1, 8, y) for y in range(5) for t in (2, 0)])
    whole = list(iter_patches(fov, tracks, ["Phase"], (1, 3, 3)))
    parts = list(iter_patches(fov, tracks, ["Phase"], (1, 3, 3), most=2))
    assert [batch.t for batch in parts] == [0, 0, 0, 2, 2, 2]
    assert [len(batch.rows) for batch in parts] == [2, 2, 1] * 2
    for name in ("rows", "patches", "at_border"):
        joined = np.concatenate([getattr(batch, name) for batch in parts])
        np.testing.assert_array_equal(joined, np.concatenate([getattr(b, name) for b in whole]))


def test_a_first_slice_holds_for_all_cells_and_only_those_slices_are_read(movie, chunk_reads):
    data, fov = movie
    tracks = cells([(0, 0, 8, 8), (0, 2, 8, 8)])
    chunk_reads.clear()
    (batch,) = iter_patches(fov, tracks, ["Phase"], (2, 5, 5), z_start=1)
    for patch in batch.patches:
        np.testing.assert_array_equal(patch, data[0, :1, 1:3, 6:11, 6:11])
    assert not batch.at_border.any()
    assert len(chunk_reads) == 2 * 2
    assert tracks["z"].tolist() == [0, 2]


def test_nan_are_left_for_the_caller_to_see(tmp_path, write_image, pixels):
    data = pixels((1, 1, 1, 16, 16)).astype("f4")
    data[..., 8, 8] = np.nan
    path = write_image(tmp_path / "i.zarr", data, channels=["Phase"])
    fov, tracks = open_dataset(path).fovs[0], cells([(0, 0, 8, 8)])
    (filled,) = iter_patches(fov, tracks, ["Phase"], (1, 3, 3))
    (raw,) = iter_patches(fov, tracks, ["Phase"], (1, 3, 3), fill_nan=False)
    assert np.isfinite(filled.patches).all()
    assert np.isnan(raw.patches).sum() == 1
