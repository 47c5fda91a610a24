"""Losses of CELLECT (cellect.txt, Methods: Center enhancement network, Contrastive learning)."""

from __future__ import annotations

import torch
from torch.nn import functional

RARE = 32.0
"""Weight of voxels near centres, which are few; the published code's, the paper names none."""

DIVISION = 16.0
"""Weight of dividing cells, likewise."""

MARGIN = 0.3


def centre_loss(scores: torch.Tensor, levels: torch.Tensor, rare: float = RARE) -> torch.Tensor:
    """Tell the levels of the voxels around the centres.

    The sum over i from 1 to 4 and j from i to 4 of the cross-entropy of
    ``(max(a_0 .. a_{j-1}), a_j)``, where voxels of level i and above are to be the second of
    both, those of level 0 the first, and all others do not count.

    Parameters
    ----------
    scores
        Scores a of the levels 0 to 4, (B, 5, ...).
    levels
        The true levels b, (B, ...); what is above 4 does not count.
    rare
        Weight of the voxels that are to be the second.

    Returns
    -------
    torch.Tensor
        Mean over the voxels that count of each term, summed over the terms.
    """
    total = scores.new_zeros(())
    last = scores.shape[1] - 1
    below = scores[:, 0]  # the highest so far; cummax is not there on all devices
    for j in range(1, last + 1):
        # Of two classes: the cross-entropy is the softplus of the difference.
        difference = scores[:, j] - below
        below = torch.maximum(below, scores[:, j])
        for i in range(1, j + 1):
            positive = (levels >= i) & (levels <= last)
            counts = positive | (levels == 0)
            each = functional.softplus(torch.where(positive, -difference, difference))
            weight = torch.where(positive, rare, 1.0) * counts
            total = total + (each * weight).sum() / counts.sum().clamp_min(1)
    return total


def size_loss(size: torch.Tensor, true_size: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of the radii, over the voxels of cells.

    Parameters
    ----------
    size, true_size
        Radii in pixels, 0 outside of cells for the true ones, (B, ...).
    """
    inside = true_size > 0
    return ((size - true_size).abs() * inside).sum() / inside.sum().clamp_min(1)


def division_loss(
    logits: torch.Tensor, division: torch.Tensor, inside: torch.Tensor, weight: float = DIVISION
) -> torch.Tensor:
    """Cross-entropy of what is dividing and what is newborn, over the voxels of cells.

    Parameters
    ----------
    logits
        Of both, (B, 2, ...).
    division
        1 where it is so, (B, 2, ...).
    inside
        Voxels of cells, (B, ...).
    weight
        Of those where it is so.
    """
    truth = division.to(logits.dtype)
    each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    counted = each * (1 + (weight - 1) * truth) * inside[:, None]
    return counted.sum() / (logits.shape[1] * inside.sum()).clamp_min(1)


def triplet_loss(
    vectors: torch.Tensor, same: torch.Tensor, other: torch.Tensor, margin: float = MARGIN
) -> torch.Tensor:
    """Compare the farthest vector of the same cell with the nearest of another one.

    The paper has the loss with squared distances in one equation and with the distances
    themselves, of the hardest pairs, in another: it is the latter, with the margin of the former.

    Parameters
    ----------
    vectors
        Embeddings, (N, D).
    same, other
        Whether two are of the same cell, of another cell, (N, N); some may be neither.
    margin
        How much nearer the former should be.

    Returns
    -------
    torch.Tensor
        Mean over the vectors that have both; 0 if none has.
    """
    # Not by way of products, which are coarse where vectors are near.
    distances = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    farthest = distances.masked_fill(~same, -torch.inf).amax(1)
    nearest = distances.masked_fill(~other, torch.inf).amin(1)
    both = same.any(1) & other.any(1)
    if not bool(both.any()):
        return vectors.sum() * 0
    return (farthest[both] - nearest[both] + margin).clamp_min(0).mean()


def scores_loss(scores: torch.Tensor, there: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the scores of candidates and of none, each by itself.

    Parameters
    ----------
    scores
        Logits, (N, k + 1).
    there
        Which of them there are, (N, k + 1).
    right
        1 where it is right: of a dividing cell, both daughters are, (N, k + 1).

    Returns
    -------
    torch.Tensor
        Mean over those that there are.
    """
    each = functional.binary_cross_entropy_with_logits(scores, right, reduction="none")
    return (each * there).sum() / there.sum().clamp_min(1)
