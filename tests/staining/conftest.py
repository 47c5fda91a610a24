"""Networks for virtual staining with random weights, small enough for a test."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("timm", reason="the extra 'torch' is not installed")


def shake(network, seed=0):
    """Give a network weights of which every one tells: fresh ones hold many zeros and ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.state_dict().values():
            noise = torch.rand(value.shape, generator=generator) - 0.5
            value.add_((0.05 if value.ndim > 1 else 0.1) * noise)
    return network.eval()


@pytest.fixture(scope="session", name="shake")
def _shake():
    return shake


@pytest.fixture(scope="session")
def small():
    """Return a function that makes a small network with random weights."""
    from napari_dynaclr.staining.architecture import StainerConfig
    from napari_dynaclr.staining.network import build

    def make(seed=0, **changes):
        shape = {"dims": (8, 16, 32), "blocks": (1, 2, 1), "decoder_blocks": 1, **changes}
        if shape.get("kind") == "unext2":
            shape = {"backbone": "convnextv2_atto", "stem": (5, 4, 4), "depth": 5, **shape}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return shake(build(StainerConfig(**shape)), seed)

    return make
