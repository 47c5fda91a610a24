from __future__ import annotations

import pandas as pd
import pytest

from napari_dynaclr import Job
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingInput
from napari_dynaclr.pipeline import read_pipeline, run_pipeline
from napari_dynaclr.segmentation.threshold import ThresholdParams


@pytest.fixture
def read(tmp_path):
    def write(text):
        file = tmp_path / "pipeline.yaml"
        file.write_text(text)
        return read_pipeline(file)

    return write


def test_steps_come_with_their_methods_and_settings(read):
    steps = read(
        "- segment: {channel: Nuclei, diameter: 14}\n- track\n- embed:\n- project: {method: pca}\n"
    )
    assert [(s.method.stage, s.method.name) for s in steps] == [
        ("segment", "threshold"),
        ("track", "assignment"),
        ("embed", "features"),
        ("project", "pca"),
    ]
    assert steps[0].params == ThresholdParams(channel="Nuclei", diameter=14)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a pipeline is a list of stages"),
        ("segment: {}\n", "a pipeline is a list of stages"),
        ("[]", "a pipeline is a list of stages"),
        ("- segment: [1, 2]\n", "step 1: the settings of 'segment' are no mapping"),
        ("- track\n- segment: {}\n  embed: {}\n", "step 2: write 'stage' or 'stage: {settings}'"),
        ("- 3\n", "step 1: write 'stage'"),
        ("- trian\n", "step 1: there is no stage 'trian': choose from stain, segment"),
        ("- simulate\n", "step 1: there is no stage 'simulate'"),
        ("- 3: {}\n", "step 1: there is no stage '3'"),
        (
            "- track: {method: laptrak}\n",
            "step 1: There is no method of 'track' 'laptrak': did you mean 'laptrack'",
        ),
        (
            "- track\n- segment: {diametr: 3}\n",
            r"step 2: unknown setting 'diametr' \(did you mean 'diameter'",
        ),
        ("- segment: {diameter: big}\n", "step 1: diameter = 'big'"),
        ("- segment: {diameter: -1}\n", "step 1: diameter = -1"),
        ("- segment: {1: 2}\n", "step 1: "),
        ("- annotate\n", "step 1: 'path' is required"),
        ("- segment: {a: [}\n", "is not a YAML file"),
        ("- segment: !!python/object:os.system {}\n", "is not a YAML file"),
    ],
)
def test_each_fault_is_one_line_before_anything_runs(read, text, message):
    with pytest.raises(InvalidInput, match=message) as raised:
        read(text)
    assert "\n" not in str(raised.value)
    assert "pipeline.yaml" in str(raised.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InvalidInput, match="is no file: check the path of the pipeline"):
        read_pipeline(tmp_path / "none.yaml")
    with pytest.raises(InvalidInput, match="is no file"):
        read_pipeline(tmp_path)


def test_a_file_of_bytes_is_one_line(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="is not a YAML file"):
        read_pipeline(tmp_path / "a.yaml")


def test_the_chain_runs_in_order_and_a_second_time_redoes_nothing(dataset, read):
    one = dataset.select(["A/1/0"])
    steps = read("- segment\n- track\n- embed\n- project: {method: pca, components: 2}\n")
    seen = []
    results = run_pipeline(one, steps, Job(seen.append))
    assert list(results) == ["segment", "track", "embed", "project"]
    assert len(results["project"]) == len(results["track"])
    assert [(p.done, p.total) for p in seen if p.level == 0] == [(i, 4) for i in range(5)]
    shard = one.workspace.shard("features", one.fovs[0])
    stamp = shard.stat().st_mtime_ns
    again = run_pipeline(one, steps)
    pd.testing.assert_frame_equal(again["project"], results["project"])
    assert shard.stat().st_mtime_ns == stamp
    assert [run["stage"] for run in one.workspace.runs()] == [*results, *results]


def test_what_was_done_before_a_fault_is_kept(dataset, read):
    one = dataset.select(["A/1/0"])
    with pytest.raises(MissingInput, match="run 'track' first"):
        run_pipeline(one, read("- segment\n- embed\n"))
    assert one.workspace.key("segmentation", one.fovs[0])
    assert [run["status"] for run in one.workspace.runs()] == ["finished", "failed"]


def test_cancelled_it_stops_before_the_next_step(dataset, read):
    one = dataset.select(["A/1/0"])

    def stop(progress):
        if progress.text == "track":
            job.cancel()

    job = Job(stop)
    with pytest.raises(Cancelled):
        run_pipeline(one, read("- segment\n- track\n- embed\n"), job)
    assert [run["stage"] for run in one.workspace.runs()] == ["segment", "track"]
    assert one.workspace.key("tracks", one.fovs[0]) is None
