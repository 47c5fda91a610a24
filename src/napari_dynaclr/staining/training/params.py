"""Settings that all trainings of networks for virtual staining share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_dynaclr.learning.params import FrameTrainingParams


class ImageTrainingParams(FrameTrainingParams):
    """Settings of a training from images rather than cells (cytoland.txt, Methods)."""

    source: str = Field(
        "",
        title="Label-free channel",
        description="Channel that the network is to see: phase, DIC or bright field. Told by its "
        "name if left out.",
        json_schema_extra={"choices": "channels", "left_out": "told by its name"},
    )
    depth: int | None = Field(
        None,
        title="Slices",
        description="Slices that the network sees at once; 1 for each slice by itself. Left out: 1 "
        "for images without depth, else 5 (15 for fcmae), or as many as there are.",
        ge=1,
        le=64,
        json_schema_extra={"left_out": "by the images"},
    )
    patch_size: int | None = Field(
        None,
        title="Patch size (pixels)",
        description="Width and height of the patches: several cells. 128 for fcmae_mini and 256 "
        "for larger networks if left out.",
        ge=32,
        le=2048,
        json_schema_extra={"left_out": "128 or 256"},
    )
    patches: int = Field(
        1000,
        title="Patches of an epoch",
        description="How many patches are learned from between two measurements.",
        ge=2,
        le=10_000_000,
        json_schema_extra={"advanced": True},
    )
    epochs: int = Field(
        40,
        title="Epochs",
        description="How often so many patches are learned from.",
        ge=1,
        le=100_000,
    )
    every: int = Field(
        1,
        title="Each n-th time point",
        description="Learn from each n-th time point only: a few suffice to adapt a network to a "
        "long time-lapse (Fig. 3).",
        ge=1,
        le=100_000,
    )
    normalization: Literal["mean-std", "median-iqr"] | None = Field(
        None,
        title="Normalisation",
        description="Of the label-free channel: mean 0 and standard deviation 1 (if left out), or "
        "median 0 and interquartile range 1.",
        json_schema_extra={"advanced": True, "left_out": "mean-std, or the network's"},
    )
    level: Literal["fov", "dataset", "timepoint"] | None = Field(
        None,
        title="Normalise over",
        description="What is normalised together: each FOV (if left out), the whole dataset, or "
        "each time point of each FOV.",
        json_schema_extra={"advanced": True, "left_out": "fov, or the network's"},
    )
    augment: bool = Field(
        True,
        title="Augment",
        description="Rotate, scale and shear patches, reflect single slices, and change contrast, "
        "intensity, sharpness and noise of the label-free channel, so that the network becomes "
        "robust to them (Fig. 2).",
        json_schema_extra={"advanced": True},
    )
    batch_size: int = Field(
        16,
        title="Batch size",
        description="Patches of a batch, of each device.",
        ge=2,
        le=8192,
        json_schema_extra={"advanced": True},
    )
    also: tuple[str, ...] = Field(
        (),
        title="Further datasets",
        description="Paths of further datasets to learn from; all count alike, however large.",
        json_schema_extra={"advanced": True},
    )
    split: Literal["fov", "well"] = Field(
        "fov",
        title="Hold out",
        description="What is held out for validation: FOVs or whole wells.",
        json_schema_extra={"advanced": True},
    )
