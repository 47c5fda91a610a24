from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.weight_files import METADATA
from napari_dynaclr.embedding.profiler.architecture import SIZES, ProfilerConfig
from napari_dynaclr.embedding.profiler.checkpoint import load_profiler, save_profiler
from napari_dynaclr.embedding.profiler.network import ProfilerNet
from napari_dynaclr.embedding.profiler.recipe import ProfilerRecipe
from napari_dynaclr.learning.checkpoint import read_checkpoint, save_weights


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ProfilerNet(ProfilerConfig("mini", 5, 32, 8)).eval()


def test_a_representation_is_the_image_token_beside_the_mean_patch_token(network):
    images = torch.rand(3, 5, 32, 32)
    token, patches = network.tokens(images)
    assert token.shape == (3, 96)
    assert patches.shape == (3, 16, 96)
    found = network.represent(images)
    assert found.shape == (3, network.config.dimensions)
    torch.testing.assert_close(found[:, :96], token)
    torch.testing.assert_close(found[:, 96:], patches.mean(dim=1))


def test_it_sees_images_of_other_sizes_and_oblong_ones(network):
    assert network.represent(torch.rand(2, 5, 48, 24)).shape == (2, 192)


def test_what_is_masked_is_not_seen(network):
    images, masks = torch.rand(2, 5, 32, 32), torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[:, 1, 2] = True
    others = images.clone()
    others[:, :, 8:16, 16:24] = torch.rand(2, 5, 8, 8)
    for one, other in zip(
        network.tokens(images, masks), network.tokens(others, masks), strict=True
    ):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(network.tokens(images)[1], network.tokens(others)[1])


def test_small_and_base_are_the_papers():
    assert (SIZES["small"].width, SIZES["small"].blocks, SIZES["small"].rate) == (384, 12, 2e-5)
    assert SIZES["base"].width == 768
    config = ProfilerConfig()
    assert (config.token, config.side, config.grid, config.dimensions) == (14, 518, 37, 768)
    with torch.device("meta"):
        small = ProfilerNet(config)
    # ViT-S/14 of DINOv2 has 22 million weights; its first layer depends on the channels.
    assert 21e6 < sum(one.numel() for one in small.parameters()) < 23e6
    assert type(small.blocks[0].mlp).__name__ == "GluMlp"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"size": "huge"}, "no profiler of size 'huge'"),
        ({"side": 100, "token": 14}, "choose 98 or 112 pixels"),
        ({"channels": 0}, "needs a channel"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(given, line):
    with pytest.raises(InvalidInput, match=line):
        ProfilerConfig(**given)


def test_a_file_says_what_it_holds(network, tmp_path):
    recipe = ProfilerRecipe(
        source_channels=tuple("ABCDE"), channel_kind="mixed", unit="field", pixel_size=0.5
    )
    path = tmp_path / "one.safetensors"
    save_profiler(path, network, recipe, {"trained": {"seed": 3}})
    loaded, told = load_profiler(path)
    assert told == recipe
    assert loaded.config == network.config
    images = torch.rand(2, 5, 32, 32)
    torch.testing.assert_close(loaded.represent(images), network.represent(images))


def test_files_of_others_are_refused(network, tmp_path):
    path = tmp_path / "other.safetensors"
    save_weights(path, network, {"backbone": "convnext_tiny"})
    with pytest.raises(InvalidInput, match="holds no profiler"):
        load_profiler(path)
    save_weights(path, network, {"network": "sslprofiler", "size": "mini"})
    with pytest.raises(InvalidInput, match="does not say properly which"):
        load_profiler(path)
    about = {"network": "sslprofiler", "size": "mini", "channels": 5, "side": 32, "token": 8}
    save_weights(path, network, about)
    with pytest.raises(InvalidInput, match="says something wrong about its source_channels"):
        load_profiler(path)
    recipe = {"source_channels": ["A"] * 5, "channel_kind": "mixed", "unit": "cell",
              "pixel_size": 1.0}  # fmt: skip
    save_weights(path, network, {**about, **recipe, "side": 64})
    with pytest.raises(InvalidInput, match="in another size"):
        load_profiler(path)


def test_channels_are_seen_evenly_once_their_images_are_known():
    torch.manual_seed(0)
    network = ProfilerNet(ProfilerConfig("mini", 2, 16, 8)).eval()
    images = torch.rand(6, 2, 16, 16)
    scaled = torch.tensor([0.01, 3.0])[:, None, None] * images + 0.2
    network.standardize(images)
    before = network.represent(images)
    network.standardize(scaled)
    torch.testing.assert_close(network.represent(scaled), before, rtol=1e-3, atol=1e-4)
    assert {"mean", "deviation"} <= set(network.state_dict())


def test_a_channel_that_does_not_vary_can_be_seen():
    network = ProfilerNet(ProfilerConfig("mini", 1, 16, 8)).eval()
    images = torch.full((2, 1, 16, 16), 0.5)
    network.standardize(images)
    assert torch.isfinite(network.represent(images)).all()


def test_a_profiler_of_before_channels_were_seen_evenly_sees_them_as_they_are(network, tmp_path):
    new, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    recipe = ProfilerRecipe(
        source_channels=tuple("ABCDE"), channel_kind="mixed", unit="field", pixel_size=0.5
    )
    save_profiler(new, network, recipe)
    checkpoint = read_checkpoint(new)
    state = {n: one for n, one in checkpoint.state.items() if n not in ("mean", "deviation")}
    assert len(state) == len(checkpoint.state) - 2
    save_file(state, old, {METADATA: json.dumps(checkpoint.about)})
    loaded, _ = load_profiler(old)
    images = torch.rand(2, 5, 32, 32)
    torch.testing.assert_close(loaded.represent(images), network.represent(images))
