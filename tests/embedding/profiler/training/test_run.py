from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from napari_dynaclr import embed, open_dataset, params, profile, train
from napari_dynaclr.core.errors import Cancelled, InvalidInput, MissingInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.embedding.profiler.checkpoint import load_profiler
from napari_dynaclr.embedding.profiler.training.run import ProfilerTraining
from napari_dynaclr.embedding.profiler.training.setting import settle
from napari_dynaclr.embedding.profiler.training.watch import spread

FIGURES = ["epoch", "loss", "dino", "aggregation", "ibot", "koleo", "local", "rank", "spread",
           "learning_rate", "seconds"]  # fmt: skip


def quick(**given):
    usual = {"channels": ["Sensor"], "patch_size": 32, "token_size": 8, "epochs": 2,
             "batch_size": 32, "local_crops": 1, "prototypes": 32, "device": "cpu"}  # fmt: skip
    return params("train", "profiler", **usual | given)


def weights(dataset, name="profiler"):
    return load_profiler(dataset.workspace.trained(name))[0].state_dict()


def test_what_was_trained_on_cells_embeds_by_itself(processed):
    dataset = processed.select(["B/1/*"])
    told = Job()
    table = train(dataset, quick(), told)
    assert sorted(table) == sorted(FIGURES)
    assert np.isfinite(table).all(axis=None)
    assert any("Learning from Sensor of cells" in note for note in told.notes)
    file = dataset.workspace.trained("profiler")
    network, recipe = load_profiler(file)
    assert (recipe.unit, recipe.source_channels) == ("cell", ("Sensor",))
    assert recipe.pixel_size == pytest.approx(0.55)
    assert recipe.channel_kind == "fluorescence"
    embed(dataset, params("embed", "profiler", weights=str(file), device="cpu"))
    shard = dataset.workspace.embedding("profiler", dataset.fovs[0])
    assert shard.shape[1] == network.config.dimensions
    assert shard.X.std(axis=0).mean() > 0


def test_what_was_trained_on_fields_profiles_by_itself(dataset):
    job = Job()
    train(dataset, quick(unit="field", batch_size=8, looks=1, epochs=1), job)
    assert any("in images of 32 x 32 pixels of 3.3 um" in note for note in job.notes)
    file = str(dataset.workspace.trained("profiler"))
    table = profile(dataset, params("profile", "fields", weights=file, device="cpu", map="none"))
    assert len(table) == 4 * 10


def test_an_interrupted_training_ends_with_the_same_weights(dataset, tmp_path):
    given = quick(unit="field", batch_size=8, looks=1, epochs=3)
    train(dataset, given)
    again = open_dataset(dataset.root, tmp_path / "again.dynaclr")
    job = Job(on_figures=lambda figures: job.cancel() if figures.epoch == 2 else None)
    with pytest.raises(Cancelled):
        train(again, given, job)
    assert not again.workspace.trained("profiler").exists()
    job = Job()
    table = train(again, given, job)
    assert any("goes on where it was interrupted" in note for note in job.notes)
    assert table["epoch"].tolist() == [1, 2, 3]
    one, other = weights(dataset), weights(again)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_finished_early_it_keeps_what_was_learned(dataset):
    job = Job(on_figures=lambda figures: job.finish())
    table = train(dataset, quick(unit="field", batch_size=8, looks=1, epochs=50), job)
    assert 1 <= len(table) < 5
    assert dataset.workspace.trained("profiler").exists()


def test_partners_decide_what_is_learned(dataset):
    names = {}
    for on in (True, False):
        name = f"aggregation_{on}".lower()
        settings = quick(
            unit="field", batch_size=8, looks=1, epochs=1, name=name, local_aggregation=on
        )
        train(dataset, settings)
        names[on] = weights(dataset, name)
    assert not all(torch.equal(names[True][one], names[False][one]) for one in names[True])


def test_the_student_learns_from_partners_and_the_teacher_follows(make_plate):
    """One step by hand: the loss goes to the student alone, and the masks are seen by it."""
    import lightning.pytorch as pl

    settings = quick(unit="field", batch_size=8, looks=1)
    images = np.random.default_rng(0).normal(100, 9, (4, 1, 1, 64, 64)).astype(np.float32)
    fields = {"A/1/0": images, "A/1/1": images[::-1]}
    path = make_plate("two.zarr", fields, channels=("Sensor",), scale=(1, 1.0, 1.0))
    training = ProfilerTraining([open_dataset(path)], settings, Job())
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    learner = training.learner(trainer, "key", lambda figures: None)
    learner.trainer = trainer
    batch = next(iter(learner.train_dataloader()))
    tensors = learner.transfer_batch_to_device(batch, torch.device("cpu"), 0)
    assert len(tensors) == 2
    loss = learner.loss(tensors, torch.Generator().manual_seed(0))
    loss.backward()
    pair = learner.model
    assert all(one.grad is None for one in pair.teacher.parameters())
    assert pair.student.backbone.mask_token.grad.abs().sum() > 0
    assert pair.student.image_head.prototypes.grad.abs().sum() > 0
    parts = {name: float(values[0]) for name, values in learner._parts.items()}
    whole = sum(parts[name] for name in ("dino", "aggregation", "ibot", "local"))
    assert loss.item() == pytest.approx(whole + 0.1 * parts["koleo"], rel=1e-5)
    learner.on_before_optimizer_step(None)
    assert pair.student.image_head.prototypes.grad is None  # they stay at first


# what it is trained as


@pytest.mark.parametrize(
    ("given", "channels", "kind"),
    [
        ({}, ("Nuclei", "Membrane", "Sensor"), "fluorescence"),
        ({"channel_kind": "label-free"}, ("Phase",), "label-free"),
        ({"channels": ["Phase", "Sensor"]}, ("Phase", "Sensor"), "mixed"),
    ],
)
def test_channels_of_a_kind_are_learned_from_together(dataset, given, channels, kind):
    settings = params("train", "profiler", **given)
    setting = settle([dataset], settings)
    assert setting.recipe.source_channels == channels
    assert setting.recipe.channel_kind == kind
    assert setting.config.channels == len(channels)
    notes = " ".join(setting.told)
    assert ("train another one" in notes) == (kind == "fluorescence")
    assert ("Table 1" in notes) == (kind == "mixed")


@pytest.mark.parametrize(
    ("given", "side", "token"),
    [
        ({}, 64, 8),
        ({"unit": "field"}, 192, 24),
        ({"patch_size": 32}, 32, 4),
        ({"patch_size": 100}, 100, 10),
        ({"patch_size": 224}, 224, 14),
        ({"patch_size": 518}, 518, 14),
    ],
)
def test_tokens_suit_the_image_size(dataset, given, side, token):
    if given.get("unit") == "field":
        given = {**given, "patch_size": 192}  # all that the fields have
    config = settle([dataset], params("train", "profiler", **given)).config
    assert (config.side, config.token) == (side, token)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"patch_size": 100, "token_size": 14}, "choose 98 or 112 pixels"),
        ({"patch_size": 97}, "do not divide into tokens"),
        ({"patch_size": 64, "token_size": 32}, "leave 2 along a side .* token_size of at most 16"),
        ({"channels": ["Actin"]}, "has no channel 'Actin'"),
        ({"unit": "field"}, "less than the image size of 224"),
        ({"unit": "field", "patch_size": 64, "pixel_size": 50.0}, "choose a smaller pixel_size"),
    ],
)
def test_settings_that_do_not_fit_the_images_are_one_line(dataset, given, line):
    with pytest.raises(InvalidInput, match=line):
        train(dataset, params("train", "profiler", **given))


def test_fields_can_be_seen_in_detail(dataset):
    setting = settle([dataset], quick(unit="field", pixel_size=1.1))
    assert setting.size == (96, 96)
    assert setting.inside == (96, 96)
    assert setting.local_side == 16


def test_plates_must_have_the_channels_and_the_pixels(dataset, make_plate):
    image = np.random.default_rng(0).normal(100, 9, (1, 1, 1, 64, 64)).astype(np.float32)
    path = make_plate("other.zarr", {"A/1/0": image}, channels=("Nuclei",), scale=(1, 1.0, 1.0))
    with pytest.raises(InvalidInput, match=r"other\.zarr has no channel 'Sensor'"):
        train(dataset, quick(unit="field", also=[str(path)]))
    with pytest.raises(InvalidInput, match="one magnification"):
        train(dataset, quick(unit="field", channels=["Nuclei"], also=[str(path)]))


def test_cells_have_to_be_tracked(dataset):
    with pytest.raises(MissingInput):
        train(dataset, quick())


def test_one_field_and_one_time_have_no_partner(make_plate):
    image = np.random.default_rng(0).normal(100, 9, (1, 1, 1, 64, 64)).astype(np.float32)
    fields = {"A/1/0": image, "A/2/0": image}
    path = make_plate("lone.zarr", fields, channels=("Sensor",), scale=(1, 1.0, 1.0))
    with pytest.raises(InvalidInput, match="0 of 2 images have another one of their well"):
        train(open_dataset(path), quick(unit="field"))


def test_a_well_of_one_field_is_pulled_together_over_time(make_plate):
    images = np.random.default_rng(0).normal(100, 9, (4, 1, 1, 64, 64)).astype(np.float32)
    path = make_plate("one.zarr", {"A/1/0": images}, channels=("Sensor",), scale=(1, 1.0, 1.0))
    job = Job()
    train(open_dataset(path), quick(unit="field", looks=1, epochs=1), job)
    assert any("pulled to another time of the same field" in note for note in job.notes)
    assert any(note.startswith("All images are of one well, so that") for note in job.notes)


def test_a_frame_of_zeros_is_refused_or_learned_from(make_plate):
    images = np.random.default_rng(0).normal(100, 9, (4, 1, 1, 64, 64)).astype(np.float32)
    images[2] = 0
    path = make_plate("dark.zarr", {"A/1/0": images}, channels=("Sensor",), scale=(1, 1.0, 1.0))
    with pytest.raises(InvalidInput, match="time point 2 holds nothing but zeros"):
        train(open_dataset(path), quick(unit="field"))
    settings = quick(unit="field", looks=1, epochs=1, empty_frames="skip")
    assert isinstance(train(open_dataset(path), settings), pd.DataFrame)


def test_a_collapse_shows_as_no_spread():
    generator = np.random.default_rng(0)
    alike = np.ones((200, 50)) + 1e-3 * generator.normal(size=(200, 50))
    assert spread(alike) < 0.01
    assert spread(generator.normal(size=(2000, 50))) == pytest.approx(1, abs=0.02)
