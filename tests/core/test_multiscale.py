from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dynaclr import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.multiscale import Multiscale, first_line, ome_attributes

SIZES = {"t": 3, "c": 2, "z": 2, "y": 6, "x": 5}
VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])


def only_fov(path):
    (fov,) = open_dataset(path).fovs
    return fov


def refusal(path):
    with pytest.raises(InvalidInput) as caught:
        only_fov(path).shape  # noqa: B018
    assert "\n" not in str(caught.value)
    return str(caught.value)


@VERSIONS
@pytest.mark.parametrize("axes", ["yx", "zyx", "tyx", "czyx", "tczyx", "tcyx"])
def test_any_subset_of_the_axes_is_seen_as_tzyx(tmp_path, write_image, pixels, axes, version):
    data = pixels(tuple(SIZES[a] for a in axes))
    fov = only_fov(write_image(tmp_path / "i.zarr", data, axes=axes, version=version))
    full = data.reshape([SIZES[a] if a in axes else 1 for a in "tczyx"])
    assert fov.shape == full[:, 0].shape
    assert len(fov.channels) == full.shape[1]
    for c, name in enumerate(fov.channels):
        lazy = fov.image(name)
        assert lazy.shape == fov.shape
        np.testing.assert_array_equal(lazy.compute(), full[:, c])
        for t, frame in fov.frames([name]):
            np.testing.assert_array_equal(frame, full[t, c : c + 1])


@pytest.mark.parametrize("axes", ["xy", "ctzyx", "tczy", "tcyy", "qzyx", "czyxt"])
def test_axes_that_are_unknown_repeated_or_out_of_order_are_refused(
    tmp_path, write_image, pixels, axes
):
    said = refusal(write_image(tmp_path / "i.zarr", pixels((2,) * len(axes)), axes=axes))
    assert f"axes '{axes}'" in said
    assert "'tczyx'" in said


def test_axes_that_do_not_fit_the_array_are_refused(tmp_path, write_image, pixels):
    path = write_image(tmp_path / "i.zarr", pixels((2, 3, 4)), axes="tzyx", chunks=(1, 3, 4))
    assert "for an array of 3 dimensions" in refusal(path)


def test_axes_may_be_plain_or_upper_case_names(tmp_path, write_image, write_group, pixels):
    path = write_image(tmp_path / "i.zarr", pixels((3, 4, 5)), axes="tyx")
    about = [{"axes": ["T", "Y", "X"], "datasets": [{"path": "0"}]}]
    write_group(path, "0.4", {"multiscales": about})
    assert only_fov(path).shape == (3, 1, 4, 5)


def test_an_empty_image_is_refused(tmp_path, write_image):
    path = write_image(tmp_path / "i.zarr", np.zeros((0, 1, 1, 4, 4), "u2"), chunks=(1, 1, 1, 4, 4))
    assert "is empty" in refusal(path)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, ["channel_0", "channel_1"]),
        ([], ["channel_0", "channel_1"]),
        (["Phase"], ["Phase", "channel_1"]),
        (["Phase", ""], ["Phase", "channel_1"]),
        (["A", "B", "C"], ["A", "B"]),
    ],
)
def test_channels_without_names_are_numbered(tmp_path, write_image, pixels, named, expected):
    path = write_image(tmp_path / "i.zarr", pixels((1, 2, 1, 4, 4)), channels=named)
    assert only_fov(path).channels == expected


@VERSIONS
def test_scale_is_in_micrometers_and_seconds(tmp_path, write_image, pixels, version):
    path = write_image(
        tmp_path / "i.zarr",
        pixels((1, 1, 1, 4, 4)),
        version=version,
        scale=[30, 1, 2000, 650, 0.325],
        units={"t": "minute", "z": "nanometer", "y": "nanometer", "x": "micrometer"},
    )
    fov = only_fov(path)
    assert fov.scale == pytest.approx((2.0, 0.65, 0.325))
    assert fov.frame_interval == pytest.approx(1800)
    assert fov.ome_version == version


@pytest.mark.parametrize(
    ("unit", "factor", "seconds"),
    [
        ("second", 1.0, None),
        (None, 1.0, None),
        ("minute", 1.0, 60),
        (None, 30.0, 30),
        ("hour", 0.5, 1800),
        ("millisecond", 500.0, 0.5),
    ],
)
def test_a_time_scale_of_one_second_means_unknown(
    tmp_path, write_image, pixels, unit, factor, seconds
):
    units = {"t": unit} if unit else {}
    path = write_image(
        tmp_path / "i.zarr", pixels((1, 4, 4)), axes="tyx", units=units, scale=[factor, 1, 1]
    )
    assert only_fov(path).frame_interval == seconds


def test_the_scale_of_the_image_multiplies_that_of_its_level(
    tmp_path, write_image, write_group, pixels
):
    path = write_image(tmp_path / "i.zarr", pixels((4, 5)), axes="yx", scale=[0.5, 0.25])
    about = ome_attributes(path)["multiscales"]
    about[0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [2, 2]},
        {"type": "translation", "translation": [7, 7]},
    ]
    write_group(path, "0.4", {"multiscales": about})
    assert only_fov(path).scale == (1.0, 1.0, 0.5)


def test_the_full_resolution_is_read(tmp_path, write_image, write_group, pixels):
    data = pixels((6, 6))
    path = write_image(tmp_path / "i.zarr", data, axes="yx")
    about = ome_attributes(path)["multiscales"]
    about[0]["datasets"].append({"path": "1"})
    write_group(path, "0.4", {"multiscales": about}).create_array("1", data=data[::2, ::2])
    assert only_fov(path).shape == (1, 1, 6, 6)


@pytest.mark.parametrize(
    "multiscales",
    [None, [], {}, [{}], [{"datasets": []}], [{"datasets": [{}]}], [{"datasets": 3}], [7]],
    ids=str,
)
def test_damaged_multiscales_are_refused(tmp_path, write_group, multiscales):
    write_group(tmp_path / "i.zarr", "0.4", {"multiscales": multiscales})
    assert "no multiscales metadata" in refusal(tmp_path / "i.zarr")


def test_a_missing_or_damaged_image_array_is_named(tmp_path, write_image, write_group, pixels):
    write_group(
        tmp_path / "missing.zarr", "0.4", {"multiscales": [{"datasets": [{"path": "full"}]}]}
    )
    assert "lacks its image array 'full'" in refusal(tmp_path / "missing.zarr")
    path = write_image(tmp_path / "damaged.zarr", pixels((4, 4)), axes="yx")
    (path / "0" / ".zarray").write_text('{"zarr_format": 2, "shape":')
    assert "lacks its image array '0'" in refusal(path)


@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_read_gives_the_channels_in_the_order_asked(tmp_path_factory, write_image, pixels, data):
    shape = tuple(data.draw(st.integers(1, 4), label=axis) for axis in "tczyx")
    full = pixels(shape)
    path = tmp_path_factory.mktemp("m") / "i.zarr"
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    write_image(path, full, chunks=chunks)
    source = Multiscale.open(path, "0/0/0", ome_attributes(path))
    channels = data.draw(st.lists(st.integers(0, shape[1] - 1), min_size=1, max_size=4))
    start = data.draw(st.integers(0, shape[0] - 1))
    stop = data.draw(st.integers(start + 1, shape[0]))
    expected = np.moveaxis(full[start:stop][:, channels], 1, 0)
    np.testing.assert_array_equal(source.read(start, stop, channels), expected)


@VERSIONS
def test_ome_attributes_unwrap_version_05(tmp_path, write_group, version):
    write_group(tmp_path / "g", version, {"plate": {"wells": []}})
    assert ome_attributes(tmp_path / "g")["plate"] == {"wells": []}
    assert ("ome" in ome_attributes(tmp_path / "g")) == (version == "0.5")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".zgroup", "{"),
        (".zgroup", "[]"),
        (".zattrs", "{"),
        (".zattrs", "[]"),
        ("zarr.json", "{"),
        ("zarr.json", "[]"),
        ("zarr.json", json.dumps({"zarr_format": 3, "node_type": "group", "attributes": 7})),
    ],
)
def test_damaged_json_is_one_line(tmp_path, name, text):
    if name == ".zattrs":
        (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match="damaged Zarr metadata") as caught:
        ome_attributes(tmp_path)
    assert "\n" not in str(caught.value)


def test_first_line_of_an_error():
    assert first_line(ValueError("one.\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
