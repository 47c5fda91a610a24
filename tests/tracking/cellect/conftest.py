"""Small models of random weights, and MLPs whose answer is known. CELLECT needs torch."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")


@pytest.fixture(scope="session")
def small():
    """A model of random weights whose blocks do not depend on what is around them.

    It finds centres in noise, some of them twice.
    """
    from napari_dynaclr.tracking.cellect.architecture import CellectConfig
    from napari_dynaclr.tracking.cellect.model import Cellect

    torch.manual_seed(3)
    config = CellectConfig(
        base=2, levels=2, embedding=8, enhancement_base=1, norm="batch", candidates=5
    )
    model = Cellect(config).eval()
    with torch.no_grad():
        for weight in model.net.parameters():
            if weight.ndim == 5:
                weight.mul_(3)
    return model


@pytest.fixture(scope="session")
def weights(small, tmp_path_factory):
    """That model as a file, for images of 0.55 um."""
    from napari_dynaclr.tracking.cellect.checkpoint import save_cellect

    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    about = {"voxel_size": (1.5, 0.55, 0.55), "diameter_um": 14.0, "source_channel": "Nuclei"}
    save_cellect(path, small, about)
    return path


class AlikeInter:
    """Scores of candidates by how alike they look; what its first number says divides, does."""

    def __call__(self, pairs):
        from napari_dynaclr.tracking.cellect.heads import NEVER, InterScores

        apart = (pairs.candidate - pairs.target[:, None])[..., 1:].norm(dim=-1)
        link = (4 - 20 * apart).masked_fill(~pairs.there, NEVER)
        none = torch.zeros(len(link), 1)
        divides = pairs.target[:, :1] > 0.5
        division = torch.cat([~divides, divides], 1).float() * 10
        return InterScores(torch.cat([link, none], 1), division)


@pytest.fixture
def alike():
    return AlikeInter()


@pytest.fixture
def make_cells():
    """Return a function that makes cells of known identity."""
    import numpy as np

    from napari_dynaclr.tracking.cellect.candidates import Cells

    def make(places, looks, dividing=(), size=4.0):
        looks = np.asarray(looks)
        embedding = torch.zeros(len(looks), 3)
        embedding[:, 1] = torch.as_tensor(looks, dtype=torch.float32)
        for row in dividing:
            embedding[row, 0] = 1
        position = np.zeros((len(looks), 3), np.float32)
        position[:, 1:] = places
        return Cells(
            position, embedding, torch.full((len(looks),), size), torch.zeros(len(looks), 2)
        )

    return make
