"""A small movie of boxes that has been tracked, to be corrected."""

from __future__ import annotations

import pytest
from boxes import begin, boxes

from napari_dynaclr import embed


@pytest.fixture
def movie(make_plate):
    """One FOV of four boxes, tracked."""
    return begin(make_plate, boxes())


@pytest.fixture
def embedded(movie):
    """The same with an embedding."""
    embed(movie)
    return movie
