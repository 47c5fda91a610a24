"""What the tests of CELLECT's training share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from napari_dynaclr.core.registry import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_dynaclr.core.params import Params

for package in ("torch", "lightning"):
    pytest.importorskip(package)


@pytest.fixture
def quick(truth: Path) -> Callable[..., Params]:
    """Return a function that makes settings of a training of seconds, from the true tracks."""

    def make(**values: Any) -> Params:
        usual = {"patch_size": 64, "epochs": 2, "patches": 8, "batch_size": 4, "device": "cpu"}
        return parse("train", "cellect", {"truth": str(truth)} | usual | values)

    return make


@pytest.fixture
def tracks() -> pd.DataFrame:
    """A cell that divides from t = 1 to 2, one that is missed at t = 1, one that comes late."""
    rows = [
        # track, t, id, parent track, parent id, z, y, x, area
        (1, 0, 1, -1, -1, 0, 10.0, 10.0, 78),
        (1, 1, 2, -1, 1, 0, 11.0, 10.0, 78),
        (2, 2, 3, 1, 2, 0, 6.0, 10.0, 50),
        (3, 2, 4, 1, 2, 0, 16.0, 10.0, 50),
        (4, 0, 5, -1, -1, 0, 30.0, 30.0, 78),
        (4, 2, 6, -1, 5, 0, 30.0, 31.0, 78),
        (5, 2, 7, -1, -1, 0, 4.0, 34.0, 78),
    ]
    names = ["track_id", "t", "id", "parent_track_id", "parent_id", "z", "y", "x", "area"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture
def images() -> np.ndarray:
    """Three frames of noise, (3, Z, Y, X)."""
    return np.random.default_rng(0).normal(size=(3, 1, 40, 40)).astype(np.float16)
