"""TAP networks with random weights, small enough for a test."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")


def _shake(network, seed):
    """Give a network weights of which every one tells: fresh ones hold many zeros and ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                noise = torch.rand(value.shape, generator=generator) - 0.5
                spread = 0.05 if value.ndim > 1 else 0.5
                value.add_(spread * (noise.abs() if "var" in name else noise))
    return network.eval()


@pytest.fixture(scope="session")
def arrow():
    """Return a function that makes a TAP network with random weights, in eval mode."""
    from napari_dynaclr.embedding.tap.architecture import TapConfig
    from napari_dynaclr.embedding.tap.network import TimeArrowNet

    def make(maps=4, features=5, seed=0, **more):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = TimeArrowNet(TapConfig(features=features, maps=maps, **more))
        return _shake(network, seed)

    return make
