"""How far a link can be trusted, for methods that do not say it themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from napari_dynaclr.tracking.candidates import division_cost, read_cells, steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.tracking.candidates import Cells

_TAIL = 4.0
"""Degrees of freedom of the distribution of steps: some cells are much faster than most."""
_SPREAD = 0.05
"""Areas are not measured better than to this part of them."""
_ROUNDS = 30
_PASSES = 2
_SETTLED = 1e-3


class _Links(NamedTuple):
    """The links of a table: cells, frames between, and whether one is to a daughter."""

    before: NDArray[np.intp]
    after: NDArray[np.intp]
    lag: NDArray[np.int64]
    daughter: NDArray[np.bool_]


def reliability(tracks: pd.DataFrame, scale: tuple[float, float, float]) -> NDArray[np.float64]:
    """Compare each link with what else may have become of its two cells.

    How far cells go in a frame, how much their area changes and how often tracks begin, end,
    pause and divide is estimated from the tracks themselves. From this follows what every pair
    of neighbours in successive frames weighs against two cells that have nothing to do with
    each other; and from the weights, by belief propagation, how probable every pair is, given
    that each cell has at most one before and one after it (Williams and Lau, IEEE Trans.
    Aerosp. Electron. Syst. 2014). It judges links between cells as they were segmented; that
    two cells were segmented as one it cannot know.

    Parameters
    ----------
    tracks
        ``id``, ``parent_id``, ``t``, ``z``, ``y``, ``x`` and ``area`` in pixels.
    scale
        Voxel size (z, y, x) in um.

    Returns
    -------
    numpy.ndarray
        (N,), 0 to 1, of the link to the node before; 1 where there is none. Below 0.5
        something else is more probable.
    """
    cells = read_cells(tracks.assign(label=tracks["id"]), scale)
    ids, parents = (tracks[name].to_numpy()[cells.order] for name in ("id", "parent_id"))
    before = pd.Index(ids).get_indexer(pd.Index(parents))
    result = np.ones(len(tracks))
    after = np.flatnonzero(before >= 0)
    if not len(after):
        return result
    before = before[after]
    daughter = np.bincount(before, minlength=len(ids))[before] > 1
    links = _Links(before, after, cells.t[after] - cells.t[before], daughter)
    result[cells.order[after]] = _probable(cells, links)
    return result


def _probable(cells: Cells, links: _Links) -> NDArray[np.float64]:
    """Probability of every link, (L,)."""
    count, total = len(cells.t), len(links.after)
    squared = ((cells.place[links.after] - cells.place[links.before]) ** 2).sum(axis=1)
    single = (links.lag == 1) & ~links.daughter
    reach = float(np.sqrt(squared[single].max())) if single.any() else float(np.sqrt(squared.max()))
    near = steps(cells, 1, reach)
    # The links themselves first, then all other pairs of neighbours.
    other = ~np.isin(near.before * count + near.after, links.before * count + links.after)
    one = np.concatenate([links.before, near.before[other]])
    two = np.concatenate([links.after, near.after[other]])
    apart = np.concatenate([squared, near.squared[other]])
    lag = np.concatenate([links.lag, np.ones(int(other.sum()), np.int64)])
    growth = cells.size[two] - cells.size[one]
    # A mother stands among the earlier cells once for each of her daughters.
    row = one.copy()
    sisters = np.flatnonzero(links.daughter)
    mothers = pd.Series(links.before[sisters])
    row[sisters] += count * mothers.groupby(mothers).cumcount().to_numpy()
    ordinary = lag == 1
    ordinary[sisters] = False
    ordinary |= not ordinary[:total].any()
    share = np.where(np.arange(len(one)) < total, ordinary, 0.0)
    linked = float(total)
    for _ in range(_PASSES):
        weight = _weights(cells, links, apart, growth, lag, share, linked)
        probable = _marginals(row, two, weight, count)
        # Links were chosen to be short, and many: all that may be links tell more truly.
        linked = float(probable.sum())
        share = np.where(ordinary, probable, 0.0)
    found = probable[:total]
    if len(sisters):
        found[sisters] = _divided(cells, links, sisters, probable, two)
    return np.clip(found, 0, 1)


def _weights(
    cells: Cells,
    links: _Links,
    squared: NDArray[np.float64],
    growth: NDArray[np.float64],
    lag: NDArray[np.int64],
    share: NDArray[np.float64],
    linked: float,
) -> NDArray[np.float64]:
    """Say how much more likely pairs are as links than as cells that have nothing in common.

    ``share`` is how much each pair counts where the size of steps is estimated; ``linked``, how
    many links there are in truth.
    """
    flat = np.ptp(cells.place[:, 0]) == 0
    dimensions = 2 if flat else 3
    # The median of a chi-square variable tells its variance, whatever a few outliers are.
    step = max(_median(squared / lag, share) / (1.386 if flat else 2.366), 1e-6)
    spread = max(1.48 * _median(np.abs(growth), share), _SPREAD)
    whole = max(float(cells.size.std()) * 2**0.5, spread)
    extent = np.ptp(cells.place, axis=0)[1 if flat else 0 :]
    room = float(np.prod(np.maximum(extent, step**0.5)))
    total, first, last = len(cells.t), int(cells.starts[1]), int(cells.starts[-2])
    # One more than seen, so that what never happened is not thought impossible.
    begun = max(total - linked - first, 0) + 1
    twice = len(links.after) - len(np.unique(links.before))
    ended = max(last - linked + twice, 0) + 1
    chance = begun / max(cells.frames - 1, 1) / room * min(ended / total, 1.0)
    paused = (int((links.lag > 1).sum()) + 1) / (len(links.lag) + 1)
    variance = step * lag
    density = (1 + squared / (_TAIL * variance)) ** (-(_TAIL + dimensions) / 2)
    density /= (2 * np.pi * variance) ** (dimensions / 2)
    like = _student(growth, spread) / _student(growth, whole)
    weight: NDArray[np.float64] = density * like * np.where(lag > 1, paused, 1.0) / chance
    return weight


def _median(values: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    """Median in which every value counts for its share."""
    order = np.argsort(values)
    upto = np.cumsum(share[order])
    return float(values[order[np.searchsorted(upto, upto[-1] / 2)]])


def _student(value: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    density: NDArray[np.float64] = (1 + (value / width) ** 2 / _TAIL) ** (-(_TAIL + 1) / 2) / width
    return density


def _marginals(
    row: NDArray[np.intp], column: NDArray[np.intp], weight: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Probabilities of pairs, given that no row and no column is in two of them, (M,)."""
    news = np.ones(len(row))
    for _ in range(_ROUNDS):
        held = weight * news
        told = weight / (1 + np.bincount(row, held)[row] - held)
        fresh = 1 / (1 + np.maximum(np.bincount(column, told, count)[column] - told, 0))
        moved = float(np.abs(fresh - news).max())
        news = fresh
        if moved < _SETTLED:
            break
    held = weight * news
    probable: NDArray[np.float64] = held / (1 + np.bincount(row, held)[row])
    return probable


def _divided(
    cells: Cells,
    links: _Links,
    sisters: NDArray[np.intp],
    probable: NDArray[np.float64],
    column: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Judge links to daughters: how they look like a division, and have no better mother."""
    mothers = links.before[sisters]
    _, first, which = np.unique(mothers, return_index=True, return_inverse=True)
    last = len(mothers) - 1 - np.unique(mothers[::-1], return_index=True)[1]
    one, other = links.after[sisters[first]], links.after[sisters[last]]
    place = cells.place[one] - cells.place[other]
    reach = np.sqrt((place**2).sum(axis=1))
    cost = division_cost(cells, mothers[first], one, other, np.maximum(reach, 1e-6))
    fits = 1 / (1 + cost)
    taken = np.bincount(column, probable, len(cells.t))[links.after[sisters]] - probable[sisters]
    judged: NDArray[np.float64] = fits[which] * (1 - np.clip(taken, 0, 1))
    return judged
