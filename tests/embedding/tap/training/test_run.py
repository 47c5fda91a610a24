from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_dynaclr import train
from napari_dynaclr.core.errors import Cancelled, InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.embedding.tap.checkpoint import load_tap, save_tap
from napari_dynaclr.embedding.tap.folder import save_folder
from napari_dynaclr.learning.checkpoint import read_checkpoint

FIGURES = ["epoch", "loss", "accuracy", "validation_loss", "learning_rate", "seconds"]


def weights(dataset, name="arrow"):
    return load_tap(dataset.workspace.trained(name)).network.state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def noise(frames=4, slices=1, size=48, seed=0):
    return np.random.default_rng(seed).normal(size=(frames, slices, size, size)).astype(np.float32)


def test_what_was_trained_says_all_of_itself(dataset, quick):
    figures, job = [], Job(on_figures=lambda found: figures.append(found))
    table = train(dataset, quick(), job)
    assert sorted(table) == sorted(FIGURES)
    assert table["epoch"].tolist() == [1, 2] == [one.epoch for one in figures]
    assert np.isfinite(table).all(axis=None)
    assert table["accuracy"].between(0, 1).all()
    shown = figures[-1].pictures
    assert list(shown) == ["Nuclei", "Nuclei, later"]
    for picture in shown.values():
        assert (picture.shape, picture.dtype) == ((32, 32), np.float32)
        assert 0 <= picture.min() <= picture.max() <= 1

    loaded = load_tap(dataset.workspace.trained("arrow"))
    assert (loaded.network.config.features, loaded.network.config.maps) == (16, 16)
    recipe = loaded.recipe
    assert (recipe.source_channel, recipe.delta_t, recipe.stacks) == ("Nuclei", 1, "slices")
    assert recipe.delta_minutes == pytest.approx(30)
    assert recipe.pixel_size == pytest.approx(dataset.fovs[0].scale[-1])
    assert loaded.about["trained"]["epochs"] == 2
    assert any(note.startswith("Learning which of two images of Nuclei") for note in job.notes)
    assert any(note.startswith("Held out for validation: ") for note in job.notes)
    assert "(tap)" in job.notes[-1]

    job = Job()
    assert train(dataset, quick(), job)["epoch"].tolist() == [1, 2]
    assert "The TAP network is there already" in job.notes[-1]


def test_regions_are_watched_where_cells_have_been_tracked(processed, quick):
    job = Job()
    table = train(processed, quick(held_out=0.5, epochs=1), job)
    found = [name for name in table if name.startswith("accuracy_")]
    assert {"accuracy_background", "accuracy_interphase"} <= set(found)
    assert table[found].to_numpy().min() >= 0
    assert any("interphase" in note for note in job.notes)


@pytest.mark.parametrize(
    "values",
    [
        {"delta_t": 3, "held_out": 0.0, "augment": False, "foreground": 0.0},
        {"delta_minutes": 60, "split": "time", "decorrelation": 0.0, "stacks": "max"},
        {"memory": 0.0025, "channel": "Phase", "split": "well", "changing": 0.6},
    ],
)
def test_every_way_to_learn_runs(dataset, quick, values):
    job = Job()
    table = train(dataset, quick(epochs=1, batch_size=2, **values), job)
    assert np.isfinite(table["loss"]).all()
    assert ("validation_loss" in table) == (values.get("held_out") != 0.0)
    streamed = any("each is read once an epoch" in note for note in job.notes)
    assert streamed == ("memory" in values)
    recipe = load_tap(dataset.workspace.trained("arrow")).recipe
    assert recipe.delta_t == (values.get("delta_t") or round(values.get("delta_minutes", 30) / 30))
    assert recipe.stacks == values.get("stacks", "slices")


def test_several_datasets_are_learned_from(dataset, movie, quick):
    other = movie(noise(), name="other", scale=dataset.fovs[0].scale)
    job = Job()
    train(dataset, quick(epochs=1, also=(str(other.root),)), job)
    alone = train(dataset, quick(epochs=1, name="alone"))
    assert np.isfinite(alone["loss"]).all()
    assert not same(weights(dataset), weights(dataset, "alone"))


def test_slices_of_a_stack_are_learned_from(movie, quick):
    job = Job()
    train(movie(noise(slices=3)), quick(epochs=1), job)
    assert "Held out for validation: the last frames of each movie." in job.notes


# -- interrupted, finished, continued -----------------------------------------


def test_an_interrupted_training_ends_as_an_uninterrupted_one(dataset, quick):
    before = torch.random.get_rng_state()
    train(dataset, quick(name="whole", epochs=3))
    assert torch.equal(torch.random.get_rng_state(), before)  # the user's own
    settings = quick(name="cut", epochs=3)
    job = Job(on_figures=lambda figures: job.cancel() if figures.epoch == 2 else None)
    with pytest.raises(Cancelled):
        train(dataset, settings, job)
    assert not dataset.workspace.trained("cut").exists()
    torch.manual_seed(99)
    table = train(dataset, settings)
    assert table["epoch"].tolist() == [1, 2, 3]
    assert same(weights(dataset, "whole"), weights(dataset, "cut"))


def test_stop_and_keep_saves_what_was_learned(dataset, quick):
    job = Job(on_figures=lambda _figures: job.finish())
    table = train(dataset, quick(epochs=500), job)
    assert 1 <= len(table) <= 2
    assert dataset.workspace.trained("arrow").exists()


def test_a_network_is_trained_on_as_it_is_ours_or_of_the_public_code(dataset, quick, tmp_path):
    train(dataset, quick(name="start", epochs=1, channel="Phase"))
    start = dataset.workspace.trained("start")
    loaded = load_tap(start)
    save_folder(tmp_path / "public", loaded.network)
    for name, given in (("more", start), ("theirs", tmp_path / "public")):
        settings = quick(
            name=name, start_from=str(given), epochs=1, learning_rate=1e-9, architecture="tap"
        )
        train(dataset, settings)
        after = weights(dataset, name)
        for key, value in loaded.network.state_dict().items():
            if "running" not in key and "num_batches" not in key:
                torch.testing.assert_close(after[key], value, atol=1e-6, rtol=1e-4)
    # Its own channel is known of ours; the public code does not say.
    assert load_tap(dataset.workspace.trained("more")).recipe.source_channel == "Phase"
    assert load_tap(dataset.workspace.trained("theirs")).recipe.source_channel == "Nuclei"
    assert dataset.workspace.runs()[-1]["weights_sha256"]


# -- what cannot be trained ---------------------------------------------------


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"channel": "DIC"}, "has no channel 'DIC': choose one of Phase, Nuclei"),
        ({"delta_t": 10}, "The time step of 10 frames goes beyond the movies, which have 10"),
        ({"delta_minutes": 600}, "The time step of 20 frames goes beyond the movies"),
        ({"patch_size": 256}, "patch_size = 256: there are images of 192 pixels only"),
        ({"memory": 1e-4}, "too little memory for batches of 4 patches"),
        ({"start_from": "nowhere.safetensors"}, "There is no weights file"),
        ({"start_from": "simulated-tracker"}, "There are no weights 'simulated-tracker'"),
        ({"also": ("nowhere.zarr",)}, "nowhere.zarr"),
    ],
)
def test_bad_input_is_one_line(dataset, quick, values, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        train(dataset, quick(**values))
    assert "\n" not in str(caught.value)
    assert not dataset.workspace.trained("arrow").exists()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"delta_t": 1, "delta_minutes": 30}, "delta_t .frames. or delta_minutes, not both"),
        ({"foreground": 0.6, "changing": 0.6}, "more than all pairs"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(quick, values, says):
    with pytest.raises(InvalidInput, match=says):
        quick(**values)


def test_one_time_point_has_no_arrow(movie, quick):
    with pytest.raises(InvalidInput, match="There is one time point only") as caught:
        train(movie(noise(frames=1)), quick())
    assert "\n" not in str(caught.value)


def test_movies_that_are_too_short_are_left_out_and_said(movie, quick):
    job = Job()
    train(movie(noise(4), noise(2)), quick(delta_t=2, epochs=1), job)
    assert "Too short for the time step, and left out: A/1/1 (2 frames)." in job.notes


def test_channels_that_differ_between_datasets_are_named(dataset, movie, quick):
    other = movie(noise(), name="other", channel="DAPI", scale=dataset.fovs[0].scale)
    with pytest.raises(InvalidInput, match=r"other\.zarr has no channel 'Nuclei'.* DAPI"):
        train(dataset, quick(also=(str(other.root),)))


def test_pixels_of_several_sizes_are_not_mixed(dataset, movie, quick):
    other = movie(noise(), name="fine")
    with pytest.raises(InvalidInput, match=r"pixels of another size .* learn from them apart"):
        train(dataset, quick(also=(str(other.root),)))


def test_frames_of_zeros_are_left_out_and_a_channel_of_them_refused(movie, quick):
    images = noise(8)
    images[3] = 0
    job = Job()
    train(movie(images, name="some"), quick(held_out=0.0, epochs=1), job)
    assert any("1 frame is of one value" in note for note in job.notes)
    with pytest.raises(InvalidInput, match="holds frames of one value only, such as zeros"):
        train(movie(np.zeros_like(images), name="none"), quick())


def test_what_is_held_out_may_be_empty(movie, quick):
    """Then what is learned from is watched, without a validation loss."""
    images = noise(12)
    images[8:] = 0
    job = Job()
    table = train(movie(images), quick(split="time", held_out=0.3, epochs=1), job)
    assert "validation_loss" not in table
    assert table["accuracy"].between(0, 1).all()
    assert any("held out are of one value" in note for note in job.notes)


def test_a_frame_interval_that_is_not_known_is_asked_for(dataset, quick, monkeypatch):
    monkeypatch.setattr("napari_dynaclr.core.fov.Fov.frame_interval", None)
    with pytest.raises(InvalidInput, match="does not say how long its frame interval is"):
        train(dataset, quick(delta_minutes=30))


def test_a_channel_without_a_telling_name_is_asked_for(make_plate, tmp_path, quick):
    from napari_dynaclr import open_dataset

    plate = make_plate("odd.zarr", {"A/1/0": np.concatenate([noise(2)[:, None]] * 2, 1)},
                       channels=("Ch0", "Ch1"))  # fmt: skip
    with pytest.raises(InvalidInput, match="Choose the channel to learn from, among Ch0, Ch1"):
        train(open_dataset(plate, tmp_path / "odd.dynaclr"), quick())


def test_weights_of_another_kind_are_no_start(dataset, quick, arrow, tmp_path):
    path = tmp_path / "other.safetensors"
    save_tap(path, arrow())
    state = read_checkpoint(path).state
    torch.save(state, tmp_path / "plain.pt")
    with pytest.raises(InvalidInput, match=r"plain\.pt is no TAP network") as caught:
        train(dataset, quick(start_from=str(tmp_path / "plain.pt")))
    assert "\n" not in str(caught.value)
