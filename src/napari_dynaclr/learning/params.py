"""Settings that every training has, whatever the network is for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from napari_dynaclr.core.params import ComputeParams, check_name


class TrainingParams(ComputeParams):
    """Settings of every training."""

    name: str = Field(
        "network",
        title="Name",
        description="Name of the network; it is kept as weights/NAME.safetensors in the results.",
    )
    epochs: int = Field(
        40,
        title="Epochs",
        description="How often all is learned from.",
        ge=1,
        le=100_000,
    )
    minutes: float | None = Field(
        None,
        title="Time limit (min)",
        description="Stop after this time, and keep what was learned; no limit if left out.",
        gt=0,
        json_schema_extra={"left_out": "no limit"},
    )
    batch_size: int = Field(
        256,
        title="Batch size",
        description="Items of a batch, of each device.",
        ge=2,
        le=8192,
        json_schema_extra={"advanced": True},
    )
    learning_rate: float | None = Field(
        None,
        title="Learning rate",
        description="Of AdamW, at its highest. Left out: 0.001 from random weights, 0.00002 from "
        "trained ones.",
        gt=0,
        le=1,
        json_schema_extra={"advanced": True},
    )
    weight_decay: float = Field(
        0.01,
        title="Weight decay",
        description="Of AdamW.",
        ge=0,
        le=1,
        json_schema_extra={"advanced": True},
    )
    warm_up: float = Field(
        0.1,
        title="Warm-up",
        description="Fraction of the training in which the learning rate rises.",
        ge=0,
        le=0.9,
        json_schema_extra={"advanced": True},
    )
    schedule: Literal["cosine", "constant"] = Field(
        "cosine",
        title="Schedule",
        description="What the learning rate does after the warm-up: fall to 0, or stay.",
        json_schema_extra={"advanced": True},
    )
    patience: int | None = Field(
        None,
        title="Patience (epochs)",
        description="Stop when the validation loss has not fallen for so many epochs; never if "
        "left out.",
        ge=1,
        json_schema_extra={"advanced": True, "left_out": "never"},
    )
    split: Literal["fov", "well"] = Field(
        "fov",
        title="Hold out",
        description="What is held out for validation: FOVs or whole wells. Never single cells, "
        "whose neighbours in time would be learned from.",
        json_schema_extra={"advanced": True},
    )
    held_out: float = Field(
        0.2,
        title="Held-out fraction",
        description="Fraction of the FOVs or wells for validation; 0 for none.",
        ge=0,
        lt=1,
        json_schema_extra={"advanced": True},
    )
    also: tuple[str, ...] = Field(
        (),
        title="Further datasets",
        description="Paths of further datasets to learn from; they have been tracked, too.",
        json_schema_extra={"advanced": True},
    )
    memory: float | None = Field(
        None,
        title="Memory (GB)",
        description="Memory for patches. What fits is read once; of more, a changing part is in "
        "memory. A quarter of this computer's if left out.",
        gt=0,
        json_schema_extra={"advanced": True, "speed_only": True},
    )
    devices: int = Field(
        1,
        title="Devices",
        description="GPUs (or, on a CPU, processes) of each node to share the work. From the "
        "command line only.",
        ge=1,
        le=64,
        json_schema_extra={"advanced": True, "command_line": True},
    )
    num_nodes: int = Field(
        1,
        title="Nodes",
        description="Nodes of a cluster to share the work. From the command line only.",
        ge=1,
        le=1024,
        json_schema_extra={"advanced": True, "command_line": True},
    )
    seed: int = Field(
        0,
        title="Seed",
        description="Makes the training repeatable on the same device.",
        ge=0,
        le=2**31 - 1,
        json_schema_extra={"advanced": True},
    )

    @field_validator("name")
    @classmethod
    def _file_name(cls, name: str) -> str:
        return check_name(name)


class FrameTrainingParams(TrainingParams):
    """Settings of every training that keeps whole frames in memory, not patches of cells."""

    memory: float | None = Field(
        None,
        title="Memory (GB)",
        description="Memory for images. What fits is read once; of more, each frame is read once "
        "an epoch. A quarter of this computer's if left out.",
        gt=0,
        json_schema_extra={"advanced": True, "speed_only": True},
    )


class MovieTrainingParams(FrameTrainingParams):
    """Settings of every training that learns from stretches of movies."""

    split: Literal["fov", "well", "time"] = Field(  # type: ignore[assignment]
        "fov",
        title="Hold out",
        description="What is held out for validation: FOVs, whole wells, or the last frames of "
        "every movie. Where there is one FOV only, its last frames.",
        json_schema_extra={"advanced": True},
    )
