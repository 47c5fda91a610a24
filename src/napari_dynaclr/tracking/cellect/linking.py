"""Cells linked from frame to frame by the interframe MLP, also over frames where one is lost.

Methods, "Model architecture" and "Temporal linking with larger intervals". The paper says what
the MLP answers; of how conflicts between cells are settled it says nothing, and its code lets
the best parent win. Here the links of two frames are chosen together, so that a cell that
loses its best candidate gets its next best.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from napari_dynaclr.tracking.cellect.candidates import nearest, pair_features

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.tracking.cellect.candidates import Cells
    from napari_dynaclr.tracking.cellect.heads import InterFrame

_REACH = 6.0
"""Radii that a cell moves at most, and the least radius that counts, as in the paper's code."""
_LEAST_RADIUS = 5.0
_SURE_DIVISION = 0.8
"""Division probability from which daughters need not lie side by side."""
_BESIDE = 1.2
"""Radii by which the distances of mother to daughters differ at most, else."""
_SECOND = 0.5
"""Score that a second daughter needs."""


@dataclass(frozen=True)
class LinkSettings:
    """How links are chosen.

    Attributes
    ----------
    candidates
        Nearest cells that each is compared with; as the MLP was trained.
    least_score
        Of a link (0.1 in the paper's code).
    least_division
        Probability from which a cell has two daughters (0.5); above 1, none has.
    longest_gap
        Frames in which a cell may be lost (0 in all of the paper but one example).
    furthest
        Pixels of Y and X that a cell moves at most in one frame; 6 radii if None.
    """

    candidates: int = 5
    least_score: float = 0.1
    least_division: float = 0.5
    longest_gap: int = 0
    furthest: float | None = None


class Links(NamedTuple):
    """Links of cells, by frame and row.

    Attributes
    ----------
    parent, child
        (t, row) of both ends, (N, 2).
    score
        0 to 1, (N,).
    """

    parent: NDArray[np.int64]
    child: NDArray[np.int64]
    score: NDArray[np.float32]


class _Scores(NamedTuple):
    """Scores of the pairs of two frames' cells that may be linked."""

    one: NDArray[np.intp]
    other: NDArray[np.intp]
    score: NDArray[np.float32]
    apart: NDArray[np.float32]
    division: NDArray[np.float32]

    def take(self, which: NDArray[np.bool_]) -> _Scores:
        """Return some of the pairs."""
        one, other = self.one[which], self.other[which]
        return _Scores(one, other, self.score[which], self.apart[which], self.division)


def link_cells(
    frames: Iterable[tuple[int, Cells]], inter: InterFrame, settings: LinkSettings
) -> Iterator[Links]:
    """Link the cells of all frames.

    Frames are taken one by one, and no more of them kept than a gap is long.

    Parameters
    ----------
    frames
        Ascending time points, and their cells.
    inter
        The MLP, in evaluation mode, on the CPU as the cells are.
    settings
        How to choose.

    Yields
    ------
    Links
        Of each time point's cells to those before.
    """
    recent: deque[tuple[int, Cells, NDArray[np.bool_]]] = deque(maxlen=settings.longest_gap + 1)
    for t, cells in frames:
        free = np.ones(len(cells), bool)
        for before, earlier, ended in reversed(recent):
            gap = t - before - 1
            if gap > settings.longest_gap:
                continue
            scores = _scored(earlier, cells, inter, settings, gap)
            if gap:
                scores = scores.take(ended[scores.one] & free[scores.other])
            links = _chosen(scores, earlier, len(cells), settings, divide=gap == 0)
            ended[links.parent[:, 1]] = False
            free[links.child[:, 1]] = False
            parent, child = links.parent, links.child
            parent[:, 0], child[:, 0] = before, t
            if len(parent):
                yield links
        recent.append((t, cells, np.ones(len(cells), bool)))


def _scored(
    cells: Cells, others: Cells, inter: InterFrame, settings: LinkSettings, gap: int
) -> _Scores:
    """Ask the MLP about each cell and its candidates; keep what may be linked."""
    if not len(cells) or not len(others):
        none = np.zeros(0, np.float32)
        return _Scores(none.astype(np.intp), none.astype(np.intp), none, none, none)
    near = nearest(cells.position, others.position, settings.candidates)
    with torch.inference_mode():
        found = inter(pair_features(cells, others, near))
    score = torch.sigmoid(found.link).numpy()
    division = torch.softmax(found.division, 1)[:, 1].numpy()
    apart = np.linalg.norm(others.position[near.rows] - cells.position[:, None], axis=-1)
    # Free movement goes with the root of time.
    reach = np.maximum(cells.size.numpy(), _LEAST_RADIUS) * _REACH * np.sqrt(gap + 1)
    if settings.furthest is not None:
        reach = np.full(len(cells), settings.furthest * np.sqrt(gap + 1))
    allowed = near.there & (score[:, :-1] >= settings.least_score)
    allowed &= (score[:, :-1] > score[:, -1:]) & (apart <= reach[:, None])
    one, place = np.nonzero(allowed)
    distance = apart[one, place].astype(np.float32)
    return _Scores(one, near.rows[one, place], score[one, place], distance, division)


def _chosen(
    scores: _Scores, cells: Cells, count: int, settings: LinkSettings, *, divide: bool
) -> Links:
    """Choose the links whose scores have the highest sum, then second daughters."""
    first = _matched(scores, len(cells), count, settings.least_score)
    rows = [first]
    if divide:
        rows.append(_second_daughters(scores, first, cells, count, settings.least_division))
    chosen = np.concatenate(rows)
    parent = np.stack([np.zeros_like(scores.one[chosen]), scores.one[chosen]], 1)
    child = np.stack([np.zeros_like(scores.other[chosen]), scores.other[chosen]], 1)
    return Links(parent.astype(np.int64), child.astype(np.int64), scores.score[chosen])


def _matched(scores: _Scores, cells: int, others: int, least: float) -> NDArray[np.intp]:
    """Give each cell one other at most, and the other way round, for the highest sum of scores."""
    if not len(scores.one):
        return np.zeros(0, np.intp)
    # Each cell may also be linked to a stand-in of its own, which is worth the least score.
    everyone = np.arange(cells)
    row = np.concatenate([scores.one, everyone])
    column = np.concatenate([scores.other, others + everyone])
    cost = np.concatenate([2.0 - scores.score, np.full(cells, 2.0 - least)])
    costs = coo_array((cost, (row, column)), (cells, others + cells)).tocsr()
    one, other = min_weight_full_bipartite_matching(costs)
    partner = np.full(cells, -1)
    partner[one] = other
    return np.flatnonzero(partner[scores.one] == scores.other)


def _second_daughters(
    scores: _Scores, first: NDArray[np.intp], cells: Cells, count: int, least: float
) -> NDArray[np.intp]:
    """Give dividing cells their second daughter, where there is a free one that fits."""
    free = np.ones(count, bool)
    free[scores.other[first]] = False
    distance = np.full(len(cells), np.nan)
    distance[scores.one[first]] = scores.apart[first]
    mother = scores.one
    beside = np.abs(scores.apart - distance[mother]) < _BESIDE * np.maximum(
        cells.size.numpy()[mother], _LEAST_RADIUS
    )
    sure = scores.division[mother] > _SURE_DIVISION
    able = free[scores.other] & np.isfinite(distance[mother]) & (scores.score > _SECOND)
    able &= (scores.division[mother] >= least) & (beside | sure)
    chosen: list[int] = []
    for row in np.flatnonzero(able)[np.argsort(-scores.score[able], kind="stable")]:
        if free[scores.other[row]] and np.isfinite(distance[mother[row]]):
            chosen.append(int(row))
            free[scores.other[row]] = False
            distance[mother[row]] = np.nan
    return np.array(chosen, np.intp)
