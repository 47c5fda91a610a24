"""The loss of TAP (tap.txt, Equations 1 and 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

_EPSILON = 1e-6
"""Norm below which a feature counts as constant: it correlates with nothing."""


def order_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax and cross-entropy of the two orders (Equation 1, L_BCE), the mean over pairs.

    Parameters
    ----------
    logits
        (B, 2).
    labels
        0 for the order of time, 1 for the reverse, (B,).
    """
    return functional.cross_entropy(logits, labels)


def decorrelation(z: Tensor, temperature: float) -> Tensor:
    """How far features repeat each other (Equation 2), the mean over pairs.

    ``-log(sum of A_ii) / c``, with ``A`` the softmax of each feature's correlations with all of
    them, divided by the temperature. The paper's logarithm of the sum is taken; the public code
    has the mean of the logarithms. Correlations are Pearson's over the pixels of both images:
    the paper does not say how the features are scaled, and the temperature presumes some.

    Parameters
    ----------
    z
        Representations of pairs, (B, 2, c, H, W).
    temperature
        0.2 in the paper.
    """
    features = z.transpose(1, 2).flatten(2)
    centred = features - features.mean(-1, keepdim=True)
    scaled = functional.normalize(centred, dim=-1, eps=_EPSILON)
    likeness = torch.softmax(scaled @ scaled.transpose(1, 2) / temperature, dim=-1)
    kept = likeness.diagonal(dim1=1, dim2=2).sum(-1)
    return -(kept.log() / z.shape[2]).mean()
