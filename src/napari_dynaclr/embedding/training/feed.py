"""Batches for training: pairs of patches, from memory where they fit, in blocks where not.

An epoch of a large dataset goes through its images in blocks of some FOVs' successive
time points, in an order of its own; pairs are drawn within a block. So every chunk is read
once or twice an epoch (as anchors, and as their positives), while memory stays bounded.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.background import read_ahead
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.training.cells import Cells, Pixels, read_patches
from napari_dynaclr.embedding.training.pairs import Batch, Nodes, PairSampler, Strategy, balanced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.cell_patches import Window

_AT_ONCE = 3
"""Blocks in memory: one in use, one that waits, one that is being read."""

_RUNS = 4
"""Runs of time points in a block, at least: cells of several FOVs or times come together."""


@dataclass(frozen=True)
class Pairing:
    """How pairs are drawn; see :class:`~napari_dynaclr.embedding.training.pairs.PairSampler`.

    Attributes
    ----------
    strategy, lineage
        What positives are.
    tau
        Offset in frames by number of the dataset.
    negatives
        Whether negatives are used: without, their patches need not be copied.
    """

    strategy: Strategy
    lineage: bool
    tau: Mapping[int, int]
    negatives: bool


@dataclass(frozen=True)
class Patches:
    """A batch: patches of anchors, their positives and negatives, (B, C, Z, Y, X) float16.

    ``family`` is the lineage of each anchor, (B,).
    """

    anchor: NDArray[np.float16]
    positive: NDArray[np.float16]
    family: NDArray[np.int64]
    negative: NDArray[np.float16] | None = None

    def __len__(self) -> int:
        return len(self.anchor)


@dataclass(frozen=True)
class _Block:
    """Rows that are in memory together, and which of them may be anchors."""

    rows: NDArray[np.intp]
    among: NDArray[np.bool_]


class Feed:
    """Batches of an epoch after the other; all processes get equally many.

    Parameters
    ----------
    cells
        All cells.
    rows
        Those to train with, ascending, (N,).
    pairing
        How pairs are drawn.
    groups
        Number of each cell's group, (all cells,): all groups give as many anchors. None for
        all cells alike.
    window
        Their patches.
    size
        Anchors of a batch; fewer where there are fewer.
    room
        Memory for patches, bytes.
    seed
        Equal seeds and rooms give equal batches.
    job
        For cancelling.
    rank, ranks
        Which process, of how many.

    Raises
    ------
    InvalidInput
        If there is no pair, or fewer than two for each process.
    """

    def __init__(
        self,
        cells: Cells,
        rows: NDArray[np.intp],
        pairing: Pairing,
        groups: NDArray[np.int64] | None,
        window: Window,
        size: int,
        room: float,
        seed: int,
        job: Job,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._cells, self._rows, self._pairing, self._window = cells, rows, pairing, window
        self._weights: NDArray[np.float64] | None = None
        self._job, self._seed = job, seed
        self._rank, self._ranks = rank, ranks
        self._whole = _Block(rows, np.ones(len(rows), bool))
        anchors = self._sampler(self._whole).anchors
        self.anchors = len(anchors)
        """Anchors of an epoch, of all processes."""
        self.size = min(size, self.anchors // ranks)
        """Anchors of a batch."""
        if self.size < 2:
            raise InvalidInput(
                f"There are {self.anchors} pairs of cells for {ranks} processes: at least 2 each "
                "are needed to compare. Track more FOVs or time points."
            )
        if groups is not None:
            self._weights = np.zeros(len(groups))
            self._weights[rows[anchors]] = balanced(groups[rows[anchors]])
        one = 2 * len(window.channels) * int(np.prod(window.size))
        room -= self._for_batches(one, room)
        self.fits = one * len(rows) <= room
        """Whether all patches are in memory at once."""
        self._most = max(int(room / one / _AT_ONCE), 1)
        self._runs = [] if self.fits else self._find_runs(np.isin(np.arange(len(rows)), anchors))
        self._pixels: Pixels | None = None
        self.epoch = 0
        """The epoch that the next iteration is of."""

    def __len__(self) -> int:
        return self.anchors // (self.size * self._ranks)

    def __iter__(self) -> Iterator[Patches]:
        # Nothing happens before the first batch is asked for: Lightning makes iterators early.
        with closing(read_ahead(self._batches(self.epoch), self._job, depth=1)) as batches:
            yield from islice(batches, len(self))

    def load(self) -> None:
        """Read the patches now, if they all fit; with the first batch by default."""
        if self.fits and self._pixels is None:
            self._pixels = read_patches(
                self._cells, self._rows, self._window, self._job, report=True
            )

    def _for_batches(self, one: int, room: float) -> float:
        """Memory for the batches that are under way, bytes.

        Raises
        ------
        InvalidInput
            If they leave too little for the patches that they are drawn from.
        """
        parts = 3 if self._pairing.negatives else 2
        needed = float(_AT_ONCE * parts * self.size * one)
        if needed > 0.8 * room:
            raise InvalidInput(
                f"Batches of {self.size} pairs need {needed / 1e9:.2g} of {room / 1e9:.2g} GB for "
                "patches: choose a smaller batch_size or patch_size, or allow more memory."
            )
        return needed

    def _sampler(self, block: _Block) -> PairSampler:
        return PairSampler(
            self._cells.nodes.take(block.rows),
            self._pairing.strategy,
            self._pairing.tau,
            lineage=self._pairing.lineage,
            weights=None if self._weights is None else self._weights[block.rows],
            among=block.among,
        )

    def _batches(self, epoch: int) -> Iterator[Patches]:
        waiting: list[Patches] = []
        for pixels, pairs in self._blocks(epoch):
            start = 0
            while start < len(pairs.anchor):
                step = self.size - sum(map(len, waiting))
                part = slice(start, start + step)
                start += step
                waiting.append(self._cut(pixels, pairs, part))
                if sum(map(len, waiting)) == self.size:
                    yield _joined(waiting)
                    waiting = []

    def _cut(self, pixels: Pixels, pairs: Batch, part: slice) -> Patches:
        negative = pixels.at(pairs.negative[part]) if self._pairing.negatives else None
        family = self._cells.nodes.family[pairs.anchor[part]]
        anchor, positive = pixels.at(pairs.anchor[part]), pixels.at(pairs.positive[part])
        return Patches(anchor, positive, family, negative)

    # -- all in memory, or block by block ---------------------------------

    def _blocks(self, epoch: int) -> Iterator[tuple[Pixels, Batch]]:
        if self.fits:
            self.load()
            assert self._pixels is not None
            yield self._pixels, self._share(self._draw(self._whole, epoch))
            return
        with closing(read_ahead(self._read_blocks(epoch), self._job, depth=1)) as blocks:
            yield from blocks

    def _draw(self, block: _Block, *seed: int) -> Batch:
        pairs = self._sampler(block).draw([self._seed, *seed], self._wanted(block))
        return Batch(*(block.rows[one] for one in (pairs.anchor, pairs.positive, pairs.negative)))

    def _wanted(self, block: _Block) -> int | None:
        """Anchors to draw from a block, by the weights of its cells; None for each once."""
        if self._weights is None:
            return None
        share = self._weights[block.rows[block.among]].sum() / self._weights[self._rows].sum()
        return max(round(self.anchors * float(share)), 1)

    def _share(self, pairs: Batch) -> Batch:
        mine = slice(self._rank, None, self._ranks)
        return Batch(pairs.anchor[mine], pairs.positive[mine], pairs.negative[mine])

    def _read_blocks(self, epoch: int) -> Iterator[tuple[Pixels, Batch]]:
        """Read blocks, each process its own; again from the start if they were too few."""
        turn = found = 0
        while turn == 0 or found:
            order = np.random.default_rng([self._seed, epoch, turn]).permutation(len(self._runs))
            blocks = self._pack([self._runs[i] for i in order])
            # Few blocks are shared by all processes: none must wait for pairs.
            shared = len(blocks) < self._ranks
            for number, block in enumerate(blocks):
                if not shared and number % self._ranks != self._rank:
                    continue
                try:
                    pairs = self._draw(block, epoch, turn, number)
                except InvalidInput:  # nobody to compare with in this one
                    continue
                pairs = self._share(pairs) if shared else pairs
                found += len(pairs.anchor)
                yield read_patches(self._cells, block.rows, self._window, self._job), pairs
            turn += 1
        raise InvalidInput(
            "No cell has another one to be compared with among those that fit into memory "
            "together: allow more memory."
        )

    def _find_runs(self, can_be_anchor: NDArray[np.bool_]) -> list[_Block]:
        """Divide the FOVs into successive time points that fit into a part of a block."""
        nodes = self._cells.nodes.take(self._rows)
        found: list[_Block] = []
        for fov in np.unique(nodes.fov):
            whole = np.flatnonzero(nodes.fov == fov)
            later = self._later(nodes, whole)
            # Of frames with more cells than there is room for, some families at a time.
            largest = int(np.bincount(nodes.t[whole]).max()) * (2 if later else 1)
            parts = -(-largest // self._most)
            for part in range(parts):
                here = whole[nodes.family[whole] % parts == part]
                found += self._cut_runs(nodes, here, later, can_be_anchor)
        return found

    def _later(self, nodes: Nodes, rows: NDArray[np.intp]) -> int:
        """Frames from an anchor to its positive in a FOV."""
        if self._pairing.strategy != "time-aware":
            return 0
        return self._pairing.tau.get(int(nodes.dataset[rows[0]]), 1)

    def _cut_runs(
        self,
        nodes: Nodes,
        here: NDArray[np.intp],
        later: int,
        can_be_anchor: NDArray[np.bool_],
    ) -> list[_Block]:
        found: list[_Block] = []
        here = here[np.argsort(nodes.t[here], kind="stable")]
        times, first = np.unique(nodes.t[here], return_index=True)
        counts = np.diff([*first, len(here)])
        room = self._most / _RUNS / (2 if later else 1)  # as many again may follow
        start = 0
        while start < len(times):
            length = np.searchsorted(np.cumsum(counts[start:]), room, "right")
            chosen = times[start : start + max(int(length), 1)]
            start += len(chosen)
            inside = here[np.isin(nodes.t[here], np.union1d(chosen, chosen + later))]
            inside.sort()
            among = np.isin(nodes.t[inside], chosen) & can_be_anchor[inside]
            if among.any():
                found.append(_Block(self._rows[inside], among))
        return found

    def _pack(self, runs: Sequence[_Block]) -> list[_Block]:
        """Put runs together to blocks that fit into memory."""
        packed: list[list[_Block]] = [[]]
        for run in runs:
            if packed[-1] and sum(len(one.rows) for one in [*packed[-1], run]) > self._most:
                packed.append([])
            packed[-1].append(run)
        return [_united(part) for part in packed]


def _united(parts: Sequence[_Block]) -> _Block:
    rows = np.unique(np.concatenate([part.rows for part in parts]))
    among = np.zeros(len(rows), bool)
    for part in parts:
        among[np.searchsorted(rows, part.rows[part.among])] = True
    return _Block(rows, among)


def _joined(parts: Sequence[Patches]) -> Patches:
    if len(parts) == 1:
        return parts[0]
    negatives = [part.negative for part in parts if part.negative is not None]
    return Patches(
        np.concatenate([part.anchor for part in parts]),
        np.concatenate([part.positive for part in parts]),
        np.concatenate([part.family for part in parts]),
        np.concatenate(negatives) if negatives else None,
    )
