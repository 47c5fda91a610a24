"""Embedding with TAP, from the settings to the shards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import zarr

from napari_dynaclr import Job, embed, open_dataset, segment, track
from napari_dynaclr.core.device import Device
from napari_dynaclr.core.errors import Cancelled, InvalidInput
from napari_dynaclr.core.registry import parse
from napari_dynaclr.embedding.tap.checkpoint import load_tap, save_tap
from napari_dynaclr.embedding.tap.dense import Extractor
from napari_dynaclr.embedding.tap.images import normalise, prepare
from napari_dynaclr.embedding.tap.method import TapParams

FOV = "B/1/0"


@pytest.fixture(scope="module")
def weights(arrow, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_tap(path, arrow(), {"source_channel": "Nuclei", "pixel_size": 5.0})
    return path


@pytest.fixture
def params(weights):
    return TapParams(weights=str(weights), device="cpu")


@pytest.fixture
def one(processed):
    return processed.select([FOV])


def test_the_vector_of_a_cell_is_the_mean_of_its_pixels(one, params, weights):
    table = embed(one, params)
    assert table["dimensions"].tolist() == [5]
    fov = one[FOV]
    shard = one.workspace.embedding("tap", fov)
    tracks = one.workspace.tracks(fov)
    assert shard.obs["id"].tolist() == tracks["id"].tolist()
    network = load_tap(weights).network
    image = np.asarray(fov.image("Nuclei"))
    labels = np.asarray(one.workspace.labels("tracks", fov).image("labels"))
    for t in (0, 7):
        pixels = torch.from_numpy(normalise(image[t, 0]))[None, None]
        with torch.no_grad():
            z = network.represent(pixels)[0].numpy()
        for place in np.flatnonzero(tracks["t"] == t):
            mask = labels[t, 0] == tracks["track_id"].iloc[place]
            np.testing.assert_allclose(shard.X[place], z[:, mask].mean(1), atol=1e-5)
            edge = mask[[0, -1]].any() or mask[:, [0, -1]].any()
            assert shard.obs["at_border"].iloc[place] == edge
    assert np.ptp(shard.X, axis=0).min() > 1e-3
    assert shard.var["description"].iloc[2] == "TAP feature 2 of mine, mean over the cell"
    assert shard.uns["method"] == "tap"
    assert len(shard.uns["weights_sha256"]) == 64


def test_each_frame_is_seen_once_and_an_interrupted_run_goes_on(one, params, monkeypatch):
    seen = []
    tiles = Extractor.tiles

    def counting(self, image, job):
        seen.append(image.shape)
        if len(seen) == 4:
            job.cancel()
        return tiles(self, image, job)

    monkeypatch.setattr(Extractor, "tiles", counting)
    with pytest.raises(Cancelled):
        embed(one, params, Job())
    embed(one, params)
    assert len(seen) == 10 + 1  # the one that was cancelled
    assert set(seen) == {(192, 192)}


def test_a_cell_that_lost_its_mask_is_seen_around_its_centre(one, params, weights):
    fov = one[FOV]
    cell = one.workspace.tracks(fov).iloc[0]
    labels = zarr.open(one.workspace.labels("tracks", fov).path / "0", mode="r+")
    frame = labels[0]
    labels[0] = np.where(frame == cell["track_id"], 0, frame)
    embed(one, params)
    shard = one.workspace.embedding("tap", fov)
    extractor = Extractor(load_tap(weights), Device.CPU)
    z = extractor.plane(normalise(np.asarray(fov.image("Nuclei"))[0, 0]), Job())
    y, x = np.mgrid[:192, :192]
    disc = np.hypot((y - cell["y"]) * fov.scale[1], (x - cell["x"]) * fov.scale[2]) <= 5
    np.testing.assert_allclose(shard.X[0], z[:, disc].mean(1), atol=1e-5)


@pytest.fixture
def stacks(make_plate, tmp_path):
    """Return a function that opens three frames of a stack with two cells, and tracks them."""

    def tracked(image, name="stack.zarr"):
        dataset = open_dataset(make_plate(name, {"A/1/0": image}), tmp_path / f"{name}.dynaclr")
        labels = np.zeros((3, 1, 3, 64, 64), np.uint16)
        labels[:, :, :2, 10:20, 10:20] = 1
        labels[:, :, 2, 40:50, 15:30] = 2
        masks = make_plate(f"masks-{name}", {"A/1/0": labels}, ("labels",))
        segment(dataset, parse("segment", "import", {"path": str(masks), "name": "labels"}))
        track(dataset)
        return dataset

    return tracked


@pytest.fixture
def stack():
    return np.random.default_rng(0).normal(300, 40, (3, 1, 3, 64, 64)).astype(np.float32)


@pytest.mark.parametrize("handling", ["slices", "max", "auto"])
def test_stacks_are_seen_by_slices_or_projected(stacks, stack, params, weights, handling):
    dataset = stacks(stack)
    embed(dataset, params.model_copy(update={"stacks": handling}))
    shard = dataset.workspace.embedding("tap", dataset.fovs[0])
    extractor = Extractor(load_tap(weights), Device.CPU)
    planes = prepare(stack[1, 0], "max" if handling == "max" else "slices")
    z = np.stack([extractor.plane(plane, Job()) for plane in planes], 1)
    one = shard.obs["t"] == 1
    first = shard.X[one & (shard.obs["y"] < 30)][0]
    second = shard.X[one & (shard.obs["y"] > 30)][0]
    np.testing.assert_allclose(first, z[:, :2, 10:20, 10:20].mean((1, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(second, z[:, -1, 40:50, 15:30].mean((1, 2)), atol=1e-5)


def test_gaps_are_filled_and_told_and_empty_frames_refused(stacks, stack, params):
    stack[1, 0, 0, 12:14, 12:14] = np.nan
    dataset = stacks(stack)
    job = Job()
    embed(dataset, params, job)
    shard = dataset.workspace.embedding("tap", dataset.fovs[0])
    flagged = shard.obs.loc[shard.obs["has_nan"], ["t", "y"]].to_numpy().tolist()
    assert flagged == [[1, 14.5]]
    assert np.isfinite(shard.X).all()
    assert any("1 of 6 cells have NaN" in note for note in job.notes)
    stack[2] = 0
    dataset = stacks(stack, "empty.zarr")
    with pytest.raises(InvalidInput, match="time point 2 holds nothing but zeros"):
        embed(dataset, params)
    embed(dataset, params.model_copy(update={"empty_frames": "skip"}))
    shard = dataset.workspace.embedding("tap", dataset.fovs[0])
    assert np.isfinite(shard.X).all()


def test_what_the_user_should_know_is_noted(one, params):
    job = Job()
    embed(one, params, job)
    assert "mine.safetensors: TAP, a U-Net from 4 maps" in job.notes[0]
    assert "those of the training were 5 um" in job.notes[1]


def test_bad_input_is_one_line(one, params, arrow, tmp_path):
    def refused(match, **changes):
        with pytest.raises(InvalidInput, match=match) as caught:
            embed(one, params.model_copy(update=changes))
        assert "\n" not in str(caught.value)

    refused("has no channel 'DIC'", channel="DIC")
    refused("Name weights of TAP", weights="", preset="none")
    (tmp_path / "empty").mkdir()
    refused(r"has no model_kwargs\.yaml", weights=str(tmp_path / "empty"))
    torch.save({"weight": torch.ones(3)}, tmp_path / "other.pt")
    refused("is no TAP network", weights=str(tmp_path / "other.pt"), channel="Nuclei")
