from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from iohub.ngff import open_ome_zarr

from napari_dynaclr import open_dataset
from napari_dynaclr.core.annotations import write_annotations
from napari_dynaclr.core.journal import Journal, Mark
from napari_dynaclr.core.shards import write_shard
from napari_dynaclr.core.tables import node_id

if TYPE_CHECKING:
    from pathlib import Path

    from napari_dynaclr import Dataset

FOVS = ("A/1/0", "A/1/1", "B/1/0", "B/1/1")
TRACKS, TIMES = 8, 5


@dataclass
class Embedded:
    """A dataset whose embedding holds two states that a line can part."""

    dataset: Dataset
    truth: pd.DataFrame

    def annotate(self, cells: pd.DataFrame, states=None, task: str = "infection") -> None:
        states = cells["state"] if states is None else states
        marks = [
            Mark(c.fov_name, c.id, c.track_id, c.t, 0.0, 1.0, 1.0, task, state)
            for c, state in zip(cells.itertuples(), states, strict=True)
        ]
        Journal(self.dataset.workspace.journal).add(marks, "ada")
        write_annotations(self.dataset)

    def some(self, count: int = 30, seed: int = 0) -> pd.DataFrame:
        """Cells to annotate, both states among them."""
        return self.truth.groupby("state").sample(count // 2, random_state=seed)


@pytest.fixture(scope="session")
def _template(tmp_path_factory) -> Embedded:
    home = tmp_path_factory.mktemp("embedded")
    with open_ome_zarr(
        home / "movie.zarr", layout="hcs", mode="w-", channel_names=["Nuclei"], version="0.4"
    ) as plate:
        for name in FOVS:
            position = plate.create_position(*name.split("/"))
            position.create_image("0", np.ones((TIMES, 1, 1, 8, 8), np.uint16))
    dataset = open_dataset(home / "movie.zarr")
    dataset.workspace.prepare(dataset.channels)
    generator = np.random.default_rng(0)
    tables = []
    for fov in dataset.fovs:
        rows = [(track, t) for track in range(1, TRACKS + 1) for t in range(TIMES)]
        obs = pd.DataFrame(rows, columns=["track_id", "t"])
        obs["id"] = node_id(obs["t"], obs["track_id"])
        obs["parent_track_id"] = np.where(obs["track_id"] > TRACKS - 2, 1, -1)
        obs["parent_id"] = -1
        for axis in "zyx":
            obs[axis] = 0.0
        obs.insert(0, "fov_name", fov.name)
        infected = (obs["track_id"] % 2 == 1) & (obs["t"] >= 1)
        state = np.where(infected, "infected", "uninfected")
        vectors = generator.normal(0, 1, (len(obs), 6)).astype(np.float32)
        vectors[:, 0] += np.where(infected, 6, 0)
        vectors[:, 1] = 1e4 * vectors[:, 1] + 1e6  # another unit: only scaled it is harmless
        obs.index = [f"{fov.name}/{node}" for node in obs["id"]]
        var = pd.DataFrame({"description": ["."] * 6}, index=[f"f{i}" for i in range(6)])
        write_shard(dataset.workspace.shard("features", fov), ad.AnnData(vectors, obs=obs, var=var))
        dataset.workspace.mark_complete("embeddings.features", fov, f"key of {fov.name}")
        tables.append(obs.assign(state=state))
    return Embedded(dataset, pd.concat(tables, ignore_index=True))


@pytest.fixture
def embedded(_template: Embedded, tmp_path: Path) -> Embedded:
    """4 FOVs x 8 tracks x 5 frames; the last 2 tracks of each FOV are daughters of the first."""
    shutil.copytree(_template.dataset.workspace.path, tmp_path / "movie.dynaclr")
    dataset = open_dataset(_template.dataset.root, tmp_path / "movie.dynaclr")
    return Embedded(dataset, _template.truth.copy())
