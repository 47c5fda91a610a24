from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from iohub.ngff import open_ome_zarr

from napari_dynaclr.core.errors import Cancelled, InvalidInput, StorageError
from napari_dynaclr.core.job import Job, Progress
from napari_dynaclr.sample import plate, simulate, simulation
from napari_dynaclr.sample.params import CHANNELS, TRUTH_CHANNELS


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_plate_is_as_described(small):
    with open_ome_zarr(small.path, layout="hcs") as images:
        assert images.channel_names == list(CHANNELS)
        names = [name for name, _ in images.positions()]
        assert names == ["A/1/0", "A/1/1", "B/1/0", "B/1/1"]
        position = images["B/1/1"]
        assert position.scale == [1800.0, 1.0, 1.5, 0.55, 0.55]
        assert [axis.unit for axis in position.axes if axis.name != "C"] == [
            "second",
            *["micrometer"] * 3,
        ]
        assert position["0"].shape == (12, 4, 1, 192, 192)
        assert position["0"].chunks == (1, 1, 1, 192, 192)
        assert position["0"].dtype == np.uint16
    with open_ome_zarr(small.path.with_name("small_truth.zarr") / "A/1/0") as position:
        assert position.channel_names == list(TRUTH_CHANNELS)
    assert leftovers(small.path.parent) == {"small.zarr", "small_truth.zarr"}


def test_the_sensor_moves_into_the_nucleus_on_infection(small):
    ratios: dict[str, list[float]] = {"infected": [], "uninfected": []}
    for row in small.annotations.itertuples():
        if row.cell_division_state == "mitosis" or row.cell_death_state == "dead":
            continue
        nuclei, cells = small.labels[row.fov_name][row.t]
        sensor = small.images[row.fov_name][row.t, CHANNELS.index("Sensor")] - 100.0
        nucleus = nuclei == row.track_id
        around = (cells == row.track_id) & ~nucleus
        if around.sum() > 100:
            ratios[row.infection_state].append(sensor[nucleus].mean() / sensor[around].mean())
    assert np.percentile(ratios["uninfected"], 90) < 1.0
    assert np.median(ratios["infected"]) > 1.5
    assert np.median(ratios["infected"]) > 2 * np.median(ratios["uninfected"])


def test_condensed_chromatin_is_brighter_and_round_cells_stand_out_in_phase(small):
    means: dict[tuple[str, str], list[float]] = {}
    for row in small.annotations.itertuples():
        state = "dead" if row.cell_death_state == "dead" else row.cell_division_state
        nucleus = small.labels[row.fov_name][row.t, 0] == row.track_id
        for channel in ("Nuclei", "Phase"):
            image = small.images[row.fov_name][row.t, CHANNELS.index(channel)]
            means.setdefault((channel, state), []).append(float(image[nucleus].mean()))
    for channel in ("Nuclei", "Phase"):
        usual = np.median(means[channel, "interphase"])
        assert np.median(means[channel, "mitosis"]) > 1.1 * usual


def test_same_seed_same_plate_whatever_the_number_of_workers(
    small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_params, read_back, assert_same
):
    monkeypatch.setattr(simulation, "_workers", lambda: 1)
    assert_same(small, read_back(simulate(tmp_path / "again.zarr", small_params)))


def test_a_field_does_not_depend_on_the_others(small, tmp_path: Path, small_params, read_back):
    params = small_params.model_copy(update={"wells_per_condition": 2, "fovs_per_well": 1})
    other = read_back(simulate(tmp_path / "other.zarr", params))
    assert set(other.images) == {"A/1/0", "A/2/0", "B/1/0", "B/2/0"}
    for name in ("A/1/0", "B/1/0"):
        np.testing.assert_array_equal(small.images[name], other.images[name])
        pd.testing.assert_frame_equal(small.tracks[name], other.tracks[name])
    assert (small.images["A/1/0"] != other.images["A/2/0"]).mean() > 0.9


def test_another_seed_gives_another_plate(small, tmp_path: Path, small_params, read_back):
    params = small_params.model_copy(update={"seed": 4, "time_points": 2, "fovs_per_well": 1})
    other = read_back(simulate(tmp_path / "other.zarr", params))
    assert (small.images["A/1/0"][:2] != other.images["A/1/0"]).mean() > 0.9


def test_progress_counts_frames_to_the_end(tmp_path: Path, small_params):
    seen: list[Progress] = []
    params = small_params.model_copy(update={"time_points": 2})
    simulate(tmp_path / "plate.zarr", params, Job(seen.append))
    assert [progress.done for progress in seen] == list(range(9))
    assert {progress.total for progress in seen} == {8}


def test_cancel_stops_soon_and_leaves_no_target(tmp_path: Path, small_params):
    params = small_params.model_copy(update={"time_points": 400})
    asked: list[float] = []

    def cancel(progress: Progress) -> None:
        if progress.done == 3:
            asked.append(time.monotonic())
            job.cancel()

    job = Job(cancel)
    with pytest.raises(Cancelled):
        simulate(tmp_path / "plate.zarr", params, job)
    assert time.monotonic() - asked[0] < 2
    assert leftovers(tmp_path) == {".plate.zarr.partial"}
    assert threading.active_count() < 20


def test_a_cancelled_job_starts_nothing(tmp_path: Path, small_params):
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        simulate(tmp_path / "plate.zarr", small_params, job)
    assert leftovers(tmp_path) == set()


class Crash(BaseException):
    """Stands for kill -9: nothing catches it."""


def test_a_killed_run_goes_on_where_it_stopped(
    small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_params, read_back, assert_same
):
    monkeypatch.setattr(simulation, "_workers", lambda: 1)

    def crash(progress: Progress) -> None:
        # In the middle of the third field.
        if progress.done == 30:
            raise Crash

    with pytest.raises(Crash):
        simulate(tmp_path / "plate.zarr", small_params, Job(crash))
    done = tmp_path / ".plate.zarr.partial" / "done"
    finished = sorted(path.name for path in done.iterdir())
    assert finished[:2] == ["A_1_0.csv", "A_1_1.csv"]
    assert len(finished) < 4
    stamps = {path: path.stat().st_mtime_ns for path in done.iterdir()}
    resumed: list[Progress] = []
    path = simulate(tmp_path / "plate.zarr", small_params, Job(resumed.append))
    assert resumed[0].done == 12 * len(stamps)
    assert_same(small, read_back(path))
    assert leftovers(tmp_path) == {"plate.zarr", "plate_truth.zarr"}


def test_a_run_killed_between_the_two_renames_is_finished(
    small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_params, read_back, assert_same
):
    rename = Path.rename

    def crash(self: Path, target: Path) -> Path:
        if self.name == "images.zarr":
            raise Crash
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(Crash):
        simulate(tmp_path / "plate.zarr", small_params)
    assert leftovers(tmp_path) == {".plate.zarr.partial", "plate_truth.zarr"}
    monkeypatch.undo()
    assert_same(small, read_back(simulate(tmp_path / "plate.zarr", small_params)))
    assert leftovers(tmp_path) == {"plate.zarr", "plate_truth.zarr"}


def test_other_settings_start_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_params, read_back, assert_same
):
    params = small_params.model_copy(update={"time_points": 2, "fovs_per_well": 1})

    def crash(self: plate.PartialPlate) -> None:
        raise Crash

    monkeypatch.setattr(plate.PartialPlate, "finish", crash)
    with pytest.raises(Crash):
        simulate(tmp_path / "plate.zarr", params)
    monkeypatch.undo()
    other = params.model_copy(update={"seed": 5})
    resumed = read_back(simulate(tmp_path / "plate.zarr", other))
    assert_same(resumed, read_back(simulate(tmp_path / "fresh.zarr", other)))


@pytest.mark.parametrize("existing", ["plate.zarr", "plate_truth.zarr"])
def test_an_existing_plate_is_refused_and_untouched(tmp_path: Path, existing: str, small_params):
    (tmp_path / existing).mkdir()
    with pytest.raises(InvalidInput, match=rf"{existing} exists already: choose another name"):
        simulate(tmp_path / "plate.zarr", small_params)
    assert leftovers(tmp_path) == {existing}


def test_a_full_disk_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_params
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plate.PartialPlate, "finish_fov", full)
    params = small_params.model_copy(update={"time_points": 1, "fovs_per_well": 1})
    with pytest.raises(StorageError, match=r"Cannot write plate\.zarr: the disk is full"):
        simulate(tmp_path / "plate.zarr", params)
    assert not (tmp_path / "plate.zarr").exists()
