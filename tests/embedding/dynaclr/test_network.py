"""Our encoder against viscy-models', weight for weight."""

from __future__ import annotations

import socket
import warnings

import pytest
import torch

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.dynaclr.architecture import BACKBONES, EncoderConfig
from napari_dynaclr.embedding.dynaclr.network import ContrastiveEncoder

FLAT, DEEP = (1, 4, 4), (5, 4, 4)
CASES = [
    ("convnext_tiny", 2, 30, DEEP, 32),  # DynaCLR-DENV-VS+Ph
    pytest.param("convnext_tiny", 2, 15, DEEP, 128, marks=pytest.mark.slow),
    pytest.param("convnext_tiny", 1, 1, FLAT, 32, marks=pytest.mark.slow),
    ("convnextv2_tiny", 2, 15, DEEP, 32),
    pytest.param("convnextv2_tiny", 3, 1, FLAT, 32, marks=pytest.mark.slow),
    pytest.param("resnet50", 1, 20, DEEP, 32, marks=pytest.mark.slow),
    ("resnet50", 2, 1, FLAT, 32),
]


@pytest.fixture(scope="module")
def oracle():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("viscy_models.contrastive").ContrastiveEncoder


@pytest.mark.parametrize(("backbone", "channels", "depth", "kernel", "projection"), CASES)
def test_weights_of_viscy_models_load_strictly_both_ways_and_give_the_same(
    oracle, shake, backbone, channels, depth, kernel, projection
):
    theirs = oracle(
        backbone,
        channels,
        depth,
        stem_kernel_size=kernel,
        stem_stride=kernel,
        projection_dim=projection,
    )
    config = EncoderConfig(backbone, channels, depth, kernel, kernel, projection=projection)
    ours = ContrastiveEncoder(config)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    patches = torch.randn(2, channels, depth, 32, 32, generator=torch.Generator().manual_seed(1))

    shake(theirs, 1)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    compare(ours, theirs, patches)
    shake(ours, 2)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    compare(ours, theirs, patches)


def compare(ours, theirs, patches):
    with torch.inference_mode():
        found, expected = ours.eval()(patches), theirs.eval()(patches)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.std() > 1e-3
        assert (one - other).abs().max() <= 1e-5


def test_the_published_encoder_has_194_weights_and_28_million_numbers():
    network = ContrastiveEncoder(EncoderConfig("convnext_tiny", 2, 30))
    assert len(network.state_dict()) == 194
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(28.4e6, rel=0.01)


def test_the_mini_encoder_is_a_few_megabytes(mini):
    network = mini(channels=2, depth=15)
    assert 4 * sum(p.numel() for p in network.parameters()) < 5.1e6
    embedding, projection = network(torch.zeros(3, 2, 15, 32, 32))
    assert embedding.shape == (3, BACKBONES["convnext_mini"].embedding)
    assert projection.shape == (3, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "convnext_huge"}, "no backbone 'convnext_huge': choose one of convnext_tiny"),
        ({"depth": 3}, "stem of 5 slices does not fit into 3"),
        ({"backbone": "resnet50", "depth": 15}, "64 channels of resnet50 cannot be divided among"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(changes, message):
    with pytest.raises(InvalidInput, match=message):
        EncoderConfig(**changes)


def test_making_an_encoder_needs_no_network_connection(monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("asked for a connection")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for backbone in BACKBONES:
        ContrastiveEncoder(EncoderConfig(backbone, depth=5))
