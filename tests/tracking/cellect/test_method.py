"""CELLECT from the dataset to the tracks: its settings, bad input, interruption."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from napari_dynaclr import Job, open_dataset, segment, track
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingInput
from napari_dynaclr.core.registry import parse
from napari_dynaclr.tracking.cellect.detector import Detector

FOV = "A/1/0"


@pytest.fixture
def settings(weights):
    """Return a function that makes settings, with the small random model."""

    def make(**values):
        given = {"weights": str(weights), "device": "cpu", "cells": "own"}
        return parse("track", "cellect", {**given, **values})

    return make


@pytest.fixture
def movie(make_plate):
    """A FOV of 5 frames of noise, whose structure the random model finds cells in."""
    return open_noise(make_plate, (5, 1, 2, 70, 60))


def open_noise(make_plate, shape):
    noise = np.random.default_rng(0).normal(1000, 100, shape)
    path = make_plate("noise.zarr", {FOV: noise.astype(np.float32)}, scale=(1.5, 0.55, 0.55))
    return open_dataset(path)


def label_images(dataset):
    frames = dataset.workspace.labels("tracks", dataset.fovs[0]).frames(
        ["labels"], allow_empty=True
    )
    return np.stack([frame[0] for _, frame in frames])


def agree(tracks, labels):
    found = {(t, label) for t, frame in enumerate(labels) for label in np.unique(frame) if label}
    assert found == set(zip(tracks["t"], tracks["track_id"], strict=True))


def test_own_cells_become_tracks_with_masks(movie, settings):
    tracks = track(movie, settings())
    labels = label_images(movie)
    assert len(tracks) > 20
    agree(tracks, labels)
    z, y, x = (np.round(tracks[axis]).astype(int) for axis in "zyx")
    # Coarse as the masks are, they hold their centres.
    assert (labels[tracks["t"], z, y, x] == tracks["track_id"]).all()
    assert tracks["area"].tolist() == [
        (labels[row.t] == row.track_id).sum() for row in tracks.itertuples()
    ]
    assert tracks["reliability"].between(0, 1).all()


def test_segmented_cells_keep_their_masks(dataset, settings):
    one = dataset.select([FOV])
    segment(one)
    before = np.stack(
        [
            frame[0] > 0
            for _, frame in one.workspace.labels("segmentation", one.fovs[0]).frames(
                ["labels"], allow_empty=True
            )
        ]
    )
    tracks = track(one, settings(cells="segmented"))
    labels = label_images(one)
    agree(tracks, labels)
    np.testing.assert_array_equal(labels > 0, before)


def test_segmented_cells_are_asked_for(dataset, settings):
    with pytest.raises(MissingInput, match="segment"):
        track(dataset.select([FOV]), settings(cells="segmented"))


def test_the_result_does_not_depend_on_blocks(make_plate, settings, tmp_path, monkeypatch):
    movie = open_noise(make_plate, (3, 1, 2, 40, 150))
    whole = track(movie, settings())
    again = open_dataset(movie.root, tmp_path / "again.dynaclr")
    seen = []
    look = Detector.look
    monkeypatch.setattr(Detector, "look", lambda self, *a: seen.append(self.side) or look(self, *a))
    parts = track(again, settings(block=128))
    assert set(seen) == {128}
    assert len(whole) == len(parts)


def test_an_interrupted_run_goes_on_and_ends_the_same(movie, settings, tmp_path, monkeypatch):
    wanted = track(movie, settings())
    again = open_dataset(movie.root, tmp_path / "again.dynaclr")
    look, looked = Detector.look, []

    def stopping(self, first, second, spacing, job, given=None):
        if len(looked) == 3:
            job.cancel()
            job.check()
        looked.append(1)
        return look(self, first, second, spacing, job, given)

    monkeypatch.setattr(Detector, "look", stopping)
    with pytest.raises(Cancelled):
        track(again, settings(), Job())
    more = []
    monkeypatch.setattr(Detector, "look", lambda self, *a: more.append(1) or look(self, *a))
    found = track(again, settings())
    assert len(more) == 2  # three of five frames were kept
    assert found.equals(wanted)
    np.testing.assert_array_equal(label_images(again), label_images(movie))
    assert not list(again.workspace.path.rglob("cells*.npz"))


def test_every_frame_is_read_and_looked_at_once(movie, settings, monkeypatch):
    pairs = []
    look = Detector.look

    def watched(self, first, second, *rest):
        pairs.append((first.copy(), second.copy()))
        return look(self, first, second, *rest)

    monkeypatch.setattr(Detector, "look", watched)
    track(movie, settings())
    assert len(pairs) == 5
    for (_, second), (first, _) in pairwise(pairs):
        np.testing.assert_array_equal(second, first)
    np.testing.assert_array_equal(*pairs[-1])  # the last frame has no next one


def test_empty_frames_in_the_middle_are_bridged(make_plate, settings):
    noise = np.random.default_rng(0).normal(1000, 100, (1, 1, 1, 70, 60))
    images = np.repeat(noise, 5, axis=0).astype(np.float32)
    images[2] = 0
    dataset = open_dataset(make_plate("gap.zarr", {FOV: images}, scale=(1.5, 0.55, 0.55)))
    tracks = track(dataset, settings(max_gap=2))
    assert sorted(set(tracks["t"])) == [0, 1, 3, 4]
    labels = label_images(dataset)
    assert not labels[2].any()
    agree(tracks, labels)


def test_nothing_is_found_in_empty_images(make_plate, settings):
    dataset = open_dataset(make_plate("dark.zarr", {FOV: np.zeros((3, 1, 1, 70, 60), "u2")}))
    with pytest.raises(InvalidInput, match="No cells were found"):
        track(dataset, settings())


def test_one_time_point_is_too_few(make_plate, settings):
    dataset = open_dataset(make_plate("one.zarr", {FOV: np.ones((1, 1, 1, 70, 60), "u2")}))
    with pytest.raises(InvalidInput, match="one time point"):
        track(dataset, settings())


def test_a_tiny_image_is_no_trouble(make_plate, settings):
    noise = np.random.default_rng(0).normal(1000, 100, (3, 1, 1, 3, 2)).astype(np.float32)
    dataset = open_dataset(make_plate("tiny.zarr", {FOV: noise}, scale=(1.5, 0.55, 0.55)))
    try:
        track(dataset, settings())
    except InvalidInput as error:
        assert "No cells were found" in str(error)


def test_a_channel_that_is_not_there_is_said_before_anything_is_loaded(movie, settings):
    with pytest.raises(InvalidInput, match="no channel 'GFP'"):
        track(movie, settings(channel="GFP"))


def test_the_channel_has_to_be_named_where_it_is_not_clear(make_plate, settings):
    images = np.ones((3, 2, 1, 40, 40), "u2")
    path = make_plate("two.zarr", {FOV: images}, channels=("GFP", "RFP"))
    with pytest.raises(InvalidInput, match=r"trained on Nuclei.*GFP, RFP"):
        track(open_dataset(path), settings())


def test_weights_of_another_model_are_refused(movie, settings, tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(InvalidInput, match="no CELLECT model"):
        track(movie, settings(weights=str(tmp_path / "other.safetensors")))
    with pytest.raises(InvalidInput, match="There is no weights file"):
        track(movie, settings(weights=str(tmp_path / "none.safetensors")))
    with pytest.raises(InvalidInput, match="Name a weights file"):
        track(movie, settings(weights="", preset="none", channel="Nuclei"))


def test_a_diameter_beyond_reason_is_refused(movie, settings):
    with pytest.raises(InvalidInput, match="check its pixel size"):
        track(movie, settings(diameter=0.5))


def test_large_cells_are_looked_at_smaller(movie, settings, monkeypatch):
    shapes = []
    look = Detector.look

    def watched(self, first, *rest):
        shapes.append(first.shape)
        return look(self, first, *rest)

    monkeypatch.setattr(Detector, "look", watched)
    tracks = track(movie, settings(diameter=28.0))
    assert set(shapes) == {(2, 35, 30)}
    agree(tracks, label_images(movie))
    assert tracks["y"].max() > 40  # in pixels of the image, not of what the network sees


def test_fragments_are_reconnected(movie, settings, tmp_path):
    apart = track(movie, settings(max_gap=0))
    again = open_dataset(movie.root, tmp_path / "again.dynaclr")
    joined = track(again, settings(max_gap=0, reconnect=4, max_distance=20.0))
    assert joined["track_id"].nunique() < apart["track_id"].nunique()
    agree(joined, label_images(again))
