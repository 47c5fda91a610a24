from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

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
