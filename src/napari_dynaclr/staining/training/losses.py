"""What a stainer is to get right: each pixel, and the structure around it (Methods)."""

from __future__ import annotations

import torch
from torch.nn import functional

_BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weight of each scale, the finest first (Wang, Simoncelli and Bovik 2003)."""

_WINDOW = 11
_LEAST = 1e-4
"""Of the similarity at a scale: powers of what is below have no gradient."""


def mixed_loss(
    prediction: torch.Tensor, target: torch.Tensor, absolute: float = 0.5
) -> torch.Tensor:
    """Weigh mean absolute error and structural dissimilarity (Training objectives; Zhao 2017).

    Parameters
    ----------
    prediction, target
        (B, C, D, Y, X), normalised.
    absolute
        Weight of the mean absolute error, 0 to 1; the rest is that of the dissimilarity.

    Returns
    -------
    torch.Tensor
        A number.
    """
    # Differences of squares need all digits, whatever precision the network computes in.
    with torch.autocast(target.device.type, enabled=False):
        prediction, target = prediction.float(), target.float()
        loss = absolute * functional.l1_loss(prediction, target)
        if absolute < 1:
            loss = loss + (1 - absolute) * (1 - ms_ssim(prediction, target))
    return loss


def ms_ssim(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Measure the multi-scale structural similarity of stacks, "2.5D".

    The window is uniform, 11 x 11 pixels and as deep as the stack; scales are halved in the
    plane only. Patches too small for five scales are compared at fewer, the weights of the
    others rescaled.

    Parameters
    ----------
    prediction, target
        (B, C, D, Y, X), float32.

    Returns
    -------
    torch.Tensor
        A number, 0 to 1: the mean over the batch.
    """
    scales = [
        number
        for number in range(len(_BETAS))
        if min(target.shape[3:]) >> number >= _WINDOW or number == 0
    ]
    weights = [_BETAS[number] / sum(_BETAS[: len(scales)]) for number in scales]
    found = torch.ones(len(target), device=target.device)
    for number, weight in zip(scales, weights, strict=True):
        similarity, contrast = _similarity(prediction, target)
        last = number == scales[-1]
        found = found * (similarity if last else contrast).clamp_min(_LEAST) ** weight
        if not last:
            prediction = functional.avg_pool3d(prediction, (1, 2, 2))
            target = functional.avg_pool3d(target, (1, 2, 2))
    return found.mean()


def _similarity(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Structural similarity, and its factor of contrast and structure alone, (B,) each."""
    # The reference's range of values; never 0, for constant pictures have a similarity, too.
    span = y.amax().abs().clamp_min(1e-3)
    low, high = (0.01 * span) ** 2, (0.03 * span) ** 2
    mean_x, mean_y = _mean(x), _mean(y)
    spread = _mean(x * x) - mean_x**2 + _mean(y * y) - mean_y**2
    shared = _mean(x * y) - mean_x * mean_y
    contrast = (2 * shared + high) / (spread + high)
    light = (2 * mean_x * mean_y + low) / (mean_x**2 + mean_y**2 + low)
    return (light * contrast).flatten(1).mean(1), contrast.flatten(1).mean(1)


def _mean(stack: torch.Tensor) -> torch.Tensor:
    """Mean in a window: (B, C, Y', X').

    By matrices with a band of ones: on a CPU, the loss takes half the time of one that pools.
    """
    flat = stack.mean(2)
    rows, columns = (_band(side, flat) for side in flat.shape[2:])
    return rows @ (flat @ columns.T)


def _band(side: int, like: torch.Tensor) -> torch.Tensor:
    """Matrix that averages successive values, (side - window + 1, side)."""
    window = min(_WINDOW, side)
    ones = torch.ones(side - window + 1, side, device=like.device, dtype=like.dtype)
    return ones.triu().tril(window - 1) / window


def masked_error(
    prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Return the mean squared error where the network could not see.

    Parameters
    ----------
    prediction, target
        (B, C, D, Y, X).
    mask
        True where the input was masked, (B, 1, Y, X).
    """
    error = (prediction.float() - target.float()) ** 2
    hidden = mask[:, :, None].expand_as(error)
    return error[hidden].mean()
