"""From links of cells to tracks with parents."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_dynaclr.tracking.cellect.linking import Links


class Tracks(NamedTuple):
    """Tracks of N nodes, in order of time.

    Attributes
    ----------
    track_id
        From 1, (N,).
    parent_track_id
        -1 for none, (N,).
    before
        Node that each is linked to, -1 for none, (N,).
    reliability
        Score of that link, NaN for none, (N,).
    """

    track_id: NDArray[np.int64]
    parent_track_id: NDArray[np.int64]
    before: NDArray[np.int64]
    reliability: NDArray[np.float64]


def number_tracks(counts: NDArray[np.integer], links: Iterable[Links]) -> Tracks:
    """Make tracks of links, and number them.

    A cell with one successor goes on in its track; with two, these begin tracks of their own,
    whose parent it is.

    Parameters
    ----------
    counts
        Cells of each time point, (T,).
    links
        Each cell is a child once at most.
    """
    first = np.concatenate([[0], np.cumsum(counts)])
    before = np.full(int(first[-1]), -1, np.int64)
    reliability = np.full(len(before), np.nan)
    for some in links:
        child = first[some.child[:, 0]] + some.child[:, 1]
        before[child] = first[some.parent[:, 0]] + some.parent[:, 1]
        reliability[child] = some.score
    return _numbered(before, reliability)


def _numbered(before: NDArray[np.int64], reliability: NDArray[np.float64]) -> Tracks:
    linked = before >= 0
    successors = np.bincount(before[linked], minlength=len(before))
    goes_on = linked.copy()
    goes_on[linked] = successors[before[linked]] == 1
    track = np.zeros(len(before), np.int64)
    track[~goes_on] = np.arange(1, int((~goes_on).sum()) + 1)
    for node in np.flatnonzero(goes_on):  # in order of time: the one before has its number
        track[node] = track[before[node]]
    parents = np.full(int(track.max(initial=0)) + 1, -1, np.int64)
    born = linked & ~goes_on
    parents[track[born]] = track[before[born]]
    return Tracks(track, parents[track], before, reliability)


def joined(
    tracks: Tracks,
    ends: NDArray[np.integer],
    starts: NDArray[np.integer],
    similarity: NDArray[np.floating],
) -> Tracks:
    """Link last nodes of tracks to first nodes of others, and number the tracks anew.

    Parameters
    ----------
    tracks
        As they are.
    ends, starts
        Nodes, in pairs.
    similarity
        Reliability of each new link.
    """
    before, reliability = tracks.before.copy(), tracks.reliability.copy()
    before[starts] = ends
    reliability[starts] = similarity
    return _numbered(before, reliability)
