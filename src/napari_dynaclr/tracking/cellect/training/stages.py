"""When the MLPs learn (cellect.txt, Methods, Training and inference)."""

from __future__ import annotations

WINDOWS = ((2, 7), (15, 20), (35, 40))
"""Epochs in which the MLPs are trained, of :data:`EPOCHS`; they are frozen in the others."""

EPOCHS = 149


def learns(epoch: int, epochs: int) -> bool:
    """Whether the MLPs learn in an epoch of a staged training.

    A training of another length has the stages at the same parts of it, each one epoch at least.

    Parameters
    ----------
    epoch
        Counted from 1.
    epochs
        Of the whole training.
    """
    first, last = ((one * EPOCHS) / epochs for one in (epoch - 1, epoch))
    return any(first < stop and last > start - 1 for start, stop in WINDOWS)
