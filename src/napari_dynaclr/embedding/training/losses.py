"""Losses of contrastive training (dynaclr.txt, 3.1 and A.2; Chen 2020; Weinberger 2005)."""

from __future__ import annotations

import torch
from torch.nn import functional


def nt_xent(
    anchors: torch.Tensor,
    positives: torch.Tensor,
    temperature: float = 0.5,
    family: torch.Tensor | None = None,
) -> torch.Tensor:
    """Normalised-temperature cross entropy: each finds its partner among all others.

    Parameters
    ----------
    anchors, positives
        Projections, (B, P); row i of one belongs to row i of the other.
    temperature
        Divides the cosine similarities.
    family
        Number of each row's lineage, (B,): rows of the same one are not told apart. None to
        tell all apart.

    Returns
    -------
    torch.Tensor
        Mean over the 2B rows, a scalar.
    """
    count = len(anchors)
    # In float32: in half precision, the exponentials of a large batch run over.
    both = functional.normalize(torch.cat([anchors, positives]).float(), dim=1)
    alike = both @ both.T / temperature
    alike.fill_diagonal_(-torch.inf)
    partner = torch.arange(2 * count, device=both.device).roll(count)
    if family is not None:
        twice = torch.cat([family, family])
        relatives = twice[:, None] == twice[None]
        relatives[torch.arange(2 * count, device=both.device), partner] = False
        alike = alike.masked_fill(relatives, -torch.inf)
    return functional.cross_entropy(alike, partner)


def triplet(
    anchors: torch.Tensor,
    positives: torch.Tensor,
    negatives: torch.Tensor,
    margin: float = 0.5,
) -> torch.Tensor:
    """Triplet loss: positives nearer than negatives, by a margin.

    Parameters
    ----------
    anchors, positives, negatives
        Embeddings, (B, E).
    margin
        In Euclidean distance between unit vectors.

    Returns
    -------
    torch.Tensor
        Mean over the batch, a scalar.
    """
    near, far = (
        functional.pairwise_distance(
            functional.normalize(anchors.float(), dim=1), functional.normalize(one.float(), dim=1)
        )
        for one in (positives, negatives)
    )
    return functional.relu(near - far + margin).mean()
