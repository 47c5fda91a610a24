from __future__ import annotations

import json
import os
import threading
import time

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("traccuracy", reason="the extra 'evaluation' is not installed")

from napari_dynaclr import Job, compare, evaluate, open_dataset, params, segment, track
from napari_dynaclr.comparison import trackers
from napari_dynaclr.comparison.tracker_worker import COST, peak_memory, work
from napari_dynaclr.core.atomic import copy_folder
from napari_dynaclr.core.errors import Cancelled, InvalidInput
from napari_dynaclr.evaluation.tracking_errors import ERRORS


@pytest.fixture
def segmented(dataset):
    one = dataset.select(["B/1/0"])
    segment(one)
    return one


def trackers_of(dataset, truth, job=None, **values):
    return compare(dataset, params("compare", "trackers", truth=str(truth), **values), job)


def test_an_engine_is_measured_as_by_hand_and_leaves_the_users_tracks(segmented, truth, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("laptrack: {max_distance: 7}")
    job = Job()
    table = trackers_of(segmented, truth, job, engines=("laptrack",), settings=str(settings))
    assert segmented.workspace.key("tracks", segmented.fovs[0]) is None
    assert table["engine"].tolist() == ["laptrack"]
    assert (table["seconds_per_frame"] > 0).all()
    assert (table["peak_memory_mb"] > 50).all(), "a process with numpy takes more, in MB"
    track(segmented, params("track", "laptrack", max_distance=7))
    by_hand = evaluate(segmented, params("evaluate", "tracking", truth=str(truth)))
    for name in ("TRA", "DET", "LNK", *ERRORS):
        np.testing.assert_equal(table[name].item(), by_hand[name].item())

    file = segmented.workspace.evaluation("trackers")
    assert pd.read_csv(file)["engine"].tolist() == ["laptrack"]
    lengths = pd.read_csv(file.with_name("trackers-lengths.csv"))
    assert lengths["engine"].eq("laptrack").all()
    assert lengths["fraction"].between(0, 1).all()
    assert file.with_suffix(".png").stat().st_size > 10_000
    text = file.with_suffix(".md").read_text()
    assert f"| laptrack | {table['TRA'].item():.4f} |" in text
    assert str(file.with_suffix(".md")) in job.notes[-1]


def test_what_was_tracked_is_not_tracked_again_and_keeps_its_cost(segmented, truth):
    first = trackers_of(segmented, truth, engines=("laptrack",))
    workspace = segmented.workspace.path / "comparison" / "trackers" / "laptrack"
    again = open_dataset(segmented.root, workspace)
    before = again.workspace.finished("tracks", again["B/1/0"])
    second = trackers_of(segmented, truth, engines=("laptrack",))
    assert again.workspace.finished("tracks", again["B/1/0"]) == before
    pd.testing.assert_frame_equal(first, second)
    # Another segmentation is tracked anew.
    segment(segmented, params("segment", diameter=9))
    trackers_of(segmented, truth, engines=("laptrack",))
    key = segmented.workspace.key("segmentation", segmented.fovs[0])
    assert again.workspace.key("segmentation", again["B/1/0"]) == key
    assert not again.workspace.outdated("tracks", again["B/1/0"])


def test_an_engine_that_cannot_be_used_is_left_out_and_named(segmented, truth, monkeypatch):
    real = trackers._track

    def refuse(dataset, folder, engine, job):
        if engine.method.name == "assignment":
            return {"error": "it wants more."}
        return real(dataset, folder, engine, job)

    monkeypatch.setattr(trackers, "_track", refuse)
    job = Job()
    table = trackers_of(segmented, truth, job, engines=("assignment", "laptrack"))
    assert table["engine"].tolist() == ["laptrack"]
    assert job.notes[0] == "assignment is left out: it wants more."


def test_what_goes_wrong_in_the_process_of_an_engine_is_said(dataset, truth):
    """It is not segmented: the engine's own line comes through."""
    with pytest.raises(InvalidInput, match=r"laptrack is left out: .*segment"):
        trackers_of(dataset.select(["B/1/0"]), truth, engines=("laptrack",))


@pytest.mark.parametrize(
    ("values", "text", "said"),
    [
        ({"engines": ("masks",)}, "", "There is no engine 'masks': choose of"),
        ({}, "laptrak: {}", "There is no engine 'laptrak'"),
        ({}, "laptrack: 3", "write settings by engine"),
        ({}, "laptrack: {max_distance: -1}", "max_distance"),
        ({}, "a: [", "cannot be read as YAML"),
    ],
)
def test_bad_settings_are_refused_before_anything_runs(
    segmented, truth, tmp_path, values, text, said
):
    if text:
        file = tmp_path / "settings.yaml"
        file.write_text(text)
        values = {"settings": str(file)}
    with pytest.raises(InvalidInput, match=said) as error:
        trackers_of(segmented, truth, **values)
    assert "\n" not in str(error.value)
    assert not (segmented.workspace.path / "comparison").exists()


def test_cancelling_ends_the_process_of_the_engine(segmented, truth, monkeypatch, tmp_path):
    # An engine that never ends: what is run instead says so, and waits.
    script = (
        'import sys, time; print(\'{"progress": ["link", 0, 1]}\', flush=True); time.sleep(600)'
    )
    real, started = trackers.subprocess.Popen, []

    def popen(command, **options):
        started.append(real([command[0], "-c", script], **options))
        return started[-1]

    monkeypatch.setattr(trackers.subprocess, "Popen", popen)
    reported = threading.Event()
    job = Job(lambda progress: progress.text == "link" and reported.set())
    threading.Thread(target=lambda: reported.wait(60) and job.cancel()).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        trackers_of(segmented, truth, job, engines=("laptrack",))
    assert time.monotonic() - began < 60
    assert started[0].poll() is not None


def test_the_worker_says_what_a_run_took(segmented):
    task = {
        "dataset": str(segmented.root),
        "workspace": str(segmented.workspace.path),
        "fovs": segmented.fov_names,
        "method": "laptrack",
        "settings": {},
    }
    cost = work(task)
    assert cost["seconds_per_frame"] > 0
    assert work(task) == cost == json.loads((segmented.workspace.path / COST).read_text())


def test_peak_memory_is_in_bytes():
    if os.name == "nt":
        assert peak_memory() is None
    else:
        assert 10e6 < peak_memory() < 1e12


def test_a_copied_folder_is_not_changed_by_what_replaces_its_files(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    source.mkdir()
    (source / "one").write_text("1")
    copy_folder(source, target)
    new = source / "new"
    new.write_text("2")
    new.replace(source / "one")
    assert (target / "one").read_text() == "1"
    copy_folder(source, target)
    assert (target / "one").read_text() == "2"
    copy_folder(tmp_path / "nothing", target)
    assert not target.exists()


def test_a_folder_is_copied_where_there_are_no_links(tmp_path, monkeypatch):
    def refuse(*_args):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_text("1")
    copy_folder(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "one").read_text() == "1"
    assert (tmp_path / "b" / "one").stat().st_ino != (tmp_path / "a" / "one").stat().st_ino
