"""What self-distillation is driven by: DINO, iBOT and KoLeo, as DINOv2 has them.

sslprofiler.txt, 3.2.1, refers to DINOv2 for these.
"""

from __future__ import annotations

import torch
from torch.nn import functional

STUDENT_TEMPERATURE = 0.1
"""Of the student's scores; the paper does not say, DINOv2's."""

_ROUNDS = 3
_NEAR = 1e-8


def sinkhorn(scores: torch.Tensor, temperature: float) -> torch.Tensor:
    """Turn a teacher's scores into targets that use all prototypes alike (Sinkhorn-Knopp).

    DINOv2's centring: without it, all images would come to have the same target. Three rounds,
    over the images of a batch.

    Parameters
    ----------
    scores
        (N, prototypes).
    temperature
        The lower, the sharper.

    Returns
    -------
    torch.Tensor
        Probabilities, (N, prototypes): each row sums to 1, all columns to about N / prototypes.
    """
    # Float32, and less than the highest score: exponentials of half precision overflow.
    scores = scores.float() / temperature
    shares = torch.exp(scores - scores.max())
    shares /= shares.sum()
    count, prototypes = shares.shape
    for _ in range(_ROUNDS):
        # A prototype that is far from all images has no share to be divided by.
        shares /= shares.sum(dim=0, keepdim=True).clamp_min(_TINY) * prototypes
        shares /= shares.sum(dim=1, keepdim=True).clamp_min(_TINY) * count
    return shares * count


_TINY = 1e-30


def cross_entropy(
    scores: torch.Tensor, targets: torch.Tensor, temperature: float = STUDENT_TEMPERATURE
) -> torch.Tensor:
    """Compare a student's scores with a teacher's targets, row by row.

    Parameters
    ----------
    scores
        Of the student, (N, prototypes).
    targets
        Of the teacher, probabilities (N, prototypes).
    temperature
        Of the student.

    Returns
    -------
    torch.Tensor
        (N,).
    """
    return -(targets * functional.log_softmax(scores.float() / temperature, dim=-1)).sum(dim=-1)


def dino(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compare images: DINO's loss, the mean :func:`cross_entropy` of CLS tokens."""
    return cross_entropy(scores, targets).mean()


def ibot(scores: torch.Tensor, targets: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Compare what a student makes of masked tokens with what the teacher sees there: iBOT's loss.

    Masked tokens of an image share its weight; images without any count as 0, as in DINOv2.

    Parameters
    ----------
    scores, targets
        Of the masked tokens, image by image and row by row, (M, prototypes).
    masks
        Which tokens are masked, (B, Y, X) bool, M in all.
    """
    flat = masks.flatten(1)
    weights = flat.sum(dim=1).clamp_min(1).reciprocal()
    image = flat.nonzero()[:, 0]
    return (cross_entropy(scores, targets) * weights[image]).sum() / len(masks)


def koleo(tokens: torch.Tensor) -> torch.Tensor:
    """Keep representations apart: minus the mean log of the distance to the nearest one (KoLeo).

    Parameters
    ----------
    tokens
        Of different images, (N, width), N of at least 2; they are brought to length 1.
    """
    # Not under autocast: distances are differences of nearly equal numbers.
    with torch.autocast(tokens.device.type, enabled=False):
        tokens = functional.normalize(tokens.float(), dim=-1)
        with torch.no_grad():
            alike = tokens @ tokens.T
            alike.fill_diagonal_(-1)
            nearest = alike.argmax(dim=1)
        distance = functional.pairwise_distance(tokens, tokens[nearest], eps=_NEAR)
        return -torch.log(distance + _NEAR).mean()
