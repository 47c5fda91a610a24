"""Attribution: which places of a frame tell the arrow of time (tap.txt, 3.3), by Grad-CAM.

The map is Grad-CAM of how far the network prefers the order of time, the difference of the logits,
with respect to the last features of the head, those that are averaged over all pixels. From there
the head is linear, so Grad-CAM is what each pixel adds to the preference, exactly; of that the
positive part, as Grad-CAM's own paper has it. The map of a part of a frame is that part of its map.

The paper and the public code take the TAP representations z instead. What happens between these
and the average is not linear, and one weight for each of them over the whole image often points
elsewhere: of 30 mosaics of nine squares, one of which held a division, that map was highest on the
division in 4 to 6 and this one in all; of the first 60 events of two simulated fields, 46 were
divisions by that map and 55 by this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_dynaclr.core.device import Device, device_memory
from napari_dynaclr.core.job import Job
from napari_dynaclr.embedding.tap.dense import Extractor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.embedding.tap.checkpoint import LoadedTap
    from napari_dynaclr.embedding.tap.dense import Precision
    from napari_dynaclr.embedding.tap.network import TimeArrowNet

_BAND = 1 << 16
"""Pixels of a pair that the head sees at a time: about 100 MB with 32 features."""


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
    return np.maximum(leads_of(network, first, second, job), 0.0)


def leads_of(
    network: TimeArrowNet,
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    job: Job | None = None,
) -> NDArray[np.float32]:
    """Map what each place adds to the network's preference for the order of time.

    Swapping the frames changes nothing but the sign: below 0 is what would be the attribution, were
    the movie played backwards.

    Parameters
    ----------
    network, first, second, job
        As of :func:`attribution_of`.

    Returns
    -------
    numpy.ndarray
        (Y, X).
    """
    job = job or Job()
    _, height, width = first.shape
    device = next(network.parameters()).device
    rows = max(1, _BAND // width)
    found = np.empty((height, width), np.float32)
    for start in range(0, height, rows):
        job.check()
        here = slice(start, start + rows)
        pair = np.stack([first[:, here], second[:, here]]).astype(np.float32, copy=False)
        found[here] = _leads(network, torch.from_numpy(pair).to(device))
    return found


def _leads(network: TimeArrowNet, z: torch.Tensor) -> NDArray[np.float32]:
    """Return (h, w) of representations (2, features, h, w), some rows at a time."""
    rows = max(1, _BAND // z.shape[-1])
    with torch.no_grad():
        bands = [network.leads(band[None])[0] for band in z.split(rows, dim=-2)]
    found: NDArray[np.float32] = torch.cat(bands).float().cpu().numpy()
    return found
