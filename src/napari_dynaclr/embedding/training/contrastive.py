"""Contrastive training of an encoder: its settings (dynaclr.txt, A.1 to A.3)."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from pydantic import Field, field_validator, model_validator

from napari_dynaclr.core.background import in_background
from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.device import require_networks
from napari_dynaclr.core.params import Params, check_name
from napari_dynaclr.core.runs import recorded
from napari_dynaclr.embedding.scaling import MODES, Mode

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.registry import Method

_LEARNED = tuple(mode for mode in get_args(Mode) if mode != "batch-percentiles")


class ContrastiveParams(Params):
    """Settings of the training of a DynaCLR encoder (dynaclr.txt, A.1 to A.3)."""

    name: str = Field(
        "encoder",
        title="Name",
        description="Name of the encoder; it is kept as weights/NAME.safetensors in the results.",
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
    epochs: int = Field(
        40,
        title="Epochs",
        description="How often every cell is an anchor.",
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
    batch_size: int = Field(
        256,
        title="Batch size",
        description="Anchors of a batch, of each device.",
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
    border: Literal["leave out", "reflect"] = Field(
        "leave out",
        title="Border cells",
        description="Cells so near to the edge that a rotated patch would leave the image: do not "
        "learn from them, or continue the image by reflection.",
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
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        "auto",
        title="Device",
        description="Where to compute; auto takes the fastest there is.",
        json_schema_extra={"advanced": True, "speed_only": True},
    )
    precision: Literal["auto", "full", "mixed"] = Field(
        "auto",
        title="Precision",
        description="Mixed is twice as fast on an NVIDIA GPU, where auto chooses it.",
        json_schema_extra={"advanced": True},
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


def fit(dataset: Dataset, params: ContrastiveParams, job: Job, method: Method) -> pd.DataFrame:
    """Train as the settings say; see :func:`~napari_dynaclr.embedding.training.stage.train`."""
    require_networks("lightning", "monai", "tensorboard")
    datasets = [dataset, *(open_dataset(path) for path in params.also)]

    def load() -> Any:  # torch and Lightning take seconds to import
        from napari_dynaclr.embedding.training import run

        return run

    with ExitStack() as stack:
        first = _is_first(params)
        entry = stack.enter_context(recorded(dataset, method, params)) if first else {}
        trained = in_background(load, job).run(datasets, params, method, entry, job)
    return cast("pd.DataFrame", trained)


def _is_first(params: ContrastiveParams) -> bool:
    """Whether this process is the only one, or the first of those that share the training."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    alone = params.devices * params.num_nodes == 1
    return alone or all(os.environ.get(name, "0") == "0" for name in ranks)
