"""Contrastive training of an encoder: its settings (dynaclr.txt, A.1 to A.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from pydantic import Field, field_validator, model_validator

from napari_dynaclr.embedding.scaling import MODES, Mode
from napari_dynaclr.learning.params import TrainingParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.learning.run import Training

_LEARNED = tuple(mode for mode in get_args(Mode) if mode != "batch-percentiles")


class ContrastiveParams(TrainingParams):
    """Settings of the training of a DynaCLR encoder (dynaclr.txt, A.1 to A.3)."""

    name: str = Field(
        "encoder",
        title="Name",
        description="Name of the encoder; it is kept as weights/NAME.safetensors in the results.",
    )
    epochs: int = Field(
        40, title="Epochs", description="How often every cell is an anchor.", ge=1, le=100_000
    )
    batch_size: int = Field(
        256,
        title="Batch size",
        description="Anchors of a batch, of each device.",
        ge=2,
        le=8192,
        json_schema_extra={"advanced": True},
    )
    channels: tuple[str, ...] = Field(
        (),
        title="Channels",
        description="Channels that the encoder is to see, in its order; all of the dataset if none "
        "is named, or those of the encoder to start from.",
        json_schema_extra={
            "choices": "channels",
            "ordered": True,
            "left_out": "all, or those of the encoder to start from",
        },
    )
    patch_size: int | None = Field(
        None,
        title="Patch size (pixels)",
        description="Width and height of the patches: a cell and a little of what is around it. "
        "64 if left out, or that of the encoder to start from.",
        ge=32,
        le=1024,
        json_schema_extra={"left_out": "64, or the encoder's"},
    )
    strategy: Literal["time-aware", "cell-aware", "classical"] = Field(
        "time-aware",
        title="Positives",
        description="What is pulled together: time-aware, the same cell some frames later; "
        "cell-aware and classical, the same picture augmented twice, told apart from other cells "
        "or from any other picture.",
    )
    tau: float = Field(
        1.0,
        title="Time offset",
        description="How much later the positive of a time-aware pair is.",
        gt=0,
        le=100_000,
    )
    tau_unit: Literal["frames", "min"] = Field(
        "frames",
        title="Unit of the time offset",
        description="Frames, or minutes where datasets have different frame intervals.",
    )
    start_from: str = Field(
        "",
        title="Start from",
        description="Encoder to go on from: a published one by name, or a file of weights; random "
        "weights if left out.",
        json_schema_extra={
            "path": "file",
            "filter": "Weights (*.ckpt *.pt *.pth *.safetensors)",
            "choices": "starts",
            "left_out": "random weights",
        },
    )
    fine_tune: Literal["all", "head"] = Field(
        "all",
        title="Fine-tune",
        description="Of the encoder to start from, train all, or the projection head only.",
    )
    backbone: Literal["convnext_mini", "convnext_tiny", "convnextv2_tiny", "resnet50"] = Field(
        "convnext_mini",
        title="Backbone",
        description="Network: convnext_mini has 1.3 million weights and trains on a laptop; the "
        "others have 24 to 28 million and want a GPU.",
    )
    depth: int | None = Field(
        None,
        title="Slices",
        description="Slices of a patch; all of the stack if left out.",
        ge=1,
        json_schema_extra={"advanced": True, "left_out": "all"},
    )
    z_start: int | None = Field(
        None,
        title="First slice",
        description="First slice of the patches; the middle of the stack if left out.",
        ge=0,
        json_schema_extra={"advanced": True, "left_out": "middle of the stack"},
    )
    normalization: tuple[str, ...] = Field(
        (),
        title="Normalisation",
        description="One for all channels, or one each. Left out: mean-std for label-free "
        "channels, cell-percentiles for others. "
        + "; ".join(f"{mode}: {MODES[mode]}" for mode in _LEARNED)
        + ".",
        json_schema_extra={
            "values": list(_LEARNED),
            "advanced": True,
            "left_out": "by the kind of channel",
        },
    )
    label_free: tuple[str, ...] = Field(
        (),
        title="Label-free channels",
        description="Channels of phase, DIC or bright field: augmented more gently (Table 1). Told "
        "by their names if left out.",
        json_schema_extra={
            "choices": "channels",
            "advanced": True,
            "left_out": "told by their names",
        },
    )
    lineage: bool = Field(
        True,
        title="Daughters too",
        description="Where a cell has divided, take a daughter as positive.",
        json_schema_extra={"advanced": True},
    )
    balance: Literal["none", "well", "state"] = Field(
        "none",
        title="Balance",
        description="Draw as many anchors from every well, or from every predicted or annotated "
        "state, as from any other.",
        json_schema_extra={"advanced": True},
    )
    task: str = Field(
        "",
        title="Task of the states",
        description="Task whose states are balanced.",
        json_schema_extra={"choices": "tasks", "advanced": True, "left_out": "none"},
    )
    loss: Literal["nt-xent", "triplet"] = Field(
        "nt-xent",
        title="Loss",
        description="NT-Xent compares with all others of a batch, triplet with one other cell.",
        json_schema_extra={"advanced": True},
    )
    temperature: float = Field(
        0.5,
        title="Temperature",
        description="Of NT-Xent; lower for small datasets (0.3).",
        gt=0,
        le=10,
        json_schema_extra={"advanced": True},
    )
    margin: float = Field(
        0.5,
        title="Margin",
        description="Of the triplet loss.",
        gt=0,
        le=2,
        json_schema_extra={"advanced": True},
    )
    border: Literal["leave out", "reflect"] = Field(
        "leave out",
        title="Border cells",
        description="Cells so near to the edge that a rotated patch would leave the image: do not "
        "learn from them, or continue the image by reflection.",
        json_schema_extra={"advanced": True},
    )

    @field_validator("normalization")
    @classmethod
    def _known(cls, modes: tuple[str, ...]) -> tuple[str, ...]:
        for mode in modes:
            if mode not in _LEARNED:
                raise ValueError(f"there is no '{mode}': choose {', '.join(_LEARNED)}")
        return modes

    @model_validator(mode="after")
    def _complete(self) -> ContrastiveParams:
        if self.balance == "state" and not self.task:
            raise ValueError("to balance states, name their task")
        if self.fine_tune == "head" and not self.start_from:
            raise ValueError("the head alone can be trained of an encoder only: set start_from")
        return self


def prepare(datasets: Sequence[Dataset], params: ContrastiveParams, job: Job) -> Training:
    """Check and gather what the training needs.

    See :class:`~napari_dynaclr.learning.run.Training`.
    """
    from napari_dynaclr.embedding.training.run import ContrastiveTraining

    return ContrastiveTraining(datasets, params, job)
