"""Instance segmentations against each other: one-to-one matches by overlap, and average precision.

Two measures go by the name of average precision. Here it is that of instance segmentation
(Schmidt et al. 2018, StarDist; Stringer et al. 2021, Cellpose): ``TP / (TP + FP + FN)`` at a
threshold of the intersection over union (IoU). That of object detection (COCO), which VisCy
computes through torchmetrics, is the area under a curve of precision over recall and ranks
objects by how sure a network is of them. A label image tells no such thing, so all
objects rank alike, and the area is about precision times recall. Both are 1 for the same
objects and 0 for none in common; in between they differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLDS = np.round(np.arange(0.5, 0.96, 0.05), 2)
"""IoU from 0.5 to 0.95 in steps of 0.05, over which AP is averaged (cytoland.txt, VSCyto3D)."""

_LOW = np.uint64(32)


@dataclass(frozen=True)
class Overlaps:
    """Which objects of two label images overlap, and how much.

    Attributes
    ----------
    truth, found
        Labels of the objects, (N,) and (M,).
    pairs
        Positions of the overlapping ones therein, (P, 2).
    iou
        Intersection over union of each pair, (P,).
    """

    truth: NDArray[np.int64]
    found: NDArray[np.int64]
    pairs: NDArray[np.intp]
    iou: NDArray[np.float64]

    def matched(self, threshold: float) -> NDArray[np.intp]:
        """Match one to one, as many as there can be.

        Parameters
        ----------
        threshold
            Smallest IoU of a match. Above 0.5 an object has one partner at most; at 0.5 and
            below it may have the choice.

        Returns
        -------
        numpy.ndarray
            Positions in :attr:`truth` and :attr:`found`, (K, 2), ascending.
        """
        near = self.pairs[self.iou >= threshold]
        if not len(near):
            return np.empty((0, 2), np.intp)
        shape = (len(self.truth), len(self.found))
        graph = coo_array((np.ones(len(near), bool), tuple(near.T)), shape=shape).tocsr()
        partner = maximum_bipartite_matching(graph, perm_type="column")
        rows = np.flatnonzero(partner >= 0)
        return np.stack([rows, partner[rows]], axis=1).astype(np.intp)


def overlaps(truth: NDArray[Any], found: NDArray[Any]) -> Overlaps:
    """Measure how the objects of two label images overlap.

    Parameters
    ----------
    truth, found
        Label images of the same shape, (Z, Y, X) or (Y, X), of unsigned integers of at most 32
        bits; 0 is background. Labels need not be consecutive.
    """
    planes = zip(*(np.reshape(one, (-1, *one.shape[-2:])) for one in (truth, found)), strict=True)
    # Plane by plane: of a large stack, only the sums are kept.
    sums = [_pair_counts(a, b) for a, b in planes]
    counts = pd.concat(sums).groupby(level=0).sum() if sums else pd.Series(dtype=np.int64)
    code = counts.index.to_numpy(np.uint64)
    a, b = (code >> _LOW).astype(np.int64), (code & np.uint64(0xFFFFFFFF)).astype(np.int64)
    pixels = np.asarray(counts, np.int64)
    true_labels, true_sizes = _sizes(a, pixels)
    our_labels, our_sizes = _sizes(b, pixels)
    both = (a > 0) & (b > 0)
    pairs = np.stack(
        [np.searchsorted(true_labels, a[both]), np.searchsorted(our_labels, b[both])], axis=1
    )
    union = true_sizes[pairs[:, 0]] + our_sizes[pairs[:, 1]] - pixels[both]
    return Overlaps(true_labels, our_labels, pairs, pixels[both] / union)


def _pair_counts(a: NDArray[Any], b: NDArray[Any]) -> pd.Series[int]:
    """Count the pixels of every pair of labels; a pair is one number, for a table of hashes."""
    somewhere = (a > 0) | (b > 0)
    code = (a[somewhere].astype(np.uint64) << _LOW) | b[somewhere].astype(np.uint64)
    return pd.Series(code).value_counts(sort=False)


def _sizes(
    labels: NDArray[np.int64], pixels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the labels but 0, ascending, and how many pixels each has."""
    names, place = np.unique(labels, return_inverse=True)
    sizes = np.bincount(place, pixels, len(names)).astype(np.int64)
    return names[names > 0], sizes[names > 0]


@dataclass(frozen=True)
class Counts:
    """Objects, and how many of them match, over one frame or many.

    Attributes
    ----------
    truth, found
        Number of objects.
    matches
        Number of matches at each of :data:`THRESHOLDS`, (10,).
    """

    truth: int
    found: int
    matches: NDArray[np.int64]

    @classmethod
    def of(cls, truth: NDArray[Any], found: NDArray[Any]) -> Self:
        """Compare two label images, as :func:`overlaps` takes them."""
        common = overlaps(truth, found)
        matches = [len(common.matched(threshold)) for threshold in THRESHOLDS]
        return cls(len(common.truth), len(common.found), np.array(matches, np.int64))

    @classmethod
    def none(cls) -> Self:
        """Begin a sum."""
        return cls(0, 0, np.zeros(len(THRESHOLDS), np.int64))

    def __add__(self, other: Counts) -> Counts:
        """Add what was counted elsewhere: a large frame counts more than an empty one."""
        return Counts(
            self.truth + other.truth, self.found + other.found, self.matches + other.matches
        )

    @property
    def precisions(self) -> NDArray[np.float64]:
        """TP / (TP + FP + FN) at each of :data:`THRESHOLDS`, (10,); NaN if there is no object."""
        objects = self.truth + self.found - self.matches
        found = np.full(len(THRESHOLDS), np.nan)
        np.divide(self.matches, objects, out=found, where=objects > 0)
        return found

    @property
    def ap50(self) -> float:
        """Average precision at an IoU of 0.5."""
        return float(self.precisions[0])

    @property
    def ap(self) -> float:
        """Average precision, the mean over all of :data:`THRESHOLDS`."""
        return float(self.precisions.mean())
