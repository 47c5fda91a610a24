from __future__ import annotations

import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from napari_dynaclr import embed, open_dataset, params, train
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingInput, StorageError
from napari_dynaclr.core.job import Job
from napari_dynaclr.embedding.dynaclr.architecture import EncoderConfig
from napari_dynaclr.embedding.dynaclr.checkpoint import load_encoder, save_encoder
from napari_dynaclr.embedding.dynaclr.network import ContrastiveEncoder
from napari_dynaclr.embedding.training.setting import Start, settle
from napari_dynaclr.learning.augment import Augmentation

FIGURES = ["epoch", "loss", "validation_loss", "smoothness", "dynamic_range", "rank",
           "learning_rate", "seconds"]  # fmt: skip


def weights(dataset, name="encoder"):
    return load_encoder(dataset.workspace.trained(name)).network.state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_what_was_trained_embeds_by_itself(processed, quick):
    figures = []
    table = train(processed, quick(), Job(on_figures=figures.append))
    assert sorted(table) == sorted(FIGURES)
    assert table["epoch"].tolist() == [1, 2] == [one.epoch for one in figures]
    assert figures[-1].values["loss"] == table["loss"].iloc[-1]
    assert np.isfinite(table).all(axis=None)
    folder = processed.workspace.trained("encoder").with_suffix("")
    pd.testing.assert_frame_equal(pd.read_csv(folder / "metrics.csv"), table, check_like=True)
    assert list((folder / "tensorboard").glob("events.*"))
    assert not (folder / "last.ckpt").exists()

    file = str(processed.workspace.trained("encoder"))
    job = Job()
    embed(processed, params("embed", "dynaclr", weights=file, name="mine"), job)
    shard = processed.workspace.embedding("mine", processed.fovs[0])
    assert shard.shape == (len(processed.workspace.tracks(processed.fovs[0])), 192)
    assert "1 x 32 x 32 pixels, from Phase (mean-std), Sensor (cell-percentiles)" in " ".join(
        job.notes
    )
    run = processed.workspace.runs()[-2]
    assert (run["stage"], run["status"]) == ("train", "finished")

    begun = []
    job = Job(on_figures=begun.append)
    again = train(processed, quick(), job)
    assert not begun
    assert "there already" in job.notes[-1]
    assert again["epoch"].tolist() == [1, 2]


def test_training_lowers_the_loss_and_changes_the_network(processed, quick):
    job = Job()
    table = train(processed, quick(epochs=6, learning_rate=3e-3, held_out=0, patience=1), job)
    assert table["loss"].iloc[-1] < 0.95 * table["loss"].iloc[0]
    # Nothing is held out: no validation, and no patience with it.
    assert "validation_loss" not in table
    assert len(table) == 6
    assert any("the patience has no meaning" in note for note in job.notes)


def test_only_classical_sampling_tells_a_cell_from_itself_at_another_time(processed, quick):
    for strategy in ("classical", "cell-aware"):
        train(processed, quick(name=strategy, strategy=strategy, epochs=1))
    assert not same(weights(processed, "classical"), weights(processed, "cell-aware"))


def test_a_training_that_had_ended_but_could_not_be_saved_is_saved(processed, quick, monkeypatch):
    from napari_dynaclr.embedding.training import run

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    job = Job(on_figures=lambda _figures: job.finish())
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="space"):
        patch.setattr(run, "save_encoder", full)
        train(processed, quick(epochs=500), job)
    figures = []
    table = train(processed, quick(epochs=500), Job(on_figures=figures.append))
    assert not figures
    assert 1 <= len(table) <= 2
    assert processed.workspace.trained("encoder").exists()


@pytest.mark.parametrize("loss", ["nt-xent", "triplet"])
@pytest.mark.parametrize("strategy", ["time-aware", "cell-aware", "classical"])
def test_every_way_to_learn_runs(processed, quick, loss, strategy):
    table = train(processed, quick(epochs=1, loss=loss, strategy=strategy))
    assert np.isfinite(table["loss"]).all()


def test_an_interrupted_training_ends_as_an_uninterrupted_one(processed, quick):
    train(processed, quick(name="whole", epochs=3))
    settings = quick(name="cut", epochs=3)
    job = Job(on_figures=lambda figures: job.cancel() if figures.epoch == 2 else None)
    with pytest.raises(Cancelled):
        train(processed, settings, job)
    assert not processed.workspace.trained("cut").exists()
    figures = []
    job = Job(on_figures=figures.append)
    table = train(processed, settings, job)
    assert [one.epoch for one in figures] in ([2, 3], [3])
    assert table["epoch"].tolist() == [1, 2, 3]
    assert any("goes on where it was interrupted" in note for note in job.notes)
    assert same(weights(processed, "whole"), weights(processed, "cut"))


def test_cancelling_does_not_wait_for_a_batch(processed, quick, monkeypatch):
    inside, go = threading.Event(), threading.Event()
    plain = Augmentation.__call__

    def slow(self, patches, generator):
        inside.set()
        go.wait(60)
        return plain(self, patches, generator)

    monkeypatch.setattr(Augmentation, "__call__", slow)
    job = Job()
    threading.Thread(target=lambda: inside.wait(60) and job.cancel()).start()
    with pytest.raises(Cancelled):
        train(processed, quick(), job)
    assert not go.is_set()  # it still is in the batch
    go.set()
    assert processed.workspace.runs()[-1]["status"] == "cancelled"


def test_stop_and_keep_saves_what_was_learned(processed, quick):
    job = Job(on_figures=lambda _figures: job.finish())
    table = train(processed, quick(epochs=500), job)
    assert 1 <= len(table) <= 2
    assert processed.workspace.trained("encoder").exists()


def test_a_time_limit_ends_it_and_the_rate_has_fallen_by_then(processed, quick):
    table = train(processed, quick(epochs=100_000, minutes=0.05))
    assert len(table) < 1000
    # The highest is 1e-3. On a busy machine, the last step is some time before the end.
    assert table["learning_rate"].iloc[-1] < 1e-4


def test_patience_ends_a_training_that_does_not_get_better(processed, quick):
    table = train(processed, quick(epochs=50, patience=2, learning_rate=1e-12, weight_decay=0))
    assert len(table) < 10


def test_the_weights_of_the_best_epoch_are_kept(processed, quick):
    """With a rate that soon spoils everything, those of an early epoch."""
    last = processed.workspace.trained("encoder").with_suffix("") / "last.ckpt"
    after = {}

    def keep(figures):  # what is on disk now is of the epoch before
        if last.exists():
            after[figures.epoch - 1] = load_encoder(last).network.state_dict()

    settings = quick(epochs=5, learning_rate=0.5, schedule="constant", warm_up=0.6)
    table = train(processed, settings, Job(on_figures=keep))
    best = int(table["validation_loss"].argmin()) + 1
    assert best in after, "the rate was not high enough to show anything"
    assert same(after[best], weights(processed))
    assert not same(after[4], weights(processed)) or best == 4


# -- starting from an encoder -------------------------------------------------


def encoder_file(path, channels=2, depth=1, **about):
    stem = (1 if depth == 1 else 5, 4, 4)
    config = EncoderConfig("convnext_mini", channels, depth, kernel=stem, stride=stem)
    torch.manual_seed(1)
    network = ContrastiveEncoder(config)
    save_encoder(path, network, about)
    return network.state_dict()


def test_the_head_alone_is_fine_tuned(processed, quick, tmp_path):
    before = encoder_file(tmp_path / "start.safetensors")
    start = str(tmp_path / "start.safetensors")
    plain = {"normalization": ("none",), "start_from": start}
    train(processed, quick(fine_tune="head", learning_rate=1e-2, **plain))
    after = weights(processed)
    for name in before:
        if name.startswith(("stem.", "encoder.")):
            assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before["projection.0.weight"], after["projection.0.weight"])


def test_all_is_fine_tuned_with_the_start_s_own_patches(processed, quick, tmp_path):
    own = {
        "source_channels": ("Sensor", "Phase"),
        "patch_size": 40,
        "normalization": ("none",) * 2,
    }
    before = encoder_file(tmp_path / "start.safetensors", **own)
    start = str(tmp_path / "start.safetensors")
    job = Job()
    train(processed, params("train", start_from=start, epochs=1, batch_size=16, border="reflect",
                            device="cpu"), job)  # fmt: skip
    after = weights(processed)
    assert not torch.equal(before["stem.conv.weight"], after["stem.conv.weight"])
    about = load_encoder(processed.workspace.trained("encoder")).about
    assert about["source_channels"] == ["Sensor", "Phase"]
    assert about["patch_size"] == 40
    assert processed.workspace.runs()[-1]["weights_sha256"]


def test_an_encoder_of_other_channels_is_refused(processed, quick, tmp_path):
    encoder_file(tmp_path / "start.safetensors", channels=3)
    with pytest.raises(InvalidInput, match="takes 3 channels, 2 are chosen"):
        train(
            processed,
            quick(start_from=str(tmp_path / "start.safetensors"), normalization=("none",)),
        )


def test_what_an_encoder_does_not_say_of_itself_is_asked_for(processed, quick, tmp_path):
    encoder_file(tmp_path / "start.safetensors")
    start = str(tmp_path / "start.safetensors")
    with pytest.raises(InvalidInput, match=r"start\.safetensors does not say how its images were"):
        train(processed, quick(start_from=start))
    with pytest.raises(InvalidInput, match="does not say how large its patches were"):
        train(processed, quick(start_from=start, patch_size=None))


def test_a_published_encoder_is_found_by_name(processed, quick, monkeypatch, tmp_path):
    from napari_dynaclr.core.weights import Weights
    from napari_dynaclr.embedding.training import setting

    encoder_file(tmp_path / "published.safetensors", channels=2)
    asked = []

    def get(preset, job):
        asked.append(preset.name)
        return Weights(tmp_path / "published.safetensors", "0" * 64)

    monkeypatch.setattr(setting, "get_weights", get)
    train(processed, quick(start_from="DynaCLR-DENV-VS+Ph", epochs=1, z_start=0))
    assert asked == ["DynaCLR-DENV-VS+Ph"]


# -- what cannot be trained ---------------------------------------------------


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"tau": 50}, "is tau longer than the tracks"),
        ({"tau": 45, "tau_unit": "min"}, "no whole number of frames of 30 min"),
        ({"channels": ("Phase", "GFP")}, "has no channel 'GFP'"),
        ({"depth": 9}, "The network takes 9 slices, FOV .* has 1"),
        ({"patch_size": 190, "border": "leave out"}, "choose a smaller patch_size"),
        ({"normalization": ("none",) * 3}, "3 normalisations for 2 channels"),
        ({"balance": "state", "task": "division"}, "No cell has a state of the task 'division'"),
        ({"start_from": "nowhere.ckpt"}, "There is no weights file"),
        ({"also": ("nowhere.zarr",)}, "nowhere.zarr"),
    ],
)
def test_bad_input_is_one_line(processed, quick, values, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        train(processed, quick(**values))
    assert "\n" not in str(caught.value)
    assert not processed.workspace.trained("encoder").exists()


def test_untracked_cells_cannot_be_learned_from(dataset, quick):
    with pytest.raises(MissingInput, match="run 'track'"):
        train(dataset, quick())


def test_tracks_of_one_frame_have_no_positives(processed, quick):
    fov = processed.fovs[0]
    path = processed.workspace.tracks_csv(fov)
    table = pd.read_csv(path)
    table["track_id"] = np.arange(1, len(table) + 1)
    table["parent_track_id"] = -1
    table.to_csv(path, index=False)
    with pytest.raises(InvalidInput, match="No cell has both a positive and a negative"):
        train(processed.select([fov.name]), quick())


def test_an_encoder_is_not_overwritten_by_another_training(processed, quick):
    train(processed, quick(epochs=1))
    before = weights(processed)
    with pytest.raises(InvalidInput, match="choose another name"):
        train(processed, quick(epochs=1, seed=1))
    assert same(before, weights(processed))


def test_an_unfinished_training_is_not_thrown_away(processed, quick):
    job = Job(on_figures=lambda figures: job.cancel() if figures.epoch == 2 else None)
    with pytest.raises(Cancelled):
        train(processed, quick(epochs=9), job)
    with pytest.raises(
        InvalidInput, match="unfinished training 'encoder' with other settings or data"
    ):
        train(processed, quick(epochs=8))


def test_a_damaged_checkpoint_is_one_line(processed, quick):
    figures = []

    def stop(found):
        figures.append(found)
        if len(figures) == 2:
            job.cancel()

    job = Job(on_figures=stop)
    with pytest.raises(Cancelled):
        train(processed, quick(epochs=9), job)
    last = processed.workspace.trained("encoder").with_suffix("") / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    with pytest.raises(InvalidInput, match=r"last\.ckpt is damaged") as caught:
        train(processed, quick(epochs=9))
    assert "\n" not in str(caught.value)


def test_nan_in_the_images_is_told_and_learned_around(make_plate, tmp_path, quick):
    """Cells on an image with holes; positions come from a table."""
    from napari_dynaclr import segment, track

    generator = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(40, 160, 30), np.arange(40, 160, 30)), -1).reshape(-1, 2)
    y, x = np.mgrid[:192, :192]
    image = generator.normal(100, 3, (5, 1, 1, 192, 192)).astype(np.float32)
    for cy, cx in grid:
        image += 200 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 40).astype(np.float32)
    plate = make_plate("holes.zarr", {"A/1/0": image, "A/1/1": image + 1})
    whole = open_dataset(plate, tmp_path / "holes.dynaclr")
    segment(whole)
    track(whole)
    damaged = image.copy()
    damaged[2, 0, 0, 50:55, 50:55] = np.nan
    job = Job()
    make_plate("same.zarr", {"A/1/0": damaged, "A/1/1": damaged})
    shutil.rmtree(plate)
    shutil.move(tmp_path / "same.zarr", plate)
    train(open_dataset(plate, tmp_path / "holes.dynaclr"),
          quick(channels=("Nuclei",), epochs=1, batch_size=8), job)  # fmt: skip
    assert any("NaN" in note for note in job.notes)


# -- several datasets, groups -------------------------------------------------


def test_datasets_of_other_intervals_have_their_own_offsets(quick):
    def dataset(name, seconds):
        fov = SimpleNamespace(frame_interval=seconds, shape=(5, 1, 64, 64))
        return SimpleNamespace(
            root=Path(name), fovs=[fov], fov_names=["A/1/0"], channels=["Phase", "Sensor"]
        )

    both = [dataset("slow.zarr", 1800.0), dataset("quick.zarr", 600.0)]
    assert settle(both, quick(tau=30, tau_unit="min"), Start()).tau == {0: 1, 1: 3}
    assert settle(both, quick(tau=2), Start()).tau == {0: 2, 1: 2}
    with pytest.raises(InvalidInput, match=r"slow.zarr: .* is no whole number of frames"):
        settle(both, quick(tau=20, tau_unit="min"), Start())


def test_further_datasets_are_learned_from(processed, quick, plate, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(plate, other / "plate.zarr")
    shutil.copytree(processed.workspace.path, other / "plate.dynaclr")
    job = Job()
    train(processed, quick(also=(str(other / "plate.zarr"),), epochs=1, border="leave out"), job)
    count = sum(len(processed.workspace.tracks(fov)) for fov in processed.fovs)
    assert any(f" of {2 * count} cells are near the edge" in note for note in job.notes)


def test_states_are_balanced(processed, quick):
    table = train(processed, quick(balance="state", task="infection", epochs=1))
    assert np.isfinite(table["loss"]).all()


def test_patches_that_do_not_fit_into_memory_are_read_in_blocks(processed, quick):
    job = Job()
    table = train(processed, quick(memory=0.0013, epochs=1, border="leave out", batch_size=4), job)
    assert np.isfinite(table["loss"]).all()
    assert any("read in every epoch" in note for note in job.notes)
