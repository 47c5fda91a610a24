"""What TAP is to learn: when a cell divides, and nothing where there is nothing to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from arrows import KINDS, SIDE, make_pair, mosaic

from napari_dynaclr import open_dataset, train
from napari_dynaclr.embedding.tap.attribution import attribution
from napari_dynaclr.embedding.tap.checkpoint import load_tap
from napari_dynaclr.embedding.tap.training.learner import right_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOW, HIGH = -0.07, 1.2
"""What the percentiles of every frame of :func:`stack` are, about."""


def stack(count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Put pairs above each other: (2, Z, 32, 32), a slice each, a third of each kind.

    Two slices half as bright again as any cell, the same in both frames, keep the normalisation
    from telling the frames apart: else all of a frame would, background too.
    """
    pairs = [make_pair(KINDS[number % 3], rng) for number in range(count)]
    bright = np.zeros((2, SIDE, SIDE))
    bright[:, : SIDE * 2 // 3] = HIGH
    pairs += [bright + rng.normal(0, 0.03, bright.shape) for _ in range(2)]
    return np.stack(pairs, axis=1).astype(np.float32)


def seen(images: NDArray[np.floating]) -> NDArray[np.float32]:
    """Normalise images as those were that were learned from, all alike."""
    return ((images - LOW) / (HIGH - LOW)).astype(np.float32)


@pytest.fixture
def learned(make_plate, tmp_path, quick):
    """Return a function that trains a network, and opens it."""

    def make(**values):
        rng = np.random.default_rng(0)
        images = {f"A/1/{fov}": stack(count, rng)[:, None] for fov, count in ((0, 240), (1, 60))}
        dataset = open_dataset(make_plate("pairs.zarr", images), tmp_path / "pairs.dynaclr")
        train(dataset, quick(pairs=320, batch_size=32, held_out=0.5, **values))
        return load_tap(dataset.workspace.trained("arrow"))

    return make


def accuracy(network, kind: str, count: int, rng: np.random.Generator) -> float:
    """Part of the pairs of one kind whose order is told rightly."""
    pairs = seen(np.stack([make_pair(kind, rng) for _ in range(count)]))[:, :, None]
    with torch.no_grad():
        return float(right_order(network(torch.from_numpy(pairs))).mean())


def top_tile(loaded, rng: np.random.Generator, squares: int = 3) -> bool:
    """Whether attribution is highest in the only square with a division, of 3 x 3."""
    others = ["background", "static"] * (squares * squares // 2)
    images, kinds = mosaic(rng, ("division", *others), squares)
    found = attribution(loaded, *seen(images))
    tiles = found.reshape(squares, SIDE, squares, SIDE).mean((1, 3))
    return str(kinds.flat[int(tiles.argmax())]) == "division"


def test_divisions_are_learned_in_a_minute(learned):
    loaded = learned(epochs=4)
    rng = np.random.default_rng(1)
    assert accuracy(loaded.network, "division", 200, rng) >= 0.95
    assert 0.3 <= accuracy(loaded.network, "static", 200, rng) <= 0.7


@pytest.mark.slow
def test_divisions_tell_the_arrow_of_time_and_nothing_else_does(learned):
    loaded = learned(epochs=12)
    rng = np.random.default_rng(1)
    assert accuracy(loaded.network, "division", 500, rng) >= 0.98
    for kind in ("background", "static"):
        assert 0.45 <= accuracy(loaded.network, kind, 1000, rng) <= 0.55
    assert sum(top_tile(loaded, rng) for _ in range(10)) >= 9
