"""What the tests of TAP's training share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from napari_dynaclr.core.registry import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from napari_dynaclr.core.params import Params

for package in ("torch", "lightning"):
    pytest.importorskip(package)


@pytest.fixture
def quick() -> Callable[..., Params]:
    """Return a function that makes settings of a training of seconds."""

    def make(**values: Any) -> Params:
        usual = {"patch_size": 32, "epochs": 2, "pairs": 8, "batch_size": 4, "device": "cpu"}
        return parse("train", "tap", usual | values)

    return make


@pytest.fixture
def stretches(dataset):
    """Stretches of the simulated plate's nuclei, all of it, with pairs of neighbouring frames."""
    from napari_dynaclr.embedding.tap.training.movies import Place, Stretch

    return [
        Stretch(Place(0, dataset, fov, "Nuclei", "slices", 1), 0, fov.shape[0] - 1)
        for fov in dataset.fovs[:2]
    ]


@pytest.fixture
def movie(make_plate, tmp_path):
    """Return a function that opens a movie (T, Z, Y, X), or several, as a dataset."""
    from napari_dynaclr import open_dataset

    def make(*images: np.ndarray, name: str = "movie", channel: str = "Nuclei", **more: Any):
        plate = make_plate(
            f"{name}.zarr",
            {f"A/1/{number}": image[:, None] for number, image in enumerate(images)},
            channels=(channel,),
            **more,
        )
        return open_dataset(plate, tmp_path / f"{name}.dynaclr")

    return make
