"""TAP networks in files of ours and in folders of the public code's."""

from __future__ import annotations

import pickle

import pytest
import torch
import yaml

from napari_dynaclr import Job
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.tap.checkpoint import load_tap, save_tap
from napari_dynaclr.embedding.tap.folder import load_folder, save_folder
from napari_dynaclr.embedding.tap.recipe import TapRecipe
from napari_dynaclr.embedding.tap.source import TapSource, choose_channel, find_weights
from napari_dynaclr.learning.checkpoint import save_weights

PUBLIC = {
    "backbone": "unet_16fmaps",
    "classification_head": "minimal",
    "commit": "5e1690d42b69ea8c614742bc89c3369ce3178172",
    "n_features": 16,
    "n_frames": 2,
    "n_input_channels": 1,
    "outdir": "runs/2024-05-01",
    "projection_head": "minimal_batchnorm",
    "symmetric": True,
}
PAIR = torch.randn(1, 2, 1, 24, 21, generator=torch.Generator().manual_seed(4))


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was opened",))


@pytest.fixture
def network(arrow):
    return arrow(maps=16, features=16, seed=7)


@pytest.fixture
def folder(network, tmp_path):
    """A folder as the public code writes it, its pickle a dangerous one."""
    path = tmp_path / "public"
    path.mkdir()
    (path / "model_kwargs.yaml").write_text(yaml.dump(PUBLIC))
    torch.save(network.state_dict(), path / "model_state.pt")
    (path / "model_full.pt").write_bytes(pickle.dumps(Bomb()))
    return path


def logits(network):
    with torch.inference_mode():
        return network(PAIR)


@pytest.mark.parametrize("name", ["", "model_state.pt"])
def test_a_public_folder_gives_the_same_outputs_without_its_pickle(folder, network, name):
    loaded = load_tap(folder / name)
    assert torch.equal(logits(loaded.network), logits(network))
    assert not loaded.network.training
    assert "do not say what they were trained on" in loaded.told[1]


def test_ours_as_a_folder_holds_what_the_public_code_looks_for(network, tmp_path):
    save_folder(tmp_path / "out", network)
    files = sorted(file.name for file in tmp_path.rglob("*.*"))
    assert files == ["model_kwargs.yaml", "model_state.pt"]
    said = yaml.safe_load((tmp_path / "out" / "model_kwargs.yaml").read_text())
    assert said == {name: PUBLIC[name] for name in PUBLIC if name not in ("commit", "outdir")}
    state = torch.load(tmp_path / "out" / "model_state.pt", weights_only=True)
    assert set(state) == set(network.state_dict())
    assert torch.equal(logits(load_folder(tmp_path / "out")), logits(network))


def test_a_file_of_ours_keeps_network_and_recipe(arrow, tmp_path):
    network = arrow(maps=4, features=6, depth=2)
    about = {"source_channel": "Nuclei", "delta_t": 3, "stacks": "max", "pixel_size": 0.5}
    save_tap(tmp_path / "mine.safetensors", network, about)
    loaded = load_tap(tmp_path / "mine.safetensors")
    assert loaded.network.config == network.config
    assert loaded.recipe == TapRecipe.model_validate(about)
    assert torch.equal(logits(loaded.network), logits(network))
    assert "4 maps, 2 levels down" in loaded.told[0]


def test_a_file_of_half_the_precision_is_read_in_full(arrow, tmp_path):
    network = arrow(seed=2)
    expected = logits(network)
    save_tap(tmp_path / "half.safetensors", network.half())
    loaded = load_tap(tmp_path / "half.safetensors").network
    assert {one.dtype for one in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(logits(loaded), expected, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "resnet18"}, "backbone resnet18: only unet and unet_16fmaps"),
        ({"symmetric": False}, "symmetric False: only the paper's"),
        ({"classification_head": "difference"}, "classification_head difference: only the paper's"),
        ({"projection_head": "id"}, "projection_head id: only the paper's"),
        ({"n_frames": 3}, "n_frames 3: only the paper's"),
        ({"n_input_channels": 2}, "n_input_channels 2: only the paper's"),
        ({"n_features": "many"}, "something wrong about n_features"),
        ({"n_features": 32}, "has in another size 'projection_head"),
        ({"backbone": "unet"}, "has in another size 'backbone"),
    ],
)
def test_another_network_in_a_folder_is_refused(folder, changes, message):
    (folder / "model_kwargs.yaml").write_text(yaml.dump({**PUBLIC, **changes}))
    with pytest.raises(InvalidInput, match=message) as caught:
        load_tap(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_file_is_refused(folder):
    (folder / "model_state.pt").unlink()
    with pytest.raises(InvalidInput, match=r"model_full\.pt only, a pickle"):
        load_tap(folder)
    (folder / "model_full.pt").unlink()
    with pytest.raises(InvalidInput, match=r"has no model_state\.pt: get the whole folder"):
        load_tap(folder)
    (folder / "model_kwargs.yaml").unlink()
    with pytest.raises(InvalidInput, match=r"has no model_kwargs\.yaml: choose a folder"):
        load_tap(folder)


def test_a_pickle_in_place_of_the_weights_is_refused_and_not_run(folder):
    (folder / "model_state.pt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InvalidInput, match=r"model_state\.pt"):
        load_tap(folder)


@pytest.mark.parametrize("text", ["just words", "a: [", "\x00"])
def test_a_damaged_description_is_refused(folder, text):
    (folder / "model_kwargs.yaml").write_text(text)
    with pytest.raises(InvalidInput, match="is no table of settings"):
        load_tap(folder)


def test_what_the_public_code_cannot_hold_is_not_exported(arrow, network, tmp_path):
    with pytest.raises(InvalidInput, match=r"has no such network .* knows those with 32 or 16"):
        save_folder(tmp_path / "out", arrow(maps=4))
    with pytest.raises(InvalidInput, match="has no such network"):
        save_folder(tmp_path / "out", arrow(maps=16, depth=2))
    (tmp_path / "there").mkdir()
    with pytest.raises(InvalidInput, match="exists already"):
        save_folder(tmp_path / "there", network)
    assert [file.name for file in tmp_path.iterdir()] == ["there"]


def test_other_weights_are_refused(network, tmp_path):
    path = tmp_path / "other.safetensors"
    save_weights(path, network, {"backbone": "convnext_tiny"})
    with pytest.raises(InvalidInput, match="is no TAP network: choose one of 'train --method tap'"):
        load_tap(path)
    save_weights(path, network, {"kind": "tap", "maps": "many"})
    with pytest.raises(InvalidInput, match="does not say properly"):
        load_tap(path)
    save_weights(path, network, {"kind": "tap", "maps": 8, "features": 16})
    with pytest.raises(InvalidInput, match="has in another size"):
        load_tap(path)
    save_tap(path, network, {"delta_t": 0})
    with pytest.raises(InvalidInput, match="something wrong about its delta_t"):
        load_tap(path)


def test_weights_are_found_by_the_settings(folder, tmp_path):
    found = find_weights(TapSource(weights=str(folder)), Job())
    assert found.path == folder / "model_state.pt"
    assert len(found.sha256) == 64
    with pytest.raises(InvalidInput, match="Name weights of TAP with weights="):
        find_weights(TapSource(preset="none"), Job())
    with pytest.raises(InvalidInput, match="There is no weights file"):
        find_weights(TapSource(weights=str(tmp_path / "nowhere.safetensors")), Job())


class Images:
    name = "A/1/0"

    def __init__(self, *channels):
        self.channels = list(channels)

    def find(self, channel):
        if channel not in self.channels:
            raise InvalidInput(f"FOV A/1/0 has no channel '{channel}'.")


def test_the_channel_is_that_of_the_training(network, folder, tmp_path):
    def chosen(trained, *channels, channel=""):
        save_tap(path, network, {"source_channel": trained})
        return choose_channel(Images(*channels), TapSource(weights=str(path), channel=channel))

    path = tmp_path / "mine.safetensors"
    assert chosen("Phase", "Nuclei", "Phase") == "Phase"
    assert chosen("Phase", "Nuclei", "Phase", channel="Nuclei") == "Nuclei"
    assert chosen("H2B", "Phase", "Hoechst") == "Hoechst"
    assert chosen("Phase", "BF") == "BF"
    with pytest.raises(InvalidInput, match=r"\(it was trained on Phase\) with channel=.*Nuclei"):
        chosen("Phase", "Nuclei", "BF")
    gone = TapSource(weights=str(tmp_path / "mispelt.safetensors"))
    with pytest.raises(InvalidInput, match=r"There is no weights file .*mispelt"):
        choose_channel(Images("Phase", "BF"), gone)
    with pytest.raises(InvalidInput, match="has no channel 'DIC'"):
        chosen("Phase", "Nuclei", channel="DIC")
    with pytest.raises(InvalidInput, match="Choose the channel that TAP is to see with channel="):
        choose_channel(Images("Nuclei", "BF"), TapSource(weights=str(folder)))
    assert choose_channel(Images("Phase", "Nuclei"), TapSource()) == "Nuclei"


def test_frames_of_a_pair_are_as_far_apart_as_in_the_training():
    assert TapRecipe().step(None, 2, "A/1/0") == 1
    assert TapRecipe(delta_t=4).step(None, 5, "A/1/0") == 4
    assert TapRecipe(delta_t=4).step(2, 5, "A/1/0") == 2
    with pytest.raises(InvalidInput, match="A/1/0 has one time point"):
        TapRecipe().step(1, 1, "A/1/0")
    with pytest.raises(InvalidInput, match=r"4 frames apart \(those of the .*delta_t to 3 or less"):
        TapRecipe(delta_t=4).step(None, 4, "A/1/0")


def test_stacks_are_handled_as_chosen_else_as_trained_else_by_slices():
    assert TapRecipe().handling() == "slices"
    assert TapRecipe(stacks="max").handling("auto") == "max"
    assert TapRecipe(stacks="max").handling("slices") == "slices"


def test_pixels_of_another_size_are_told():
    recipe = TapRecipe(pixel_size=0.5)
    assert "those of the training were 0.5 um" in recipe.unlike((1.0, 1.0, 1.0))
    assert recipe.unlike((1.0, 0.55, 0.55)) == ""
    assert TapRecipe().unlike((1.0, 1.0, 1.0)) == ""


def test_pairs_that_are_further_apart_than_in_training_are_told():
    recipe = TapRecipe(delta_t=1, delta_minutes=30.0)
    assert recipe.hurried(1, 300.0) == (
        "The frames of a pair are 5 min apart, those of the training were 30 min: delta_t=6 comes "
        "nearest."
    )
    assert recipe.hurried(1, 7200.0).endswith("120 min apart, those of the training were 30 min.")
    assert recipe.hurried(6, 300.0) == recipe.hurried(1, None) == ""
    assert TapRecipe().hurried(1, 300.0) == ""
