"""Heads of a training: from tokens to scores for prototypes, as in DINO and DINOv2."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

_LAYERS = 3
_SPREAD = 0.02
_EVEN = 1e-12


class Head(nn.Module):
    """Three layers to a short vector of length 1, and its likeness to each prototype.

    The paper does not say; DINOv2's, whose last layer has prototypes of length 1, too. But the
    short vectors are normalised over the batch, an option of DINO's head that DINOv2 does
    without: at first all images have nearly the same, and short trainings would stay where all
    of them score alike.

    Parameters
    ----------
    width
        Of the tokens.
    hidden, bottleneck
        Widths of the layers, and of the vector.
    prototypes
        How many there are.
    """

    def __init__(self, width: int, hidden: int, bottleneck: int, prototypes: int) -> None:
        super().__init__()
        widths = [width, *[hidden] * (_LAYERS - 1), bottleneck]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.GELU()]
        self.layers = nn.Sequential(*layers[:-1])
        # Of the batch at hand, whose rows are images or tokens: nothing to be kept. At first they
        # differ by little.
        self.even = nn.BatchNorm1d(bottleneck, eps=_EVEN, affine=False, track_running_stats=False)
        self.prototypes = nn.Parameter(torch.empty(prototypes, bottleneck))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=_SPREAD)
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.prototypes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Score tokens (..., width) for the prototypes, (..., prototypes), from -1 to 1."""
        short = self.even(self.layers(tokens).float())
        short = functional.normalize(short, dim=-1, eps=1e-6)
        return functional.linear(short, functional.normalize(self.prototypes.float(), dim=-1))
