"""From the light a specimen sends out to the counts a camera reads.

Everything linear is done in Fourier space: one transform per slice serves the
focused image, the growing blur of the slices above and below, the haze and the
halo of the phase image at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from napari_dynaclr.sample.params import Z_STEP_UM

if TYPE_CHECKING:
    from numpy.typing import NDArray

OFFSET = 100.0
"""Counts that the camera adds to every pixel."""


@dataclass(frozen=True)
class Lens:
    """How one channel is blurred.

    Attributes
    ----------
    sigma
        Width of the focused point spread function, in pixels.
    defocus
        How much wider it gets per um out of focus, in pixels.
    section
        How far out of focus light is still picked up, in um (a spinning disk or a
        light sheet sections optically).
    haze
        Fraction of the light spread over ``haze_sigma`` pixels.
    halo, halo_sigma
        Fraction of a wide blur taken off again, and its width: phase contrast.
    """

    sigma: float
    defocus: float = 0.9
    section: float = 1.6
    haze: float = 0.0
    haze_sigma: float = 9.0
    halo: float = 0.0
    halo_sigma: float = 15.0


def image(stack: NDArray[np.float32], lens: Lens, pad: int) -> NDArray[np.float32]:
    """Image a stack through a lens.

    Parameters
    ----------
    stack
        (Z, Y, X) light sent out by each slice, on a canvas with a margin of ``pad``
        pixels.
    lens
        The optics of the channel.
    pad
        Margin to cut off, in pixels.

    Returns
    -------
    (Z, Y - 2 pad, X - 2 pad) array
        The light arriving at the camera when each slice is in focus.
    """
    depth, height, width = stack.shape
    spectrum = scipy.fft.rfft2(stack)
    square = (
        np.fft.fftfreq(height).astype(np.float32)[:, None] ** 2
        + np.fft.rfftfreq(width).astype(np.float32)[None, :] ** 2
    )
    seen = np.zeros_like(spectrum)
    steps = np.arange(depth) * Z_STEP_UM
    weights = np.exp(-0.5 * (steps / lens.section) ** 2)
    total = weights[0] + 2 * weights[1:].sum() if depth > 1 else weights[0]
    for step, weight in enumerate(weights / total):
        if weight < 1e-3:
            break
        blur = _gaussian(square, lens.sigma + lens.defocus * steps[step]) * np.float32(weight)
        seen[step:] += spectrum[: depth - step] * blur
        if step:
            seen[: depth - step] += spectrum[step:] * blur
    if lens.haze:
        # Haze comes from the whole thickness of the specimen, whatever is in focus.
        glow = _gaussian(square, lens.haze_sigma) * np.float32(lens.haze)
        seen = seen * (1 - np.float32(lens.haze)) + spectrum.mean(0, keepdims=True) * glow
    if lens.halo:
        seen = seen - seen * _gaussian(square, lens.halo_sigma) * np.float32(lens.halo)
    result = scipy.fft.irfft2(seen, s=(height, width))
    inner = slice(pad, -pad)
    return np.ascontiguousarray(result[:, inner, inner], dtype=np.float32)


def _gaussian(square: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Transfer function of a Gaussian blur of ``sigma`` pixels."""
    factor = np.float32(-2.0 * np.pi**2 * sigma**2)
    return np.exp(factor * square).astype(np.float32, copy=False)


def illumination(size: int, rng: np.random.Generator, depth: float = 0.22) -> NDArray[np.float32]:
    """Uneven illumination: a broad hill, off centre, 1 at its brightest.

    Parameters
    ----------
    size
        Height and width of the field in pixels.
    rng
        Source of the hill's place.
    depth
        How much darker a corner is, as a fraction.

    Returns
    -------
    (size, size) array
    """
    axis = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    y, x = rng.uniform(-0.25, 0.25, 2).astype(np.float32)
    hill = (axis[:, None] - y) ** 2 + (axis[None, :] - x) ** 2
    return np.asarray(1.0 - np.float32(depth) * hill / hill.max(), dtype=np.float32)


def expose(
    photons: NDArray[np.float32], read_noise: float, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Turn light into the counts of a camera with one count per photon.

    Shot noise is drawn from a normal distribution with the variance of the Poisson
    distribution: with tens of photons per pixel nobody can tell, and it takes a tenth
    of the time.

    Parameters
    ----------
    photons
        Expected photons per pixel, any shape.
    read_noise
        Standard deviation of the read-out, in counts.
    rng
        Source of the noise.
    """
    photons = np.maximum(photons, 0.0)
    noise = rng.standard_normal(photons.shape, dtype=np.float32)
    counts = photons + np.float32(OFFSET) + noise * np.sqrt(photons + np.float32(read_noise**2))
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
