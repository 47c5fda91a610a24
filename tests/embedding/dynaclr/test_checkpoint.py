"""Weights in every form that users have, and files that are not what they seem."""

from __future__ import annotations

import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.dynaclr.architecture import EncoderConfig
from napari_dynaclr.embedding.dynaclr.checkpoint import load_encoder, save_encoder
from napari_dynaclr.embedding.dynaclr.network import ContrastiveEncoder
from napari_dynaclr.learning.checkpoint import read_checkpoint

PWNED = "pwned"


@pytest.fixture(scope="module")
def network(mini):
    return mini(channels=2, depth=15)


def lightning(network, **more):
    """A checkpoint as Lightning writes it: weights under a prefix, and much else."""
    return {
        "epoch": 94,
        "global_step": 2375,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {
            **{f"model.{name}": value for name, value in network.state_dict().items()},
            "auxiliary_heads.0.weight": torch.zeros(3),
            "loss_function.margin": torch.zeros(()),
        },
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}}],
        **more,
    }


def newer(network):
    return {
        name.replace("projection.", "projection.backbone."): value
        for name, value in network.state_dict().items()
    }


def wrongly_named(network, path):
    torch.save(lightning(network), path.with_suffix(".ckpt"))
    path.with_suffix(".ckpt").rename(path)


FORMS = {
    "lightning.ckpt": lambda n, p: torch.save(lightning(n), p),
    "plain.pt": lambda n, p: torch.save(n.state_dict(), p),
    "before-1.6.pth": lambda n, p: torch.save(
        n.state_dict(), p, _use_new_zipfile_serialization=False
    ),
    "plain.safetensors": lambda n, p: save_file(n.state_dict(), p),
    "own.safetensors": lambda n, p: save_encoder(p, n, {"patch_size": 64}),
    "newer-head.pt": lambda n, p: torch.save(newer(n), p),
    "compiled.ckpt": lambda n, p: torch.save(
        {"state_dict": {f"model._orig_mod.{k}": v for k, v in n.state_dict().items()}}, p
    ),
    "no.suffix": lambda n, p: torch.save(lightning(n), p),
    "wrongly-named.safetensors": wrongly_named,
    "wrongly-named.pt": lambda n, p: save_file(n.state_dict(), p),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_network(network, tmp_path, form):
    path = tmp_path / form
    FORMS[form](network, path)
    loaded = load_encoder(path)
    assert loaded.network.config == network.config
    assert not loaded.network.training
    patches = torch.randn(2, 2, 15, 32, 32)
    with torch.inference_mode():
        for found, expected in zip(loaded.network(patches), network(patches), strict=True):
            assert torch.equal(found, expected)


def test_what_was_inferred_is_told(network, tmp_path):
    torch.save(lightning(network), tmp_path / "a.ckpt")
    (told,) = load_encoder(tmp_path / "a.ckpt").told
    assert told == (
        "Read off the weights: convnext_mini, 2 channels, 15 slices, 192-dimensional embedding, "
        "8-dimensional projection, stem (5, 4, 4). Depths up to 19 would also fit: set the depth "
        "if it was trained with more."
    )
    assert load_encoder(tmp_path / "a.ckpt", depth=18).network.config.depth == 18


def test_our_own_files_say_what_they_are(network, tmp_path):
    save_encoder(tmp_path / "a.safetensors", network, {"patch_size": 64, "channels_used": ["A"]})
    loaded = load_encoder(tmp_path / "a.safetensors")
    assert loaded.told[0].startswith("The weights say of themselves: convnext_mini, 2 channels")
    assert loaded.about["patch_size"] == 64
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("backbone", "depth", "kernel"),
    [("convnext_tiny", 30, 5), ("convnextv2_tiny", 15, 5), ("resnet50", 1, 1)],
)
def test_every_backbone_is_recognised(tmp_path, backbone, depth, kernel):
    size = (kernel, 4, 4)
    config = EncoderConfig(backbone, 2, depth, size, size, projection=32)
    torch.save(ContrastiveEncoder(config).state_dict(), tmp_path / "a.pt")
    assert load_encoder(tmp_path / "a.pt").network.config == config


class Evil:
    def __reduce__(self):
        return os.system, (f"touch {PWNED}",)


def cut(path, part=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])


@pytest.fixture(scope="module")
def bad_files(network, tmp_path_factory):
    """A folder of files that are not what they seem."""
    folder = tmp_path_factory.mktemp("bad")

    def file(name):
        return folder / name

    torch.save({"state_dict": Evil()}, file("evil.ckpt"))
    file("evil.pkl").write_bytes(pickle.dumps({"state_dict": Evil()}))
    file("evil-2.pkl").write_bytes(pickle.dumps({"state_dict": Evil()}, protocol=2))
    torch.save(lightning(network, hyper_parameters=Evil()), file("half-evil.ckpt"))
    for name in ("cut.ckpt", "cut.safetensors", "cut.pth"):
        form = {"ckpt": "lightning.ckpt", "safetensors": "plain.safetensors"}
        FORMS[form.get(name.partition(".")[2], "before-1.6.pth")](network, file(name))
        cut(file(name))
    with zipfile.ZipFile(file("notes.zip"), "w") as archive:
        archive.writestr("notes.txt", "no weights here")
    file("empty.ckpt").touch()
    file("page.ckpt").write_text("<html>404</html>")
    file("noise.pth").write_bytes(b"\x80\x04garbage")
    torch.save([1, 2], file("list.pt"))
    torch.save({"epoch": 3}, file("nothing.pt"))
    torch.save({"encoder_stages.stem_1.weight": torch.zeros(3)}, file("staining.ckpt"))
    torch.save({"conv1.weight": torch.zeros(3)}, file("other.pt"))
    state = network.state_dict()
    torch.save({k: v for k, v in state.items() if "stages.2" not in k}, file("shallow.pt"))
    torch.save({k: v for k, v in state.items() if "projection" not in k}, file("headless.pt"))
    torch.save({k: v for k, v in state.items() if k != "encoder.head.norm.bias"}, file("lacks.pt"))
    torch.save({**state, "extra.weight": torch.zeros(2)}, file("more.pt"))
    torch.save({**state, "projection.4.bias": torch.zeros(3)}, file("size.pt"))
    torch.save({**state, "projection.4.bias": torch.full((8,), torch.nan)}, file("nan.pt"))
    return folder


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("evil.ckpt", "asks for (posix|nt).system, which could run code: it was not run"),
        ("evil.pkl", "is no checkpoint of PyTorch"),
        ("evil-2.pkl", "is no checkpoint of PyTorch|asks for"),
        ("half-evil.ckpt", "asks for (posix|nt).system, which could run code: it was not run"),
        ("cut.ckpt", "cut short or damaged"),
        ("cut.safetensors", "cut short or damaged"),
        ("cut.pth", "cut short or damaged"),
        ("notes.zip", "is no checkpoint of PyTorch"),
        ("empty.ckpt", "is no checkpoint: choose a .ckpt or .pt"),
        ("page.ckpt", "is no checkpoint: choose a .ckpt or .pt"),
        ("noise.pth", "is no checkpoint of PyTorch"),
        ("list.pt", "holds no weights"),
        ("nothing.pt", "holds no weights"),
        ("staining.ckpt", "is a network for virtual staining, not a DynaCLR encoder"),
        ("other.pt", "is not a DynaCLR encoder that is known here"),
        ("shallow.pt", "is not a DynaCLR encoder that is known here"),
        ("headless.pt", "is no whole DynaCLR encoder: it lacks 'projection.0.weight'"),
        ("lacks.pt", "it lacks 'encoder.head.norm.bias'"),
        ("more.pt", "it also has 'extra.weight'"),
        ("size.pt", "it has in another size 'projection.4.bias'"),
        ("nan.pt", "NaN or infinite"),
        ("absent.pt", "There is no weights file"),
    ],
)
def test_a_bad_file_is_one_line_and_runs_no_code(bad_files, tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=message) as caught:
        load_encoder(bad_files / name)
    assert "\n" not in str(caught.value)
    assert str(bad_files / name) in str(caught.value)
    assert not (tmp_path / PWNED).exists()


def test_a_depth_that_does_not_fit_the_weights_is_refused(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "a.pt")
    for depth in (14, 20, 1):
        with pytest.raises(InvalidInput, match=f"takes 15 to 19 slices, not {depth}: set"):
            load_encoder(tmp_path / "a.pt", depth=depth)
    save_encoder(tmp_path / "a.safetensors", network)
    with pytest.raises(InvalidInput, match="takes 15 slices, not 30"):
        load_encoder(tmp_path / "a.safetensors", depth=30)


def test_a_file_that_says_nonsense_of_itself_is_refused(network, tmp_path):
    path = tmp_path / "a.safetensors"
    for about in ('{"backbone": "convnext_mini"}', '{"backbone": "x", "kernel": 3}', "{", "[]"):
        save_file(network.state_dict(), path, metadata={"napari_dynaclr": about})
        if about == "[]":
            assert read_checkpoint(path).about == {}
            continue
        with pytest.raises(InvalidInput, match=r"a\.safetensors"):
            load_encoder(path)
