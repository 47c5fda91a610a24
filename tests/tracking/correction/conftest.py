"""A small movie of boxes that has been tracked, to be corrected."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from boxes import FOV, begin, boxes

from napari_dynaclr import annotate, classify, embed, open_dataset, project
from napari_dynaclr.core.registry import parse


@pytest.fixture(scope="session")
def _made(tmp_path_factory):
    """Where the movies are kept that a test has made, for the others to copy."""
    return tmp_path_factory.mktemp("movies")


def _copy(kept, make, tmp_path):
    if not kept.exists():
        dataset = make()
        shutil.copytree(tmp_path, kept)
        return dataset
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    return open_dataset(tmp_path / "movie.zarr")


@pytest.fixture
def movie(make_plate, tmp_path, _made):
    """One FOV of four boxes, tracked."""
    return _copy(_made / "tracked", lambda: begin(make_plate, boxes()), tmp_path)


@pytest.fixture
def embedded(make_plate, tmp_path, _made):
    """The same with an embedding."""

    def make():
        dataset = begin(make_plate, boxes())
        embed(dataset)
        return dataset

    return _copy(_made / "embedded", make, tmp_path)


def _predict(dataset, folder):
    """Annotate every cell, and predict."""
    tables = [dataset.workspace.tracks(fov).assign(fov_name=fov.name) for fov in dataset.fovs]
    table = pd.concat(tables)
    table["state"] = np.where(table["track_id"] < 3, "infected", "uninfected")
    table[["fov_name", "t", "y", "x", "state"]].to_csv(folder / "clicks.csv", index=False)
    annotate(dataset, parse("annotate", "points", {"path": str(folder / "clicks.csv")}))
    classify(dataset, parse("classify", "linear", {"folds": 2}))


@pytest.fixture
def predicted(make_plate, tmp_path, _made):
    """One FOV with an embedding, a map and predictions."""

    def make():
        dataset = begin(make_plate, boxes())
        embed(dataset)
        project(dataset, parse("project", "pca", {"components": 2}))
        _predict(dataset, tmp_path)
        return dataset

    return _copy(_made / "predicted", make, tmp_path)


@pytest.fixture
def two(make_plate, tmp_path, _made):
    """Two FOVs with predictions."""

    def make():
        dataset = begin(make_plate, boxes(), (FOV, "A/2/0"))
        embed(dataset)
        _predict(dataset, tmp_path)
        return dataset

    return _copy(_made / "two", make, tmp_path)
