"""Training of CELLECT from centre points: its settings (cellect.txt, Methods)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from napari_dynaclr.learning.params import MovieTrainingParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.learning.run import Training


class CellectTrainingParams(MovieTrainingParams):
    """Settings of the training of CELLECT (cellect.txt, Methods, Training and inference)."""

    name: str = Field(
        "tracker",
        title="Name",
        description="Name of the tracker; it is kept as weights/NAME.safetensors in the results.",
    )
    channel: str = Field(
        "",
        title="Channel",
        description="Channel that the tracker is to see. Told by its name (nuclei) if left out.",
        json_schema_extra={"choices": "channels", "left_out": "nuclei"},
    )
    truth: str = Field(
        "",
        title="Truth",
        description="OME-Zarr plate of label images by track id, with tracks.csv beside each, to "
        "learn from. Left out: the tracks of the dataset, corrected or imported ones too.",
        json_schema_extra={"path": "folder", "left_out": "tracks of the dataset"},
    )
    architecture: Literal["cellect_mini", "cellect"] = Field(
        "cellect_mini",
        title="Network",
        description="cellect_mini has a fifth of a million weights and trains on a laptop; cellect "
        "(the paper's) has 2.5 million and wants a GPU.",
    )
    start_from: str = Field(
        "",
        title="Start from",
        description="Tracker to go on from: one that was trained here, a published one by name, "
        "or a file of weights; random weights if left out.",
        json_schema_extra={
            "path": "file",
            "filter": "Weights (*.pth *.pt *.safetensors)",
            "choices": "starts",
            "left_out": "random weights",
        },
    )
    epochs: int = Field(
        149,
        title="Epochs",
        description="How often so many patches are learned from.",
        ge=1,
        le=100_000,
    )
    patches: int = Field(
        400,
        title="Patches of an epoch",
        description="How many patches are learned from between two measurements.",
        ge=1,
        le=10_000_000,
        json_schema_extra={"advanced": True},
    )
    patch_size: int | None = Field(
        None,
        title="Patch size (pixels)",
        description="Width and height of the patches: several cells. 128, or 256 for the network "
        "cellect, or as wide as the images, if left out.",
        ge=16,
        le=2048,
        json_schema_extra={"left_out": "128 or 256"},
    )
    depth: int | None = Field(
        None,
        title="Slices",
        description="Slices of the patches; 32, or as many as there are, if left out.",
        ge=1,
        le=512,
        json_schema_extra={"advanced": True, "left_out": "32, or all"},
    )
    batch_size: int = Field(
        4,
        title="Batch size",
        description="Patches of a batch, of each device.",
        ge=1,
        le=8192,
        json_schema_extra={"advanced": True},
    )
    interval: int = Field(
        1,
        title="Longest interval (frames)",
        description="Learn to link over up to so many frames, for movies with long frame "
        "intervals and for cells that are missed in between (Temporal linking with larger "
        "intervals).",
        ge=1,
        le=10,
        json_schema_extra={"advanced": True},
    )
    candidates: int = Field(
        5,
        title="Candidates",
        description="Nearest cells that each cell is compared with: 5, or 10 where cells move "
        "far between frames.",
        ge=1,
        le=20,
        json_schema_extra={"advanced": True},
    )
    normalization: Literal["scaled", "log", "none"] = Field(
        "scaled",
        title="Normalisation",
        description="scaled: by percentiles of each frame, for images of any microscope and "
        "virtual stains; log: the logarithm, for intensities without a limit; none: for images "
        "of 0 to 255 (Training and inference).",
        json_schema_extra={"advanced": True},
    )
    divisions: float = Field(
        0.25,
        title="Patches with a division",
        description="Part of the patches that are cut around a division, where there are any; "
        "the others are cut anywhere.",
        ge=0,
        le=1,
        json_schema_extra={"advanced": True},
    )
    augment: bool = Field(
        True,
        title="Augment",
        description="Reflect and turn patches by chance. The paper does without.",
        json_schema_extra={"advanced": True},
    )
    mlps: Literal["staged", "always"] = Field(
        "staged",
        title="Train the MLPs",
        description="staged: in three stretches of epochs (of 149, in 2-7, 15-20 and 35-40), as in "
        "the paper, and leave them as they are in the others; always: in all epochs.",
        json_schema_extra={"advanced": True},
    )
    learning_rate: float | None = Field(
        None,
        title="Learning rate",
        description="Of Adam, at its highest. Left out: 0.0001.",
        gt=0,
        le=1,
        json_schema_extra={"advanced": True},
    )
    weight_decay: float = Field(
        0.0,
        title="Weight decay",
        description="Of AdamW; with 0, as in the paper, it is Adam.",
        ge=0,
        le=1,
        json_schema_extra={"advanced": True},
    )
    warm_up: float = Field(
        0.0,
        title="Warm-up",
        description="Fraction of the training in which the learning rate rises.",
        ge=0,
        le=0.9,
        json_schema_extra={"advanced": True},
    )
    schedule: Literal["cosine", "constant"] = Field(
        "constant",
        title="Schedule",
        description="What the learning rate does after the warm-up: fall to 0, or stay.",
        json_schema_extra={"advanced": True},
    )
    also: tuple[str, ...] = Field(
        (),
        title="Further datasets",
        description="Paths of further datasets to learn from; they have been tracked, too, and "
        "have pixels of the same size.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _complete(self) -> CellectTrainingParams:
        if self.truth and self.also:
            raise ValueError("the truth is that of one dataset: leave out also, or the truth")
        return self


def prepare(datasets: Sequence[Dataset], params: CellectTrainingParams, job: Job) -> Training:
    """Check and gather what the training needs.

    See :class:`~napari_dynaclr.learning.run.Training`.
    """
    from napari_dynaclr.tracking.cellect.training.run import CellectTraining

    return CellectTraining(datasets, params, job)
