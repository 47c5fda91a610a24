"""Watching representations as they are learned: whether they collapse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.measures import effective_rank
from napari_dynaclr.embedding.profiler.sight import middle

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job

WATCHED = 500
"""Images that are watched: enough for steady figures, few enough to take little time."""

_CHUNK = 64


class Watch:
    """Some images, represented after every epoch.

    Parameters
    ----------
    images
        (N, C, Y, X) float16.
    side
        Side of their middle that is represented, in pixels.
    job
        For cancelling.
    """

    def __init__(self, images: NDArray[np.float16], side: int, job: Job) -> None:
        self._images, self._side, self._job = images, side, job

    def measure(self, represent: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        """Represent the images, and measure how they differ.

        Parameters
        ----------
        represent
            Images (B, C, side, side) float32 to representations (B, D).

        Returns
        -------
        dict
            ``rank``, the number of directions that representations differ in; ``spread``, from
            0 where all are the same to 1 where they point everywhere.
        """
        found = []
        for start in range(0, len(self._images), _CHUNK):
            self._job.check()
            images = torch.from_numpy(self._images[start : start + _CHUNK])
            found.append(represent(middle(images, self._side).float()).float().cpu().numpy())
        vectors = np.concatenate(found)
        if not np.isfinite(vectors).all():
            raise InvalidInput(
                "The representation has NaN or infinite values: choose a lower learning_rate or "
                "precision 'full', or check the images for extreme values."
            )
        return {"rank": effective_rank(vectors), "spread": spread(vectors)}


def spread(vectors: NDArray[np.float32]) -> float:
    """Return how far apart vectors point: 0, all the same way; 1, all ways alike.

    The standard deviation of each dimension of vectors of length 1, times the root of their
    number (as SimSiam watches for collapse).

    Parameters
    ----------
    vectors
        (N, D).
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(lengths, 1e-12)
    return float(unit.std(axis=0).mean() * np.sqrt(vectors.shape[1]))
