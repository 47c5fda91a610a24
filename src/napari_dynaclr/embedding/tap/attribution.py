"""Attribution: which places of a frame tell the arrow of time (tap.txt, 3.3), by Grad-CAM.

The head's answer is the difference of its two logits. Its gradient by the TAP representations z of
both frames, averaged over all pixels, weighs the features; their weighted sum over features and
frames is what a place says for the order in which the frames are given, and its positive part,
as Grad-CAM has it, is the map. What is the same in both frames cancels out.

The public code takes the logit of one order, the earlier frame alone, and the sum without its
sign. That map also shows what tells nothing: a logit by itself has a share that is the same for
both orders. The paper names neither frame nor logit.

The head works on each pixel by itself up to the average over all, and is linear from there: in
eval mode a logit is the mean of what each pixel contributes, and its gradient at a pixel is not
changed by other pixels. So the gradient is summed part by part, and a frame in parts has the
same map as one in one piece, up to rounding. The public code weighs each of its tiles anew,
as if it were an image of its own; ours does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_dynaclr.core.device import Device, device_memory
from napari_dynaclr.core.job import Job
from napari_dynaclr.embedding.tap.architecture import BACKWARD, FORWARD, FRAMES
from napari_dynaclr.embedding.tap.dense import Extractor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.embedding.tap.checkpoint import LoadedTap
    from napari_dynaclr.embedding.tap.dense import Precision
    from napari_dynaclr.embedding.tap.network import TimeArrowNet

_BAND = 1 << 16
"""Pixels of a pair whose gradient is computed at a time: about 100 MB with 32 features."""


def attribution(
    loaded: LoadedTap,
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    device: Device = Device.CPU,
    job: Job | None = None,
    precision: Precision = "auto",
) -> NDArray[np.float32]:
    """Map how much each place tells which of two frames was the earlier one.

    Parameters
    ----------
    loaded
        The network.
    first, second
        The earlier and the later frame, from
        :func:`~napari_dynaclr.embedding.tap.images.prepare`: (Y, X), or (Z, Y, X), whose slices
        are images by themselves.
    device
        Where to compute.
    job
        For cancelling.
    precision
        See :class:`~napari_dynaclr.embedding.tap.dense.Extractor`.

    Returns
    -------
    numpy.ndarray
        Of the frames' shape, 0 or more. Maps of different frames can be compared, also of
        frames of different sizes.

    Raises
    ------
    InvalidInput
        See :meth:`~napari_dynaclr.embedding.tap.dense.Extractor.tiles`.
    """
    job = job or Job()
    earlier, later = (one.reshape(-1, *one.shape[-2:]) for one in (first, second))
    with device_memory(device):
        extractor = Extractor(loaded, device, precision)
        slices = [
            attribution_of(
                extractor.network, extractor.plane(one, job), extractor.plane(other, job), job
            )
            for one, other in zip(earlier, later, strict=True)
        ]
    return np.stack(slices).reshape(first.shape)


def attribution_of(
    network: TimeArrowNet,
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    job: Job | None = None,
) -> NDArray[np.float32]:
    """Do as :func:`attribution`, from features that are known already.

    Parameters
    ----------
    network
        The network, on any device.
    first, second
        Features of the earlier and the later frame, (features, Y, X), of any precision; on
        disk, if need be: they are read some rows at a time.
    job
        For cancelling.

    Returns
    -------
    numpy.ndarray
        (Y, X).
    """
    job = job or Job()
    _, height, width = first.shape
    device = next(network.parameters()).device
    rows = max(1, _BAND // width)

    def pairs() -> Iterator[tuple[slice, NDArray[np.float32]]]:
        for start in range(0, height, rows):
            job.check()
            here = slice(start, start + rows)
            yield here, np.stack([first[:, here], second[:, here]]).astype(np.float32, copy=False)

    weights = np.zeros((FRAMES, len(first)))
    for _, pair in pairs():
        weights += _gradient(network, torch.from_numpy(pair).to(device), height * width)
    found = np.empty((height, width), np.float32)
    for here, pair in pairs():
        found[here] = np.tensordot(weights.astype(np.float32), pair, axes=2)
    return np.maximum(found, 0, out=found)


def _gradient(network: TimeArrowNet, z: torch.Tensor, pixels: int) -> NDArray[np.float64]:
    """Sum the answer's gradient over part of a pair, of frames of so many pixels.

    By frame and feature (2, features), from representations (2, features, h, w).
    """
    pair = z.detach().requires_grad_()
    logits = network.head(pair[None])[0]
    (found,) = torch.autograd.grad(logits[FORWARD] - logits[BACKWARD], pair)
    # The head averages over the part, not over the frame.
    share = z.shape[-2] * z.shape[-1] / pixels
    total: NDArray[np.float64] = share * found.sum((-2, -1)).cpu().double().numpy()
    return total
