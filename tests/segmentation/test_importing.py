from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile
from iohub.ngff import open_ome_zarr

from napari_dynaclr import open_dataset, segment
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.registry import parse


def labels_like(shape=(3, 2, 24, 32), seed=0):
    """Boxes of random labels, some far beyond 16 bits."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint32)
    for t in range(shape[0]):
        for i in range(5):
            y, x = generator.integers(0, [shape[2] - 5, shape[3] - 5])
            labels[t, :, y : y + 4, x : x + 4] = 70_000 + 10 * i + t
    return labels


def take(dataset, **values):
    return segment(dataset, parse("segment", "import", values))


def stored(dataset, name="A/1/0"):
    labels = dataset.workspace.labels("segmentation", dataset[name])
    return np.stack([frame[0] for _, frame in labels.frames(["labels"], allow_empty=True)])


@pytest.fixture
def movie(make_plate):
    image = np.ones((3, 1, 2, 24, 32), np.uint16)
    return open_dataset(make_plate("movie.zarr", {"A/1/0": image, "B/2/1": image}))


@pytest.fixture
def single(make_plate):
    return open_dataset(make_plate("single.zarr", {"A/1/0": np.ones((3, 1, 2, 24, 32), np.uint16)}))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_of_another_plate_are_taken_pixel_for_pixel(movie, make_plate, version):
    one, other = labels_like(), labels_like(seed=1)
    path = make_plate(
        "labels.zarr", {"A/1/0": one[:, None], "B/2/1": other[:, None]}, version=version
    )
    table = take(movie, path=str(path))
    np.testing.assert_array_equal(stored(movie), one)
    np.testing.assert_array_equal(stored(movie, "B/2/1"), other)
    expected = [len(np.unique(frame)) - 1 for frame in [*one, *other]]
    assert table["cells"].tolist() == expected


def test_one_channel_of_several_is_chosen_by_name(processed, truth, tmp_path):
    dataset = open_dataset(processed.root, tmp_path / "other.dynaclr").select(["B/1/0"])
    take(dataset, path=str(truth), name="cell_labels")
    frames = open_dataset(truth)["B/1/0"].frames(["cell_labels"])
    np.testing.assert_array_equal(stored(dataset, "B/1/0"), [frame[0] for _, frame in frames])


def test_a_plate_of_one_fov_may_call_it_something_else(single, make_plate):
    labels = labels_like()
    take(single, path=str(make_plate("labels.zarr", {"C/7/3": labels[:, None]})))
    np.testing.assert_array_equal(stored(single), labels)


def test_a_plate_without_the_fov_names_it(movie, make_plate):
    labels = labels_like()[:, None]
    path = make_plate("labels.zarr", {"A/1/0": labels, "C/7/3": labels})
    with pytest.raises(InvalidInput, match="no FOV 'B/2/1'"):
        take(movie, path=str(path))


def test_the_datasets_own_labels_are_the_default(single):
    first, second = labels_like(), labels_like(seed=1)
    for name, labels in (("cells", second), ("a-first", first)):
        folder = single.root / "A/1/0" / "labels"
        folder.mkdir(exist_ok=True)
        with open_ome_zarr(
            folder / name, layout="fov", mode="w-", channel_names=["labels"], version="0.4"
        ) as position:
            position.create_image("0", labels[:, None])
    take(single)
    np.testing.assert_array_equal(stored(single), first)
    take(single, name="cells")
    np.testing.assert_array_equal(stored(single), second)
    with pytest.raises(InvalidInput, match="no label 'nuclei': choose a-first or cells"):
        take(single, name="nuclei")


def test_without_own_labels_it_asks_for_a_path(single):
    with pytest.raises(InvalidInput, match="no OME-Zarr labels: give path="):
        take(single)


@pytest.mark.parametrize("truncate", [False, True])
def test_a_tiff_stack_is_taken(single, tmp_path, truncate):
    labels = labels_like()
    options = {"imagej": True} if not truncate else {"truncate": True, "shaped": True}
    data = labels.astype(np.uint16) if not truncate else labels
    tifffile.imwrite(tmp_path / "labels.tif", data, **options)
    take(single, path=str(tmp_path / "labels.tif"))
    np.testing.assert_array_equal(stored(single), data)


def test_a_folder_of_tiffs_is_matched_by_name(movie, tmp_path):
    one, other = labels_like(), labels_like(seed=1)
    tifffile.imwrite(tmp_path / "B_2_1.TIFF", other)
    tifffile.imwrite(tmp_path / "A_1_0.tif", one)
    take(movie, path=str(tmp_path))
    np.testing.assert_array_equal(stored(movie), one)
    np.testing.assert_array_equal(stored(movie, "B/2/1"), other)
    (tmp_path / "B_2_1.TIFF").unlink()
    with pytest.raises(InvalidInput, match=r"holds no B_2_1\.tif for FOV B/2/1"):
        take(movie, path=str(tmp_path))


def test_an_edited_tiff_is_taken_anew_and_an_unchanged_one_is_not(single, tmp_path, monkeypatch):
    file = tmp_path / "labels.tif"
    tifffile.imwrite(file, labels_like())
    take(single, path=str(file))
    import napari_dynaclr.segmentation.importing as importing

    reads = []
    original = importing.segment_fov
    monkeypatch.setattr(importing, "segment_fov", lambda *args: reads.append(1) or original(*args))
    take(single, path=str(file))
    assert not reads
    edited = labels_like(seed=5)
    tifffile.imwrite(file, edited)
    os.utime(file, (1e9, 1e9))
    take(single, path=str(file))
    np.testing.assert_array_equal(stored(single), edited)


@pytest.mark.parametrize("shape", [(3, 2, 24, 31), (2, 2, 24, 32), (3, 1, 24, 32)])
def test_another_shape_is_refused_from_zarr_and_from_tiff(single, make_plate, tmp_path, shape):
    labels = labels_like(shape)
    path = make_plate("labels.zarr", {"A/1/0": labels[:, None]})
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    for place in (path, tmp_path / "labels.tif"):
        with pytest.raises(InvalidInput, match=r"has shape .*, the FOV has \(3, 2, 24, 32\)"):
            take(single, path=str(place))


@pytest.mark.parametrize("bad", [-1.0, 0.5, np.inf, 2.0**40])
def test_pixels_that_are_no_label_are_refused(single, tmp_path, bad):
    labels = labels_like().astype(np.float64)
    labels[1, 0, 3, 3] = bad
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    with pytest.raises(InvalidInput, match="time point 1: pixels that are"):
        take(single, path=str(tmp_path / "labels.tif"))


@pytest.mark.parametrize(("dtype", "bad"), [(np.int16, -1), (np.uint64, 2**32), (np.int64, 2**32)])
def test_integers_that_do_not_fit_a_label_are_refused(single, tmp_path, dtype, bad):
    labels = (labels_like() % 1000).astype(dtype)
    labels[1, 0, 3, 3] = bad
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    with pytest.raises(InvalidInput, match="time point 1: pixels that are"):
        take(single, path=str(tmp_path / "labels.tif"))


def test_whole_numbers_in_floats_are_labels(single, tmp_path):
    labels = labels_like()
    tifffile.imwrite(tmp_path / "labels.tif", labels.astype(np.float32))
    take(single, path=str(tmp_path / "labels.tif"))
    np.testing.assert_array_equal(stored(single), labels)


def test_frames_without_labels_are_allowed(single, tmp_path):
    labels = labels_like()
    labels[1] = 0
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    assert take(single, path=str(tmp_path / "labels.tif"))["cells"].tolist()[1] == 0


def test_a_missing_path_is_one_line(single, tmp_path):
    with pytest.raises(InvalidInput, match=r"nowhere\.zarr does not exist: check the path"):
        take(single, path=str(tmp_path / "nowhere.zarr"))


def test_a_file_that_is_no_tiff_is_one_line(single, tmp_path):
    (tmp_path / "labels.tif").write_text("no picture")
    with pytest.raises(InvalidInput, match=r"labels\.tif is not a readable TIFF"):
        take(single, path=str(tmp_path / "labels.tif"))


def test_a_tiff_cut_short_is_one_line(single, tmp_path):
    file = tmp_path / "labels.tif"
    tifffile.imwrite(file, labels_like())
    file.write_bytes(file.read_bytes()[:9000])
    with pytest.raises(InvalidInput, match=r"labels\.tif is not a readable TIFF: failed to read"):
        take(single, path=str(file))
