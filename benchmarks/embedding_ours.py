"""Our side of ``embedding.py``: what it measures, each in a function."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import zarr
from common import HOME, Measured, measuring
from embedding_cases import CHANNELS, Case

import napari_dynaclr as nd
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.tables import read_tracks
from napari_dynaclr.embedding.cell_patches import Window, read_cells
from napari_dynaclr.sample import SimulateParams, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_dynaclr.embedding.cell_patches import CellPatches

MODES = ("mean-std", "cell-percentiles")
BATCHES = {"cpu": (8, 16, 32), "mps": (32, 128), "cuda": (64, 256, 1024)}
CELLS = {"cpu": 64, "mps": 1024, "cuda": 16384}
"""Cells to time the network with, in each batch size."""


def prepare(case: Case) -> None:
    """Simulate; take the true tracks, of the cells whose windows both cut out whole."""
    for folder in (HOME / "making", case.workspace, case.their_tracks.parent):
        shutil.rmtree(folder, ignore_errors=True)
    made = HOME / "making" / "plate.zarr"
    params = SimulateParams(
        wells_per_condition=1,
        fovs_per_well=1,
        time_points=case.time_points,
        size=case.size,
        z_slices=case.slices,
    )
    simulate(made, params)
    for fov in nd.open_dataset(made).fovs:
        # As reconstructed images are, and as VisCy's percentiles need them.
        as_float(made / fov.name / "0")
    made.rename(case.plate)
    dataset = nd.open_dataset(case.plate, case.workspace)
    dataset.workspace.prepare(dataset.channels)
    half = case.patch // 2
    for fov in dataset.fovs:
        tracks = read_tracks(made.parent / "plate_truth.zarr" / fov.name / "tracks.csv")
        tracks[["z", "y", "x"]] = np.floor(tracks[["z", "y", "x"]]).astype(int)
        inside = (tracks[["y", "x"]] >= half) & (tracks[["y", "x"]] < case.size - half - 1)
        tracks = tracks[inside.all(axis=1)].copy()
        lost = ~tracks["parent_track_id"].isin(tracks["track_id"])
        tracks.loc[lost, "parent_track_id"] = -1
        tracks.loc[~tracks["parent_id"].isin(tracks["id"]), "parent_id"] = -1
        dataset.workspace.tracks_csv(fov).parent.mkdir(parents=True)
        tracks.to_csv(dataset.workspace.tracks_csv(fov), index=False)
        dataset.workspace.mark_complete("tracks", fov, "truth", {})
        folder = case.their_tracks / fov.name
        folder.mkdir(parents=True)
        tracks[["y", "x"]] += 1
        tracks.to_csv(folder / "tracks.csv", index=False)
    shutil.rmtree(made.parent)


def as_float(path: Path) -> None:
    """Make an array one of floats, in the same chunks."""
    old = zarr.open_array(path, mode="r")
    names = old.metadata.dimension_names
    pixels, chunks = old[:].astype(np.float32), old.chunks
    zarr.create_array(path, data=pixels, chunks=chunks, dimension_names=names, overwrite=True)


def weights(case: Case) -> None:
    """Make random weights, as Lightning keeps them."""
    import torch

    from napari_dynaclr.embedding.dynaclr.architecture import EncoderConfig
    from napari_dynaclr.embedding.dynaclr.network import ContrastiveEncoder

    torch.manual_seed(0)
    config = EncoderConfig(case.backbone, len(CHANNELS), case.depth, case.stem, case.stem)
    state = ContrastiveEncoder(config).state_dict()
    for name, value in state.items():
        if name.endswith("gamma"):  # else blocks that have not been trained add next to nothing
            value.fill_(0.5)
    torch.save({"state_dict": {f"model.{name}": v for name, v in state.items()}}, case.weights)


def patches(case: Case) -> Iterator[CellPatches]:
    dataset = nd.open_dataset(case.plate, case.workspace)
    size = (case.depth, case.patch, case.patch)
    window = Window(CHANNELS, size, case.z_range[0], MODES)
    for fov in dataset.fovs:
        tracks = dataset.workspace.tracks(fov)
        yield from read_cells(dataset, fov, tracks, sorted(set(tracks["t"])), window, Job())


def read(case: Case) -> Measured:
    with measuring() as found:
        for piece in patches(case):
            found.done += len(piece.rows)
    return found


def embed(case: Case, device: str) -> Measured:
    dataset = nd.open_dataset(case.plate, case.workspace)
    for fov in dataset.fovs:
        dataset.workspace.forget("embeddings.dynaclr", fov)
        shutil.rmtree(dataset.workspace.shard("dynaclr", fov), ignore_errors=True)
    params = nd.params(
        "embed",
        "dynaclr",
        preset="none",
        weights=str(case.weights),
        channels=CHANNELS,
        depth=case.depth,
        z_start=case.z_range[0],
        patch_size=case.patch,
        normalization=MODES,
        device=device,
    )
    with measuring() as found:
        done = nd.embed(dataset, params)
        found.done = int(done["cells"].sum())
    return found


def result(case: Case) -> pd.DataFrame:
    """Embeddings and projections by FOV and cell."""
    dataset = nd.open_dataset(case.plate, case.workspace)
    shards = [dataset.workspace.embedding("dynaclr", fov) for fov in dataset.fovs]
    values = [np.hstack([shard.X, shard.obsm["X_projections"]]) for shard in shards]
    keys = pd.concat([shard.obs[["fov_name", "id"]].astype(str) for shard in shards])
    return pd.DataFrame(np.vstack(values), index=pd.MultiIndex.from_frame(keys))


def bare(case: Case, device: str) -> Measured:
    """Run the network over patches that are on the device already, in its best batch size."""
    import torch

    from napari_dynaclr.embedding.dynaclr.checkpoint import load_encoder

    network = load_encoder(case.weights, case.depth).network.to(device)
    some = torch.from_numpy(next(patches(case)).pixels)
    mixed = device == "cuda"  # as `embed` computes there
    fastest = Measured(1, np.inf)
    for size in BATCHES[device]:
        batch = some[torch.arange(size) % len(some)].to(device)
        batch = batch.half() if mixed else batch
        with torch.inference_mode(), torch.autocast(device, torch.float16, enabled=mixed):
            network(batch)[0].cpu()
            with measuring() as found:
                for _ in range(max(2, CELLS[device] // size)):
                    network(batch)[0].cpu()
                    found.done += size
        if found.done / found.seconds > fastest.done / fastest.seconds:
            fastest = found
    return fastest
