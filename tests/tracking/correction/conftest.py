"""A small movie of boxes that has been tracked, to be corrected."""

from __future__ import annotations

import shutil

import pytest
from boxes import begin, boxes

from napari_dynaclr import embed, open_dataset


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
