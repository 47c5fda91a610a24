from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
import torch

from napari_dynaclr import open_dataset, train
from napari_dynaclr.core.errors import Cancelled, InvalidInput
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.plate_writer import FovWriter
from napari_dynaclr.learning.augment import Augmentation
from napari_dynaclr.staining.architecture import StainerConfig
from napari_dynaclr.staining.checkpoint import load_network, load_stainer, save_stainer
from napari_dynaclr.staining.network import build
from napari_dynaclr.staining.recipe import Recipe
from napari_dynaclr.staining.training.paired import prepare
from napari_dynaclr.staining.training.setting import Start, settle

FIGURES = ["epoch", "loss", "validation_loss", "pcc", "pcc_Nuclei", "pcc_Membrane",
           "learning_rate", "seconds"]  # fmt: skip


def weights(dataset, name="stainer"):
    return load_network(dataset.workspace.trained(name)).network.state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_what_was_trained_says_all_of_itself(dataset, quick):
    figures, job = [], Job(on_figures=lambda found: figures.append(found))
    table = train(dataset, quick(), job)
    assert sorted(table) == sorted(FIGURES)
    assert table["epoch"].tolist() == [1, 2] == [one.epoch for one in figures]
    assert np.isfinite(table).all(axis=None)
    shown = figures[-1].pictures
    assert list(shown) == [
        "Phase", "Nuclei", "Membrane", "nuclei_prediction", "membrane_prediction"
    ]  # fmt: skip
    for picture in shown.values():
        assert (picture.shape, picture.dtype) == ((64, 64), np.float32)
        assert 0 <= picture.min() <= picture.max() <= 1
    assert np.array_equal(figures[0].pictures["Phase"], shown["Phase"])  # always the same patch
    folder = dataset.workspace.trained("stainer").with_suffix("")
    pd.testing.assert_frame_equal(pd.read_csv(folder / "metrics.csv"), table, check_like=True)
    assert list((folder / "tensorboard").glob("events.*"))
    assert not (folder / "last.ckpt").exists()

    loaded = load_stainer(dataset.workspace.trained("stainer"))
    assert loaded.network.config.dims == (16, 32, 64, 128)
    recipe = Recipe.of(loaded.about, "file")
    assert recipe.source_channels == ("Phase",)
    assert recipe.target_channels == ("nuclei_prediction", "membrane_prediction")
    assert (recipe.normalization, recipe.statistics) == ("mean-std", "fov")
    assert recipe.voxel_size == (None, *dataset.fovs[0].scale[1:])
    assert recipe.patch_size == 64
    assert any(note.startswith("Learning from Phase (mean-std) to Nuclei") for note in job.notes)
    assert any(note.startswith("Held out for validation: ") for note in job.notes)

    job = Job()
    assert train(dataset, quick(), job)["epoch"].tolist() == [1, 2]
    assert "The stainer is there already" in job.notes[-1]
    with pytest.raises(InvalidInput, match="'stainer' already, of other settings or data: choose"):
        train(dataset, quick(epochs=3))


def test_staining_is_learned(dataset, quick):
    settings = quick(patches=64, epochs=10, batch_size=8, learning_rate=5e-3, targets=("Nuclei",))
    table = train(dataset, settings)
    assert table["loss"].iloc[-1] < 0.75 * table["loss"].iloc[0]
    assert table["pcc"].iloc[-1] > 0.5
    assert table["pcc"].iloc[-1] == table["pcc_Nuclei"].iloc[-1]


def test_what_is_hidden_is_filled_in_and_helps_to_stain(dataset, quick):
    figures = []
    job = Job(on_figures=figures.append)
    table = train(dataset, quick("fcmae", epochs=4, patches=48, learning_rate=5e-3), job)
    assert table["loss"].iloc[-1] < 0.95 * table["loss"].iloc[0]
    assert "pcc" not in table
    assert list(figures[-1].pictures) == ["Phase", "Phase (seen)", "Phase (filled in)"]
    seen = figures[-1].pictures["Phase (seen)"].reshape(2, 32, 2, 32).max(axis=(1, 3))
    assert (seen == 0).sum() == 2  # half of the squares of 32 pixels

    file = dataset.workspace.trained("pretrained")
    before = load_network(file).network
    assert before.config.pretraining
    with pytest.raises(InvalidInput, match="pre-trained encoder"):
        load_stainer(file)
    train(dataset, quick(start_from=str(file), fine_tune="decoder", epochs=1))
    after = load_stainer(dataset.workspace.trained("stainer")).network
    assert after.config.out_channels == 2
    old, new = before.encoder_state(), after.encoder_state()
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)
    train(dataset, quick(name="all", start_from=str(file), epochs=1))
    moved = load_stainer(dataset.workspace.trained("all")).network.encoder_state()
    assert not torch.equal(moved["encoder.stem.conv2d.weight"], old["encoder.stem.conv2d.weight"])
    assert dataset.workspace.runs()[-1]["weights_sha256"]


def test_a_stainer_is_trained_on_as_it_is(dataset, quick, tmp_path):
    config = StainerConfig(dims=(8, 16), blocks=(1, 1), decoder_blocks=1)
    torch.manual_seed(3)
    network = build(config)
    about = {"normalization": "median-iqr", "statistics": "timepoint", "source_channels": ["Phase"]}
    save_stainer(tmp_path / "start.safetensors", network, about)
    start = str(tmp_path / "start.safetensors")
    job = Job()
    train(dataset, quick(start_from=start, epochs=1, every=5, learning_rate=1e-9), job)
    loaded = load_stainer(dataset.workspace.trained("stainer"))
    assert loaded.network.config == config
    assert loaded.about["normalization"] == "median-iqr"
    assert loaded.about["statistics"] == "timepoint"
    before, after = network.state_dict(), loaded.network.state_dict()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-6, rtol=1e-4)
    with pytest.raises(InvalidInput, match="stains 2 channels, 1 are chosen"):
        train(dataset, quick(name="one", start_from=start, targets=("Nuclei",)))
    with pytest.raises(InvalidInput, match="takes 1 slices, not 3: leave the depth out"):
        train(dataset, quick(name="deep", start_from=start, depth=3))


@pytest.mark.parametrize(
    "values",
    [
        {"sampling": "uniform", "target_normalization": "mean-std", "clahe": True},
        {"augment": False, "l1": 1.0, "normalization": "median-iqr", "level": "dataset"},
        {"level": "timepoint", "split": "well", "held_out": 0.5, "l1": 0.0},
        {"memory": 0.008},
    ],
)
def test_every_way_to_learn_runs(dataset, quick, values):
    job = Job()
    table = train(dataset, quick(epochs=1, **values), job)
    assert np.isfinite(table["loss"]).all()
    streamed = any("each is read once an epoch" in note for note in job.notes)
    assert streamed == ("memory" in values)


@pytest.mark.parametrize(
    "architecture", ["fcmae_mini", pytest.param("unext2", marks=pytest.mark.slow)]
)
def test_stacks_are_learned_from(make_plate, tmp_path, quick, architecture):
    image = np.random.default_rng(0).normal(size=(2, 2, 6, 96, 96)).astype(np.float32)
    plate = make_plate("deep.zarr", {"A/1/0": image, "A/1/1": image}, channels=("Phase", "DAPI"))
    deep = open_dataset(plate, tmp_path / "deep.dynaclr")
    train(deep, quick(architecture=architecture, epochs=1, patches=4, batch_size=2))
    loaded = load_stainer(deep.workspace.trained("stainer"))
    assert loaded.network.config.depth == 5
    assert loaded.network.config.stem == (5, 4, 4)
    assert loaded.about["voxel_size"] == [1.0, 1.0, 1.0]
    assert loaded.about["target_channels"] == ["dapi_prediction"]
    if architecture == "fcmae_mini":
        train(deep, quick(name="flat", depth=1, epochs=1, patches=4, batch_size=2))
        assert load_stainer(deep.workspace.trained("flat")).network.config.depth == 1


# -- interrupted, finished, continued -----------------------------------------


def test_an_interrupted_training_ends_as_an_uninterrupted_one(dataset, quick):
    train(dataset, quick(name="whole", epochs=3))
    settings = quick(name="cut", epochs=3)
    job = Job(on_figures=lambda figures: job.cancel() if figures.epoch == 2 else None)
    with pytest.raises(Cancelled):
        train(dataset, settings, job)
    assert not dataset.workspace.trained("cut").exists()
    figures = []
    job = Job(on_figures=figures.append)
    table = train(dataset, settings, job)
    assert [one.epoch for one in figures] in ([2, 3], [3])
    assert table["epoch"].tolist() == [1, 2, 3]
    assert any("goes on where it was interrupted" in note for note in job.notes)
    assert same(weights(dataset, "whole"), weights(dataset, "cut"))


def test_cancelling_does_not_wait_for_a_batch(dataset, quick, monkeypatch):
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
        train(dataset, quick(), job)
    assert not go.is_set()  # it still is in the batch
    go.set()
    assert dataset.workspace.runs()[-1]["status"] == "cancelled"


def test_stop_and_keep_saves_what_was_learned(dataset, quick):
    job = Job(on_figures=lambda _figures: job.finish())
    table = train(dataset, quick(epochs=500), job)
    assert 1 <= len(table) <= 2
    assert dataset.workspace.trained("stainer").exists()


# -- what cannot be trained ---------------------------------------------------


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"source": "DIC"}, "has no channel 'DIC': choose .* among Phase, Nuclei"),
        ({"targets": ("GFP",)}, "has no channel 'GFP'"),
        ({"targets": ("Phase",)}, "Phase is the label-free channel: choose others"),
        ({"targets": ("Nuclei", "Nuclei")}, "named twice"),
        ({"patch_size": 256}, "patch_size of 256 is larger than the images, .* 192 pixels"),
        ({"patch_size": 72}, "does not suit the network: choose a multiple of 16, such as 64"),
        ({"depth": 9}, "takes 9 slices, but there are images with 1: choose a smaller depth"),
        ({"memory": 1e-4}, "too little memory for batches of 4 patches"),
        ({"start_from": "nowhere.ckpt"}, "There is no weights file"),
        ({"also": ("nowhere.zarr",)}, "nowhere.zarr"),
    ],
)
def test_bad_input_is_one_line(dataset, quick, values, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        train(dataset, quick(**values))
    assert "\n" not in str(caught.value)
    assert not dataset.workspace.trained("stainer").exists()


def test_a_network_of_another_kind_is_no_start(dataset, quick, tmp_path):
    from napari_dynaclr.embedding.dynaclr.architecture import EncoderConfig
    from napari_dynaclr.embedding.dynaclr.checkpoint import save_encoder
    from napari_dynaclr.embedding.dynaclr.network import ContrastiveEncoder

    config = EncoderConfig("convnext_mini", 1, 1, kernel=(1, 4, 4), stride=(1, 4, 4))
    save_encoder(tmp_path / "encoder.safetensors", ContrastiveEncoder(config))
    with pytest.raises(InvalidInput, match=r"encoder\.safetensors") as caught:
        train(dataset, quick(start_from=str(tmp_path / "encoder.safetensors")))
    assert "\n" not in str(caught.value)


def test_a_single_square_cannot_be_hidden_in_part(dataset, quick, make_plate, tmp_path):
    with pytest.raises(InvalidInput, match=r"patch_size of 32 .* mask_ratio .* of 64 or more"):
        train(dataset, quick("fcmae", patch_size=32))
    image = np.random.default_rng(0).normal(size=(1, 1, 1, 48, 96)).astype(np.float32)
    plate = make_plate("small.zarr", {"A/1/0": image}, channels=("Phase",))
    small = open_dataset(plate, tmp_path / "small.dynaclr")
    with pytest.raises(InvalidInput, match="images of 48 pixels: the network needs 64 at least"):
        train(small, quick("fcmae", patch_size=None))
    table = train(dataset, quick("fcmae", patch_size=64, mask_ratio=0.01, epochs=1))
    assert np.isfinite(table["loss"]).all()


def stain(dataset, key, names=("nuclei_prediction", "odd stain")):
    for fov in dataset.fovs:
        dataset.workspace.prepare(dataset.channels)
        writer = FovWriter(dataset.workspace, "stain", fov, key, names, np.float32)
        for t, frame in fov.frames(["Nuclei", "Membrane"]):
            writer.write(t, frame.astype(np.float32))
        writer.publish()
    dataset.refresh()


def test_what_is_learned_from_a_stain_is_out_of_date_with_it(dataset, quick):
    dataset = dataset.select(["A/1/0"])
    stain(dataset, "one")

    def inputs(**values):
        settings = quick(targets=("Membrane",), **values)
        return prepare([dataset], settings, Job()).inputs

    plain, before = inputs(), inputs(source="nuclei_prediction")
    stain(dataset, "two")
    assert inputs() == plain
    assert inputs(source="nuclei_prediction") != before


def test_a_stain_is_no_label(dataset, quick):
    dataset = dataset.select(["A/1/0"])
    stain(dataset, "one", ("nuclei_prediction", "Hoechst"))
    for name in ("nuclei_prediction", "Hoechst"):
        with pytest.raises(InvalidInput, match=f"{name} is a virtual stain, not a label") as caught:
            train(dataset, quick(targets=(name,)))
        assert str(caught.value).endswith("among Nuclei, Membrane, Sensor.")
    chosen = settle([dataset], quick(), Start()).channels
    assert chosen.targets == ("Nuclei", "Membrane")


@pytest.mark.parametrize(("depth", "flip"), [(1, 0.5), (2, 0.0)])
def test_single_slices_are_reflected_and_stacks_are_not(make_plate, tmp_path, quick, depth, flip):
    image = np.random.default_rng(0).normal(size=(1, 2, 3, 96, 96)).astype(np.float32)
    plate = make_plate("deep.zarr", {"A/1/0": image}, channels=("Phase", "DAPI"))
    deep = open_dataset(plate, tmp_path / "deep.dynaclr")
    ranges = settle([deep], quick(depth=depth), Start()).ranges
    assert (ranges.flip, ranges.zoom, ranges.shear) == (flip, 0.3, (-0.05, 0.05))


def test_channels_without_telling_names_are_asked_for(make_plate, tmp_path, quick):
    image = np.random.default_rng(0).normal(size=(1, 2, 1, 96, 96)).astype(np.float32)
    plate = make_plate("odd.zarr", {"A/1/0": image}, channels=("Ch0", "Ch1"))
    odd = open_dataset(plate, tmp_path / "odd.dynaclr")
    with pytest.raises(InvalidInput, match=r"Choose the label-free channel .* among Ch0, Ch1"):
        train(odd, quick())
    with pytest.raises(InvalidInput, match=r"Choose the fluorescence channels .* among Ch1"):
        train(odd, quick(source="Ch0"))
    job = Job()
    table = train(odd, quick(source="Ch0", targets=("Ch1",), epochs=1), job)
    assert "There is one fov only: nothing is held out." in " ".join(job.notes)
    assert "validation_loss" not in table
    assert "pcc" in table


def test_the_decoder_alone_needs_a_start(quick):
    with pytest.raises(InvalidInput, match="set start_from"):
        quick(fine_tune="decoder")
