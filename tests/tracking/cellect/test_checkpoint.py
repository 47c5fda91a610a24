"""Files of weights: our own, the three published ones, and those of other networks."""

from __future__ import annotations

import pytest
import torch

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.tracking.cellect import published
from napari_dynaclr.tracking.cellect.architecture import CellectConfig
from napari_dynaclr.tracking.cellect.checkpoint import load_cellect, save_cellect
from napari_dynaclr.tracking.cellect.model import Cellect

SMALL = CellectConfig(base=2, levels=3, embedding=8, enhancement_base=1, candidates=4)


def published_files(folder, downsampling):
    """Files as CELLECT's authors publish them, of random weights; and the model they are of."""
    torch.manual_seed(1)
    model = Cellect(published.config(downsampling))
    state = model.state_dict()
    network = {
        theirs: state[ours] for theirs, ours in published.network_names(downsampling).items()
    }
    path = folder / "U-ext+-x3rd-149.0-4.6540.pth"
    torch.save(network, path)
    mlp = {ours: theirs for theirs, ours in published._MLP.items()}
    for name, file in published.beside(path).items():
        prefix = f"{name}.mlp."
        weights = {}
        for ours, value in state.items():
            if ours.startswith(prefix):
                layer, _, rest = ours.removeprefix(prefix).rpartition(".")
                weights[f"{mlp[layer]}.{rest}"] = value
        unused = torch.nn.ModuleDict(
            {
                "bnx": torch.nn.BatchNorm1d(64),
                "bny": torch.nn.BatchNorm1d(64),
                "outc": torch.nn.Linear(64 + (8 if name == "inter" else 6), 2),
            }
        )
        weights |= unused.state_dict()
        assert len(weights) == 74
        torch.save(weights, file)
    return path, model


def test_a_saved_model_comes_back_with_what_it_needs(tmp_path):
    model = Cellect(SMALL).eval()
    path = tmp_path / "model.safetensors"
    save_cellect(path, model, {"normalization": "log", "voxel_size": (1.5, 0.5, 0.5)})
    loaded = load_cellect(path)
    assert loaded.model.config == SMALL
    assert loaded.recipe.normalization == "log"
    assert loaded.recipe.voxel_size == (1.5, 0.5, 0.5)
    frames = torch.randn(1, 2, 16, 16, 2)
    for one, other in zip(model.net(frames), loaded.model.net(frames), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("downsampling", ["strided", "pooled"])
def test_published_layouts_load_strictly_and_are_told_apart(tmp_path, downsampling):
    path, model = published_files(tmp_path, downsampling)
    loaded = load_cellect(path)
    assert loaded.model.config.downsampling == downsampling
    for name, value in model.state_dict().items():
        torch.testing.assert_close(loaded.model.state_dict()[name], value)
    assert loaded.recipe.normalization == "log"
    assert not loaded.recipe.isotropic
    assert downsampling in loaded.told[0]


def test_a_network_without_its_mlps_says_which_are_missing(tmp_path):
    path, _ = published_files(tmp_path, "strided")
    (tmp_path / "EX+-x3rd-149.0-4.6540.pth").unlink()
    with pytest.raises(InvalidInput, match=r"EX\+-x3rd-149.0-4.6540.pth"):
        load_cellect(path)


def test_an_mlp_is_not_taken_for_the_network(tmp_path):
    published_files(tmp_path, "strided")
    with pytest.raises(InvalidInput, match="name its network"):
        load_cellect(tmp_path / "EN+-x3rd-149.0-4.6540.pth")


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"conv.weight": torch.zeros(3)}, path)
    with pytest.raises(InvalidInput, match="no CELLECT model"):
        load_cellect(path)


def test_a_published_network_with_a_weight_too_few_is_refused(tmp_path):
    path, _ = published_files(tmp_path, "pooled")
    state = torch.load(path, weights_only=True)
    del state["conv3d_f1.weight"]
    torch.save(state, path)
    with pytest.raises(InvalidInput, match=r"lacks 'net\.embed\.weight'"):
        load_cellect(path)


def test_a_recipe_that_cannot_be_understood_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_cellect(path, Cellect(SMALL), {"normalization": "loud"})
    with pytest.raises(InvalidInput, match="normalization"):
        load_cellect(path)
