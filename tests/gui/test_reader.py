from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import napari
import numpy as np
import pytest
import zarr
from napari.errors import NoAvailableReaderError
from plain import PlainViewer, rest, shut

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.gui.open import samples
from napari_dynaclr.gui.reader import NOTHING, get_reader, read, read_first_fov, read_sample
from napari_dynaclr.gui.workbench import workbench

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("inside", "fovs"), [("", 4), ("A/1", 2), ("A/1/0", 1)], ids=["plate", "well", "position"]
)
class TestWhatIsOpened:
    def test_it_is_read(self, plate, inside, fovs):
        assert get_reader(str(plate / inside)) is read

    def test_without_a_viewer_the_first_fov_comes_as_layers(self, plate, inside, fovs):
        layers = read_first_fov(str(plate / inside))
        assert [about["name"] for _, about, _ in layers] == [
            "Phase",
            "Nuclei",
            "Membrane",
            "Sensor",
        ]
        data, about, kind = layers[0]
        assert (kind, data.shape) == ("image", (10, 1, 192, 192))
        assert about["scale"] == pytest.approx((1.0, 1.5, 0.55, 0.55))

    def test_in_a_viewer_it_is_opened_as_by_the_widget(
        self, plate, inside, fovs, monkeypatch, qtbot
    ):
        viewer = PlainViewer()
        monkeypatch.setattr(napari, "current_viewer", lambda: viewer)
        assert read(str(plate / inside)) == [NOTHING]
        bench = workbench(viewer)
        qtbot.waitUntil(lambda: bench.session.fov is not None, timeout=20_000)
        rest(bench, qtbot)
        assert bench.session.fov.name == "A/1/0"
        assert len(bench.session.dataset.fov_names) == fovs
        assert len(viewer.layers) == 4
        shut(bench, qtbot)


def test_without_a_viewer_the_reader_gives_the_layers(plate, monkeypatch):
    monkeypatch.setattr(napari, "current_viewer", lambda: None)
    assert len(read(str(plate))) == 4


def test_only_what_is_on_show_first_is_read(plate):
    data, _, _ = read_first_fov(str(plate))[0]
    assert not isinstance(data, np.ndarray)


def test_results_come_with_the_first_fov(processed, tmp_path):
    # Results are looked for beside the dataset.
    link = tmp_path / "here" / "plate.zarr"
    link.parent.mkdir()
    shutil.copytree(processed.root, link)
    shutil.copytree(processed.workspace.path, link.with_name("plate.dynaclr"))
    names = [about["name"] for _, about, _ in read_first_fov(str(link))]
    assert names[-1] == "cells"


def not_there(folder: Path) -> Path:
    return folder / "none.zarr"


def plain_folder(folder: Path) -> Path:
    (folder / "folder.zarr").mkdir()
    return folder / "folder.zarr"


def plain_array(folder: Path) -> Path:
    zarr.create_array(folder / "array.zarr", shape=(3, 3), dtype="u1")
    return folder / "array.zarr"


def plain_file(folder: Path) -> Path:
    (folder / "file.zarr").write_text("x")
    return folder / "file.zarr"


@pytest.mark.parametrize("make", [not_there, plain_folder, plain_array, plain_file])
def test_what_is_no_ome_zarr_is_left_to_others(tmp_path, make):
    assert get_reader(str(make(tmp_path))) is None


def test_a_stack_of_files_is_left_to_others(plate):
    assert get_reader([str(plate), str(plate)]) is None


def test_napari_says_in_a_line_that_a_folder_is_not_for_us(tmp_path):
    with pytest.raises((NoAvailableReaderError, ValueError)) as refused:
        PlainViewer().open(str(plain_folder(tmp_path)), plugin="napari-dynaclr")
    assert "\n" not in str(refused.value).strip()


def test_a_plate_without_fovs_is_declined_in_a_line(make_plate):
    root = make_plate("empty.zarr", {"A/1/0": np.ones((1, 1, 1, 8, 8), np.uint16)})
    about = json.loads((root / ".zattrs").read_text())
    about["plate"]["wells"] = []
    (root / ".zattrs").write_text(json.dumps(about))
    with pytest.raises(InvalidInput, match="has no FOV in it: choose another dataset"):
        read_first_fov(str(root))


def test_the_sample_is_shown_by_the_widget_that_makes_it(monkeypatch):
    shown = []
    monkeypatch.setattr(samples, "show_sample", shown.append)
    viewer = PlainViewer()
    monkeypatch.setattr(napari, "current_viewer", lambda: viewer)
    assert get_reader(samples.ADDRESS)(samples.ADDRESS) == [NOTHING]
    assert shown == [viewer]
    monkeypatch.setattr(napari, "current_viewer", lambda: None)
    with pytest.raises(InvalidInput, match="Open a viewer first"):
        read_sample(samples.ADDRESS)
