"""The intraframe and the interframe MLP (Methods, "Model architecture").

Both give independent scores, the sigmoids of their logits: of a cell that divides, two
candidates are right. The paper asks for cross-entropy; it is that of each score by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

    from napari_dynaclr.tracking.cellect.architecture import CellectConfig
    from napari_dynaclr.tracking.cellect.candidates import PairFeatures

NEVER = -1e4
"""Logit of a candidate that is not there: its score is 0, and its loss and gradient are, too."""

_FILTERS = 8
_SIZES = 6
_DIVISIONS = 6


class InterScores(NamedTuple):
    """What the interframe MLP says.

    Attributes
    ----------
    link
        Logits of each candidate, and of "none" behind them, (N, k + 1).
    division
        Logits of "does not divide" and "divides", (N, 2).
    """

    link: Tensor
    division: Tensor


class _PairMlp(nn.Module):
    """From what is known of cells and their candidates to some numbers.

    Parameters
    ----------
    config
        Length of the embedding, and number of candidates.
    outputs
        How many numbers.
    """

    def __init__(self, config: CellectConfig, outputs: int) -> None:
        super().__init__()
        width, count = config.embedding, config.candidates
        # Embeddings one above the other are compared place by place with their surroundings.
        self.wide = nn.Conv2d(1, _FILTERS, (2, 5), padding=(0, 2), bias=False)
        self.narrow = nn.Conv2d(1, _FILTERS, (2, 3), padding=(0, 1), bias=False)
        self.compared_norm = nn.BatchNorm2d(_FILTERS)
        self.compared = nn.Linear(2 * _FILTERS * width, width)
        lengths = (width, width, width, 3, _SIZES, _DIVISIONS)
        self.views = nn.ModuleList([nn.Linear(count * length, width) for length in lengths])
        self.view_norms = nn.ModuleList([nn.BatchNorm1d(width) for _ in lengths])
        self.join = nn.Linear(len(lengths) * width, 2 * width)
        self.join_norm = nn.BatchNorm1d(2 * width)
        self.hidden = nn.Linear(2 * width, width)
        self.out = nn.Linear(width, outputs)

    def forward(self, pairs: PairFeatures) -> Tensor:
        """Map N cells and their candidates to (N, outputs)."""
        target = pairs.target[:, None].expand_as(pairs.candidate)
        stacked = torch.stack([target, pairs.candidate], 2).flatten(0, 1)[:, None]
        compared = torch.cat(
            [
                F.leaky_relu(self.compared_norm(conv(stacked))).flatten(1)
                for conv in (self.wide, self.narrow)
            ],
            1,
        )
        lengths = target.norm(dim=-1, keepdim=True) * pairs.candidate.norm(dim=-1, keepdim=True)
        views = (
            self.compared(compared).view_as(pairs.candidate),
            pairs.candidate - target,
            # What the cosine of both is the sum of.
            target * pairs.candidate / lengths.clamp_min(1e-12),
            pairs.offset,
            pairs.size,
            pairs.division,
        )
        seen = [
            F.leaky_relu(norm(layer(view.flatten(1))))
            for view, layer, norm in zip(views, self.views, self.view_norms, strict=True)
        ]
        joined = self.join_norm(F.leaky_relu(self.join(torch.cat(seen, 1))))
        result: Tensor = self.out(F.leaky_relu(self.hidden(joined)))
        return result


def _without_missing(link: Tensor, there: Tensor) -> Tensor:
    none = torch.ones_like(there[:, :1])
    return link.masked_fill(~torch.cat([there, none], 1), NEVER)


class IntraFrame(nn.Module):
    """Which of a cell's neighbours in the same frame are the same cell, found twice.

    Parameters
    ----------
    config
        Length of the embedding, and number of candidates.
    """

    def __init__(self, config: CellectConfig) -> None:
        super().__init__()
        self.mlp = _PairMlp(config, config.candidates + 1)

    def forward(self, pairs: PairFeatures) -> Tensor:
        """Return logits of each candidate, and of "none" behind them, (N, k + 1).

        In training, at least two cells are needed: of one, nothing can be normalised.
        """
        return _without_missing(self.mlp(pairs), pairs.there)


class InterFrame(nn.Module):
    """Which of the nearest cells of a later frame a cell is linked to, and whether it divides.

    Parameters
    ----------
    config
        Length of the embedding, and number of candidates.
    """

    def __init__(self, config: CellectConfig) -> None:
        super().__init__()
        self.mlp = _PairMlp(config, config.candidates + 3)

    def forward(self, pairs: PairFeatures) -> InterScores:
        """Score N cells; in training, at least two are needed."""
        found = self.mlp(pairs)
        return InterScores(_without_missing(found[:, :-2], pairs.there), found[:, -2:])
