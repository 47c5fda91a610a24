"""What the tests of profilers share; they need PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

for package in ("torch", "timm", "safetensors", "lightning"):
    pytest.importorskip(package)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a profiler with random weights."""
    import torch

    from napari_dynaclr.embedding.profiler.architecture import ProfilerConfig
    from napari_dynaclr.embedding.profiler.checkpoint import save_profiler
    from napari_dynaclr.embedding.profiler.network import ProfilerNet
    from napari_dynaclr.embedding.profiler.recipe import ProfilerRecipe

    def make(name: str = "profiler", side: int = 32, seed: int = 0, **recipe: Any) -> Path:
        usual = {"source_channels": ("Sensor",), "channel_kind": "fluorescence", "unit": "cell",
                 "pixel_size": 0.55}  # fmt: skip
        told = ProfilerRecipe(**usual | recipe)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = ProfilerNet(ProfilerConfig("mini", len(told.source_channels), side, 8))
        path = tmp_path / f"{name}.safetensors"
        save_profiler(path, network, told)
        return path

    return make
