"""Movies of squares of 32 pixels in which it is known what happens: nothing, or a division."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 32
KINDS = ("background", "static", "division")


def blob(places: NDArray[np.float64], radius: float, brightness: float) -> NDArray[np.float64]:
    """Discs with soft edges about places (N, 2), (32, 32)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.zeros((SIDE, SIDE))
    for centre in places:
        away = np.hypot(y - centre[0], x - centre[1])
        image = np.maximum(image, brightness / (1 + np.exp((away - radius) / 0.7)))
    return image


def make_pair(kind: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Make two images, the later second, (2, 32, 32): values about 0 to 1, and noise.

    A cell that does not divide moves as much, and changes as much in size and brightness, as one
    whose daughters are born; but either way as often.
    """
    middle = SIDE / 2 + rng.uniform(-4, 4, 2)
    radius, brightness = rng.uniform(5, 6.5), rng.uniform(0.6, 1.0)
    if kind == "background":
        images = np.zeros((2, SIDE, SIDE))
    elif kind == "static":
        images = np.stack(
            [
                blob(
                    middle[None] + rng.normal(0, 0.7, (1, 2)),
                    radius * rng.uniform(0.9, 1.1),
                    brightness * rng.uniform(0.9, 1.1),
                )
                for _ in range(2)
            ]
        )
    else:
        angle = rng.uniform(0, np.pi)
        apart = np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(4.5, 6)
        daughters = np.stack([middle + apart, middle - apart])
        images = np.stack(
            [blob(middle[None], radius, brightness), blob(daughters, radius * 0.7, brightness)]
        )
    return images + rng.normal(0, 0.03, images.shape)


def mosaic(
    rng: np.random.Generator, kinds: tuple[str, ...] | None = None, tiles: int = 3
) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Put pairs beside each other.

    Returns
    -------
    tuple
        (2, 32 * tiles, 32 * tiles), and the kind of each square, (tiles, tiles).
    """
    given = rng.permutation(kinds or KINDS * (tiles * tiles // 3)).reshape(tiles, tiles)
    rows = [np.concatenate([make_pair(str(k), rng) for k in row], axis=-1) for row in given]
    return np.concatenate(rows, axis=-2).astype(np.float32), given
