from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr.core.job import Job
from napari_dynaclr.session.cells import load_cells
from napari_dynaclr.session.corrected import Changes, Disc, TrackLabels, changes_of, with_tracks
from napari_dynaclr.session.frames import ChunkCache, FovImage
from napari_dynaclr.tracking.correction.actions import cut, delete_node, swap
from napari_dynaclr.tracking.correction.lineages import Lineages

FOV = "B/1/0"


@pytest.fixture
def cells(processed):
    return load_cells(processed, "features", Job())


@pytest.fixture
def tracks(processed):
    return processed.workspace.tracks(processed[FOV])


def ordered(tracks):
    return tracks.sort_values(["track_id", "t"], ignore_index=True)


def halved(tracks):
    """The longest track cut in the middle: the table after it, and the new track's id."""
    track = tracks["track_id"].value_counts().index[0]
    new = int(tracks["track_id"].max()) + 1
    later = (tracks["track_id"] == track) & (tracks["t"] > tracks["t"].median())
    after = tracks.copy()
    after.loc[later, "track_id"] = new
    after.loc[later, "parent_track_id"] = -1
    after.loc[after["parent_track_id"] == track, "parent_track_id"] = new
    return ordered(after), int(track), new


def test_the_same_tracks_are_the_same_cells(cells, tracks):
    assert with_tracks(cells, FOV, tracks) is cells
    assert with_tracks(cells, "Z/9/9", tracks) is cells


def test_what_is_known_of_a_node_stays_with_its_id(cells, tracks):
    after, track, new = halved(tracks)
    found = with_tracks(cells, FOV, after)
    assert len(found) == len(cells)
    assert len(found.of_track(FOV, new)) == (after["track_id"] == new).sum() > 0
    assert len(found.of_track(FOV, track)) == (after["track_id"] == track).sum()
    for name in cells.fovs:
        ids = cells.id[cells.rows_of(name)]
        before, now = cells.find(name, ids), found.find(name, ids)
        for map_name, values in cells.maps.items():
            np.testing.assert_array_equal(values[before], found.maps[map_name][now])
        for task, one in cells.predictions.items():
            np.testing.assert_array_equal(
                one.probability[before], found.predictions[task].probability[now]
            )
        np.testing.assert_array_equal(cells.position[before], found.position[now])
    others = [name for name in cells.fovs if name != FOV]
    for name in others:
        np.testing.assert_array_equal(
            cells.track[cells.rows_of(name)], found.track[found.rows_of(name)]
        )


def test_of_added_cells_nothing_is_known_and_deleted_ones_are_gone(cells, tracks):
    gone = int(tracks["id"].iloc[5])
    new = tracks.iloc[[0]].assign(track_id=9999, t=4, id=5_900_000, parent_track_id=-1)
    after = ordered(pd.concat([tracks[tracks["id"] != gone], new], ignore_index=True))
    found = with_tracks(cells, FOV, after)
    assert found.find(FOV, [gone])[0] == -1
    row = found.find(FOV, [5_900_000])[0]
    assert found.track[row] == 9999
    assert np.isnan(found.maps["pca"][row]).all()
    assert found.predictions["infection"].codes[row] == -1
    assert len(found) == len(cells)


def test_reliability_comes_with_the_tracks(cells, tracks):
    assert len(cells.reliability) in (0, len(cells))
    found = with_tracks(cells, FOV, halved(tracks)[0])
    assert len(found.reliability) == len(cells.reliability)


@pytest.fixture
def labels(processed):
    fov = processed.workspace.labels("tracks", processed[FOV])
    return TrackLabels(FovImage(fov, fov.channels[0], ChunkCache()), fov)


def test_labels_without_changes_are_those_on_disk(labels):
    np.testing.assert_array_equal(labels[3], labels.image[3])


def test_labels_show_the_tracks_of_now_and_the_image_on_disk_stays(labels, tracks):
    before = np.asarray(labels.image)
    lineages = Lineages(tracks)
    track = int(tracks["track_id"].value_counts().index[0])
    times = sorted(tracks["t"][tracks["track_id"] == track])
    middle = times[len(times) // 2]
    cut(
        lineages, int(tracks["id"][(tracks["track_id"] == track) & (tracks["t"] == middle)].iloc[0])
    )
    new = int(set(lineages.tracks["track_id"]).difference(tracks["track_id"]).pop())
    labels.changes = changes_of(lineages)
    for t in range(labels.shape[0]):
        expected = before[t].copy()
        if t >= middle:
            expected[expected == track] = new
        np.testing.assert_array_equal(labels[t], expected)
        np.testing.assert_array_equal(labels[t, 0], expected[0])
        z, y, x = (int(i[0]) for i in np.nonzero(expected))
        assert labels[t, z, y, x] == expected[z, y, x]
    np.testing.assert_array_equal(labels[2:5, 0], np.stack([labels[t, 0] for t in (2, 3, 4)]))
    np.testing.assert_array_equal(np.asarray(labels.image), before)
    assert new in labels[:]
    assert labels.changes.times == set(times[len(times) // 2 :])


def test_a_deleted_cell_is_background_and_a_swap_is_one(labels, tracks):
    here = tracks[tracks["t"] == 5]
    one, two = (int(track) for track in here["track_id"].iloc[:2])
    lineages = Lineages(tracks)
    delete_node(lineages, int(here["id"].iloc[0]))
    labels.changes = changes_of(lineages)
    assert one in labels.image[5]
    assert one not in labels[5]
    lineages = Lineages(tracks)
    swap(lineages, *(int(node) for node in here["id"].iloc[:2]))
    labels.changes = changes_of(lineages)
    np.testing.assert_array_equal(labels[5] == one, labels.image[5] == two)
    np.testing.assert_array_equal(labels[5] == two, labels.image[5] == one)


def test_an_added_cell_is_drawn_where_there_is_background(labels):
    plane = labels.image[5, 0]
    y, x = (int(i) for i in np.argwhere(plane)[0])
    radius = 3 * labels._scale[1]
    labels.changes = Changes(discs={5: (Disc((0.0, y, x), radius, 7777),)})
    drawn = labels[5, 0] == 7777
    assert 0 < drawn.sum() < 29
    assert not (drawn & (plane > 0)).any()
    assert labels[5, 0, y, x] == plane[y, x]
    assert (labels[4] == 7777).sum() == 0
    # At the rim of the image, what is inside of it is drawn.
    labels.changes = Changes(discs={5: (Disc((0.0, 0.0, 0.0), radius, 7777),)})
    assert (labels[5] == 7777).any()
