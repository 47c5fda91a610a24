from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pandas as pd
import pytest

from napari_dynaclr import open_dataset
from napari_dynaclr.core.annotations import current_annotations
from napari_dynaclr.core.errors import InvalidInput, MissingInput, StorageError
from napari_dynaclr.core.workspace import FORMAT_VERSION, Workspace


@pytest.fixture
def image(tmp_path, write_image, pixels):
    return write_image(tmp_path / "i.zarr", pixels((2, 1, 1, 4, 4)), channels=["Phase"])


@pytest.fixture
def fov(image):
    return open_dataset(image).fovs[0]


@pytest.fixture
def workspace(image, tmp_path):
    workspace = Workspace(tmp_path / "i.dynaclr", image)
    workspace.prepare(["Phase"])
    return workspace


def refusal(function):
    with pytest.raises(InvalidInput) as caught:
        function()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_is_written_before_it_is_needed(image, tmp_path):
    Workspace(tmp_path / "w", image)
    assert not (tmp_path / "w").exists()


def test_workspace_json_says_where_the_data_are(workspace, image):
    about = json.loads((workspace.path / "workspace.json").read_text())
    assert about["format_version"] == FORMAT_VERSION
    assert about["channels"] == ["Phase"]
    assert (workspace.path / about["source"]).resolve() == image


def test_preparing_again_changes_nothing(workspace):
    file = workspace.path / "workspace.json"
    before = file.read_text(), file.stat().st_mtime_ns
    Workspace(workspace.path, workspace.source).prepare(["Other"])
    assert (file.read_text(), file.stat().st_mtime_ns) == before


def test_a_newer_format_is_refused(workspace):
    (workspace.path / "workspace.json").write_text(
        json.dumps({"format_version": FORMAT_VERSION + 1})
    )
    said = refusal(lambda: Workspace(workspace.path, workspace.source))
    assert "newer version" in said
    assert f"format {FORMAT_VERSION + 1}, this one knows {FORMAT_VERSION}" in said


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format_version": null}', '{"format_version": "x"}', "3"]
)
def test_a_damaged_workspace_json_is_refused(workspace, text):
    (workspace.path / "workspace.json").write_text(text)
    assert "is damaged" in refusal(lambda: Workspace(workspace.path, workspace.source))


def test_a_folder_of_something_else_is_refused(tmp_path, image):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("x")
    assert "is not empty and no workspace" in refusal(lambda: Workspace(tmp_path / "photos", image))


def test_a_folder_of_hidden_files_only_is_taken(tmp_path, image):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".DS_Store").write_text("x")
    Workspace(tmp_path / "w", image).prepare([])
    assert (tmp_path / "w" / "workspace.json").exists()


def test_a_file_is_refused(tmp_path, image):
    (tmp_path / "w").write_text("x")
    assert "is a file" in refusal(lambda: Workspace(tmp_path / "w", image))


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.ENOSPC, "the disk is full"),
    ],
)
@pytest.mark.parametrize("place", ["mkdir", "write_text"])
def test_a_disk_that_refuses_is_a_storage_error(tmp_path, image, monkeypatch, number, says, place):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, place, refuse)
    with pytest.raises(StorageError, match=says) as caught:
        Workspace(tmp_path / "w", image).prepare([])
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert not (tmp_path / "w" / "workspace.json").exists()


def test_a_workspace_that_is_there_and_read_only_is_a_storage_error(workspace, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(StorageError, match="permission denied"):
        workspace.prepare([])


# -- the ledger


def test_a_result_is_complete_once_marked(workspace, fov):
    assert workspace.key("tracks", fov) is None
    with pytest.raises(MissingInput, match=r"No tracks found for FOV 0/0/0: run 'track' first"):
        workspace.require("tracks", fov, "tracks", "track")
    workspace.mark_complete("tracks", fov, "abc")
    assert workspace.key("tracks", fov) == "abc"
    assert workspace.require("tracks", fov, "tracks", "track") == "abc"
    workspace.mark_complete("tracks", fov, "def")
    assert workspace.key("tracks", fov) == "def"


@pytest.mark.parametrize("text", ["", "{", "{}", "[]"])
def test_a_damaged_ledger_means_not_complete(workspace, fov, text):
    workspace.mark_complete("tracks", fov, "abc")
    (workspace.path / "progress" / "tracks" / "0_0_0.json").write_text(text)
    assert workspace.key("tracks", fov) is None


def test_forget_takes_every_result_of_a_pattern(workspace, fov):
    for result in ("embeddings.features", "embeddings.other", "tracks"):
        workspace.mark_complete(result, fov, "k")
    workspace.forget("embeddings.*", fov)
    assert workspace.key("embeddings.features", fov) is None
    assert workspace.key("embeddings.other", fov) is None
    assert workspace.key("tracks", fov) == "k"


def test_partial_results_are_kept_under_the_same_key_only(workspace, fov):
    folder = workspace.partial("tracks", fov, "one")
    (folder / "half").write_text("x")
    assert (workspace.partial("tracks", fov, "one") / "half").exists()
    assert not (workspace.partial("tracks", fov, "two") / "half").exists()


@pytest.mark.parametrize(
    ("result", "says"),
    [("segmentation", "run 'segment' first"), ("tracks", "run 'track' first")],
)
def test_labels_that_are_not_there_name_their_stage(workspace, fov, result, says):
    with pytest.raises(MissingInput, match=says):
        workspace.labels(result, fov)


def test_tables_that_are_not_there(workspace, fov):
    with pytest.raises(MissingInput, match="run 'track' first"):
        workspace.tracks(fov)
    with pytest.raises(MissingInput, match="run 'embed' first"):
        workspace.embedding("features", fov)


def test_results_of_a_processed_plate_are_found_again(processed):
    fov = processed.fovs[0]
    tracks = processed.workspace.tracks(fov)
    shard = processed.workspace.embedding("features", fov)
    assert len(shard) == len(tracks) > 0
    assert processed.workspace.labels("tracks", fov).shape == fov.shape
    assert {"infection_state"} <= set(current_annotations(processed))
    assert len(pd.read_csv(processed.workspace.predictions("infection"))) > 0


# -- provenance


def test_runs_come_back_in_order(workspace):
    assert workspace.runs() == []
    entries = [{"run": 1, "text": "µ\u2028x\x85y"}, {"run": 2, "nested": {"a": [1, None]}}]
    for entry in entries:
        workspace.record(entry)
    assert workspace.runs() == entries


@pytest.mark.parametrize("cut", [1, 2, 7, 12])
def test_a_line_cut_short_by_a_crash_costs_that_line_only(workspace, cut):
    workspace.record({"run": "first µ"})
    file = workspace.path / "runs.jsonl"
    with file.open("ab") as stream:
        stream.write(json.dumps({"run": "µµµµ"}, ensure_ascii=False).encode()[:cut])
    assert workspace.runs() == [{"run": "first µ"}]
    workspace.record({"run": "next"})
    assert workspace.runs() == [{"run": "first µ"}, {"run": "next"}]
