from __future__ import annotations

import logging
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from scipy import ndimage

from napari_dynaclr import Job, open_dataset, track
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingExtra
from napari_dynaclr.core.registry import parse
from napari_dynaclr.tracking.contours import foreground_and_contours, region_size

installed = pytest.mark.skipif(
    not (find_spec("ultrack") and find_spec("mip")), reason="the extra 'ultrack' is missing"
)
SCALE = (2.0, 0.5, 0.5)
# Two cells that touch, one that divides after frame 2, one alone; (y, x) in um and radius.
CELLS = {
    "left": {t: (10.0, 10.0 + 0.3 * t, 3.5) for t in range(6)},
    "right": {t: (10.0, 16.5 + 0.3 * t, 3.5) for t in range(6)},
    "mother": dict.fromkeys(range(3), (25.0, 12.0, 4.0)),
    "one": {t: (23.0 - 0.4 * t, 11.0, 2.9) for t in range(3, 6)},
    "other": {t: (27.0 + 0.4 * t, 13.0, 2.9) for t in range(3, 6)},
    "alone": {t: (24.0 + 0.5 * t, 30.0, 3.5) for t in range(6)},
}


def blobs(slices=1, times=6, scale=SCALE):
    """A movie (T, 1, Z, Y, X) of bright blobs on dim noise."""
    rng = np.random.default_rng(0)
    shape = (slices, 80, 80)
    movie = rng.normal(10, 1, (times, 1, *shape)).astype(np.float32)
    z, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    middle = (slices - 1) / 2
    for path in CELLS.values():
        for t, (cy, cx, radius) in path.items():
            if t < times:
                away = (
                    ((z - middle) * scale[0]) ** 2
                    + (y * scale[1] - cy) ** 2
                    + (x * scale[2] - cx) ** 2
                )
                movie[t, 0] += 100 * np.exp(-((away / radius**2) ** 2))
    return movie


@pytest.fixture
def make(make_plate):
    def build(images, channels=("Nuclei",), scale=SCALE):
        return open_dataset(make_plate("movie.zarr", {"A/1/0": images}, channels, scale))

    return build


def run(dataset, job=None, **values):
    params = {"min_diameter": 4, "max_diameter": 10, "solver": "cbc", **values}
    return track(dataset, parse("track", "ultrack", params), job)


def check_cells(tracks, slices=1):
    """Every cell is one track, and the daughters come from the mother."""
    of = {}
    for name, path in CELLS.items():
        for t, (y, x, _) in path.items():
            here = tracks[tracks["t"] == t]
            away = np.hypot(here["y"] * 0.5 - y, here["x"] * 0.5 - x)
            assert away.min() < 1.5, (name, t)
            of.setdefault(name, set()).add(int(here.loc[away.idxmin(), "track_id"]))
    assert all(len(ids) == 1 for ids in of.values()), of
    ids = {name: next(iter(found)) for name, found in of.items()}
    assert len(set(ids.values())) == len(ids) == tracks["track_id"].nunique()
    parents = tracks.groupby("track_id")["parent_track_id"].first()
    assert parents[ids["one"]] == parents[ids["other"]] == ids["mother"]
    assert (parents.drop([ids["one"], ids["other"]]) == -1).all()


@installed
@pytest.mark.parametrize("slices", [1, 5])
def test_cells_that_touch_move_and_divide_are_found_and_linked(make, slices):
    dataset = make(blobs(slices))
    tracks = run(dataset)
    check_cells(tracks, slices)
    frames = dataset.workspace.labels("tracks", dataset.fovs[0]).frames(["labels"])
    for t, frame in frames:
        here = tracks[tracks["t"] == t].set_index("track_id")
        assert set(np.unique(frame)) - {0} == set(here.index)
        for track_id, row in here.iterrows():
            place = np.argwhere(frame[0] == track_id)
            np.testing.assert_allclose(row[["z", "y", "x"]].to_numpy(float), place.mean(axis=0))
            assert row["area"] == len(place)


@installed
def test_several_windows_give_the_same_tracks_as_one(make):
    check_cells(run(make(blobs()), window=3))


@installed
def test_it_leaves_no_file_no_word_and_no_setting_behind(make, tmp_path, monkeypatch, capfd):
    empty = tmp_path / "here"
    empty.mkdir()
    monkeypatch.chdir(empty)
    handlers, state = logging.getLogger().handlers[:], np.random.get_state()[1].copy()
    dataset = make(blobs())
    capfd.readouterr()
    run(dataset)
    assert not list(empty.iterdir())
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == handlers
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert not list(dataset.workspace.path.rglob("*.db"))
    assert not (dataset.workspace.path / ".partial/tracks/A_1_0").exists()


@installed
@pytest.mark.parametrize("step", ["candidates", "overlaps", "solve", "cells", "write"])
def test_it_can_be_cancelled_at_every_step_and_goes_on_to_the_same(make, step):
    dataset = make(blobs())
    job = Job(lambda p: job.cancel() if p.text.startswith(step) and p.done else None)
    with pytest.raises(Cancelled):
        run(dataset, job)
    check_cells(run(dataset))


@installed
def test_an_empty_frame_in_the_middle_ends_the_tracks(make):
    movie = blobs()
    movie[3] = 0
    dataset = make(movie)
    with pytest.raises(InvalidInput, match="time point 3 holds nothing but zeros"):
        run(dataset)
    tracks = run(dataset, empty_frames="skip")
    assert set(tracks["t"]) == {0, 1, 2, 4, 5}
    spans = tracks.groupby("track_id")["t"].agg(["min", "max"])
    assert not ((spans["min"] < 3) & (spans["max"] > 3)).any()


@installed
def test_the_membrane_channel_is_read_and_a_wrong_one_is_one_line(make):
    movie = blobs()
    walls = np.zeros_like(movie)
    walls[..., 15:25, 25:28] = 50
    dataset = make(np.concatenate([movie, walls], axis=1), ("Nuclei", "Membrane"))
    check_cells(run(dataset, membrane="Membrane"))
    with pytest.raises(InvalidInput, match="no channel 'Red'"):
        run(dataset, membrane="Red")


def test_without_a_channel_of_nuclei_one_is_asked_for(make):
    with pytest.raises(InvalidInput, match="No channel is named after nuclei"):
        run(make(blobs(times=2), ("GFP",)))


@installed
def test_one_time_point_is_one_line(make):
    with pytest.raises(InvalidInput, match="has one time point"):
        run(make(blobs(times=1)))


@installed
def test_nothing_but_noise_is_one_line(make):
    noise = np.random.default_rng(1).normal(10, 1, (3, 1, 1, 80, 80)).astype(np.float32)
    with pytest.raises(InvalidInput, match="found no cells"):
        run(make(noise), min_diameter=8, max_diameter=12)


@installed
def test_cells_that_never_overlap_are_not_linked_and_that_is_said(make):
    movie = blobs(times=4)
    for t in range(4):
        movie[t] = np.roll(movie[0], 23 * t, axis=-1)
    with pytest.raises(InvalidInput, match="that overlap over time"):
        run(make(movie), max_distance=1)


def test_diameters_in_the_wrong_order_are_refused():
    with pytest.raises(InvalidInput, match="min_diameter has to be below"):
        parse("track", "ultrack", {"min_diameter": 9, "max_diameter": 9})


@installed
def test_gurobi_that_cannot_solve_is_one_line_and_auto_goes_on_without(make, monkeypatch):
    import mip

    from napari_dynaclr.tracking import ultrack_session

    ultrack_session.load_ultrack()
    real = mip.Model

    def unlicensed(*args, solver_name="", **kwargs):
        if solver_name == "GUROBI":
            raise mip.exceptions.InterfacingError("check your license")
        return real(*args, solver_name=solver_name, **kwargs)

    monkeypatch.setattr(mip, "Model", unlicensed)
    dataset = make(blobs())
    with pytest.raises(InvalidInput, match=r"Gurobi cannot solve this .*solver=cbc"):
        run(dataset, solver="gurobi")
    check_cells(run(dataset, solver="auto"))


@installed
def test_gurobi_whose_licence_is_too_small_is_one_line_and_auto_goes_on_without(make, monkeypatch):
    from ultrack.core.solve import sqltracking

    real = sqltracking.SQLTracking.solve
    pretended = []

    def too_large(tracker):
        if tracker._tracking_config.solver_name == "GUROBI":
            pretended.append(1)
            raise RuntimeError("Model too large for size-limited license")
        real(tracker)

    class Named:
        """The solver that is there, under Gurobi's name."""

    monkeypatch.setattr(sqltracking.SQLTracking, "solve", too_large)
    monkeypatch.setattr("mip.Model.solver_name", "GUROBI", raising=False)
    dataset = make(blobs())
    with pytest.raises(InvalidInput, match="Gurobi cannot solve this"):
        run(dataset, solver="gurobi")
    check_cells(run(dataset, solver="auto"))


@installed
def test_a_problem_without_solution_is_one_line_and_writes_no_file(make, tmp_path, monkeypatch):
    from mip import OptimizationStatus
    from ultrack.core.solve import sqltracking

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sqltracking.SQLTracking,
        "solve",
        lambda tracker: setattr(tracker.solver._model, "_status", OptimizationStatus.INFEASIBLE),
    )
    with pytest.raises(InvalidInput, match=r"found no solution .*infeasible"):
        run(make(blobs()))
    assert not list(tmp_path.glob("*.lp"))


def test_without_the_package_the_extra_is_named(make, monkeypatch):
    for name in ["ultrack", *(n for n in sys.modules if n.startswith("ultrack."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"napari-dynaclr\[ultrack\]"):
        run(make(blobs(times=2)))


@pytest.mark.parametrize("slices", [1, 5])
def test_the_maps_show_where_cells_are_and_where_they_touch(slices):
    image = blobs(slices)[0, 0]
    foreground, contours = foreground_and_contours(image, None, SCALE, (4, 10))
    assert foreground.shape == contours.shape == image.shape
    assert foreground.dtype == bool
    assert 0 <= contours.min() <= contours.max() <= 1
    middle = slices // 2
    centres = [(20, 20), (20, 33), (50, 24), (48, 60)]
    assert all(foreground[middle, y, x] for y, x in centres)
    assert foreground[middle].mean() < 0.25
    between = contours[middle, 20, 26:28].max()
    assert between > 0.05 + max(contours[middle, y, x] for y, x in centres[:2])


def test_the_maps_do_not_depend_on_pixel_size_or_brightness():
    image = blobs()[0, 0]
    mask, _ = foreground_and_contours(image, None, SCALE, (4, 10))
    brighter, _ = foreground_and_contours(image * 300 + 7000, None, SCALE, (4, 10))
    assert (mask != brighter).mean() < 0.002
    finer = ndimage.zoom(image, (1, 2, 2), order=1)
    fine, _ = foreground_and_contours(finer, None, (2.0, 0.25, 0.25), (4, 10))
    assert (fine[0, ::2, ::2] != mask[0]).mean() < 0.03


def test_a_blank_frame_has_no_foreground():
    mask, _ = foreground_and_contours(np.full((1, 20, 20), 7.0), None, SCALE, (4, 10))
    assert not mask.any()


def test_sizes_are_those_of_discs_and_balls():
    assert region_size(4, (2, 0.5, 0.5), flat=True) == round(np.pi * 16)
    assert region_size(4, (2, 0.5, 0.5), flat=False) == round(np.pi / 6 * 64 / 0.5)
    assert region_size(0.1, (2, 0.5, 0.5), flat=True) == 8
