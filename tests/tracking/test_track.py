from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr import evaluate, open_dataset, segment, track
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.tables import LINK_COLUMNS, TRACK_COLUMNS


def with_labels(make_plate, labels):
    """A dataset whose segmentation are these labels (T, Z, Y, X)."""
    dataset = open_dataset(make_plate("movie.zarr", {"A/1/0": np.ones_like(labels)[:, None]}))
    path = make_plate("labels.zarr", {"A/1/0": labels[:, None]})
    segment(dataset, parse("segment", "import", {"path": str(path)}))
    return dataset


def boxes(places, shape=(1, 40, 60), half=3):
    """A movie of boxes, from a list of {label: (y, x)} per time point."""
    movie = np.zeros((len(places), *shape), np.uint16)
    for t, here in enumerate(places):
        for label, (y, x) in here.items():
            movie[t, :, y - half : y + half, x - half : x + half] = label
    return movie


def label_frames(dataset, fov):
    frames = dataset.workspace.labels("tracks", fov).frames(["labels"], allow_empty=True)
    return np.stack([frame[0] for _, frame in frames])


def check_agreement(dataset):
    """Every row of tracks.csv has its pixels, and every pixel its row."""
    for fov in dataset.fovs:
        tracks, movie = dataset.workspace.tracks(fov), label_frames(dataset, fov)
        found = {(t, label) for t, frame in enumerate(movie) for label in np.unique(frame) if label}
        assert found == set(zip(tracks["t"], tracks["track_id"], strict=True))
        for row in tracks.itertuples():
            place = np.argwhere(movie[row.t] == row.track_id).mean(axis=0)
            np.testing.assert_allclose([row.z, row.y, row.x], place, atol=1e-6)


def check_parents(tracks):
    """Parents exist, come earlier, and track and node parents tell the same story."""
    by_id = tracks.set_index("id")
    firsts = tracks.sort_values("t").groupby("track_id").head(1)
    for row in tracks.itertuples():
        if row.parent_id == -1:
            assert row.parent_track_id == -1
            continue
        parent = by_id.loc[row.parent_id]
        assert parent["t"] < row.t
        first = row.id in set(firsts["id"])
        assert parent["track_id"] == (row.parent_track_id if first else row.track_id)
        if first:
            assert parent["t"] == tracks.loc[tracks["track_id"] == parent["track_id"], "t"].max()
    assert (tracks.groupby("track_id")["parent_track_id"].nunique() == 1).all()


def test_label_images_agree_with_the_table_at_every_node(processed):
    check_agreement(processed)


def test_parents_are_consistent(processed):
    for fov in processed.fovs:
        check_parents(processed.workspace.tracks(fov))


def test_only_the_numbers_of_the_labels_change(processed):
    for fov in processed.fovs:
        before = processed.workspace.labels("segmentation", fov).frames(["labels"])
        after = processed.workspace.labels("tracks", fov).frames(["labels"])
        for (_, one), (_, other) in zip(before, after, strict=True):
            pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
            assert len(pairs[0]) == len(set(pairs[0])) == len(set(pairs[1]))
            assert pairs[:, 0].tolist() == [0, 0]


def test_the_csv_is_one_that_viscy_can_read(processed):
    for fov in processed.fovs:
        (file,) = (processed.workspace.plate("tracks") / fov.name).glob("*.csv")
        table = pd.read_csv(file)
        assert list(table) == [*TRACK_COLUMNS, *LINK_COLUMNS]
        assert not table.isna().any().any()
        # What VisCy does with it before taking patches.
        whole = table.astype(int)
        assert (whole["id"] == table["id"]).all()
        inside = [
            whole[axis].between(0, size - 1) for axis, size in zip("yx", fov.shape[2:], strict=True)
        ]
        assert np.all(inside)


def test_returned_table_joins_the_fovs(processed):
    table = track(processed)
    assert list(table) == ["fov_name", *TRACK_COLUMNS, *LINK_COLUMNS]
    assert table["fov_name"].drop_duplicates().tolist() == processed.fov_names
    assert not table.duplicated(["fov_name", "id"]).any()


def test_simulated_tracks_reach_a_tra_of_097(processed, truth):
    table = evaluate(processed, parse("evaluate", "tracking", {"truth": str(truth)}))
    assert table["TRA"].mean() >= 0.97


def test_divisions_stand_in_the_table_as_lineage(make_plate):
    places = [{1: (20, 10 + t)} for t in range(4)]
    places += [{1: (20 - 2 - 2 * t, 14), 2: (20 + 3 + 2 * t, 14)} for t in range(1, 4)]
    movie = boxes(places, half=2)
    dataset = with_labels(make_plate, movie)
    tracks = track(dataset)
    check_agreement(dataset)
    check_parents(tracks)
    parents = tracks.groupby("track_id")["parent_track_id"].first()
    mother = tracks.loc[tracks["t"] == 0, "track_id"].item()
    assert parents.drop(mother).tolist() == [mother, mother]
    last = tracks.loc[tracks["t"] == 3, "id"].item()
    assert tracks.loc[tracks["t"] == 4, "parent_id"].tolist() == [last, last]


def test_masks_that_carry_track_ids_are_taken_as_they_are(make_plate):
    movie = boxes([{7: (10, 10), 900: (30, 50)}, {}, {900: (10, 10)}, {7: (20, 20)}])
    dataset = with_labels(make_plate, movie)
    tracks = track(dataset, parse("track", "masks", {}))
    assert tracks["track_id"].tolist() == [7, 7, 900, 900]
    assert tracks["t"].tolist() == [0, 3, 0, 2]
    assert (tracks["parent_track_id"] == -1).all()
    assert tracks["parent_id"].tolist() == [-1, tracks["id"][0], -1, tracks["id"][2]]
    np.testing.assert_array_equal(label_frames(dataset, dataset.fovs[0]), movie)


def test_empty_frames_in_the_middle_are_bridged_on_disk(make_plate):
    movie = boxes([{1: (10, 10)}, {}, {3: (10, 12)}, {}])
    dataset = with_labels(make_plate, movie)
    tracks = track(dataset)
    assert tracks["track_id"].tolist() == [1, 1]
    np.testing.assert_array_equal(label_frames(dataset, dataset.fovs[0]), movie > 0)


def test_a_single_frame_of_a_single_cell_is_tracked(make_plate):
    dataset = with_labels(make_plate, boxes([{5: (10, 10)}]))
    tracks = track(dataset)
    assert tracks[["track_id", "t", "parent_track_id", "parent_id"]].to_numpy().tolist() == [
        [1, 0, -1, -1]
    ]
    check_agreement(dataset)


def test_without_segmentation_it_names_the_stage_to_run(dataset):
    with pytest.raises(
        MissingInput, match="No segmented cells found for FOV A/1/0: run 'segment'"
    ) as raised:
        track(dataset)
    assert raised.value.made_by == "segment"


@pytest.mark.parametrize("method", ["laptrack", "masks"])
def test_a_fov_without_any_cell_is_refused_by_name(make_plate, method):
    dataset = with_labels(make_plate, np.zeros((3, 1, 20, 20), np.uint16))
    with pytest.raises(InvalidInput, match="FOV A/1/0 has no segmented cells"):
        track(dataset, parse("track", method, {}))
    assert dataset.workspace.key("tracks", dataset.fovs[0]) is None


def test_new_segmentation_is_tracked_anew(make_plate):
    dataset = with_labels(make_plate, boxes([{1: (10, 10)}, {1: (10, 12)}]))
    assert len(track(dataset)) == 2
    path = make_plate("more.zarr", {"A/1/0": boxes([{1: (10, 10), 2: (30, 40)}, {}])[:, None]})
    segment(dataset, parse("segment", "import", {"path": str(path)}))
    assert len(track(dataset)) == 2
    assert track(dataset)["t"].tolist() == [0, 0]


@pytest.mark.slow  # 16 s, of which most goes into the scores
def test_real_cells_are_tracked_with_a_tra_above_097(t98g, tmp_path):
    dataset = open_dataset(t98g, tmp_path / "t98g.dynaclr")
    masks = t98g.with_name("t98g_masks.zarr")
    segment(dataset, parse("segment", "import", {"path": str(masks)}))
    tracks = track(dataset)
    check_parents(tracks)
    assert len(tracks) == 2641
    table = evaluate(dataset, parse("evaluate", "tracking", {"truth": str(masks)}))
    assert table["TRA"].item() >= 0.97
