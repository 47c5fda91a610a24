"""Student and teacher: the one learns, the other follows (sslprofiler.txt, 3.2.1)."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_dynaclr.embedding.profiler.architecture import SIZES
from napari_dynaclr.embedding.profiler.network import ProfilerNet
from napari_dynaclr.embedding.profiler.training.heads import Head

if TYPE_CHECKING:
    from napari_dynaclr.embedding.profiler.architecture import ProfilerConfig

COOLEST = 0.04
"""Temperature of the teacher at first. The paper does not say, DINOv2's."""

_WARM = 0.3
"""Of the training, in which it rises: 30 of 100 epochs in DINOv2."""


class Branch(nn.Module):
    """A backbone with a head for images and one for patch tokens.

    Two heads, as DINOv2 has found better for large trainings.

    Parameters
    ----------
    config
        Shape of the backbone.
    prototypes
        Of each head.
    drop_path
        See :class:`~napari_dynaclr.embedding.profiler.network.ProfilerNet`.
    """

    def __init__(self, config: ProfilerConfig, prototypes: int, drop_path: float = 0.0) -> None:
        super().__init__()
        size = SIZES[config.size]
        self.backbone = ProfilerNet(config, drop_path)
        self.image_head, self.patch_head = (
            Head(size.width, size.hidden, size.bottleneck, prototypes) for _ in range(2)
        )


class Pair(nn.Module):
    """A student, and its teacher, which begins as its copy.

    Parameters
    ----------
    config, prototypes, drop_path
        Of the student; see :class:`Branch`.
    """

    def __init__(self, config: ProfilerConfig, prototypes: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.student = Branch(config, prototypes, drop_path)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def follow(self, momentum: float) -> None:
        """Let the teacher follow: exponential moving average of the student's weights.

        Parameters
        ----------
        momentum
            What it keeps of its own, 0-1.
        """
        both = zip(self.teacher.parameters(), self.student.parameters(), strict=True)
        with torch.no_grad():
            for mine, own in both:
                mine.lerp_(own, 1 - momentum)


def momentum_at(start: float, progress: float) -> float:
    """Return what the teacher keeps of its weights: from ``start`` to 1 along a cosine.

    Parameters
    ----------
    start
        At the beginning; 0.992 in DINOv2.
    progress
        Of the training, 0-1.
    """
    return 1 - (1 - start) * (math.cos(math.pi * progress) + 1) / 2


def temperature_at(progress: float, warmest: float) -> float:
    """Return the teacher's temperature.

    Parameters
    ----------
    progress
        Of the training, 0-1.
    warmest
        What it rises to; one below :data:`COOLEST` stays as it is.
    """
    low = min(COOLEST, warmest)
    return low + (warmest - low) * min(progress / _WARM, 1.0)
