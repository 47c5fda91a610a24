from __future__ import annotations

from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.fov import Fov
from napari_dynaclr.summary import summarize


def test_a_fresh_dataset_is_described_without_a_workspace(dataset):
    facts = summarize(dataset)
    assert facts["FOVs"] == "4 in 2 wells"
    assert facts["channels"] == "Phase, Nuclei, Membrane, Sensor"
    assert facts["shape"] == "(10, 1, 192, 192) (T, Z, Y, X), uint16"
    assert facts["voxel"] == "1.5 x 0.55 x 0.55 um (z, y, x)"
    assert facts["frame interval"] == "30 min"
    assert facts["OME-Zarr"] == "0.5"
    assert facts["workspace"] == "none yet"
    assert not dataset.workspace.path.exists(), "looking writes nothing"


def test_what_has_been_done_is_counted_by_fov(processed):
    processed.workspace.forget("tracks", processed.fovs[0])
    facts = summarize(processed)
    assert facts["segmentation"] == "4 of 4 FOVs"
    assert facts["tracks"] == "3 of 4 FOVs"
    assert facts["embeddings.features"] == "4 of 4 FOVs, 1 out of date"
    assert facts["annotations"] == f"{len(current_annotations(processed))} cells"
    assert facts["last run"].startswith("classify finished at 20")
    assert facts["workspace"] == str(processed.workspace.path)


def test_a_selection_is_counted_by_itself(processed):
    facts = summarize(processed.select(["B/1"]))
    assert facts["FOVs"] == "2 in 1 wells"
    assert facts["tracks"] == "2 of 2 FOVs"


def test_only_the_first_fov_is_opened_however_many_there_are(processed, monkeypatch):
    opened = []
    original = Fov._multiscale.func
    prop = type(Fov.__dict__["_multiscale"])(
        lambda self: opened.append(self.name) or original(self)
    )
    prop.__set_name__(Fov, "_multiscale")
    monkeypatch.setattr(Fov, "_multiscale", prop)
    summarize(processed)
    assert set(opened) == {"A/1/0"}
