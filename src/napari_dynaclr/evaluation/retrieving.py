"""Whether profiles of the same condition are each other's nearest: arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Split = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True)
class Retrieved:
    """What the nearest profiles of each query say of it.

    Attributes
    ----------
    rows
        (Q,) the queries that have a replicate to be found, as rows of the profiles.
    nearest
        (Q, k) their nearest references, the nearest first; -1 where there are fewer.
    similarity
        (Q,) cosine similarity of the nearest.
    precision
        (Q,) average precision of the ranking of all references.
    chance_precision
        (Q,) what a random ranking comes to on average.
    """

    rows: NDArray[np.intp]
    nearest: NDArray[np.intp]
    similarity: NDArray[np.float64]
    precision: NDArray[np.float64]
    chance_precision: NDArray[np.float64]


def leave_one_out(groups: NDArray[np.intp]) -> Iterator[Split]:
    """Give each group's rows as queries once, and all others as references.

    Parameters
    ----------
    groups
        Group of each row, (N,).
    """
    for group in np.unique(groups):
        yield np.flatnonzero(groups == group), np.flatnonzero(groups != group)


def retrieve(
    vectors: NDArray[np.float32],
    labels: NDArray[np.intp],
    splits: Iterable[Split],
    neighbors: int,
    standardize: bool,
) -> Retrieved:
    """Rank the references of every query by cosine similarity.

    Parameters
    ----------
    vectors
        (N, D).
    labels
        Condition of each row, (N,).
    splits
        Queries and references; no row is in both.
    neighbors
        How many of the nearest are kept.
    standardize
        Scale every dimension by the mean and deviation of the references first.
    """
    found: list[tuple[NDArray[np.float64], ...]] = []
    rows: list[NDArray[np.intp]] = []
    nearest: list[NDArray[np.intp]] = []
    for queries, references in splits:
        queries = queries[np.isin(labels[queries], labels[references])]
        if not len(queries):
            continue
        ours, theirs = _unit(vectors[queries], vectors[references], standardize)
        likeness = ours @ theirs.T
        order = np.argsort(-likeness, axis=1, kind="stable")
        same = labels[references][order] == labels[queries][:, None]
        top = np.full((len(queries), neighbors), -1)
        kept = order[:, :neighbors]
        top[:, : kept.shape[1]] = references[kept]
        wanted = same.sum(axis=1)
        rows.append(queries)
        nearest.append(top)
        found.append(
            (likeness.max(axis=1), average_precision(same), chance(wanted, len(references)))
        )
    if not rows:
        none = np.zeros(0)
        return Retrieved(none.astype(np.intp), np.zeros((0, neighbors), np.intp), none, none, none)
    similarity, precision, by_chance = (np.concatenate(one) for one in zip(*found, strict=True))
    return Retrieved(
        np.concatenate(rows), np.concatenate(nearest), similarity, precision, by_chance
    )


def _unit(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], standardize: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, other = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if standardize:
        mean, deviation = other.mean(axis=0), other.std(axis=0)
        differs = deviation > 1e-9 * np.abs(mean) + 1e-12
        one = (one - mean)[:, differs] / deviation[differs]
        other = (other - mean)[:, differs] / deviation[differs]

    def scaled(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        length = np.linalg.norm(matrix, axis=1, keepdims=True)
        return np.asarray(matrix / np.maximum(length, 1e-12))

    return scaled(one), scaled(other)


def average_precision(same: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean of the precision at each hit of a ranking.

    Parameters
    ----------
    same
        Whether the references are of the query's condition, the most similar first, (Q, R),
        with a hit in every row.
    """
    hits = same.cumsum(axis=1)
    precision = np.where(same, hits / np.arange(1, same.shape[1] + 1), 0.0)
    return np.asarray(precision.sum(axis=1) / hits[:, -1], np.float64)


def chance(wanted: NDArray[np.intp], references: int) -> NDArray[np.float64]:
    """Return the average precision that a random ranking has on average.

    A hit at place i has, on average, the share of the other hits among the other references
    before it, besides itself; hits are equally likely at all places.

    Parameters
    ----------
    wanted
        Hits among the references, (Q,), at least one.
    references
        How many references there are.
    """
    if references == 1:
        return np.ones(len(wanted))
    share = (wanted - 1) / (references - 1)
    harmonic = np.sum(1.0 / np.arange(1, references + 1)) / references
    return np.asarray(share + harmonic * (1 - share), np.float64)


def vote(labels: NDArray[np.intp], nearest: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the condition that most of the nearest are of; of equals, that of the nearest of all.

    Parameters
    ----------
    labels
        Condition of each row, (N,).
    nearest
        Rows, the nearest first, (Q, k); -1 for none.
    """
    count, most = nearest.shape[1], int(labels.max()) + 1
    votes = np.zeros((len(nearest), most), np.intp)
    first = np.full((len(nearest), most), count)
    for place in reversed(range(count)):
        there = np.flatnonzero(nearest[:, place] >= 0)
        votes[there, labels[nearest[there, place]]] += 1
        first[there, labels[nearest[there, place]]] = place
    # Of equal ones, that whose nearest is nearer; no place outweighs a vote.
    return np.asarray((votes * (count + 1) - first).argmax(axis=1), np.intp)


def shuffled(
    labels: NDArray[np.intp], groups: NDArray[np.intp], times: int, seed: int
) -> Iterator[NDArray[np.intp]]:
    """Give conditions to wells at random, so that all rows of a well keep the same one.

    Parameters
    ----------
    labels, groups
        Condition and well of each row, (N,); wells are numbered from 0.
    times
        How often.
    seed
        Makes it repeatable.
    """
    rng = np.random.default_rng(seed)
    of_group = np.zeros(groups.max() + 1, labels.dtype)
    of_group[groups] = labels
    for _ in range(times):
        yield rng.permutation(of_group)[groups]
