"""Attribution: which places of a frame tell the arrow of time (tap.txt, 3.3), by Grad-CAM.

The map is that of the public code: of the logit for the order of time, with respect to the TAP
representations z of the earlier frame. The gradient, summed over all pixels, weighs the features;
their weighted sum, without its sign, is the map. (Grad-CAM's own paper takes its positive part;
the TAP paper does not say.)

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
from napari_dynaclr.embedding.tap.architecture import FORWARD
from napari_dynaclr.embedding.tap.dense import Extractor

if TYPE_CHECKING:
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
            features_and_attribution(extractor, one, other, job)[1]
            for one, other in zip(earlier, later, strict=True)
        ]
    return np.stack(slices).reshape(first.shape)


def features_and_attribution(
    extractor: Extractor,
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    job: Job,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Represent the pixels of a frame, and map how much each tells the arrow of time.

    Parameters
    ----------
    extractor
        The network.
    first, second
        The earlier and the later frame, normalised, (Y, X).
    job
        For cancelling.

    Returns
    -------
    tuple
        Features of the earlier frame, (features, Y, X), and the attribution (Y, X).

    Raises
    ------
    InvalidInput
        See :meth:`~napari_dynaclr.embedding.tap.dense.Extractor.tiles`.
    """
    features = np.empty((extractor.features, *first.shape), np.float32)
    weights = np.zeros(extractor.features)
    for y, x, z in extractor.tiles(np.stack([first, second]), job):
        weights += _gradient(extractor.network, z, first.size)
        features[:, y, x] = z[0].cpu().numpy()
    return features, _weighted(features, weights)


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
    weights = np.zeros(len(first))
    for start in range(0, height, rows):
        job.check()
        here = np.s_[:, start : start + rows]
        pair = np.stack([first[here], second[here]]).astype(np.float32, copy=False)
        weights += _gradient(network, torch.from_numpy(pair).to(device), height * width)
    found = np.empty((height, width), np.float32)
    for start in range(0, height, rows):
        here = np.s_[:, start : start + rows]
        found[here[1]] = _weighted(np.asarray(first[here], np.float32), weights)
    return found


def _gradient(network: TimeArrowNet, z: torch.Tensor, pixels: int) -> NDArray[np.float64]:
    """Sum the gradient over part of a pair (2, features, h, w), of a frame of so many pixels.

    By the features of the first frame, (features,).
    """
    rows = max(1, _BAND // z.shape[-1])
    total = np.zeros(z.shape[1])
    for band in z.split(rows, dim=-2):
        pair = band.detach().clone().requires_grad_()
        logit = network.head(pair[None])[0, FORWARD]
        (found,) = torch.autograd.grad(logit, pair)
        # The head averages over the band, not over the frame.
        share = band.shape[-2] * band.shape[-1] / pixels
        total += share * found[0].sum((-2, -1)).cpu().double().numpy()
    return total


def _weighted(features: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.abs(np.tensordot(weights.astype(np.float32), features, axes=1))
