"""Encoders with random weights, small enough for a test."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("timm", reason="the extra 'torch' is not installed")


def shake(network, seed=0):
    """Give a network weights of which every one tells: fresh ones hold many zeros and ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                noise = torch.rand(value.shape, generator=generator) - 0.5
                spread = 0.05 if value.ndim > 1 else 0.1
                value.add_(spread * (noise.abs() if "var" in name else noise))
    return network.eval()


@pytest.fixture(scope="session", name="shake")
def _shake():
    return shake


@pytest.fixture(scope="session")
def mini():
    """Return a function that makes a small encoder with random weights."""
    from napari_dynaclr.embedding.dynaclr.architecture import EncoderConfig
    from napari_dynaclr.embedding.dynaclr.network import ContrastiveEncoder

    def make(channels=2, depth=1, seed=0, **more):
        kernel = (1, 4, 4) if depth < 5 else (5, 4, 4)
        config = EncoderConfig(
            "convnext_mini", channels, depth, kernel, kernel, hidden=48, projection=8, **more
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return shake(ContrastiveEncoder(config), seed)

    return make
