from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr.embedding.tap.training.movies import Place, Stretch
from napari_dynaclr.embedding.tap.training.regions import mothers, region_draws


@pytest.fixture
def tracks():
    """Track 1 divides after t = 2 into 2 and 3; track 4 stays; track 5 ends and has one child."""
    rows = []
    for track, parent, times, y, x in (
        (1, -1, range(3), 40, 40),
        (2, 1, range(3, 6), 36, 40),
        (3, 1, range(3, 6), 44, 40),
        (4, -1, range(6), 90, 90),
        (5, -1, range(2), 90, 20),
        (6, 5, range(2, 6), 90, 20),
    ):
        rows += [(track, t, parent, 0.0, float(y), float(x), 80) for t in times]
    names = ["track_id", "t", "parent_track_id", "z", "y", "x", "area"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture
def stretch(movie):
    dataset = movie(np.random.default_rng(0).normal(size=(6, 1, 128, 128)).astype(np.float32))

    def make(step=1, first=0, last=5):
        place = Place(0, dataset, dataset.fovs[0], "Nuclei", "slices", step)
        return Stretch(place, first, last)

    return make


def draws(stretch, tracks, side=32):
    return region_draws(stretch, 0, tracks, side, np.random.default_rng(0))


def test_mothers_are_tracks_with_two_daughters(tracks):
    found = mothers(tracks)
    assert found[["track_id", "t", "born"]].to_numpy().tolist() == [[1, 2, 3]]


def test_a_division_lies_between_the_frames_of_its_pairs(stretch, tracks):
    assert [one.times for one in draws(stretch(), tracks)["division"]] == [(2, 3)]
    wider = draws(stretch(step=2), tracks)["division"]
    assert [one.times for one in wider] == [(1, 3), (2, 4)]
    assert {one.origin for one in wider} == {(24, 24)}
    assert draws(stretch(first=3), tracks)["division"] == []


def test_interphase_is_around_cells_that_stay_far_from_divisions(stretch, tracks):
    found = draws(stretch(), tracks)["interphase"]
    assert found
    assert {one.origin for one in found} <= {(74, 74), (74, 4)}
    assert all(one.times[1] == one.times[0] + 1 <= 5 for one in found)


def test_background_holds_no_cell(stretch, tracks):
    found = draws(stretch(), tracks)["background"]
    assert len(found) == 5
    for one in found:
        here = tracks[tracks["t"].isin(one.times)]
        off = np.abs(here[["y", "x"]].to_numpy() - one.origin - 16)
        assert (off.max(1) >= 16 + 5).all()
        assert all(0 <= start <= 96 for start in one.origin)
