"""Training of a profiler: its settings (sslprofiler.txt, 3.2 and 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from napari_dynaclr.embedding.scaling import RANGES, Range
from napari_dynaclr.learning.params import TrainingParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.learning.run import Training

_DINOV2 = "The paper does not say; as in DINOv2."


class ProfilerTrainingParams(TrainingParams):
    """Settings of the training of SSLProfiler (sslprofiler.txt, 3.2 and 4.1).

    What the paper does not give is DINOv2's, and said so.
    """

    name: str = Field(
        "profiler",
        title="Name",
        description="Name of the profiler; it is kept as weights/NAME.safetensors in the results.",
    )
    epochs: int = Field(
        100,
        title="Epochs",
        description="How often all cells or fields are learned from; 100 in the paper.",
        ge=1,
        le=100_000,
    )
    batch_size: int = Field(
        128,
        title="Batch size",
        description="Images of a batch, of each device; 128 in the paper.",
        ge=2,
        le=8192,
        json_schema_extra={"advanced": True},
    )
    learning_rate: float | None = Field(
        None,
        title="Learning rate",
        description="Of AdamW, at its highest. Left out: 0.00002 for small and base, as in the "
        "paper; 0.0005 for tiny and 0.001 for mini, which are there to learn in less time.",
        gt=0,
        le=1,
        json_schema_extra={"advanced": True, "left_out": "by the size"},
    )
    weight_decay: float = Field(
        0.04,
        title="Weight decay",
        description="Of AdamW. The paper does not say; that of DINOv2's first epochs.",
        ge=0,
        le=1,
        json_schema_extra={"advanced": True},
    )
    held_out: float = Field(
        0.0,
        title="Held-out fraction",
        description="Fraction of the FOVs or wells that are not learned from, but watched (rank, "
        "spread). There is no loss of theirs that could be compared from epoch to epoch.",
        ge=0,
        lt=1,
        json_schema_extra={"advanced": True},
    )
    patience: int | None = Field(
        None,
        title="Patience (epochs)",
        description="Has no effect here: a profiler has no validation loss to wait for. Say how "
        "long to train with epochs or minutes.",
        ge=1,
        json_schema_extra={"advanced": True, "left_out": "never", "command_line": True},
    )
    also: tuple[str, ...] = Field(
        (),
        title="Further datasets",
        description="Paths of further datasets to learn from, with the same channels and pixels "
        "of the same size; for a profiler of cells, they have been tracked, too.",
        json_schema_extra={"advanced": True},
    )
    unit: Literal["cell", "field"] = Field(
        "cell",
        title="Learn from",
        description="Patches of tracked cells, or whole fields of view, without tracks.",
    )
    channel_kind: Literal["auto", "fluorescence", "label-free"] = Field(
        "auto",
        title="Kind of channels",
        description="Fluorescence and label-free channels are told by their names, and learned "
        "from one after the other, in a training each: embedding puts the two beside each other. "
        "auto takes fluorescence, where there is some.",
    )
    channels: tuple[str, ...] = Field(
        (),
        title="Channels",
        description="Channels to learn from; all of the kind if none is named.",
        json_schema_extra={"choices": "channels", "ordered": True, "left_out": "all of the kind"},
    )
    patch_size: int | None = Field(
        None,
        title="Image size (pixels)",
        description="Width and height of what the network sees: a cell and a little of what is "
        "around it, or a field that is made as small. 64 for cells, 224 for fields if left out; "
        "the paper has 518.",
        ge=16,
        le=1024,
        json_schema_extra={"left_out": "64, of fields 224"},
    )
    size: Literal["mini", "tiny", "small", "base"] = Field(
        "mini",
        title="Network",
        description="Vision transformer: mini has half a million weights and trains on a laptop; "
        "small (21 million) and base (86 million) are the paper's and want a GPU.",
    )
    local_aggregation: bool = Field(
        True,
        title="Local aggregation",
        description="Pull together different fields of a well; without, only views of the same "
        "picture.",
    )
    time_window: float = Field(
        60.0,
        title="Time window (min)",
        description="How far apart in time the images that are pulled together are at most.",
        ge=0,
        le=1e6,
    )
    pixel_size: float | None = Field(
        None,
        title="Pixel size of fields (um)",
        description="Pixels that fields are brought to. Left out: so large that a field fits into "
        "an image; smaller ones show more of a part of it.",
        gt=0,
        json_schema_extra={"advanced": True, "left_out": "the field fits"},
    )
    token_size: int | None = Field(
        None,
        title="Token size (pixels)",
        description="Width and height of the squares that the transformer compares. 14 in the "
        "paper; about an eighth of a small image if left out.",
        ge=2,
        le=64,
        json_schema_extra={"advanced": True, "left_out": "by the image size"},
    )
    z_start: int | None = Field(
        None,
        title="Slice",
        description="Slice to look at; the middle of the stack if left out.",
        ge=0,
        json_schema_extra={"advanced": True, "left_out": "middle of the stack"},
    )
    normalization: Range = Field(
        "dataset-range",
        title="Normalisation",
        description="How channels are brought to 0-1. "
        + "; ".join(f"{name}: {text}" for name, text in RANGES.items())
        + ".",
        json_schema_extra={"advanced": True},
    )
    empty_frames: Literal["error", "skip"] = Field(
        "error",
        title="Empty frames",
        description="Stop at a frame of nothing but zeros or NaN, or learn from it as it is.",
        json_schema_extra={"advanced": True},
    )
    looks: int | None = Field(
        None,
        title="Looks",
        description="How often an epoch comes to each image. Left out: once to cells, 10 times to "
        "fields, of which there are fewer.",
        ge=1,
        le=1000,
        json_schema_extra={"advanced": True, "left_out": "1, of fields 10"},
    )
    crop_scale: float = Field(
        0.32,
        title="Least part in view",
        description=f"Area of a view relative to the image, at least. {_DINOV2}",
        gt=0,
        le=1,
        json_schema_extra={"advanced": True},
    )
    local_crops: int = Field(
        8,
        title="Local views",
        description="Small views of each image, which are pulled to the whole. The paper's loss "
        "does not have them; 8 as in DINOv2, 0 for none.",
        ge=0,
        le=32,
        json_schema_extra={"advanced": True},
    )
    brightness: float = Field(
        0.4,
        title="Brightness",
        description=f"Largest change of each channel (alpha_b of 3.2.2). {_DINOV2}",
        ge=0,
        le=2,
        json_schema_extra={"advanced": True},
    )
    contrast: float = Field(
        0.4,
        title="Contrast",
        description=f"Largest change of each channel (alpha_c of 3.2.2). {_DINOV2}",
        ge=0,
        le=2,
        json_schema_extra={"advanced": True},
    )
    noise: float = Field(
        0.5,
        title="Microscope noise",
        description="Probability of shot noise, dark current and read noise (6.1). The paper does "
        "not say.",
        ge=0,
        le=1,
        json_schema_extra={"advanced": True},
    )
    elastic: float = Field(
        0.5,
        title="Elastic deformation",
        description="Probability (6.2).",
        ge=0,
        le=1,
        json_schema_extra={"advanced": True},
    )
    ibot_weight: float = Field(
        1.0,
        title="Weight of iBOT",
        description=f"Of guessing masked tokens, lambda_1 of 3.2.1. {_DINOV2}",
        ge=0,
        le=100,
        json_schema_extra={"advanced": True},
    )
    koleo_weight: float = Field(
        0.1,
        title="Weight of KoLeo",
        description=f"Of keeping images apart, lambda_2 of 3.2.1. {_DINOV2}",
        ge=0,
        le=100,
        json_schema_extra={"advanced": True},
    )
    prototypes: int = Field(
        4096,
        title="Prototypes",
        description="What images are likened to. The paper does not say; DINOv2 has 65,536 for "
        "142 million images.",
        ge=16,
        le=262_144,
        json_schema_extra={"advanced": True},
    )
    momentum: float = Field(
        0.992,
        title="Momentum of the teacher",
        description=f"What it keeps of its weights in a step, at first; 1 at last. {_DINOV2}",
        ge=0,
        lt=1,
        json_schema_extra={"advanced": True},
    )
    temperature: float = Field(
        0.07,
        title="Temperature of the teacher",
        description="What it rises to, from 0.04 if that is less: the lower, the surer the teacher "
        f"is. Short trainings want a low one, lest all images come to score alike. {_DINOV2}",
        gt=0,
        le=1,
        json_schema_extra={"advanced": True},
    )


def prepare(datasets: Sequence[Dataset], params: ProfilerTrainingParams, job: Job) -> Training:
    """Check and gather what the training needs.

    See :class:`~napari_dynaclr.learning.run.Training`.
    """
    from napari_dynaclr.embedding.profiler.training.run import ProfilerTraining

    return ProfilerTraining(datasets, params, job)
