"""What a network sees at each of its stages, as colours (cytoland.txt, Model visualization)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA

from napari_dynaclr.core.background import in_background
from napari_dynaclr.core.device import is_out_of_memory
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.staining.reading import intensities, scaled
from napari_dynaclr.staining.tiling import padding, reflected

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.staining.blocks import Stainer as Network
    from napari_dynaclr.staining.method import StainParams
    from napari_dynaclr.staining.stainer import Prepared, Stainer

COMPONENTS = 8
"""Principal components that the features of a pixel are decomposed into."""

_FITTED = 20_000
"""Pixels that the components are found from; the others are only projected on them."""


@dataclass(frozen=True)
class FeatureMap:
    """What a stage makes of an image, in colours.

    Attributes
    ----------
    colours
        (Y, X, 3), 0..1.
    channels
        Features of a pixel.
    size
        (Y, X) of the stage's output, in its own pixels.
    explained
        Share of the variance that each of the principal components has, the first three of
        which are the colours; (8,) or fewer.
    """

    colours: NDArray[np.float32]
    channels: int
    size: tuple[int, int]
    explained: NDArray[np.float64]


def principal_colours(features: NDArray[np.floating], seed: int = 0) -> FeatureMap:
    """Show what many channels hold as one picture in colours.

    Every pixel is a sample with a dimension per channel, decomposed into 8 principal
    components (cytoland.txt, Model visualization). The first three are red, green and blue, each
    scaled by itself, from its 1st percentile to its 99th.

    Parameters
    ----------
    features
        Output of a stage, (C, Y, X).
    seed
        Makes the choice of the pixels that components are found from repeatable.

    Returns
    -------
    FeatureMap
        In the stage's own pixels. Colours that there are no components for are 0.
    """
    channels, height, width = features.shape
    pixels = np.asarray(features, np.float32).reshape(channels, -1).T
    chosen = pixels
    if len(pixels) > _FITTED:
        order = np.random.default_rng(seed).choice(len(pixels), _FITTED, replace=False)
        chosen = pixels[np.sort(order)]
    count = min(COMPONENTS, *chosen.shape)
    colours = np.zeros((len(pixels), 3), np.float32)
    explained = np.zeros(count)
    if np.ptp(chosen, axis=0).any():
        found = PCA(count, svd_solver="full").fit(chosen)
        shown = min(3, count)
        places = (pixels - found.mean_) @ found.components_[:shown].T
        low, high = np.percentile(places, [1, 99], axis=0)
        explained = np.asarray(found.explained_variance_ratio_, np.float64)
        colours[:, :shown] = (places - low) / np.maximum(high - low, 1e-12)
    picture = np.clip(colours, 0, 1).reshape(height, width, 3)
    return FeatureMap(picture, channels, (height, width), explained)


def feature_maps(network: Network, images: NDArray[np.float32]) -> dict[str, FeatureMap]:
    """Show what every stage of a network makes of an image.

    Parameters
    ----------
    network
        On any device.
    images
        Normalised pixels, (C, Z, Y, X): the network's channels and slices, Y and X multiples of
        its stride.

    Returns
    -------
    dict
        By stage, "encoder_0" on to the deepest and then "decoder_0" on to the last, in the stage's
        own, mostly larger pixels.
    """
    import torch

    device = next(network.parameters()).device
    with torch.inference_mode():
        made = network.features(torch.from_numpy(images)[None].to(device))
        found = {name: one[0].float().cpu().numpy() for name, one in made.items()}
    return {name: principal_colours(one) for name, one in found.items()}


def frame_features(
    dataset: Dataset,
    fov_name: str,
    t: int,
    params: StainParams,
    z: int | None = None,
    job: Job | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Show what every stage of a network makes of a frame, in the frame's own pixels.

    Parameters
    ----------
    dataset
        Where the images are.
    fov_name, t
        Which frame.
    params
        Settings of staining: which network, and how images are normalised.
    z
        Slice in the middle of those that the network sees; that of the stack if None.
    job
        Progress and cancelling.

    Returns
    -------
    dict
        By stage, see :func:`feature_maps`: (Y, X, 3), 0..1, as large as the frame.

    Raises
    ------
    InvalidInput
        If the weights cannot be had, or as :func:`frame_maps` does.
    """
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.staining.method import open_stainer

    job = job or Job()
    with open_stainer(dataset, params, job) as stainer:
        maps = frame_maps(dataset, dataset[fov_name], t, stainer, z, job)
    return {name: one.colours for name, one in maps.items()}


def frame_maps(
    dataset: Dataset, fov: Fov, t: int, stainer: Stainer, z: int | None, job: Job
) -> dict[str, FeatureMap]:
    """Show what every stage of a network at work makes of a frame.

    Parameters
    ----------
    dataset, fov, t
        Which frame.
    stainer
        From :func:`~napari_dynaclr.staining.method.open_stainer`.
    z
        Slice in the middle of those that the network sees; that of the stack if None.
    job
        Progress and cancelling.

    Returns
    -------
    dict
        By stage, see :func:`feature_maps`; colours are as large as the frame.

    Raises
    ------
    InvalidInput
        If there is no such time point or slice, or the frame is too large for the memory.
    """
    prepared = stainer.prepared
    images = _seen(dataset, fov, t, prepared, z, job)
    height, width = images.shape[-2:]
    sides = [padding(size, prepared.config.stride) for size in (height, width)]
    rows, columns = (
        reflected(size, *side) for size, side in zip((height, width), sides, strict=True)
    )
    whole = images[:, :, rows][:, :, :, columns]

    def compute() -> dict[str, FeatureMap]:
        prepared.network.to(stainer.device.value).eval()
        return feature_maps(prepared.network, whole)

    job.report("feature maps")
    try:
        found = in_background(compute, job)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise InvalidInput(
            f"The memory does not hold what the network makes of {height} x {width} pixels: "
            "choose the device cpu, or a smaller field of view."
        ) from None
    (top, _), (left, _) = sides
    here = (slice(top, top + height), slice(left, left + width))
    return {
        name: replace(one, colours=_enlarged(one.colours, whole.shape[-2:])[here])
        for name, one in found.items()
    }


def _seen(
    dataset: Dataset, fov: Fov, t: int, prepared: Prepared, z: int | None, job: Job
) -> NDArray[np.float32]:
    """Read what the network sees of a frame around a slice, normalised: (C, Z, Y, X)."""
    source, depth = prepared.source, prepared.config.depth
    slices = fov.shape[1]
    middle = slices // 2 if z is None else z
    if not 0 <= middle < slices:
        raise InvalidInput(f"FOV {fov.name} has no slice {z}: it has 0 to {slices - 1}.")
    scales = intensities(dataset, fov, source, job)
    # Stacks that are thinner than what the network sees are continued by reflection.
    more = max(0, depth - slices)
    order = reflected(slices, more // 2, more - more // 2)
    start = min(max(0, middle + more // 2 - depth // 2), len(order) - depth)
    wanted = order[start : start + depth]
    first = int(wanted.min())
    ((_, frame),) = fov.frames(
        source.channels, [t], fill_nan=False, slices=slice(first, int(wanted.max()) + 1)
    )
    return scaled(frame[:, wanted - first], scales.get(-1) or scales[t])


def _enlarged(image: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Repeat the pixels of a map (y, x, 3) until it is of a shape, a multiple of its own."""
    rows, columns = (large // small for large, small in zip(shape, image.shape, strict=False))
    return image.repeat(rows, axis=0).repeat(columns, axis=1)
