from __future__ import annotations

import errno

import pytest

from napari_dynaclr import open_dataset
from napari_dynaclr.core.errors import Cancelled, EmptyFrame, InvalidInput, StorageError
from napari_dynaclr.core.registry import find_method, parse
from napari_dynaclr.core.runs import pending, recorded, result_key, source_key

METHOD = find_method("track", "laptrack")


@pytest.fixture
def dataset(tmp_path, write_plate, pixels):
    plate = write_plate(
        tmp_path / "p.zarr",
        {name: pixels((2, 1, 1, 4, 4)) for name in ("A/1/0", "A/1/1", "B/1/0")},
    )
    return open_dataset(plate)


@pytest.fixture(scope="module")
def params():
    return parse("track", "laptrack", {})


def only_run(dataset):
    (run,) = dataset.workspace.runs()
    return run


def test_a_finished_run_is_recorded_with_its_provenance(dataset, params):
    with recorded(dataset, METHOD, params, weights=["abc"]) as entry:
        assert dataset.workspace.runs() == []
        entry["cells"] = 3
    run = only_run(dataset)
    assert (run["stage"], run["method"], run["status"]) == ("track", "laptrack", "finished")
    assert run["params"] == params.model_dump(mode="json")
    assert run["fovs"] == dataset.fov_names
    assert run["weights_sha256"] == ["abc"]
    assert {"python", "numpy", "zarr", "napari-dynaclr"} <= set(run["versions"])
    assert run["started"] <= run["ended"]
    assert run["cells"] == 3
    assert "error" not in run


def test_a_cancelled_run_is_recorded_as_cancelled_not_failed(dataset, params):
    with pytest.raises(Cancelled), recorded(dataset, METHOD, params):
        raise Cancelled
    run = only_run(dataset)
    assert run["status"] == "cancelled"
    assert "error" not in run


def test_a_failed_run_is_recorded_with_its_error(dataset, params):
    with pytest.raises(KeyError), recorded(dataset, METHOD, params):
        raise KeyError("x")
    run = only_run(dataset)
    assert run["status"] == "failed"
    assert run["error"] == "KeyError: 'x'"


def test_skipping_empty_frames_is_offered_where_a_method_can(dataset, params):
    for stage, method, offered in (("track", "laptrack", False), ("segment", "threshold", True)):
        known = find_method(stage, method)
        with (
            pytest.raises(EmptyFrame) as caught,
            recorded(dataset, known, parse(stage, method, {})),
        ):
            raise EmptyFrame("FOV A/1/0, time point 4 holds nothing but zeros")
        assert str(caught.value).startswith("FOV A/1/0, time point 4 holds nothing but zeros: ")
        assert ("(empty_frames=skip)" in str(caught.value)) is offered
        assert ("leave this FOV out" in str(caught.value)) is not offered


def test_an_interrupted_run_is_recorded(dataset, params):
    with pytest.raises(KeyboardInterrupt), recorded(dataset, METHOD, params):
        raise KeyboardInterrupt
    assert only_run(dataset)["status"] == "failed"


def test_a_full_disk_in_the_middle_is_one_line(dataset, params):
    with (
        pytest.raises(StorageError, match=r"^Cannot track p\.zarr: the disk is full"),
        recorded(dataset, METHOD, params),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert only_run(dataset)["error"].startswith("StorageError: Cannot track")


def test_a_disk_too_full_for_the_record_is_one_line(dataset, params, monkeypatch):
    def refuse(entry):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(dataset.workspace, "record", refuse)
    with (
        pytest.raises(StorageError, match="record the run"),
        recorded(dataset, METHOD, params),
    ):
        pass


def test_every_run_has_a_name_of_its_own(dataset, params):
    for _ in range(3):
        with recorded(dataset, METHOD, params):
            pass
    assert len({run["run"] for run in dataset.workspace.runs()}) == 3


def test_a_dataset_without_fov_is_refused_and_leaves_no_workspace(dataset, params):
    with (
        pytest.raises(InvalidInput, match="has no FOV"),
        recorded(dataset.select([]), METHOD, params),
    ):
        raise AssertionError
    assert not dataset.workspace.path.exists()


def test_result_key_changes_with_method_settings_and_inputs(params):
    other = parse("track", "laptrack", {"max_distance": 99})
    keys = [
        result_key(METHOD, params, "in"),
        result_key(METHOD, other, "in"),
        result_key(METHOD, params, "in", "more"),
        result_key(METHOD, params, "other"),
        result_key(find_method("track", "masks"), params, "in"),
    ]
    assert len(set(keys)) == len(keys)
    assert result_key(METHOD, parse("track", "laptrack", {}), "in") == keys[0]


def test_source_key_is_the_same_wherever_the_data_are_kept(dataset, tmp_path):
    key = source_key(dataset["A/1/0"])
    dataset.root.rename(tmp_path / "moved.zarr")
    assert source_key(open_dataset(tmp_path / "moved.zarr")["A/1/0"]) == key
    assert source_key(open_dataset(tmp_path / "moved.zarr")["A/1/1"]) != key


def test_pending_leaves_out_what_is_done_under_the_same_key(dataset):
    dataset.workspace.prepare([])
    keys = {"A/1/0": "same", "A/1/1": "changed", "B/1/0": "new"}
    dataset.workspace.mark_complete("tracks", dataset["A/1/0"], "same")
    dataset.workspace.mark_complete("tracks", dataset["A/1/1"], "before")
    done, todo = pending(dataset, "tracks", keys)
    assert [fov.name for fov in done] == ["A/1/0"]
    assert [fov.name for fov in todo] == ["A/1/1", "B/1/0"]
