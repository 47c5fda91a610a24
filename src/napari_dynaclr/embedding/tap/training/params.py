"""Training of TAP: its settings (tap.txt, 2 and 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from napari_dynaclr.learning.params import MovieTrainingParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.learning.run import Training


class TapTrainingParams(MovieTrainingParams):
    """Settings of the training of TAP (tap.txt, 2 and 3.2)."""

    name: str = Field(
        "arrow",
        title="Name",
        description="Name of the network; it is kept as weights/NAME.safetensors in the results.",
    )
    channel: str = Field(
        "",
        title="Channel",
        description="Channel that the network is to see: any. Told by its name (nuclei) if left "
        "out, or that of the network to start from.",
        json_schema_extra={"choices": "channels", "left_out": "nuclei, or the network's"},
    )
    delta_t: int | None = Field(
        None,
        title="Time step (frames)",
        description="From the earlier to the later image of a pair: about as long as what you look "
        "for takes. 1 if left out; more for movies with short frame intervals (Datasets).",
        ge=1,
        le=10_000,
        json_schema_extra={"left_out": "1"},
    )
    delta_minutes: float | None = Field(
        None,
        title="Time step (min)",
        description="The time step in minutes instead of frames: for datasets whose frame "
        "intervals differ.",
        gt=0,
        json_schema_extra={"advanced": True, "left_out": "by frames"},
    )
    architecture: Literal["tap_mini", "tap"] = Field(
        "tap_mini",
        title="Network",
        description="tap_mini has half a million weights and 16 features, and trains on a laptop; "
        "tap (the paper's) has 2 million and 32, and wants a GPU.",
    )
    start_from: str = Field(
        "",
        title="Start from",
        description="Network to go on from: one that was trained here, a published one by name, a "
        "file of weights, or a folder that tarrow wrote; random weights if left out.",
        json_schema_extra={
            "path": "file",
            "filter": "Weights (*.safetensors *.yaml)",
            "choices": "starts",
            "left_out": "random weights",
        },
    )
    epochs: int = Field(
        100,
        title="Epochs",
        description="How often so many pairs are learned from; the paper has 200.",
        ge=1,
        le=100_000,
    )
    pairs: int = Field(
        1000,
        title="Pairs of an epoch",
        description="How many pairs are learned from between two measurements; the paper has "
        "100 000.",
        ge=2,
        le=100_000_000,
        json_schema_extra={"advanced": True},
    )
    patch_size: int = Field(
        96,
        title="Patch size (pixels)",
        description="Width and height of the patches: a few cells.",
        ge=16,
        le=2048,
    )
    stacks: Literal["slices", "max"] = Field(
        "slices",
        title="Stacks",
        description="slices: learn from each slice of a stack; max: from the maximum over the "
        "slices.",
    )
    batch_size: int = Field(
        32,
        title="Batch size",
        description="Pairs of a batch, of each device; the paper has 256.",
        ge=2,
        le=8192,
        json_schema_extra={"advanced": True},
    )
    foreground: float = Field(
        0.4,
        title="Pairs with something in them",
        description="Part of the pairs that are cut where there is something to see, the more the "
        "more often. What is neither this nor changing is cut anywhere.",
        ge=0,
        le=1,
        json_schema_extra={"advanced": True},
    )
    changing: float = Field(
        0.4,
        title="Pairs that change",
        description="Part of the pairs that are cut where something changes between the images, "
        "the more the more often: what is rare, such as divisions, is seen more often.",
        ge=0,
        le=1,
        json_schema_extra={"advanced": True},
    )
    augment: bool = Field(
        True,
        title="Augment",
        description="Flip, rotate and bend both images alike; shift each by itself; scale and "
        "change brightness, contrast and noise of both and of each. Without it, the network learns "
        "drift and fading rather than what happens (Augmentations).",
        json_schema_extra={"advanced": True},
    )
    decorrelation: float = Field(
        0.01,
        title="Decorrelation",
        description="Weight of the loss by which features should not repeat each other (Eq. 1).",
        ge=0,
        le=100,
        json_schema_extra={"advanced": True},
    )
    temperature: float = Field(
        0.2,
        title="Temperature",
        description="Of that loss (Eq. 2).",
        gt=0,
        le=100,
        json_schema_extra={"advanced": True},
    )
    learning_rate: float | None = Field(
        None,
        title="Learning rate",
        description="Of Adam, at its highest. Left out: 0.001 from random weights (0.0004 for tap, "
        "as in the paper), 0.0001 from trained ones.",
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
    also: tuple[str, ...] = Field(
        (),
        title="Further datasets",
        description="Paths of further datasets to learn from, with the same channel and pixels of "
        "the same size; all count alike, however large.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _complete(self) -> TapTrainingParams:
        if self.delta_t is not None and self.delta_minutes is not None:
            raise ValueError("give delta_t (frames) or delta_minutes, not both")
        if self.foreground + self.changing > 1:
            raise ValueError("foreground and changing together are more than all pairs: lower one")
        return self


def prepare(datasets: Sequence[Dataset], params: TapTrainingParams, job: Job) -> Training:
    """Check and gather what the training needs.

    See :class:`~napari_dynaclr.learning.run.Training`.
    """
    from napari_dynaclr.embedding.tap.training.run import TapTraining

    return TapTraining(datasets, params, job)
