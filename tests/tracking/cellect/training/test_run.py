from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from napari_dynaclr import open_dataset, train
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.tracking.cellect.checkpoint import load_cellect
from napari_dynaclr.tracking.cellect.training.params import prepare

FIGURES = ["epoch", "loss", "centre_f1", "link_accuracy", "validation_loss", "learning_rate",
           "seconds"]  # fmt: skip


def weights(dataset, name="tracker"):
    return load_cellect(dataset.workspace.trained(name)).model.state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_what_was_trained_says_all_of_itself(dataset, quick):
    figures, job = [], Job(on_figures=lambda found: figures.append(found))
    table = train(dataset, quick(), job)
    assert sorted(table) == sorted(FIGURES)
    assert table["epoch"].tolist() == [1, 2] == [one.epoch for one in figures]
    assert np.isfinite(table).all(axis=None)
    shown = figures[-1].pictures
    assert list(shown) == ["Nuclei", "centres", "true centres"]
    for picture in shown.values():
        assert (picture.shape, picture.dtype) == ((64, 64), np.float32)
        assert 0 <= picture.min() <= picture.max() <= 1
    assert np.array_equal(figures[0].pictures["Nuclei"], shown["Nuclei"])  # always the same patch

    loaded = load_cellect(dataset.workspace.trained("tracker"))
    assert (loaded.model.config.base, loaded.model.config.norm) == (4, "batch")
    recipe = loaded.recipe
    assert (recipe.source_channel, recipe.normalization) == ("Nuclei", "scaled")
    assert recipe.voxel_size == dataset.fovs[0].scale
    assert 8 < recipe.diameter_um < 20
    assert any(
        note.startswith("Learning from Nuclei, in patches of 1 x 64 x 64: ") for note in job.notes
    )
    assert any(note.startswith("Held out for validation: ") for note in job.notes)
    assert "(method cellect)" in job.notes[-1]

    job = Job()
    assert train(dataset, quick(), job)["epoch"].tolist() == [1, 2]
    assert "The tracker is there already" in job.notes[-1]


def test_centres_and_links_are_learned(dataset, quick):
    settings = quick(
        patches=64, epochs=10, batch_size=8, learning_rate=5e-3, mlps="always", schedule="cosine"
    )
    table = train(dataset, settings)
    assert table["validation_loss"].iloc[-1] < 0.7 * table["validation_loss"].iloc[0]
    assert table["centre_f1"].iloc[-1] > 0.7
    assert table["link_accuracy"].iloc[-1] > 0.8


@pytest.mark.parametrize(
    "values",
    [
        {"interval": 3, "candidates": 10, "divisions": 1.0, "split": "time"},
        {"normalization": "log", "augment": False, "held_out": 0.0, "channel": "Sensor"},
        {"memory": 0.0026, "split": "well", "batch_size": 2},
    ],
)
def test_every_way_to_learn_runs(dataset, quick, values):
    job = Job()
    table = train(dataset, quick(epochs=1, **values), job)
    assert np.isfinite(table["loss"]).all()
    assert ("validation_loss" in table) == (values.get("held_out") != 0.0)
    streamed = any("each is read once an epoch" in note for note in job.notes)
    assert streamed == ("memory" in values)


def test_tracks_of_the_workspace_are_learned_from_and_corrections_count(processed, quick):
    job = Job()
    settings = quick(truth="", epochs=1)
    before = prepare([processed], settings, Job()).inputs
    table = train(processed, settings, job)
    assert table["link_accuracy"].between(0, 1).all()
    file = processed.workspace.tracks_csv(processed.fovs[0])
    pd.read_csv(file).iloc[:-1].to_csv(file, index=False)
    assert prepare([processed], settings, Job()).inputs != before
    with pytest.raises(InvalidInput, match="'tracker' already, of other settings or data"):
        train(processed, settings)


def test_the_mlps_are_frozen_out_of_their_turn(dataset, quick, monkeypatch):
    monkeypatch.setattr("napari_dynaclr.tracking.cellect.training.learner.learns", lambda *_: False)
    start = quick(epochs=1, name="start")
    train(dataset, start)
    train(dataset, quick(epochs=2, name="more"))
    one, two = weights(dataset, "start"), weights(dataset, "more")
    frozen = [name for name in one if name.startswith(("intra.", "inter."))]
    assert len(frozen) > 40
    assert all(torch.equal(one[name], two[name]) for name in frozen)
    assert not torch.equal(one["net.embed.weight"], two["net.embed.weight"])


# -- interrupted, finished, continued -----------------------------------------


def test_an_interrupted_training_ends_as_an_uninterrupted_one(dataset, quick):
    before = torch.random.get_rng_state()
    train(dataset, quick(name="whole", epochs=3))
    assert torch.equal(torch.random.get_rng_state(), before)  # the user's own
    settings = quick(name="cut", epochs=3)
    job = Job(on_figures=lambda figures: job.cancel() if figures.epoch == 2 else None)
    with pytest.raises(Cancelled):
        train(dataset, settings, job)
    torch.manual_seed(99)  # dropout must not depend on it
    table = train(dataset, settings)
    assert table["epoch"].tolist() == [1, 2, 3]
    assert same(weights(dataset, "whole"), weights(dataset, "cut"))


def test_stop_and_keep_saves_what_was_learned(dataset, quick):
    job = Job(on_figures=lambda _figures: job.finish())
    table = train(dataset, quick(epochs=500), job)
    assert 1 <= len(table) <= 2
    assert dataset.workspace.trained("tracker").exists()


def test_a_tracker_is_trained_on_as_it_is(dataset, quick):
    train(dataset, quick(name="start", normalization="log", epochs=1))
    start = str(dataset.workspace.trained("start"))
    train(dataset, quick(name="more", start_from=start, epochs=1, learning_rate=1e-9))
    before, after = weights(dataset, "start"), weights(dataset, "more")
    for name, value in before.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(after[name], value, atol=1e-6, rtol=1e-4)
    more = load_cellect(dataset.workspace.trained("more"))
    assert more.recipe.normalization == "log"
    assert dataset.workspace.runs()[-1]["weights_sha256"]


# -- what cannot be trained ---------------------------------------------------


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"channel": "DIC"}, "has no channel 'DIC': choose one of Phase, Nuclei"),
        ({"patch_size": 256}, "patch_size = 256: there are images of 192 only"),
        ({"depth": 9}, "depth = 9: there are images of 1 only"),
        ({"memory": 1e-4}, "too little memory for batches of 4 patches"),
        ({"start_from": "nowhere.pth"}, "There is no weights file"),
        ({"also": ("nowhere.zarr",), "truth": ""}, "nowhere.zarr"),
        ({"truth": "nowhere.zarr"}, "nowhere.zarr"),
    ],
)
def test_bad_input_is_one_line(dataset, quick, values, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        train(dataset, quick(**values))
    assert "\n" not in str(caught.value)
    assert not dataset.workspace.trained("tracker").exists()


def test_without_tracks_the_user_is_sent_to_track(dataset, quick):
    with pytest.raises(MissingInput, match="track"):
        train(dataset, quick(truth=""))


def test_a_truth_is_of_one_dataset_only(quick):
    with pytest.raises(InvalidInput, match="the truth is that of one dataset"):
        quick(also=("another.zarr",))


def test_a_network_of_another_kind_is_no_start(dataset, quick, tmp_path):
    from napari_dynaclr.staining.architecture import StainerConfig
    from napari_dynaclr.staining.checkpoint import save_stainer
    from napari_dynaclr.staining.network import build

    config = StainerConfig(dims=(8, 16), blocks=(1, 1), decoder_blocks=1)
    save_stainer(tmp_path / "stainer.safetensors", build(config), {})
    with pytest.raises(InvalidInput, match=r"stainer\.safetensors is no CELLECT model") as caught:
        train(dataset, quick(start_from=str(tmp_path / "stainer.safetensors")))
    assert "\n" not in str(caught.value)


def _movie(image, tracks, make_plate, name):
    """A plate of one FOV, and its truth."""
    plate = make_plate(f"{name}.zarr", {"A/1/0": image}, channels=("Nuclei",))
    labels = np.zeros(image.shape, np.uint16)
    for row in tracks.itertuples():
        labels[row.t, 0, 0, int(row.y) : int(row.y) + 4, int(row.x) : int(row.x) + 4] = row.track_id
    truth = make_plate(f"{name}_truth.zarr", {"A/1/0": labels}, channels=("labels",))
    tracks.drop(columns="area").to_csv(truth / "A/1/0/tracks.csv", index=False)
    return plate, str(truth)


def test_few_cells_empty_frames_and_no_divisions_are_fine(make_plate, tracks, tmp_path, quick):
    few = tracks[tracks["track_id"].isin([4, 5])]
    image = np.zeros((3, 1, 1, 48, 48), np.float32)
    image[0, 0, 0, 30:34, 30:34] = 1  # the other frames hold nothing but zeros
    plate, truth = _movie(image, few, make_plate, "few")
    job = Job()
    dataset = open_dataset(plate, tmp_path / "few.dynaclr")
    table = train(dataset, quick(truth=truth, patch_size=48, held_out=0.0), job)
    assert np.isfinite(table).all(axis=None)
    assert "No cell divides: the tracker will not know divisions." in job.notes


def test_a_channel_without_a_telling_name_is_asked_for(make_plate, tmp_path, quick):
    image = np.random.default_rng(0).normal(size=(2, 2, 1, 48, 48)).astype(np.float32)
    plate = make_plate("odd.zarr", {"A/1/0": image}, channels=("Ch0", "Ch1"))
    with pytest.raises(InvalidInput, match="Choose the channel to learn from, among Ch0, Ch1"):
        train(open_dataset(plate, tmp_path / "odd.dynaclr"), quick())


def test_pixels_of_several_sizes_are_not_mixed(dataset, make_plate, tmp_path, quick):
    image = np.random.default_rng(0).normal(size=(2, 1, 1, 96, 96)).astype(np.float32)
    plate = make_plate("fine.zarr", {"A/1/0": image}, channels=("Nuclei",))
    with pytest.raises(InvalidInput, match=r"pixels of another size .* learn from them apart"):
        train(dataset, quick(truth="", also=(str(plate),)))
