from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from iohub.ngff import open_ome_zarr

from napari_dynaclr.sample import SimulateParams, simulate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

SMALL = SimulateParams(
    seed=3,
    wells_per_condition=1,
    fovs_per_well=2,
    time_points=12,
    size=192,
    cells_per_fov=90,
    infection_hours=1.0,
)


@dataclass(frozen=True)
class Simulated:
    """A plate read back whole: arrays (T, C, Z, Y, X) and tables per field."""

    path: Path
    images: dict[str, NDArray[np.uint16]]
    labels: dict[str, NDArray[np.uint16]]
    tracks: dict[str, pd.DataFrame]
    annotations: pd.DataFrame


def _read_back(path: Path) -> Simulated:
    truth = path.with_name(f"{path.stem}_truth.zarr")
    annotations = pd.read_csv(truth / "annotations.csv")
    names = list(dict.fromkeys(annotations["fov_name"]))

    def pixels(plate: Path, name: str) -> NDArray[np.uint16]:
        with open_ome_zarr(plate / name, layout="fov") as position:
            return np.asarray(position["0"][:])

    return Simulated(
        path,
        {name: pixels(path, name) for name in names},
        {name: pixels(truth, name) for name in names},
        {name: pd.read_csv(truth / name / "tracks.csv") for name in names},
        annotations,
    )


def _assert_same(one: Simulated, other: Simulated) -> None:
    assert one.images.keys() == other.images.keys()
    for name in one.images:
        np.testing.assert_array_equal(one.images[name], other.images[name])
        np.testing.assert_array_equal(one.labels[name], other.labels[name])
        pd.testing.assert_frame_equal(one.tracks[name], other.tracks[name])
    pd.testing.assert_frame_equal(one.annotations, other.annotations)


@pytest.fixture(scope="session")
def small_params() -> SimulateParams:
    return SMALL


@pytest.fixture(scope="session")
def read_back() -> Callable[[Path], Simulated]:
    return _read_back


@pytest.fixture(scope="session")
def assert_same() -> Callable[[Simulated, Simulated], None]:
    return _assert_same


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return _read_back(simulate(tmp_path_factory.mktemp("sample") / "small.zarr", SMALL))
