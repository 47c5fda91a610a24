"""ConvNeXt with weights as its authors and timm keep them; here random ones."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr import embed
from napari_dynaclr.core.errors import InvalidInput

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
timm = pytest.importorskip("timm", reason="the extra 'torch' is not installed")

from napari_dynaclr.embedding.imagenet import ImagenetParams, load_imagenet  # noqa: E402

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return timm.create_model("convnext_tiny", pretrained=False).eval()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("imagenet") / "convnext.pth"
    torch.save(network.state_dict(), path)
    return path


def photograph(patches):
    """What is done to photographs before they are shown to such a network."""
    colours = patches[:, :, 0].expand(-1, 3, -1, -1)
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    return (colours - mean) / deviation


@pytest.mark.parametrize("channels", [1, 3])
def test_a_patch_is_seen_as_a_photograph(network, weights, channels):
    patches = torch.rand(2, channels, 1, 64, 64)
    with torch.inference_mode():
        found = load_imagenet(weights, channels)(patches)
        expected = network.forward_head(network.forward_features(photograph(patches)), True)
    assert found.shape == (2, 768)
    assert (found - expected).abs().max() < 1e-4


def theirs(state):
    """Name weights as ConvNeXt's authors do."""
    renamed = {}
    for name, value in state.items():
        name = name.replace("stem.", "downsample_layers.0.").replace(".blocks.", ".")
        name = name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        for i in range(1, 4):
            name = name.replace(f"stages.{i}.downsample", f"downsample_layers.{i}")
        name = name.replace("head.fc.", "head.").replace("head.norm.", "norm.")
        renamed[name] = value
    return renamed


def test_the_authors_names_are_understood(network, weights, tmp_path):
    torch.save({"model": theirs(network.state_dict())}, tmp_path / "theirs.pth")
    patches = torch.rand(1, 1, 1, 32, 32)
    with torch.inference_mode():
        one, other = (
            load_imagenet(path, 1)(patches) for path in (weights, tmp_path / "theirs.pth")
        )
    assert torch.equal(one, other)


def test_other_weights_are_refused(tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "a.pt")
    with pytest.raises(InvalidInput, match="does not hold a ConvNeXt-Tiny"):
        load_imagenet(tmp_path / "a.pt", 1)


@pytest.mark.parametrize("channels", [("Sensor",), ("Phase", "Nuclei", "Sensor")])
def test_cells_are_embedded_from_one_channel_or_three(processed, weights, channels):
    one = processed.select(["B/1/0"])
    params = ImagenetParams(channels=channels, weights=str(weights), patch_size=32)
    table = embed(one, params)
    assert table["dimensions"].tolist() == [768]
    shard = one.workspace.embedding("imagenet", one.fovs[0])
    assert shard.n_obs == len(one.workspace.tracks(one.fovs[0]))
    assert np.isfinite(shard.X).all()
    assert np.asarray(shard.X).std(axis=0).max() > 0
    assert "X_projections" not in shard.obsm


@pytest.mark.parametrize("channels", [(), ("Phase", "Sensor")])
def test_neither_one_nor_three_channels_are_refused(processed, weights, channels):
    with pytest.raises(InvalidInput, match="Choose one channel, or three to be shown as red"):
        embed(processed, ImagenetParams(channels=channels, weights=str(weights)))
