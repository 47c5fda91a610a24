"""Stainers' weights in every form that users have, and files that are not what they seem."""

from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.weights import PRESETS
from napari_dynaclr.staining.architecture import BACKBONES, StainerConfig
from napari_dynaclr.staining.checkpoint import (
    load_pretrained,
    load_stainer,
    save_stainer,
)
from napari_dynaclr.staining.network import build
from napari_dynaclr.staining.recipe import Recipe
from napari_dynaclr.staining.shapes import infer_config
from napari_dynaclr.staining.viscy import config_of, translate

PWNED = "pwned"
DEEP = (5, 4, 4)
ARGUMENTS = {  # of the network below, under viscy-models' names
    "in_channels": 1,
    "out_channels": 2,
    "encoder_blocks": [1, 2, 1],
    "dims": [8, 16, 32],
    "stem_kernel_size": [5, 4, 4],
    "in_stack_depth": 5,
    "decoder_conv_blocks": 1,
    "pretraining": False,
}
PUBLISHED = [one for one in PRESETS.values() if one.use == "stain" and one.url[:5] == "https"]


@pytest.fixture(scope="module")
def network(small):
    return small(stem=DEEP, depth=5)


def lightning(network, hyper=None, **more):
    """A checkpoint as Lightning writes it: weights under a prefix, and much else."""
    said = {} if hyper is None else {"hyper_parameters": hyper}
    state = {f"model.{name}": value for name, value in network.state_dict().items()}
    return {"epoch": 83, "state_dict": state | {"loss.window": torch.zeros(3)}, **said, **more}


HYPER = {"architecture": "fcmae", "model_config": ARGUMENTS, "lr": 2e-4, "schedule": "WarmupCosine"}
FORMS = {
    "said.ckpt": lambda n, p: torch.save(lightning(n, HYPER), p),
    "two-d.ckpt": lambda n, p: torch.save(lightning(n, HYPER | {"architecture": "UNeXt2_2D"}), p),
    "unnamed.ckpt": lambda n, p: torch.save(lightning(n, {"model_config": ARGUMENTS}), p),
    "silent.ckpt": lambda n, p: torch.save(lightning(n), p),
    "plain.pt": lambda n, p: torch.save(n.state_dict(), p),
    "plain.safetensors": lambda n, p: save_file(n.state_dict(), p),
    "own.safetensors": lambda n, p: save_stainer(p, n),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_network(network, tmp_path, form):
    FORMS[form](network, tmp_path / form)
    loaded = load_stainer(tmp_path / form)
    assert loaded.network.config == network.config
    assert not loaded.network.training
    assert loaded.about == {}
    images = torch.randn(1, 1, 5, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded.network(images), network(images))


def test_what_is_known_of_a_network_is_told(network, small, tmp_path):
    what = "fcmae, 1 channel to 2, 5 slices, stem (5, 4, 4), 8 to 32 features."
    for form, how in (
        ("said.ckpt", "The checkpoint says of itself: "),
        ("plain.pt", "Read off the weights: "),
        ("own.safetensors", "The weights say of themselves: "),
    ):
        FORMS[form](network, tmp_path / form)
        assert load_stainer(tmp_path / form).told == [how + what]
    other = small(stem=DEEP, depth=5, head_conv=True, head_pool=False)
    torch.save(other.state_dict(), tmp_path / "pool.pt")
    loaded = load_stainer(tmp_path / "pool.pt")
    assert "does not show in the weights" in loaded.told[1]
    assert loaded.network.config.head_pool
    loaded = load_stainer(tmp_path / "pool.pt", {"head_conv_pool": False})
    assert len(loaded.told) == 1
    assert loaded.network.config == other.config


def test_our_own_files_say_what_they_are(small, tmp_path):
    network = small(kind="unext2", out_depth=1, head_pool=False, drop_path=0.1)
    recipe = Recipe(
        source_channels=("Phase",),
        target_channels=("nuclei_prediction", "membrane_prediction"),
        normalization="median-iqr",
        statistics="dataset",
        voxel_size=(0.2, 0.1, 0.1),
        patch_size=64,
    )
    path = tmp_path / "a.safetensors"
    save_stainer(path, network, {**recipe.model_dump(mode="json"), "made_by": "a test"})
    loaded = load_stainer(path)
    assert loaded.network.config == network.config
    assert loaded.about["made_by"] == "a test"
    assert Recipe.of(loaded.about, "a") == recipe
    assert [one.name for one in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("preset", PUBLISHED, ids=lambda preset: preset.name)
def test_the_published_networks_are_told_from_their_weights(preset):
    config = config_of(preset.network, preset.settings, preset.name)
    with torch.device("meta"):
        shapes = {name: tuple(one.shape) for name, one in build(config).state_dict().items()}
    found, _ = infer_config(shapes, "x", {})
    assert found == config
    found, told = infer_config(shapes, "x", translate(config.kind, preset.settings))
    assert found == config
    assert len(told) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"dims": (16, 32, 64, 128), "blocks": (2, 2, 2, 2), "decoder_blocks": 1},
        {"dims": (6, 12), "blocks": (3, 1), "in_channels": 3, "out_channels": 1},
        {"dims": (6, 12), "blocks": (1, 1), "stem": (5, 4, 4), "depth": 17, "decoder_blocks": 3},
        {"stem": DEEP, "depth": 13, "head_conv": True, "head_expansion": 3, "out_channels": 5},
        *({"kind": "unext2", "stem": DEEP, "depth": 10, "backbone": name} for name in BACKBONES),
        {"kind": "unext2", "stem": (3, 4, 4), "depth": 9, "out_depth": 3, "in_channels": 2},
        {"kind": "unext2", "stem": (1, 4, 4), "upsample_conv": True, "head_expansion": 2},
    ],
    ids=str,
)
def test_shapes_tell_the_network(changes):
    config = StainerConfig(**changes)
    with torch.device("meta"):
        shapes = {name: tuple(one.shape) for name, one in build(config).state_dict().items()}
    assert infer_config(shapes, "x")[0] == config


def test_a_depth_that_does_not_show_is_asked_of_what_is_known():
    config = StainerConfig(stem=DEEP, depth=6, out_channels=4)  # 8 slices of 3 channels would fit
    with torch.device("meta"):
        shapes = {name: tuple(one.shape) for name, one in build(config).state_dict().items()}
    _, told = infer_config(shapes, "x")
    assert told[1] == "Depths of 6 or 8 slices fit."
    found, told = infer_config(shapes, "x", {"depth": 8})
    assert (found.depth, found.out_channels, len(told)) == (8, 3, 1)


def test_a_pre_trained_encoder_is_no_stainer_but_starts_one(small, tmp_path):
    network = small(stem=DEEP, depth=5, out_channels=1, pretraining=True)
    torch.save(network.state_dict(), tmp_path / "plain.pt")
    save_stainer(tmp_path / "own.safetensors", network, {"source_channels": ["Phase"]})
    said = {**ARGUMENTS, "out_channels": 1, "pretraining": True}
    torch.save(lightning(network, {"model_config": said}), tmp_path / "said.ckpt")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(InvalidInput, match=r"is a pre-trained encoder, .*: train a stainer"):
            load_stainer(path)
        encoder = load_pretrained(path)
        assert encoder.config == network.config
        stainer = small(seed=5, stem=DEEP, depth=5)
        decoder = stainer.decoder.state_dict()
        result = stainer.load_state_dict(encoder.state, strict=False)
        assert not result.unexpected_keys
        assert all(name.startswith("decoder.") for name in result.missing_keys)
        same = stainer.encoder.state_dict()
        assert all(torch.equal(same[n], one) for n, one in network.encoder.state_dict().items())
        assert all(torch.equal(decoder[n], one) for n, one in stainer.decoder.state_dict().items())
    assert load_pretrained(tmp_path / "own.safetensors").about == {"source_channels": ["Phase"]}


def test_one_channel_stained_from_one_is_a_stainer_where_that_is_said(small, tmp_path):
    network = small(out_channels=1)
    save_stainer(tmp_path / "own.safetensors", network)
    assert load_stainer(tmp_path / "own.safetensors").network.config == network.config
    torch.save(network.state_dict(), tmp_path / "plain.pt")
    loaded = load_stainer(tmp_path / "plain.pt", {"pretraining": False})
    assert loaded.network.config == network.config


@pytest.mark.parametrize("kind", ["fcmae", "unext2"])
def test_a_stainer_lends_its_encoder(small, tmp_path, kind):
    network = small(kind=kind)
    save_stainer(tmp_path / "a.safetensors", network)
    encoder = load_pretrained(tmp_path / "a.safetensors")
    assert encoder.state.keys() == network.encoder_state().keys()
    assert not any(name.startswith(("decoder", "head")) for name in encoder.state)


class Evil:
    def __reduce__(self):
        return os.system, (f"touch {PWNED}",)


@pytest.fixture(scope="module")
def bad_files(network, small, tmp_path_factory):
    """A folder of files that are not what they seem."""
    folder = tmp_path_factory.mktemp("bad")

    def save(name, content):
        torch.save(content, folder / name)

    def hyper(**changes):
        return lightning(network, {**HYPER, **changes})

    state = network.state_dict()
    save("evil.ckpt", {"state_dict": Evil()})
    save("half-evil.ckpt", lightning(network, Evil()))
    save("unet.ckpt", hyper(architecture="2.5D"))
    save("deconv.ckpt", hyper(model_config={**ARGUMENTS, "decoder_mode": "deconv"}))
    save("nonsense.ckpt", hyper(model_config={**ARGUMENTS, "dims": "many"}))
    save("two-sizes.ckpt", hyper(model_config={**ARGUMENTS, "stem_kernel_size": [4, 4]}))
    save("other-dims.ckpt", hyper(model_config={**ARGUMENTS, "dims": [16, 32, 64]}))
    save("odd-dims.ckpt", hyper(model_config={**ARGUMENTS, "dims": [8, 16, 31]}))
    save("dynaclr.pt", {"stem.conv.weight": torch.zeros(8, 1, 5, 4, 4),
                        "encoder.stages.0.blocks.0.conv_dw.weight": torch.zeros(8, 1, 7, 7),
                        "projection.0.weight": torch.zeros(4, 8)})  # fmt: skip
    save("imagenet.pth", {"model": {"stages.0.0.gamma": torch.zeros(96)}})
    save("half.pt", {name: one for name, one in state.items() if name.startswith("encoder.")})
    save("lacks.pt", {name: one for name, one in state.items() if "stages.1.blocks.1" not in name
                      or "grn.bias" not in name})  # fmt: skip
    save("more.pt", {**state, "extra.weight": torch.zeros(2)})
    save("nan.pt", {**state, "encoder.stem.norm.bias": torch.full((8,), torch.nan)})
    save("zero.pt", {**state, "encoder.stem.conv3d.weight": torch.zeros(0, 1, 5, 4, 4)})
    save("uneven.pt", {**state, "encoder.stem.conv3d.weight": torch.zeros(8, 1, 5, 4, 6)})
    unext2 = small(kind="unext2").state_dict()
    save("short.pt", {name: one for name, one in unext2.items() if "stages_3" not in name})
    for name, about in (("said", '{"stainer": {"dims": 3}}'), ("odd", '{"stainer": {"depth": 0}}')):
        save_file(state, folder / f"{name}.safetensors", metadata={"napari_dynaclr": about})
    return folder


@pytest.mark.parametrize("load", [load_stainer, load_pretrained])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("evil.ckpt", "could run code: it was not run"),
        ("half-evil.ckpt", "could run code: it was not run"),
        ("unet.ckpt", "network '2.5D', which is not known here: choose a UNeXt2 or an FCMAE"),
        ("deconv.ckpt", "decoder of the mode 'deconv'"),
        ("nonsense.ckpt", "does not say properly which network it holds"),
        ("two-sizes.ckpt", "does not say properly which network it holds"),
        ("other-dims.ckpt", "is not what it should be .*it has in another size"),
        ("odd-dims.ckpt", "twice the channels"),
        ("dynaclr.pt", "is a DynaCLR encoder, which embeds cells, and not for virtual staining"),
        ("imagenet.pth", "is another network, and not for virtual staining"),
        ("half.pt", "holds not all of the weights"),
        ("lacks.pt", "it lacks 'encoder.stages.1.blocks.1.mlp.grn.bias'"),
        ("more.pt", "it also has 'extra.weight'"),
        ("nan.pt", "NaN or infinite"),
        ("zero.pt", "holds not all of the weights"),
        ("uneven.pt", "cannot be used. .*as high as wide"),
        ("short.pt", "has an encoder that is not known here"),
        ("said.safetensors", "does not say properly which network it holds"),
        ("odd.safetensors", "all its numbers must be 1 or more"),
        ("absent.pt", "There is no weights file"),
    ],
)
def test_a_bad_file_is_one_line_and_runs_no_code(
    bad_files, tmp_path, monkeypatch, load, name, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=message) as caught:
        load(bad_files / name)
    assert "\n" not in str(caught.value)
    assert str(bad_files / name) in str(caught.value)
    assert not (tmp_path / PWNED).exists()


def test_a_stainer_is_no_encoder_of_cells(small, tmp_path):
    from napari_dynaclr.embedding.dynaclr.checkpoint import load_encoder

    for kind in ("fcmae", "unext2"):
        save_stainer(tmp_path / "a.safetensors", small(kind=kind))
        with pytest.raises(InvalidInput, match="network for virtual staining"):
            load_encoder(tmp_path / "a.safetensors")


@pytest.mark.parametrize("preset", PUBLISHED, ids=lambda preset: preset.name)
def test_presets_say_all_that_staining_needs(preset):
    recipe = Recipe.of(preset.settings, preset.name)
    config = config_of(preset.network, preset.settings, preset.name)
    assert recipe.names_of(config.out_channels) == ("nuclei_prediction", "membrane_prediction")
    assert (recipe.voxel_size[0] is None) == (config.depth == 1)
    assert recipe.source_channels is None
    assert None not in (recipe.normalization, recipe.statistics, recipe.patch_size)
    assert recipe.patch_size % config.stride == 0


def test_recipes_complete_each_other():
    known = Recipe(normalization="mean-std", patch_size=64)
    found = Recipe(normalization="none").over(known)
    assert (found.normalization, found.patch_size, found.voxel_size) == ("none", 64, None)
    assert found.names_of(2) == ("stain_0_prediction", "stain_1_prediction")
    named = Recipe(target_channels=("nuclei_prediction",))
    with pytest.raises(InvalidInput, match="stain 2 channels, but 1 are named"):
        named.names_of(2)
    for about in ({"normalization": "best"}, {"voxel_size": [0, 0.1, 0.1]}, {"patch_size": "x"}):
        with pytest.raises(InvalidInput, match=f"something wrong about its {next(iter(about))}"):
            Recipe.of(about, "a.safetensors")
