from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import tifffile

from napari_dynaclr import open_dataset
from napari_dynaclr.conversion import convert
from napari_dynaclr.core.errors import Cancelled, InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import parse


def write_tiff(path, data, **options):
    """Write a TIFF; three frames are no colours of a photograph."""
    tifffile.imwrite(path, data, **{"photometric": "minisblack", **options})


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(1, 60_000, shape).astype(np.uint16)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out.zarr"


def converted(source, target, **settings):
    """Convert, and return the dataset."""
    assert convert(source, target, parse("convert", "tiff", settings)) == target
    return open_dataset(target)


def image(fov):
    """All pixels, (T, C, Z, Y, X)."""
    return np.stack([fov.image(name).compute() for name in fov.channels], axis=1)


def refusal(source, target, **settings):
    with pytest.raises(InvalidInput) as caught:
        convert(source, target, parse("convert", "tiff", settings))
    assert "\n" not in str(caught.value)
    assert not target.exists()
    assert list(target.parent.glob(".*")) == []
    return str(caught.value)


# -- one file --------------------------------------------------------------------


@pytest.mark.parametrize(
    "axes", ["TCYX", "TZCYX", "TCZYX", "ZYX", "TYX", "CYX", "YX", "CTYX", "ZTYX", "YXC"]
)
@pytest.mark.parametrize("told", ["by the file", "by the user"])
def test_axes_in_any_order(tmp_path, target, axes, told):
    sizes = {"T": 4, "C": 2, "Z": 3, "Y": 16, "X": 20}
    data = pixels(*(sizes[axis] for axis in axes))
    metadata = {"axes": axes} if told == "by the file" else {}
    write_tiff(tmp_path / "m.tif", data, metadata=metadata)
    found = converted(tmp_path / "m.tif", target, axes="" if metadata else axes).fovs[0]
    order = [axes.index(axis) for axis in "TCZYX" if axis in axes]
    shape = tuple(sizes[axis] if axis in axes else 1 for axis in "TCZYX")
    np.testing.assert_array_equal(image(found), data.transpose(order).reshape(shape))
    assert found.name == "A/1/0"
    assert found.dtype == np.uint16


def test_axes_without_a_name_are_time(tmp_path, target):
    data = pixels(5, 16, 16)
    write_tiff(tmp_path / "m.tif", data, metadata=None)
    found = converted(tmp_path / "m.tif", target).fovs[0]
    assert found.shape == (5, 1, 16, 16)
    np.testing.assert_array_equal(image(found)[:, 0, 0], data)


def test_an_imagej_hyperstack_tells_its_axes_scale_and_interval(tmp_path, target):
    data = pixels(3, 2, 2, 16, 16)
    tifffile.imwrite(
        tmp_path / "m.tif", data, imagej=True, resolution=(4.0, 4.0),
        metadata={"axes": "TZCYX", "spacing": 1.5, "unit": "um", "finterval": 600.0},
    )  # fmt: skip
    found = converted(tmp_path / "m.tif", target).fovs[0]
    np.testing.assert_array_equal(image(found), data.transpose(0, 2, 1, 3, 4))
    assert found.scale == pytest.approx((1.5, 0.25, 0.25))
    assert found.frame_interval == 600.0


OME = {
    "axes": "TCYX",
    "PhysicalSizeX": 0.325,
    "PhysicalSizeXUnit": "µm",
    "PhysicalSizeY": 0.325,
    "PhysicalSizeYUnit": "µm",
    "TimeIncrement": 30,
    "TimeIncrementUnit": "min",
    "Channel": {"Name": ["Phase", "GFP"]},
}


def test_an_ome_tiff_tells_its_scale_interval_and_channels(tmp_path, target):
    data = pixels(3, 2, 16, 16)
    write_tiff(tmp_path / "m.ome.tif", data, metadata=OME, ome=True)
    found = converted(tmp_path / "m.ome.tif", target).fovs[0]
    np.testing.assert_array_equal(image(found)[:, :, 0], data)
    assert found.channels == ["Phase", "GFP"]
    assert found.scale == pytest.approx((1.0, 0.325, 0.325))
    assert found.frame_interval == pytest.approx(1800)


def test_ome_lengths_in_other_units(tmp_path, target):
    metadata = OME | {"PhysicalSizeX": 325.0, "PhysicalSizeXUnit": "nm"}
    write_tiff(tmp_path / "m.ome.tif", pixels(3, 2, 16, 16), metadata=metadata, ome=True)
    found = converted(tmp_path / "m.ome.tif", target).fovs[0]
    assert found.scale[2] == pytest.approx(0.325)


def test_what_the_user_says_wins_over_the_file(tmp_path, target):
    write_tiff(tmp_path / "m.ome.tif", pixels(3, 2, 16, 16), metadata=OME, ome=True)
    found = converted(
        tmp_path / "m.ome.tif", target, pixel_size=0.5, z_step=2, frame_interval=10,
        channels=("BF", "RFP"),
    ).fovs[0]  # fmt: skip
    assert found.channels == ["BF", "RFP"]
    assert found.scale == (2.0, 0.5, 0.5)
    assert found.frame_interval == 600.0


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_plate_is_read_by_others(tmp_path, target, version):
    from iohub.ngff import open_ome_zarr

    write_tiff(tmp_path / "m.tif", pixels(3, 16, 16), metadata={"axes": "TYX"})
    found = converted(tmp_path / "m.tif", target, version=version)
    assert found.fovs[0].ome_version == version
    with open_ome_zarr(target, mode="r") as plate:
        name, position = next(iter(plate.positions()))
        assert (name, position["0"].shape) == ("A/1/0", (3, 1, 1, 16, 16))
        assert [axis.unit for axis in position.axes if axis.type != "channel"] == [
            "second", *["micrometer"] * 3
        ]  # fmt: skip


# -- folders ---------------------------------------------------------------------


def test_single_images_are_one_movie_in_natural_order(tmp_path, target):
    folder = tmp_path / "frames"
    folder.mkdir()
    data = pixels(12, 16, 16)
    for t in reversed(range(12)):
        write_tiff(folder / f"t{t + 1}.tif", data[t])
    (folder / "notes.txt").write_text("not an image")
    found = converted(folder, target).fovs
    assert len(found) == 1
    np.testing.assert_array_equal(image(found[0])[:, 0, 0], data)


def test_stacks_are_a_fov_each_in_natural_order(tmp_path, target):
    folder = tmp_path / "stacks"
    folder.mkdir()
    data = pixels(3, 4, 16, 16)
    for i, name in enumerate(["pos2", "pos10", "pos11"]):
        write_tiff(folder / f"{name}.tif", data[i], metadata={"axes": "TYX"})
    found = converted(folder, target)
    assert found.fov_names == ["A/1/0", "A/1/1", "A/1/2"]
    for fov, movie in zip(found.fovs, data, strict=True):
        np.testing.assert_array_equal(image(fov)[:, 0, 0], movie)


def test_stacks_named_row_column_fov_keep_their_place(tmp_path, target):
    folder = tmp_path / "stacks"
    folder.mkdir()
    data = pixels(2, 4, 16, 16)
    for name, movie in zip(["A_1_0", "B_3_2"], data, strict=True):
        write_tiff(folder / f"{name}.tif", movie, metadata={"axes": "TYX"})
    found = converted(folder, target)
    assert found.fov_names == ["A/1/0", "B/3/2"]
    np.testing.assert_array_equal(image(found["B/3/2"])[:, 0, 0], data[1])


def test_a_pattern_says_what_each_file_holds(tmp_path, target):
    folder = tmp_path / "files"
    folder.mkdir()
    data = pixels(2, 3, 2, 2, 16, 16)  # fov, t, c, z
    for f, t, c, z in np.ndindex(2, 3, 2, 2):
        name = f"well{f}_t{t * 5 + 6}_z{z}_{['BF', 'GFP'][c]}.tif"  # t6, t11, t16
        write_tiff(folder / name, data[f, t, c, z])
    found = converted(
        folder, target, pattern=r"(?P<fov>well\d+)_t(?P<t>\d+)_z(?P<z>\d+)_(?P<c>\w+)\.tif"
    )
    assert len(found.fovs) == 2
    for fov, movie in zip(found.fovs, data, strict=True):
        assert fov.channels == ["BF", "GFP"]
        np.testing.assert_array_equal(image(fov), movie)


def test_a_pattern_may_leave_out_what_the_files_say(tmp_path, target):
    folder = tmp_path / "files"
    folder.mkdir()
    data = pixels(2, 4, 16, 16)  # channels of movies
    for c, name in enumerate(["BF", "GFP"]):
        write_tiff(folder / f"{name}.tif", data[c], metadata={"axes": "TYX"})
    found = converted(folder, target, pattern=r"(?P<c>\w+)\.tif").fovs[0]
    np.testing.assert_array_equal(image(found)[:, :, 0], data.swapaxes(0, 1))


# -- what is refused -------------------------------------------------------------


def test_files_of_unequal_shapes_are_refused_by_name(tmp_path, target):
    folder = tmp_path / "frames"
    folder.mkdir()
    write_tiff(folder / "t1.tif", pixels(16, 16))
    write_tiff(folder / "t2.tif", pixels(16, 20))
    said = refusal(folder, target)
    assert "t2.tif has shape (1, 1, 1, 16, 20) (T, C, Z, Y, X), the first file has" in said


def test_two_files_for_one_place_and_missing_ones_are_refused(tmp_path, target):
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("a_t1", "b_t1"):
        write_tiff(folder / f"{name}.tif", pixels(16, 16))
    said = refusal(folder, target, pattern=r"t(?P<t>\d+)")
    assert "a_t1.tif and b_t1.tif" in said
    (folder / "b_t1.tif").rename(folder / "a_t2.tif")
    write_tiff(folder / "b_t1.tif", pixels(16, 16))
    said = refusal(folder, target, pattern=r"(?P<fov>\w)_t(?P<t>\d+)")
    assert "FOV b" in said
    assert "t=2" in said


@pytest.mark.parametrize("content", [b"", b"no image", b"II*\0\xff\xff\xff\0"])
def test_an_unreadable_file_is_named(tmp_path, target, content):
    (tmp_path / "m.tif").write_bytes(content)
    assert "m.tif is not a readable TIFF" in refusal(tmp_path / "m.tif", target)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_cut_short_is_named(tmp_path, target, compression):
    file = tmp_path / "m.tif"
    write_tiff(file, pixels(6, 64, 64), compression=compression, metadata={"axes": "TYX"}, ome=True)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert "m.tif is not a readable TIFF" in refusal(file, target)


def test_sources_without_tiffs(tmp_path, target):
    (tmp_path / "folder").mkdir()
    (tmp_path / "photo.png").write_bytes(b"")
    assert "does not exist: check the path" in refusal(tmp_path / "nowhere", target)
    assert "holds no TIFF files" in refusal(tmp_path / "folder", target)
    assert "photo.png is no TIFF" in refusal(tmp_path / "photo.png", target)


def test_targets_that_are_not_allowed(tmp_path, target):
    write_tiff(tmp_path / "m.tif", pixels(16, 16))
    assert "ends in .zarr" in refusal(tmp_path / "m.tif", tmp_path / "out")
    target.mkdir()
    (target / "precious").write_text("")
    with pytest.raises(InvalidInput, match="exists already: choose another name or delete it"):
        convert(tmp_path / "m.tif", target)
    assert [p.name for p in target.iterdir()] == ["precious"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"axes": "TZCYX"}, "axes=TZCYX does not fit"),
        ({"axes": "TTX"}, "Y and X are needed, each axis once"),
        ({"channels": ("a", "b")}, "has 1 channels, but 2 are named: a, b"),
        ({"pattern": "("}, "is no regular expression"),
        ({"pattern": "m"}, "may have the groups fov, t, c and z only"),
        ({"pattern": "(?P<well>m)"}, "may have the groups fov, t, c and z only"),
        ({"pattern": r"(?P<t>\d+)"}, "does not fit the file m.tif"),
    ],
)
def test_settings_that_do_not_fit_the_files(tmp_path, target, settings, says):
    write_tiff(tmp_path / "m.tif", pixels(4, 16, 16), metadata={"axes": "TYX"})
    assert says in refusal(tmp_path / "m.tif", target, **settings)


# -- progress, cancelling, memory ------------------------------------------------


def test_progress_goes_from_fovs_to_files_to_time_points(tmp_path, target):
    folder = tmp_path / "stacks"
    folder.mkdir()
    for name in ("a", "b"):
        write_tiff(folder / f"{name}.tif", pixels(3, 16, 16), metadata={"axes": "TYX"})
    seen = []
    convert(folder, target, None, Job(seen.append))
    top = [(p.done, p.total) for p in seen if p.level == 0]
    assert top == [(0, 2), (1, 2), (2, 2)]
    frames = [(p.done, p.total) for p in seen if p.level == 1]
    assert frames == [(0, 3), (1, 3), (2, 3), (3, 3)] * 2


def test_cancel_leaves_nothing(tmp_path, target):
    write_tiff(tmp_path / "m.tif", pixels(20, 16, 16), metadata={"axes": "TYX"})

    def stop(progress):
        if progress.done == 3:
            job.cancel()

    job = Job(stop)
    with pytest.raises(Cancelled):
        convert(tmp_path / "m.tif", target, None, job)
    assert [p.name for p in tmp_path.iterdir()] == ["m.tif"]
    convert(tmp_path / "m.tif", target)
    assert open_dataset(target).fovs[0].shape == (20, 1, 16, 16)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_movie_is_read_time_point_by_time_point(tmp_path, target, compression):
    frame = pixels(512, 512)
    with tifffile.TiffWriter(tmp_path / "m.tif", ome=True) as writer:
        writer.write(
            (frame for _ in range(40)), shape=(40, 512, 512), dtype=frame.dtype,
            compression=compression, metadata={"axes": "TYX"},
        )  # fmt: skip
    convert(tmp_path / "m.tif", tmp_path / "warm.zarr")  # imports count once
    tracemalloc.start()
    convert(tmp_path / "m.tif", target)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * frame.nbytes  # of 40


# -- Micro-Manager -----------------------------------------------------------------


@pytest.fixture
def acquisition(tmp_path):
    """A folder that is known as Micro-Manager's; the header it has before the pages is missing.

    tifffile cannot write that header, so iohub itself is stood in for below.
    """
    folder = tmp_path / "acquisition"
    folder.mkdir()
    tag = (51123, "s", 0, '{"Width": 16}', True)  # MicroManagerMetadata
    write_tiff(
        folder / "m_MMStack_Pos0.ome.tif", pixels(3, 2, 16, 16), metadata={"axes": "TCYX"},
        ome=True, extratags=[tag],
    )  # fmt: skip
    return folder


def test_micro_manager_files_go_through_iohub_with_progress(acquisition, target, monkeypatch):
    import iohub.convert

    seen = []

    class Converter:
        def __init__(self, source, path, **options):
            seen.append((source, options))
            self.path = path

        def __call__(self):
            for _ in iohub.convert.tqdm(iter(range(3)), total=3, desc="x", ncols=80):
                assert len(list(iohub.convert.product(range(2), range(2), desc="y"))) == 4
            self.path.mkdir()

    before = iohub.convert.tqdm
    monkeypatch.setattr(iohub.convert, "TIFFConverter", Converter)
    progress = []
    convert(acquisition, target, parse("convert", "tiff", {"version": "0.4"}), Job(progress.append))
    assert seen == [(acquisition, {"version": "0.4"})]
    assert [(p.done, p.total) for p in progress if p.total] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert iohub.convert.tqdm is before


def test_an_acquisition_that_iohub_cannot_read_is_one_line(acquisition, target, monkeypatch):
    import iohub.convert

    def fail(*args, **options):
        raise ValueError("cannot infer\nthe axes")

    monkeypatch.setattr(iohub.convert, "TIFFConverter", fail)
    assert refusal(acquisition, target) == (
        f"{acquisition} cannot be converted by iohub: cannot infer."
    )
