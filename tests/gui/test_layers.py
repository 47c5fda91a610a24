from __future__ import annotations

import os

import numpy as np
import pytest

from napari_dynaclr.gui.layers import add_fov, fov_layers, tracks_layer
from napari_dynaclr.gui.reader import get_reader, read_first_fov

needs_window = pytest.mark.skipif(
    os.environ.get("QT_QPA_PLATFORM") == "offscreen",
    reason="napari's canvas needs OpenGL: install xvfb",
)


def test_channels_are_lazy_and_scaled_in_um(dataset):
    fov = dataset["A/1/0"]
    layers = fov_layers(dataset, fov)
    assert [kind for _, _, kind in layers] == ["image"] * 4
    for channel, (data, about, _) in zip(fov.channels, layers, strict=True):
        assert hasattr(data, "dask")
        assert data.shape == fov.shape
        assert about["name"] == f"A/1/0 {channel}"
        assert about["scale"] == (1.0, *fov.scale)
        low, high = about["contrast_limits"]
        assert low < high


def test_results_appear_by_themselves(processed):
    kinds = [kind for _, _, kind in fov_layers(processed, processed["B/1/0"])]
    assert kinds == ["image"] * 4 + ["labels", "tracks"]


def test_lineage_graph_names_the_parent_of_every_daughter(processed):
    fov = processed["B/1/0"]
    tracks = processed.workspace.tracks(fov)
    tracks["parent_track_id"] = np.where(tracks["track_id"] == 3, 1, -1)
    data, about, _ = tracks_layer(tracks, fov, {})
    assert about["graph"] == {3: [1]}
    assert data.shape == (len(tracks), 5)


def test_reader_takes_ome_zarr_and_leaves_the_rest(plate, tmp_path):
    (tmp_path / "other.zarr").mkdir()
    assert get_reader(str(tmp_path / "other.zarr")) is None
    assert get_reader([str(plate), str(plate)]) is None
    reader = get_reader(str(plate))
    assert reader is not None
    assert len(reader(str(plate))) == 4


def test_reader_names_an_empty_plate(tmp_path):
    import zarr

    from napari_dynaclr.core.errors import InvalidInput

    group = zarr.open_group(tmp_path / "empty.zarr", mode="w", zarr_format=2)
    group.attrs["plate"] = {"version": "0.4", "rows": [], "columns": [], "wells": []}
    with pytest.raises(InvalidInput, match="no FOV"):
        read_first_fov(str(tmp_path / "empty.zarr"))


@needs_window
def test_a_fov_opens_in_a_real_viewer(processed, make_napari_viewer):
    viewer = make_napari_viewer()
    layers = add_fov(viewer, processed, processed["B/1/0"])
    assert [layer.name for layer in viewer.layers] == [layer.name for layer in layers]
    assert viewer.dims.nsteps[0] == 10
    viewer.dims.set_point(0, 5)
    labels = viewer.layers["B/1/0 tracked cells"]
    assert labels.data.shape == (10, 1, 192, 192)


@needs_window
def test_dropping_a_plate_on_napari_opens_it(plate, make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.open(str(plate), plugin="napari-dynaclr")
    assert viewer.layers[0].name == "A/1/0 Phase"
