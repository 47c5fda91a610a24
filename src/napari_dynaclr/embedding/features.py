"""Engineered features of every cell: an embedding that needs no weights.

The quantities that dynaclr.txt correlates with its principal components (Fig. 2d,
Fig. S4): area, perimeter to area, eccentricity, intensity statistics per channel,
radial intensity profile, texture. Every column is described in ``var``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from skimage.measure import regionprops_table

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.normalize import normalize, statistics
from napari_dynaclr.core.params import Params
from napari_dynaclr.embedding import Embedder, FrameEmbedding
from napari_dynaclr.embedding.cells import PERCENTILES, Cells

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job

_SHAPE = {
    "area": "area of the cell's mask (projected along z), um^2",
    "perimeter": "perimeter of the mask, um",
    "perimeter_to_area": "perimeter divided by area, 1/um",
    "eccentricity": "eccentricity of the ellipse with the mask's second moments, 0 to 1",
    "major_axis": "major axis of that ellipse, um",
    "minor_axis": "minor axis of that ellipse, um",
    "form_factor": "4 pi area / perimeter^2: 1 for a disc",
}
_INTENSITY = {
    "mean": "mean intensity in the mask",
    "std": "standard deviation in the mask",
    "iqr": "interquartile range in the mask",
    **{f"p{p}": f"{p}th percentile in the mask" for p in PERCENTILES},
    "ring_mean": "mean intensity in the ring around the mask",
    "mask_minus_ring": "mean in the mask minus mean in the ring around it",
    "texture_contrast": "mean squared difference of neighbouring pixels in the mask",
    "texture_homogeneity": "mean of 1 / (1 + squared difference) of neighbouring pixels",
    "texture_correlation": "correlation of neighbouring pixels in the mask",
}


class FeaturesParams(Params):
    """Settings of the engineered features."""

    channels: tuple[str, ...] = Field(
        (),
        title="Channels",
        description="Channels to measure; all of the dataset if none is named.",
        json_schema_extra={"choices": "channels"},
    )
    normalization: Literal["dataset", "fov", "timepoint", "none"] = Field(
        "fov",
        title="Normalisation",
        description="Scale intensities by mean and standard deviation of the dataset, "
        "the FOV or the time point.",
    )
    ring: float = Field(
        3.0,
        title="Ring width (um)",
        description="Width of the ring around the mask, where a nucleus has its cytoplasm.",
        gt=0,
        le=100,
    )
    radius: float = Field(
        15.0,
        title="Radial profile (um)",
        description="The radial intensity profile reaches from the centroid to this radius.",
        gt=0,
        le=1000,
    )
    radial_bins: int = Field(
        6,
        title="Radial bins",
        description="Rings of the radial profile.",
        ge=1,
        le=50,
        json_schema_extra={"advanced": True},
    )
    empty_frames: Literal["error", "skip"] = Field(
        "error",
        title="Empty frames",
        description="Stop at a frame of nothing but zeros or NaN, or measure it as it is.",
        json_schema_extra={"advanced": True},
    )


def _channels(fov: Fov, params: FeaturesParams) -> list[str]:
    return list(params.channels) or fov.channels


def columns(fov: Fov, params: FeaturesParams) -> pd.DataFrame:
    """Describe the features: one row per column of the embedding."""
    described = dict(_SHAPE)
    step = params.radius / params.radial_bins
    for channel in _channels(fov, params):
        for name, text in _INTENSITY.items():
            described[f"{channel}_{name}"] = f"{channel}: {text}"
        for i in range(params.radial_bins):
            described[f"{channel}_radial_{i}"] = (
                f"{channel}: mean at {i * step:g}-{(i + 1) * step:g} um from the centroid, "
                "minus the mean of the whole disc"
            )
    return pd.DataFrame({"description": list(described.values())}, index=list(described))


@contextmanager
def open_embedder(dataset: Dataset, params: FeaturesParams, _job: Job) -> Iterator[Embedder]:
    """Make ready for a run."""
    yield Embedder(
        lambda fov, tracks, times, job: embed_fov(dataset, fov, tracks, times, params, job),
        lambda fov: columns(fov, params),
        channels=params.channels,
    )


def embed_fov(
    dataset: Dataset,
    fov: Fov,
    tracks: pd.DataFrame,
    times: Sequence[int],
    params: FeaturesParams,
    job: Job,
) -> Iterator[tuple[int, FrameEmbedding]]:
    """Yield (t, features) for the given time points.

    Raises
    ------
    InvalidInput
        If the label image lacks a cell of the tracks table.
    """
    channels = _channels(fov, params)
    level = params.normalization
    scaling: dict[str, Any] = {}
    if level != "none":
        scaling = statistics(dataset, fov, channels, level, job)
    labels = dataset.workspace.labels("tracks", fov)
    groups = tracks.groupby("t").indices
    masks = labels.frames(["labels"], times, allow_empty=True)
    images = fov.frames(channels, times, allow_empty=params.empty_frames == "skip")
    for (t, mask), (_, frame) in zip(masks, images, strict=True):
        pixels = np.asarray(frame, np.float32)
        if scaling:
            pixels = np.stack(
                [
                    normalize(
                        image,
                        scaling[channel][t] if level == "timepoint" else scaling[channel],
                        "mean",
                        "std",
                    )
                    for channel, image in zip(channels, pixels, strict=True)
                ]
            )
        rows = np.asarray(groups[t])
        table, at_border = frame_features(mask[0], pixels, fov.scale, channels, params)
        ids = tracks["track_id"].to_numpy()[rows]
        lost = ids[~np.isin(ids, table.index)]
        if len(lost):
            raise InvalidInput(
                f"FOV {fov.name}, time point {t}: track {lost[0]} has no pixels in the label "
                "image: run 'track' again."
            )
        vectors = table.loc[ids].to_numpy(np.float32)
        yield t, FrameEmbedding(rows, vectors, at_border.loc[ids].to_numpy())


def frame_features(
    labels: NDArray[Any],
    images: NDArray[np.float32],
    scale: tuple[float, float, float],
    channels: Sequence[str],
    params: FeaturesParams,
) -> tuple[pd.DataFrame, pd.Series]:
    """Measure all cells of one time point.

    Stacks are projected along z: masks by their maximum, intensities by the mean.

    Parameters
    ----------
    labels
        Label image (Z, Y, X).
    images
        Normalised intensities (C, Z, Y, X).
    scale
        Voxel size (z, y, x) in um; pixels are taken as squares of the same area.
    channels
        Names of the channels in ``images``.
    params
        Settings.

    Returns
    -------
    tuple
        Features (cells x columns, no NaN) and whether a cell touches the edge of the
        image, both indexed by label.
    """
    pixel = float(np.sqrt(scale[1] * scale[2]))
    occupied = labels.any(axis=0)
    edge = np.zeros(occupied.shape, bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    tables: list[pd.DataFrame] = []
    at_border: list[pd.Series] = []
    for flat in _projections(labels):
        found = np.unique(flat[flat > 0])
        cells = Cells(
            flat, found, occupied, params.ring / pixel, params.radius / pixel, params.radial_bins
        )
        parts = [_shape(flat, pixel)]
        for channel, image in zip(channels, images.mean(axis=1), strict=True):
            parts.append(cells.intensities(image, channel))
        tables.append(pd.concat(parts, axis=1).fillna(0.0))
        at_border.append(pd.Series(np.isin(found, flat[edge]), index=found))
    return pd.concat(tables), pd.concat(at_border)


def _projections(labels: NDArray[Any]) -> Iterator[NDArray[np.int64]]:
    """Project a stack along z, in as many images as no cell hides another in.

    Cells that others cover wait for the next image, so that every mask is whole.
    """
    rest = labels.astype(np.int64)
    if len(rest) == 1:
        yield rest[0]
        return
    plane = np.arange(rest[0].size)
    while rest.any():
        flat = rest.max(axis=0)
        z, y, x = np.nonzero(rest)
        label = rest[z, y, x]
        footprint = np.unique(np.stack([label, plane.reshape(flat.shape)[y, x]]), axis=1)[0]
        found, size = np.unique(footprint, return_counts=True)
        seen = np.bincount(flat.ravel(), minlength=int(found[-1]) + 1)[found]
        whole = found[seen == size]
        yield np.where(np.isin(flat, whole), flat, 0)
        rest[np.isin(rest, whole)] = 0


def _shape(labels: NDArray[np.int64], pixel: float) -> pd.DataFrame:
    names = ("label", "area", "perimeter", "eccentricity", "axis_major_length", "axis_minor_length")
    props = pd.DataFrame(regionprops_table(labels, properties=names)).set_index("label")
    area = props["area"] * pixel**2
    # A mask of one pixel has no perimeter; the pixel's own edge keeps ratios finite.
    perimeter = np.maximum(props["perimeter"], 1.0) * pixel
    return pd.DataFrame(
        {
            "area": area,
            "perimeter": perimeter,
            "perimeter_to_area": perimeter / area,
            "eccentricity": props["eccentricity"],
            "major_axis": props["axis_major_length"] * pixel,
            "minor_axis": props["axis_minor_length"] * pixel,
            "form_factor": 4 * np.pi * area / perimeter**2,
        }
    )
