from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_dynaclr import open_dataset
from napari_dynaclr.core.dataset import beside
from napari_dynaclr.core.errors import InvalidInput, StorageError

VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])
FOVS = ["A/1/0", "A/1/1", "B/2/0"]


@pytest.fixture(params=["0.4", "0.5"])
def small_plate(request, tmp_path, write_plate, pixels):
    return write_plate(
        tmp_path / "exp.zarr",
        {name: pixels((2, 2, 1, 6, 5), seed=i) for i, name in enumerate(FOVS)},
        version=request.param,
        channels=["Phase", "Nuclei"],
    )


def refusal(function):
    with pytest.raises(InvalidInput) as caught:
        function()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_plate(small_plate, pixels):
    dataset = open_dataset(small_plate)
    assert dataset.fov_names == FOVS
    assert dataset.wells == ["A/1", "B/2"]
    assert dataset.channels == ["Phase", "Nuclei"]
    assert [fov.name for fov in dataset.fovs] == FOVS
    np.testing.assert_array_equal(
        dataset["B/2/0"].image("Nuclei").compute(), pixels((2, 2, 1, 6, 5), seed=2)[:, 1]
    )


def test_a_well_of_a_plate_shares_the_plates_workspace(small_plate):
    well = open_dataset(small_plate / "A" / "1")
    assert well.fov_names == ["A/1/0", "A/1/1"]
    assert well.workspace.path == open_dataset(small_plate).workspace.path
    assert well["A/1/1"].shape == (2, 1, 6, 5)


def test_a_position_of_a_plate_shares_the_plates_workspace(small_plate):
    position = open_dataset(small_plate / "B" / "2" / "0")
    assert position.fov_names == ["B/2/0"]
    assert position.workspace.path == small_plate.with_name("exp.dynaclr")
    assert position.fovs[0].file_name == open_dataset(small_plate)["B/2/0"].file_name


@VERSIONS
def test_a_well_without_its_plate(tmp_path, write_group, write_image, pixels, version):
    write_group(tmp_path / "w", version, {"well": {"images": [{"path": "0"}, {"path": "7"}]}})
    for name in ("0", "7"):
        write_image(tmp_path / "w" / name, pixels((1, 1, 1, 4, 4)), version=version)
    dataset = open_dataset(tmp_path / "w")
    assert dataset.fov_names == ["0/0/0", "0/0/7"]
    assert dataset["0/0/7"].shape == (1, 1, 4, 4)


@VERSIONS
def test_a_bare_image(tmp_path, write_image, pixels, version):
    path = write_image(tmp_path / "movie.ome.zarr", pixels((2, 4, 4)), axes="tyx", version=version)
    dataset = open_dataset(path)
    assert dataset.fov_names == ["0/0/0"]
    assert dataset.workspace.path == tmp_path / "movie.dynaclr"


@VERSIONS
def test_the_series_of_bioformats2raw_in_the_order_of_their_numbers(
    tmp_path, write_group, write_image, pixels, version
):
    write_group(tmp_path / "b.zarr", version, {"bioformats2raw.layout": 3})
    for series in ("0", "2", "10"):
        write_image(
            tmp_path / "b.zarr" / series, pixels((1, 1, 1, 4, 4)).astype(">u2"), version=version
        )
    write_group(tmp_path / "b.zarr" / "OME", version, {})
    dataset = open_dataset(tmp_path / "b.zarr")
    assert dataset.fov_names == ["0/0/0", "0/0/2", "0/0/10"]
    frames = dict(dataset["0/0/10"].frames(["channel_0"]))
    np.testing.assert_array_equal(frames[0], pixels((1, 1, 1, 4, 4))[0])


@VERSIONS
def test_a_large_plate_is_listed_without_touching_its_positions(tmp_path, write_plate, version):
    """The positions are not even there: 384 wells of 9 FOVs."""
    names = [
        f"{row}/{column}/{fov}"
        for row in "ABCDEFGHIJKLMNOP"
        for column in range(1, 25)
        for fov in range(9)
    ]
    plate = write_plate(tmp_path / "p.zarr", dict.fromkeys(names), version=version)
    started = time.monotonic()
    dataset = open_dataset(plate)
    assert dataset.fov_names == names
    assert len(dataset.fovs) == 3456
    assert len(dataset.wells) == 384
    assert dataset["P/24/8"].well == "P/24"
    assert time.monotonic() - started < 10


def test_opening_a_plate_reads_the_outermost_metadata_only(small_plate, monkeypatch):
    opened = []
    plain = zarr.open_group
    monkeypatch.setattr(
        zarr, "open_group", lambda path, **kw: opened.append(Path(path)) or plain(path, **kw)
    )
    dataset = open_dataset(small_plate)
    assert opened == [small_plate]
    assert len(dataset.fovs) == 3
    assert opened[1:] == [small_plate] + [small_plate / well for well in ("A/1", "B/2")]


def test_reading_everything_writes_nothing(small_plate, snapshot):
    before = snapshot(small_plate.parent)
    dataset = open_dataset(small_plate)
    assert dataset.workspace.runs() == []
    for fov in dataset.fovs:
        assert fov.scale == (1.0, 1.0, 1.0)
        for name in fov.channels:
            fov.image(name).compute()
        assert len(list(fov.frames(fov.channels))) == 2
    assert snapshot(small_plate.parent) == before


def test_arrays_of_the_source_cannot_be_written(small_plate):
    source, _ = open_dataset(small_plate)["A/1/0"].find("Phase")
    with pytest.raises(ValueError, match="read-only"):
        source.array[0] = 0


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        (["A/1/0"], ["A/1/0"]),
        (["B/2"], ["B/2/0"]),
        (["A/*"], ["A/1/0", "A/1/1"]),
        (["*/0"], ["A/1/0", "B/2/0"]),
        (["?/?/1"], ["A/1/1"]),
        (["A"], ["A/1/0", "A/1/1"]),
        (["B/2/0", "A/1/0", "A/1/0"], ["A/1/0", "B/2/0"]),
        (["*"], FOVS),
        ([], []),
    ],
)
def test_select_keeps_the_plates_order_and_workspace(small_plate, patterns, chosen):
    dataset = open_dataset(small_plate, small_plate.with_name("elsewhere"))
    part = dataset.select(patterns)
    assert part.fov_names == chosen
    assert part.workspace.path == dataset.workspace.path


def test_select_refuses_a_pattern_that_matches_nothing(small_plate):
    said = refusal(lambda: open_dataset(small_plate).select(["A/1", "C/*"]))
    assert said == "exp.zarr has no FOV 'C/*': there are A/1/0, A/1/1, B/2/0."


def test_an_unknown_fov_is_refused_with_the_known_ones(small_plate):
    said = refusal(lambda: open_dataset(small_plate)["A/1/9"])
    assert said == "exp.zarr has no FOV 'A/1/9': there are A/1/0, A/1/1, B/2/0."


def test_a_long_list_of_fovs_is_cut(tmp_path, write_plate):
    plate = write_plate(tmp_path / "p.zarr", dict.fromkeys(f"A/1/{i}" for i in range(20)))
    assert "... (20 in all)" in refusal(lambda: open_dataset(plate)["Z/1/1"])


def test_a_missing_path(tmp_path):
    assert "does not exist" in refusal(lambda: open_dataset(tmp_path / "no.zarr"))


@pytest.mark.parametrize("name", ["photo.tif", "archive.zip", "notes.txt"])
def test_a_file_is_no_dataset(tmp_path, name):
    (tmp_path / name).write_text("text")
    assert "is not an OME-Zarr dataset" in refusal(lambda: open_dataset(tmp_path / name))


def test_a_plain_folder_is_no_dataset(tmp_path):
    assert "is not an OME-Zarr dataset" in refusal(lambda: open_dataset(tmp_path))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_bare_array_is_no_dataset(tmp_path, zarr_format):
    zarr.create_array(tmp_path / "a.zarr", shape=(2, 2), dtype="u2", zarr_format=zarr_format)
    assert "bare Zarr array" in refusal(lambda: open_dataset(tmp_path / "a.zarr"))


@VERSIONS
def test_a_group_without_ome_metadata_is_no_dataset(tmp_path, write_group, version):
    write_group(tmp_path / "g", version, {})
    assert "without OME-Zarr metadata" in refusal(lambda: open_dataset(tmp_path / "g"))


@pytest.mark.parametrize(
    "damaged",
    [
        {"plate": None},
        {"plate": 3},
        {"plate": {"wells": None}},
        {"plate": {"wells": [{}]}},
        {"plate": {"wells": ["A/1"]}},
        {"well": None},
        {"well": {"images": [{}]}},
    ],
    ids=str,
)
def test_damaged_lists_of_wells_and_images(tmp_path, write_group, damaged):
    write_group(tmp_path / "g", "0.4", damaged)
    assert "damaged OME metadata" in refusal(lambda: open_dataset(tmp_path / "g").fov_names)


def test_damaged_json(small_plate):
    file = next(f for f in small_plate.iterdir() if f.name in (".zattrs", "zarr.json"))
    file.write_text(file.read_text()[:40])
    assert "damaged Zarr metadata" in refusal(lambda: open_dataset(small_plate))


def test_a_well_that_the_plate_lists_and_is_not_there(tmp_path, write_group):
    write_group(tmp_path / "g", "0.4", {"plate": {"wells": [{"path": "A/9"}]}})
    assert "A/9 does not exist" in refusal(lambda: open_dataset(tmp_path / "g").fov_names)


@pytest.mark.parametrize("about", [{"plate": {"wells": []}}, {"bioformats2raw.layout": 3}])
def test_a_dataset_without_fov(tmp_path, write_group, about):
    write_group(tmp_path / "g", "0.4", about)
    dataset = open_dataset(tmp_path / "g")
    assert dataset.fov_names == []
    assert "has no FOV" in refusal(lambda: dataset.channels)


def test_a_dataset_that_may_not_be_read(small_plate, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(zarr, "open_group", refuse)
    with pytest.raises(StorageError, match="permission denied"):
        open_dataset(small_plate)


def test_home_and_relative_paths(small_plate, monkeypatch):
    monkeypatch.chdir(small_plate.parent)
    assert open_dataset("exp.zarr").root == small_plate
    monkeypatch.setenv("HOME", str(small_plate.parent))
    dataset = open_dataset("~/exp.zarr", "~/results")
    assert dataset.root == small_plate
    assert dataset.workspace.path == small_plate.parent / "results"


@pytest.mark.parametrize("name", ["exp.zarr", "exp.ome.zarr", "exp"])
def test_results_lie_beside_the_dataset(name):
    assert beside(Path("/data") / name) == Path("/data/exp.dynaclr")


def test_real_data_opens(t98g):
    fov = open_dataset(t98g).fovs[0]
    assert fov.shape[0] == 37
    assert len(fov.channels) >= 1
