"""A TAP network of random weights, as quick as it is untaught."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def arrow(tmp_path_factory):
    """Weights of a small network, trained on Nuclei as it says, of pairs of neighbouring frames."""
    torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    from napari_dynaclr.embedding.tap.architecture import TapConfig
    from napari_dynaclr.embedding.tap.checkpoint import save_tap
    from napari_dynaclr.embedding.tap.network import TimeArrowNet

    path = tmp_path_factory.mktemp("arrow") / "arrow.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = TimeArrowNet(TapConfig(features=8, maps=4, depth=2)).eval()
    save_tap(path, network, {"source_channel": "Nuclei", "delta_t": 1, "stacks": "slices"})
    return path
