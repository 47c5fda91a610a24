"""What a tracking method is given of a FOV, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov


@dataclass(frozen=True)
class Movie:
    """One FOV, as a tracking method sees it.

    Attributes
    ----------
    fov
        Its images, shape (T, Z, Y, X), voxel size in um and frame interval in s.
    nodes
        The segmented cells: ``t``, ``label``, centroid ``z``, ``y``, ``x`` and ``area`` in
        pixels, by time point and label; no rows for a method that needs no segmentation.
    scratch
        Folder for unfinished work. It is kept for a run that goes on after an interruption,
        and is gone once the FOV is tracked; created by whoever writes to it first.
    segmented
        The label images that ``nodes`` were measured in; None without a segmentation.
    """

    fov: Fov
    nodes: pd.DataFrame
    scratch: Path
    segmented: Fov | None = None

    def labels(self, times: Iterable[int] | None = None) -> Iterator[tuple[int, NDArray[Any]]]:
        """Read the segmented label images.

        Parameters
        ----------
        times
            Ascending time points; all by default.

        Yields
        ------
        tuple
            (t, labels of shape (Z, Y, X)).

        Raises
        ------
        ValueError
            If the method has not asked for a segmentation.
        """
        if self.segmented is None:
            raise ValueError("this movie has no segmentation")
        for t, frame in self.segmented.frames(["labels"], times, allow_empty=True):
            yield t, frame[0]


@dataclass(frozen=True)
class Linked:
    """The cells of a FOV, linked over time.

    Attributes
    ----------
    nodes
        ``t``, ``label``, ``z``, ``y``, ``x``, ``area``, ``track_id`` (from 1) and
        ``parent_track_id`` (-1 for none). With ``reliability``, where the method has one:
        how sure the link to the node before is, 0 to 1; what it says of nodes without a
        link does not matter. With ``id``, where nodes are known by one elsewhere.
    labels
        The label images that ``nodes`` stand for, read by time points, where the method has
        found cells of its own; else they are the segmented ones.
    """

    nodes: pd.DataFrame
    labels: Callable[[Iterable[int]], Iterator[tuple[int, NDArray[Any]]]] | None = None
