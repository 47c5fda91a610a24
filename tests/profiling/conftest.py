from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from napari_dynaclr import open_dataset
from napari_dynaclr.core.shards import write_shard

if TYPE_CHECKING:
    from pathlib import Path

WELLS = ("A/1", "A/2", "B/1", "B/2")


@pytest.fixture
def embedded(make_plate):
    """Return a function that makes a plate whose cells are embedded with given vectors."""

    def make(
        name="plate",
        fields=1,
        times=(0, 1),
        wells=WELLS,
        dimensions=3,
        names=None,
        vector=lambda well, field, t, rng: rng.normal(size=3),
        cells=3,
        key="first",
        seed=0,
    ):
        rng = np.random.default_rng(seed)
        images = {
            f"{well}/{field}": np.full((max(times) + 1, 1, 1, 8, 8), number + 1, np.uint16)
            for number, well in enumerate(wells)
            for field in range(fields)
        }
        dataset = open_dataset(make_plate(f"{name}.zarr", images))
        dataset.workspace.prepare(dataset.channels)
        for fov in dataset.fovs:
            field = int(fov.name.rpartition("/")[2])
            rows = [(t, i) for t in times for i in range(cells)]
            matrix = np.array([vector(fov.well, field, t, rng) for t, _ in rows], np.float32)
            obs = pd.DataFrame(rows, columns=["t", "track_id"])
            obs["id"] = np.arange(len(obs))
            obs["at_border"] = obs["track_id"] == 0
            obs.insert(0, "fov_name", fov.name)
            obs.index = obs.index.astype(str)
            var = pd.DataFrame(index=names or [f"f{i}" for i in range(dimensions)])
            write_shard(dataset.workspace.shard("mine", fov), ad.AnnData(matrix, obs=obs, var=var))
            dataset.workspace.mark_complete("embeddings.mine", fov, key)
        return dataset

    return make


@pytest.fixture
def table(tmp_path: Path):
    """Return a function that writes a conditions table."""

    def write(rows: dict[str, list[str]], name: str = "conditions.csv") -> str:
        pd.DataFrame(rows).to_csv(tmp_path / name, index=False)
        return str(tmp_path / name)

    return write
