"""What the measures of virtual staining share: which stain is which, and how alike two are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field
from skimage.metrics import structural_similarity

from napari_dynaclr.core.channels import PREDICTION, named_after, prediction_of
from napari_dynaclr.core.errors import InvalidInput, MissingInput
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.registry import find_method

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.channels import Structure
    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov

_STRUCTURES: tuple[Structure, ...] = ("nuclei", "membrane")

_WINDOW = 11
"""Pixels of the window that structures are compared in: Gaussian, standard deviation 1.5."""


class PairsParams(Params):
    """Which stains and which cells are compared."""

    virtual: tuple[str, ...] = Field(
        (),
        title="Virtual stains",
        description="Virtually stained channels; all that are named *_prediction if left out.",
        json_schema_extra={"choices": "channels", "advanced": True},
    )
    experimental: tuple[str, ...] = Field(
        (),
        title="Experimental stains",
        description="What each is compared with, in the same order; found by name if left out.",
        json_schema_extra={"choices": "channels", "ordered": True, "advanced": True},
    )
    truth: str = Field(
        "",
        title="True cells",
        description="OME-Zarr plate of label images that the cells of the virtual stain are "
        "compared with; the experimental stain, segmented alike, if left out.",
        json_schema_extra={"path": "folder"},
    )
    channel: str = Field(
        "",
        title="Channel",
        description="Channel of the true labels; the one named after nuclei if left out.",
        json_schema_extra={"advanced": True},
    )
    segmented: str = Field(
        "",
        title="Segmented stain",
        description="Virtual stain whose cells are compared; the one named after nuclei if left "
        "out.",
        json_schema_extra={"choices": "channels", "advanced": True},
    )
    diameter: float = Field(
        12.0,
        title="Nucleus diameter (um)",
        description="Typical diameter of a nucleus, as in 'segment'.",
        gt=0,
        le=1000,
    )
    sensitivity: float = Field(
        1.0,
        title="Sensitivity",
        description="Of the segmentation, as in 'segment'.",
        ge=0.1,
        le=10,
        json_schema_extra={"advanced": True},
    )


class Pair(NamedTuple):
    """A virtual stain, and the experimental one that it should look like.

    Attributes
    ----------
    virtual, experimental
        Names of the channels.
    """

    virtual: str
    experimental: str


def virtual_channels(channels: Sequence[str]) -> list[str]:
    """Return the channels that are virtual stains by their names."""
    return [name for name in channels if name.endswith(PREDICTION)]


def organelle(channel: str) -> str:
    """Return what a channel shows by its name: "nuclei", "membrane", or the name without suffix."""
    for structure in _STRUCTURES:
        if named_after(structure, [channel]):
            return structure
    # As the name of a stain is made of that of its channel.
    return prediction_of(channel.removesuffix(PREDICTION)).removesuffix(PREDICTION)


def find_pairs(
    channels: Sequence[str],
    virtual: Sequence[str] = (),
    experimental: Sequence[str] = (),
    *,
    required: bool = True,
) -> list[Pair]:
    """Say which virtual stain is to be compared with which experimental one.

    Parameters
    ----------
    channels
        All channels of the dataset.
    virtual, experimental
        Names in the same order; found by name where left out.
    required
        Whether it is an error that there are none.

    Raises
    ------
    MissingInput
        If there is no virtual stain.
    InvalidInput
        If names are unknown, do not go in pairs, or no experimental stain fits.
    """
    stains = list(virtual) or virtual_channels(channels)
    if not stains:
        raise MissingInput("virtual stain", "stain")
    missing = [name for name in (*stains, *experimental) if name not in channels]
    if missing:
        raise InvalidInput(
            f"There is no channel '{missing[0]}': choose among {', '.join(channels)}."
        )
    if experimental:
        if len(experimental) != len(stains):
            raise InvalidInput(
                f"{len(stains)} virtual stains ({', '.join(stains)}) stand against "
                f"{len(experimental)} experimental ones: name as many, in the same order."
            )
        return [Pair(*names) for names in zip(stains, experimental, strict=True)]
    others = [name for name in channels if name not in virtual_channels(channels)]
    by_organelle = {organelle(name): name for name in reversed(others)}
    pairs = [
        Pair(name, by_organelle[organelle(name)])
        for name in stains
        if organelle(name) in by_organelle
    ]
    if required and not pairs:
        raise InvalidInput(
            f"No channel of {', '.join(others)} is named after what {', '.join(stains)} show: "
            "name it with experimental=."
        )
    return pairs


def nuclear(names: Sequence[str], wanted: str = "") -> str:
    """Return the virtual stain to segment: the one that is named, or that shows nuclei.

    Raises
    ------
    InvalidInput
        If it is not among them, or none shows nuclei.
    """
    if wanted and wanted in names:
        return wanted
    found = [name for name in names if organelle(name) == "nuclei"]
    if wanted or not found:
        raise InvalidInput(
            f"'{wanted}' is not compared: choose one of {', '.join(names)}."
            if wanted
            else f"No virtual stain of {', '.join(names)} is named after nuclei: name the one to "
            "segment with segmented=."
        )
    return found[0]


def segmenter(diameter: float, sensitivity: float) -> Callable[..., NDArray[np.uint32]]:
    """Return a function that segments (Z, Y, X) of a voxel size (z, y, x) in um.

    The same settings for all: what differs between two segmentations is the stain.
    """
    method = find_method("segment", "threshold")
    values = {"diameter": diameter, "sensitivity": sensitivity, "empty_frames": "skip"}
    settings = method.params_class().parse(values)
    segment_frame = method.load().segment_frame

    def segment(image: NDArray[Any], scale: tuple[float, float, float]) -> NDArray[np.uint32]:
        labels: NDArray[np.uint32] = segment_frame(image, scale, settings)
        return labels

    return segment


def true_labels(truth: Dataset, fov: Fov, channel: str) -> tuple[Fov, str]:
    """Find the true label images of a FOV, and the channel that they are in.

    Raises
    ------
    InvalidInput
        If the truth lacks the FOV or the channel, or has another shape.
    """
    found = truth.fovs[0] if len(truth.fov_names) == 1 else truth[fov.name]
    if found.shape != fov.shape:
        raise InvalidInput(
            f"The truth of FOV {fov.name} has shape {found.shape}, the FOV has "
            f"{fov.shape} (T, Z, Y, X): give the truth of this dataset."
        )
    name = channel or nuclei_first(found.channels)
    found.find(name)
    if found.dtype.kind not in "ui":
        raise InvalidInput(
            f"The truth of FOV {fov.name} holds {found.dtype} numbers: give label images."
        )
    return found, name


def nuclei_first(channels: Sequence[str]) -> str:
    """Return the first channel that is named after nuclei, else the first."""
    return next((name for name in channels if organelle(name) == "nuclei"), channels[0])


def is_blank(image: NDArray[Any]) -> bool:
    """Whether an image holds one and the same value everywhere, and so tells nothing."""
    first = image.flat[0]
    return bool((image == first).all())


def correlation(virtual: NDArray[Any], experimental: NDArray[Any]) -> float:
    """Pearson correlation coefficient over all voxels (cytoland.txt, Model evaluation).

    It is the same whatever the units of either.

    Parameters
    ----------
    virtual, experimental
        (Z, Y, X), neither of them blank.
    """
    products = np.zeros(3)
    a_mean, b_mean = (one.mean(dtype=np.float64) for one in (virtual, experimental))
    for plane, other in zip(virtual, experimental, strict=True):
        a, b = plane - a_mean, other - b_mean
        products += np.vdot(a, b), np.vdot(a, a), np.vdot(b, b)
    return float(products[0] / np.sqrt(products[1] * products[2]))


def similarity(virtual: NDArray[Any], experimental: NDArray[Any]) -> float:
    """Structural similarity (Wang et al. 2004), slice by slice, the mean of all.

    It depends on units, and a virtual stain has none: networks learn from normalised
    images. So the virtual stain is first given the mean and standard deviation that the
    experimental one has in the stack; then both are divided by the range from the
    0.1st to the 99.9th percentile of the experimental stain, and its lower end is 0. A camera's
    gain and offset so count for nothing, and a few bright specks do not stretch the
    scale. VisCy takes normalised images as they are, of which zero is the middle, and where
    that of a window is, the comparison of means has no meaning.

    Parameters
    ----------
    virtual, experimental
        (Z, Y, X), neither of them blank.

    Returns
    -------
    float
        1 for equal images; NaN for slices smaller than the window of 11 pixels.
    """
    if min(experimental.shape[-2:]) < _WINDOW:
        return float("nan")
    low, high = np.percentile(experimental, [0.1, 99.9])
    span = float(high - low) or float(np.ptp(experimental))
    mean, std = (float(f(experimental, dtype=np.float64)) for f in (np.mean, np.std))
    gain = std / float(virtual.std(dtype=np.float64))
    middle = float(virtual.mean(dtype=np.float64))
    values = []
    for plane, other in zip(virtual, experimental, strict=True):
        ours = ((plane.astype(np.float64) - middle) * gain + mean - low) / span
        theirs = (other.astype(np.float64) - low) / span
        values.append(
            structural_similarity(
                ours,
                theirs,
                data_range=1.0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
        )
    return float(np.mean(values))
