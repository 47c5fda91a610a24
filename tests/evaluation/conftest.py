from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from napari_dynaclr.core.plate_writer import FovWriter
from napari_dynaclr.evaluation.trajectories import Trajectories


@pytest.fixture
def figures(monkeypatch):
    """The figures drawn, to be looked into."""
    drawn = []
    original = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: drawn.append(self) or original(self, *a, **k)
    )
    return drawn


def build(rows, vectors, maps=None):
    """Trajectories of rows (track, t, parent, y), all of one FOV."""
    table = pd.DataFrame(rows, columns=["track", "t", "parent", "y"])
    cells = table.assign(fov_name="A/1/0", z=0.0, x=0.0)
    return Trajectories(np.asarray(vectors, np.float32), cells, maps or {})


@pytest.fixture(name="build")
def _build():
    return build


@pytest.fixture
def turning():
    """Eight cells over 20 frames: each keeps a direction of its own, and turns by 1 degree a frame.

    Neighbours are 5 um apart, and drift by 0.1 um a frame.
    """
    rows, vectors = [], []
    for track in range(8):
        for t in range(20):
            rows.append((track, t, -1, 5.0 * track + 0.1 * t))
            vector = np.zeros(16)
            vector[2 * track : 2 * track + 2] = np.cos(np.radians(t)), np.sin(np.radians(t))
            vectors.append(vector)
    return build(rows, vectors)


def stain(dataset, make, channels=("nuclei_prediction", "membrane_prediction")):
    """Write a virtual stain: ``make(fov, t, experimental)`` of both stains (C, Z, Y, X)."""
    for fov in dataset.fovs:
        dataset.workspace.prepare(dataset.channels)
        writer = FovWriter(dataset.workspace, "stain", fov, "key", channels, np.float32)
        for t, frame in fov.frames(["Nuclei", "Membrane"], allow_empty=True):
            writer.write(t, make(fov, t, frame.astype(np.float32)))
        writer.publish()
    dataset.refresh()
    return dataset


@pytest.fixture(name="stain")
def _stain():
    return stain


@pytest.fixture
def stained(dataset):
    """Two FOVs with a virtual stain: the experimental one, blurred, noisy, in other units."""
    noise = np.random.default_rng(0)

    def make(fov, t, frame):
        smooth = gaussian_filter(frame, (0, 0, 1, 1))
        scaled = (smooth - smooth.mean()) / smooth.std()
        return scaled + noise.normal(0, 0.05, scaled.shape).astype(np.float32)

    return stain(dataset.select(["A/1/0", "B/1/0"]), make)
