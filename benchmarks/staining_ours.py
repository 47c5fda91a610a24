"""Our side of ``staining.py``: what it measures, each in a function."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
from common import HOME, Measured, counting_reads, measuring
from staining_cases import SOURCE, TARGETS, Case

import napari_dynaclr as nd
from napari_dynaclr.sample import SimulateParams, simulate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MINUTES = 3.0
"""Limit of the training of the network that is trained."""


def simulated(case: Case, seed: int, size: int, time_points: int) -> Path:
    path = HOME / f"staining_simulated_{seed}_t{time_points}_z{case.slices}_{size}.zarr"
    if not path.exists():
        params = SimulateParams(
            seed=seed,
            wells_per_condition=1,
            fovs_per_well=1,
            time_points=time_points,
            size=size,
            z_slices=case.slices,
        )
        simulate(path, params)
    return path


def prepare(case: Case) -> None:
    """Cut a FOV of the case's size out of a simulated one, a chunk for each slice."""
    from iohub.ngff import open_ome_zarr

    made = simulated(case, 0, max(case.size), case.time_points)
    height, width = case.size
    shutil.rmtree(case.making, ignore_errors=True)
    with (
        open_ome_zarr(made, mode="r") as source,
        open_ome_zarr(
            case.making, layout="hcs", mode="w-", channel_names=source.channel_names, version="0.5"
        ) as plate,
    ):
        _, first = next(iter(source.positions()))
        pixels = first["0"][..., :height, :width]
        fov = plate.create_position("A", "1", "0")
        fov.create_image("0", pixels, chunks=(1, 1, 1, height, width))


def train(case: Case) -> None:
    """Train the case's network, from random weights, on stacks that it is not measured on."""
    import torch

    from napari_dynaclr.staining.checkpoint import save_stainer
    from napari_dynaclr.staining.network import build
    from napari_dynaclr.staining.viscy import config_of

    torch.manual_seed(0)
    network = case.made
    config = config_of(network.architecture, network.config, case.network)
    start = HOME / "staining_start.safetensors"
    save_stainer(start, build(config))
    dataset = nd.open_dataset(simulated(case, 1, 256, 4), HOME / "staining_training.dynaclr")
    params = nd.params(
        "train",
        "staining",
        name="small",
        source=SOURCE,
        targets=TARGETS,
        start_from=str(start),
        learning_rate=0.002,
        patch_size=128,
        batch_size=4,
        l1=1.0,
        augment=False,
        patches=200,
        epochs=10,
        minutes=MINUTES,
    )
    nd.train(dataset, params)
    shutil.copy(dataset.workspace.trained("small"), case.trained)


def stain(case: Case, device: str, stride: int, padding: str) -> Measured:
    shutil.rmtree(case.workspace, ignore_errors=True)
    dataset = nd.open_dataset(case.plate, case.workspace)
    params = nd.params(
        "stain",
        "cytoland",
        preset="none",
        weights=str(case.weights),
        channel=SOURCE,
        z_stride=stride,
        normalization="mean-std",
        statistics="fov",
        padding=padding,
        device=device,
    )
    with measuring() as found:
        nd.stain(dataset, params)
        found.done = case.time_points * case.slices
    return found


def reads(case: Case, device: str) -> float:
    """How often a slice of the source is read."""
    with counting_reads(case.plate) as found:
        stain(case, device, 1, "reflect")
    return sum(found.values()) / (case.time_points * case.slices)


def result(case: Case) -> NDArray[np.float32]:
    """The last stain, (T, C, Z, Y, X)."""
    return pixels(case.workspace / "stain.zarr")


def truth(case: Case) -> NDArray[Any]:
    """The fluorescence, (T, C, Z, Y, X)."""
    from iohub.ngff import open_ome_zarr

    with open_ome_zarr(case.plate, mode="r") as plate:
        channels = [plate.get_channel_index(name) for name in TARGETS]
        _, fov = next(iter(plate.positions()))
        return np.asarray(fov["0"][:])[:, channels]


def pixels(path: Path) -> NDArray[np.float32]:
    from iohub.ngff import open_ome_zarr

    with open_ome_zarr(path, mode="r") as plate:
        _, fov = next(iter(plate.positions()))
        return np.asarray(fov["0"][:])
