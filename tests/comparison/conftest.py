"""A comparison without training: encoders get random weights, at once."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def figures(monkeypatch):
    """The figures drawn, to be looked into."""
    drawn = []
    original = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: drawn.append(self) or original(self, *a, **k)
    )
    return drawn


@pytest.fixture
def untrained(monkeypatch):
    """Replace training by random weights; return the settings that it was asked for."""
    torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
    pytest.importorskip("timm", reason="the extra 'torch' is not installed")
    from napari_dynaclr.comparison import candidates
    from napari_dynaclr.embedding.dynaclr.architecture import EncoderConfig
    from napari_dynaclr.embedding.dynaclr.checkpoint import save_encoder
    from napari_dynaclr.embedding.dynaclr.network import ContrastiveEncoder

    asked = []

    def train(dataset, params, job):
        asked.append((params, dataset.fov_names))
        file = dataset.workspace.path / "weights" / f"{params.name}.safetensors"
        if file.exists():
            return
        channels = list(params.channels)
        flat = (1, 4, 4)
        with torch.random.fork_rng():
            torch.manual_seed(len(asked))
            network = ContrastiveEncoder(
                EncoderConfig(params.backbone, len(channels), 1, flat, flat)
            )
        file.parent.mkdir(exist_ok=True)
        about = {"source_channels": channels, "normalization": ["cell-percentiles"] * len(channels)}
        save_encoder(file, network, {**about, "patch_size": params.patch_size})

    monkeypatch.setattr(candidates, "train", train)
    return asked
