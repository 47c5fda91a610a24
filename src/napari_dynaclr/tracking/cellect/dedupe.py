"""Cells that were found twice in a frame, merged by the intraframe MLP.

Methods, "Model architecture"; Results, "Overview of CELLECT".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_dynaclr.tracking.cellect.candidates import nearest, pair_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.tracking.cellect.candidates import Cells
    from napari_dynaclr.tracking.cellect.heads import IntraFrame

_SAME = 0.5
"""Score from which two centres are one cell; the paper gives none. Its code takes 0.6 for near
ones, and 0.9999 for others."""


def kept_once(
    cells: Cells, confidence: NDArray[np.float32], intra: IntraFrame, count: int
) -> NDArray[np.intp]:
    """Find the best centre of each cell.

    Two centres are one cell if the MLP says so of both on average, and each lies within the
    larger of both radii: what is further apart cannot be one cell.

    Parameters
    ----------
    cells
        Of one frame.
    confidence
        Of each centre, (N,): the surest of a cell's is kept.
    intra
        The MLP, in evaluation mode.
    count
        Candidates of each cell.

    Returns
    -------
    numpy.ndarray
        Rows that are kept, ascending.
    """
    if len(cells) < 2:
        return np.arange(len(cells))
    near = nearest(cells.position, cells.position, count, same=True)
    with torch.inference_mode():
        found = intra(pair_features(cells, cells, near))
    score = torch.sigmoid(found[:, :-1]).cpu().numpy()
    one = np.repeat(np.arange(len(cells)), count).reshape(len(cells), count)[near.there]
    other, score = near.rows[near.there], score[near.there]
    size = cells.size.cpu().numpy()
    apart = np.linalg.norm(cells.position[one] - cells.position[other], axis=1)
    touching = apart <= np.maximum(size[one], size[other])
    one, other, score = one[touching], other[touching], score[touching]
    square = (len(cells), len(cells))
    scores = coo_array((score, (one, other)), square).tocsr()
    asked = coo_array((np.ones(len(one)), (one, other)), square).tocsr()
    # Each pair is asked about once or twice, as either may be the other's candidate.
    both, times = (scores + scores.T).tocoo(), (asked + asked.T).tocsr()
    mean = both.data / np.asarray(times[both.row, both.col]).ravel()
    same = mean > _SAME
    links = coo_array((np.ones(int(same.sum())), (both.row[same], both.col[same])), square)
    groups = connected_components(links, directed=False)[1]
    # The surest of each group comes first; the order breaks ties.
    order = np.lexsort((-confidence, groups))
    first = np.unique(groups[order], return_index=True)[1]
    return np.sort(order[first])
