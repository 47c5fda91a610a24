from __future__ import annotations

import pandas as pd
import pytest

from napari_dynaclr.core.job import Job
from napari_dynaclr.demo import CLICKS, TRAINING_WELLS, run_demo, simulated_clicks
from napari_dynaclr.sample import SimulateParams


@pytest.mark.slow
def test_the_demo_ends_with_a_table_and_pictures_and_a_second_run_redoes_nothing(tmp_path):
    pytest.importorskip("traccuracy")
    pytest.importorskip("timm")
    params = SimulateParams(
        wells_per_condition=2, fovs_per_well=1, time_points=8, size=160, infection_hours=1.5
    )
    result = run_demo(tmp_path, sample=params)
    table = result.table.set_index("measure")["value"]
    assert {"TRA", "division F1", "infection F1", "smoothness", "dynamic range"} <= set(table.index)
    assert table["TRA"].min() > 0.9
    assert table["smoothness"].between(0, 1).all()
    assert result.dataset.workspace.shard("dynaclr", result.dataset.fovs[0]).exists()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "results.csv"), result.table)
    assert [p.name for p in result.pictures] == ["map.png", "curve.png", "field.png", "cells.png"]
    assert all(p.stat().st_size > 5000 for p in result.pictures)
    assert len(pd.read_csv(tmp_path / "clicks.csv")) == CLICKS

    home = result.dataset.workspace.path
    places = ("segmentation.zarr", "tracks.zarr", "embeddings", "annotations.jsonl")

    def written():
        paths = [p for place in places for p in [home / place, *(home / place).rglob("*")]]
        return {p: p.stat().st_mtime_ns for p in paths if p.is_file()}

    before = written()
    plate = (tmp_path / "infection.zarr").stat().st_mtime_ns
    again = run_demo(tmp_path, sample=params)
    pd.testing.assert_frame_equal(again.table, result.table)
    assert written() == before
    assert (tmp_path / "infection.zarr").stat().st_mtime_ns == plate


@pytest.mark.slow
def test_without_networks_the_demo_goes_by_features_and_says_so(tmp_path, monkeypatch):
    pytest.importorskip("traccuracy")
    monkeypatch.setattr("napari_dynaclr.demo.NETWORKS", ("torch", "no_such_package"))
    params = SimulateParams(
        wells_per_condition=2, fovs_per_well=1, time_points=8, size=160, infection_hours=1.5
    )
    job = Job()
    result = run_demo(tmp_path, job, params)
    assert (result.table["measure"] == "infection F1").sum() == 1
    assert "napari-dynaclr[torch]" in " ".join(job.notes)


def test_clicks_are_half_infected_near_their_cells_and_never_in_the_held_out_well(truth):
    states = pd.read_csv(truth / "annotations.csv")
    extra = states.assign(fov_name=states["fov_name"].str.replace("/1/", "/2/"))
    clicks = simulated_clicks(pd.concat([states, extra], ignore_index=True))
    assert clicks["state"].value_counts().to_dict() == {"infected": 20, "uninfected": 20}
    assert set(clicks["fov_name"].str[:3]) <= set(TRAINING_WELLS)
    for click in clicks.itertuples():
        here = states[(states["fov_name"] == click.fov_name) & (states["t"] == click.t)]
        distance = ((here["y"] - click.y) ** 2 + (here["x"] - click.x) ** 2) ** 0.5
        nearest = here.loc[distance.idxmin()]
        assert distance.min() < 6
        assert nearest["infection_state"] == click.state
    pd.testing.assert_frame_equal(
        clicks, simulated_clicks(pd.concat([states, extra], ignore_index=True))
    )
