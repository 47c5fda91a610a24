"""What kinds of errors tracks have, and for how long they have none (cellect.txt, Fig. 2a, b)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable

    import networkx as nx
    from numpy.typing import NDArray

ERRORS = (
    "false_positive_edges", "false_negative_edges", "identity_switches",
    "false_positive_divisions", "false_negative_divisions",
)  # fmt: skip
"""The five types of error that the paper counts."""


@dataclass(frozen=True)
class Errors:
    """Errors of the tracks of one FOV.

    Attributes
    ----------
    counts
        How many there are of each of :data:`ERRORS`.
    true_edges
        How many links the truth has.
    lengths
        ``frames``: a number of time points from 1 to the longest way through the truth;
        ``stretches``: true stretches of that length; ``error_free``: those of them that were
        found without an error.
    """

    counts: dict[str, int]
    true_edges: int
    lengths: pd.DataFrame

    def per_thousand(self) -> dict[str, float]:
        """Errors in 1,000 true links; NaN if the truth has no link."""
        if not self.true_edges:
            return dict.fromkeys(ERRORS, float("nan"))
        return {name: 1000 * self.counts[name] / self.true_edges for name in ERRORS}


def count_errors(
    truth: nx.DiGraph,
    ours: nx.DiGraph,
    pairs: Iterable[tuple[int, int]],
    *,
    false_positive_divisions: int,
    false_negative_divisions: int,
) -> Errors:
    """Count the errors of one lineage graph against another.

    A link of ours between two true cells that the truth does not link is an identity switch:
    the track goes on in another cell. Any other link of ours that is not in the truth is a
    false positive, a true link that none of ours follows a false negative: a switch mostly
    comes with one. Where cells were missed, a link of ours over the gap is right if it follows
    a cell without a division between; the true links inside the gap are missed all the same.

    A stretch of the truth is free of errors if every link in it was found and none of its cells
    divides in ours but not in the truth: the measure of linajea, that Fig. 2b takes over. It
    knows no tolerance: a division that is a frame early or late ends a stretch, though it is no
    false one among the ``counts``.

    Parameters
    ----------
    truth, ours
        Links go forward in time; nodes have their time point ``t``.
    pairs
        Matched nodes (true id, our id), each in one pair at most.
    false_positive_divisions, false_negative_divisions
        Of divisions, which may be early or late by some frames, the caller knows.
    """
    true_of = {b: a for a, b in pairs}
    ours_of = {a: b for b, a in true_of.items()}
    right: set[tuple[int, int]] = set()
    switches = spurious = 0
    for before, after in ours.edges:
        a, b = true_of.get(before), true_of.get(after)
        if a is None or b is None:
            spurious += 1
        elif truth.has_edge(a, b):
            right.add((a, b))
        elif not _follows(truth, a, b, ours_of):
            switches += 1
    counts = {
        "false_positive_edges": spurious,
        "false_negative_edges": truth.number_of_edges() - len(right),
        "identity_switches": switches,
        "false_positive_divisions": false_positive_divisions,
        "false_negative_divisions": false_negative_divisions,
    }
    invented = {
        true_of[node]
        for node, degree in ours.out_degree()
        if degree > 1 and node in true_of and truth.out_degree(true_of[node]) < 2
    }
    return Errors(counts, truth.number_of_edges(), _lengths(truth, right, invented))


def _follows(truth: nx.DiGraph, a: int, b: int, ours_of: dict[int, int]) -> bool:
    """Whether a true cell becomes another by way of cells that were missed, undivided."""
    node = b
    while node != a:
        above = list(truth.predecessors(node))
        if not above or truth.nodes[above[0]]["t"] < truth.nodes[a]["t"]:
            return False
        if above[0] != a and (above[0] in ours_of or truth.out_degree(above[0]) > 1):
            return False
        node = above[0]
    return True


def _lengths(truth: nx.DiGraph, right: set[tuple[int, int]], invented: set[int]) -> pd.DataFrame:
    """Count stretches, and those free of errors, by their number of time points."""
    there: dict[int, int] = {}
    free: dict[int, int] = {}
    for node in sorted(truth.nodes, key=lambda one: truth.nodes[one]["t"]):
        above = next(iter(truth.predecessors(node)), None)
        if above is None:
            there[node] = free[node] = 0
            continue
        there[node] = there[above] + 1
        kept = (above, node) in right and above not in invented
        free[node] = free[above] + 1 if kept else 0
    # A cell with n links behind it ends one stretch of each length up to n.
    return pd.DataFrame(
        {
            "frames": np.arange(1, max(there.values(), default=0) + 1),
            "stretches": _at_least(there),
            "error_free": _at_least(free, max(there.values(), default=0)),
        }
    )


def _at_least(depths: dict[int, int], most: int | None = None) -> NDArray[np.int64]:
    """How many depths reach 1, 2, 3 and so on."""
    values = np.fromiter(depths.values(), np.int64, len(depths))
    most = int(values.max(initial=0)) if most is None else most
    counts = np.bincount(values, minlength=most + 1)
    return np.asarray(counts[::-1].cumsum()[::-1][1 : most + 1], np.int64)


def error_free(lengths: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Join the stretches of several FOVs.

    Parameters
    ----------
    lengths
        Of each FOV (:attr:`Errors.lengths`).

    Returns
    -------
    pandas.DataFrame
        ``frames``, ``stretches``, ``error_free`` and their ratio ``fraction``.
    """
    parts = list(lengths)
    columns = ["frames", "stretches", "error_free"]
    joined = pd.concat([pd.DataFrame(columns=columns, dtype=np.int64), *parts])
    table = joined.groupby("frames", as_index=False)[columns[1:]].sum()
    return table.assign(fraction=table["error_free"] / table["stretches"])
