"""Data that many tests share: a small simulated plate, and the real data where it is there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from iohub.ngff import TransformationMeta, open_ome_zarr

from napari_dynaclr import Dataset, open_dataset
from napari_dynaclr.core.registry import parse
from napari_dynaclr.sample import SimulateParams, simulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# napari's fixtures reset its settings for each test, and napari writes them at each change: into
# the user's own file, were there one. It is read when napari is imported, so not in a fixture.
os.environ["NAPARI_CONFIG"] = ""

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated plate: wells A/1 (mock) and B/1 (infected), 2 FOVs each, 10 x 1 x 192 x 192."""
    path = tmp_path_factory.mktemp("plate") / "plate.zarr"
    params = SimulateParams(
        wells_per_condition=1, fovs_per_well=2, time_points=10, size=192, infection_hours=1.5
    )
    return simulate(path, params)


@pytest.fixture(scope="session")
def truth(plate: Path) -> Path:
    """The ground truth of :func:`plate`: label images, tracks and annotations."""
    return plate.with_name("plate_truth.zarr")


@pytest.fixture
def dataset(plate: Path, tmp_path: Path) -> Dataset:
    """The plate with an empty workspace of the test's own."""
    return open_dataset(plate, tmp_path / "plate.dynaclr")


@pytest.fixture(scope="session")
def _processed_workspace(
    plate: Path, truth: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    import pandas as pd

    from napari_dynaclr import annotate, classify, embed, project, segment, track

    home = tmp_path_factory.mktemp("processed")
    dataset = open_dataset(plate, home / "plate.dynaclr")
    segment(dataset)
    track(dataset)
    embed(dataset)
    project(dataset, parse("project", "pca", {}))
    states = pd.read_csv(truth / "annotations.csv")
    clicks = states.groupby("infection_state").sample(20, random_state=0)
    clicks = clicks.rename(columns={"infection_state": "state"})
    clicks[["fov_name", "t", "y", "x", "state"]].to_csv(home / "clicks.csv", index=False)
    annotate(dataset, parse("annotate", "points", {"path": str(home / "clicks.csv")}))
    classify(dataset)
    return home / "plate.dynaclr"


@pytest.fixture
def processed(plate: Path, _processed_workspace: Path, tmp_path: Path) -> Dataset:
    """The plate with every stage done: a copy that the test may change."""
    shutil.copytree(_processed_workspace, tmp_path / "plate.dynaclr")
    return open_dataset(plate, tmp_path / "plate.dynaclr")


@pytest.fixture(scope="session")
def t98g() -> Path:
    """The real time-lapse; the test is skipped where it is absent."""
    path = SHARED_DATA / "t98g.zarr"
    if not path.exists():
        pytest.skip("the real data (shared/data/t98g.zarr) is not there")
    return path


@pytest.fixture
def make_plate(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes arrays (T, C, Z, Y, X), by FOV name, as an OME-Zarr plate."""

    def make(
        name: str,
        images: dict[str, NDArray[Any]],
        channels: tuple[str, ...] = ("Nuclei",),
        scale: tuple[float, float, float] = (1.0, 1.0, 1.0),
        version: str = "0.4",
    ) -> Path:
        path = tmp_path / name
        transform = [TransformationMeta(type="scale", scale=[60.0, 1.0, *scale])]
        with open_ome_zarr(
            path, layout="hcs", mode="w-", channel_names=list(channels), version=version
        ) as plate:
            for fov, image in images.items():
                position = plate.create_position(*fov.split("/"))
                position.create_image("0", image, transform=transform)
        return path

    return make
