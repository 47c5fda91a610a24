"""Networks for virtual staining with random weights, small enough for a test."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dynaclr import open_dataset

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


NAMES = ("nuclei_prediction", "membrane_prediction")
ABOUT = {"target_channels": NAMES, "normalization": "mean-std", "statistics": "fov"}
STEM = {1: (1, 2, 2), 5: (5, 4, 4)}


@pytest.fixture(scope="session")
def save(small, tmp_path_factory):
    """Return a function that saves a small stainer of some depth and gives its path."""
    folder = tmp_path_factory.mktemp("stainers")

    def write(depth=1, **about):
        from napari_dynaclr.staining.checkpoint import save_stainer

        path = folder / f"{depth}-{abs(hash(str(about)))}.safetensors"
        if not path.exists():
            network = small(depth=depth, stem=STEM[depth])
            save_stainer(path, network, {**ABOUT, **about})
        return str(path)

    return write


@pytest.fixture
def movie(make_plate):
    """Return a function that makes a plate of noise: T, Z, Y, X of its one FOV."""

    def make(shape=(3, 1, 40, 52), fovs=("A/1/0",), name="p.zarr", images=None, **kwargs):
        rng = np.random.default_rng(1)
        t, z, y, x = shape
        pixels = images or {
            fov: rng.integers(100, 900, (t, 2, z, y, x)).astype(np.uint16) for fov in fovs
        }
        kwargs = {"channels": ("Phase", "Nuclei"), **kwargs}
        return open_dataset(make_plate(name, pixels, **kwargs))

    return make
