"""A small movie of boxes that has been tracked, to be corrected."""

from __future__ import annotations

import numpy as np

from napari_dynaclr import open_dataset, segment, track
from napari_dynaclr.core.registry import parse

FOV = "A/1/0"
COUNT = 6
PLACES = {1: (10, 10), 2: (10, 30), 3: (30, 10), 4: (30, 30)}
"""Track 3 is missing at t=3; track 4 begins at t=2."""


def node(t, track):
    """Id of the cell of a track at a time point, as ``track`` numbers them."""
    return (t + 1) * 1_000_000 + track


def boxes(shape=(1, 40, 60), half=3):
    movie = np.zeros((COUNT, *shape), np.uint16)
    for t in range(COUNT):
        for label, (y, x) in PLACES.items():
            if not (label == 3 and t == 3) and not (label == 4 and t < 2):
                movie[t, :, y - half : y + half, x + t - half : x + t + half] = label
    return movie


def begin(make_plate, labels, names=(FOV,), version="0.4"):
    """A dataset that is segmented and tracked as these labels (T, Z, Y, X) say."""
    rng = np.random.default_rng(0)
    images = {name: rng.integers(1, 90, labels.shape).astype(np.uint16)[:, None] for name in names}
    dataset = open_dataset(make_plate("movie.zarr", images, version=version))
    path = make_plate("labels.zarr", dict.fromkeys(names, labels[:, None]))
    segment(dataset, parse("segment", "import", {"path": str(path)}))
    track(dataset, parse("track", "masks", {}))
    return dataset
