"""Watching an embedding space as it is trained: loss, smoothness, range and rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.measures import (
    dynamic_range,
    effective_rank,
    smoothness,
    trajectory_distances,
)
from napari_dynaclr.embedding.training.cells import read_patches
from napari_dynaclr.embedding.training.pairs import Batch, PairSampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.cell_patches import Window
    from napari_dynaclr.embedding.training.cells import Cells, Pixels
    from napari_dynaclr.embedding.training.feed import Pairing

CELLS = 1000
"""Cells that are watched: enough for steady figures, few enough to take little time."""

_CHUNK = 128


class Watch:
    """Some whole tracks, embedded after every epoch.

    Parameters
    ----------
    cells
        All cells.
    rows
        Those to choose from, ascending: of the FOVs that are held out, if any.
    pairing
        How pairs are drawn.
    window
        Their patches.
    side
        Side of the middle of a patch that is embedded, in pixels.
    room
        Memory for patches, bytes.
    seed
        For the choice.
    held_out
        Whether they are not trained with: only then has a loss on them a meaning.
    job
        For cancelling.
    """

    def __init__(
        self,
        cells: Cells,
        rows: NDArray[np.intp],
        pairing: Pairing,
        window: Window,
        side: int,
        room: float,
        seed: int,
        held_out: bool,
        job: Job,
    ) -> None:
        one = 2 * len(window.channels) * int(np.prod(window.size))
        rows = _some_tracks(cells, rows, min(CELLS, int(room / one)), seed)
        self.nodes = cells.nodes.take(rows)
        self._pixels: Pixels = read_patches(cells, rows, window, job, report=True)
        self._side, self._job = side, job
        self._pairs: Batch | None = None
        if not held_out:
            return
        try:
            sampler = PairSampler(
                self.nodes, pairing.strategy, pairing.tau, lineage=pairing.lineage
            )
            self._pairs = sampler.draw(seed)
        except InvalidInput:  # too few of one time point
            job.note("The cells held out make no pairs: there is no validation loss.")

    def pairs(self, size: int) -> Iterator[tuple[torch.Tensor, ...]]:
        """Iterate over batches: lineages; wide patches of anchors, positives and negatives.

        They are the same in every epoch. None comes where nothing is held out.
        """
        if self._pairs is None:
            return
        parts = (self._pairs.anchor, self._pairs.positive, self._pairs.negative)
        size = min(size, len(parts[0]))
        for start in range(0, len(parts[0]) - size + 1, size):
            self._job.check()
            here = slice(start, start + size)
            family = torch.from_numpy(self.nodes.family[parts[0][here]])
            yield family, *(torch.from_numpy(self._pixels.patches[part[here]]) for part in parts)

    def measure(self, embed: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        """Embed the cells and measure their embedding.

        Parameters
        ----------
        embed
            Patches (N, C, Z, side, side) float32 to embeddings (N, D).

        Returns
        -------
        dict
            ``smoothness``, ``dynamic_range`` and ``rank``; without tracks of two
            successive time points, ``rank`` only.
        """
        vectors = np.concatenate([self._embed(embed, start) for start in self._starts()])
        if not np.isfinite(vectors).all():
            raise InvalidInput(
                "The embedding has NaN or infinite values: choose a lower learning_rate or "
                "precision 'full', or check the images for extreme values."
            )
        number = np.unique(
            np.stack([self.nodes.fov, self.nodes.track]), axis=1, return_inverse=True
        )[1].reshape(-1)
        adjacent, random = trajectory_distances(vectors, number, self.nodes.t)
        found = {}
        if len(adjacent):
            found["smoothness"] = smoothness(adjacent, random)
            found["dynamic_range"] = dynamic_range(adjacent, random)
        return {**found, "rank": effective_rank(vectors)}

    def _starts(self) -> range:
        return range(0, len(self.nodes), _CHUNK)

    def _embed(self, embed: Callable[[torch.Tensor], torch.Tensor], start: int) -> Any:
        self._job.check()
        patches = self._pixels.patches[start : start + _CHUNK]
        margin = (patches.shape[-1] - self._side) // 2
        inner = slice(margin, margin + self._side)
        middle = torch.from_numpy(np.ascontiguousarray(patches[..., inner, inner]))
        return embed(middle.float()).float().cpu().numpy()


def _some_tracks(cells: Cells, rows: NDArray[np.intp], most: int, seed: int) -> NDArray[np.intp]:
    """Choose whole tracks at random until there are enough cells; at least two tracks."""
    nodes = cells.nodes.take(rows)
    _, number, counts = np.unique(
        np.stack([nodes.fov, nodes.track]), axis=1, return_inverse=True, return_counts=True
    )
    order = np.random.default_rng(seed).permutation(len(counts))
    enough = np.searchsorted(np.cumsum(counts[order]), most, side="right")
    chosen = order[: max(int(enough), 2)]
    return rows[np.isin(number.reshape(-1), chosen)]
