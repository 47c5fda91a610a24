from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr import open_dataset
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.tables import read_tracks
from napari_dynaclr.tracking.cellect.training.points import (
    digest,
    make_points,
    radius_of,
    tracked_points,
    true_points,
)

SCALE = (1.0, 0.5, 0.5)


def test_who_comes_from_whom(tracks):
    points = make_points(tracks.sample(frac=1, random_state=0), SCALE, 1)
    assert points.t.tolist() == [0, 0, 1, 2, 2, 2, 2]
    assert points.position[:, 1].tolist() == [10, 30, 11, 6, 16, 30, 4]
    now = points.at(2)
    assert points.before(now, 1).tolist() == [2, 2, -1, -1]  # nothing of a gap
    assert points.before(now, 0).tolist() == [0, 0, 1, -1]
    assert points.newborn.tolist() == [False, False, False, True, True, False, False]
    assert points.dividing(points.at(1), 2).tolist() == [True]
    assert points.dividing(points.at(0), 2).tolist() == [True, False]
    assert points.dividing(points.at(0), 1).tolist() == [False, False]
    assert points.dividing(points.at(2), 3).tolist() == [False] * 4
    assert points.dividing(points.at(7), 8).tolist() == []


def test_radii_are_those_of_discs_and_balls():
    area = np.array([math.pi * 100])
    assert radius_of(area, (9.0, 0.5, 0.5), 1) == pytest.approx([5.0])
    volume = np.array([4 / 3 * math.pi * 1000])
    assert radius_of(volume, (0.5, 1.0, 1.0), 8) == pytest.approx([10 * 0.5 ** (1 / 3)])


def test_true_tracks_are_measured_in_the_label_images(dataset, truth):
    fov = dataset.fovs[0]
    points = true_points(str(truth), fov, Job())
    (file,) = (truth / fov.name).glob("*.csv")
    table = read_tracks(file).sort_values(["t", "id"])
    labels = open_dataset(truth)[fov.name]
    (_, frame), *_ = labels.frames([labels.channels[0]], [3])
    rows = points.at(3)
    areas = [(frame[0] == track).sum() for track in table["track_id"][table["t"] == 3]]
    expected = radius_of(np.array(areas, float), fov.scale, 1)
    assert points.radius[rows] == pytest.approx(expected)
    assert len(rows) > 3


def test_tracks_of_the_workspace_are_taken_as_they_are(processed):
    fov = processed.fovs[0]
    points = tracked_points(processed, fov, Job())
    table = processed.workspace.tracks(fov)
    assert len(points.t) == len(table)
    assert (points.radius > 0).all()
    assert 3 < np.median(points.radius) < 12  # um
    file = processed.workspace.tracks_csv(fov)
    before = digest(file)
    corrected = pd.read_csv(file).iloc[1:]
    corrected.to_csv(file, index=False)
    assert digest(file) != before
    pd.DataFrame(columns=table.columns).to_csv(file, index=False)
    with pytest.raises(InvalidInput, match="has no tracks: there is nothing to learn from"):
        tracked_points(processed, fov, Job())


def test_without_tracks_or_their_truth_there_is_nothing_to_learn(dataset, truth, tmp_path):
    with pytest.raises(MissingInput, match="tracks"):
        tracked_points(dataset, dataset.fovs[0], Job())
    with pytest.raises(InvalidInput, match=r"nowhere\.zarr"):
        true_points(str(tmp_path / "nowhere.zarr"), dataset.fovs[0], Job())
