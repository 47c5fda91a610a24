"""Settings of the comparison of encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from napari_dynaclr.core.params import Params, check_name
from napari_dynaclr.embedding.training.contrastive import ContrastiveParams

if TYPE_CHECKING:
    from collections.abc import Iterable

ENCODERS = {
    f"{strategy}-{loss}": (strategy, loss)
    for strategy in ("time-aware", "cell-aware", "classical")
    for loss in ("nt-xent", "triplet")
}
"""Ways to train an encoder, by name: what is pulled together, and the loss."""

TABLE_4 = tuple(name for name in ENCODERS if name != "cell-aware-nt-xent")
"""Those that the paper compares."""

BASELINES = ("imagenet", "features")

SHARED = (
    "channels", "patch_size", "backbone", "depth", "z_start", "normalization", "epochs", "minutes",
    "tau", "tau_unit", "temperature", "margin", "batch_size", "learning_rate", "border", "memory",
    "device", "precision", "seed",
)  # fmt: skip
"""Settings of the training that all encoders have in common."""


def _as_in_training(name: str) -> Any:
    """Describe a setting as the training does."""
    return ContrastiveParams.model_fields[name]


class CompareParams(Params):
    """Settings of the comparison of encoders (dynaclr.txt, Table 4)."""

    encoders: tuple[str, ...] = Field(
        TABLE_4,
        title="Encoders",
        description="Encoders to train: what is pulled together, and the loss. There are "
        + ", ".join(ENCODERS)
        + ".",
        json_schema_extra={"values": list(ENCODERS)},
    )
    baselines: tuple[str, ...] = Field(
        BASELINES,
        title="Baselines",
        description="What they are compared with: imagenet, a network trained on photographs; "
        "features, the engineered features; none.",
        json_schema_extra={"values": [*BASELINES, "none"]},
    )
    name: str = Field(
        "",
        title="Name",
        description="Put before the names of all encoders and embeddings, and behind that of the "
        "table, to keep several comparisons beside each other.",
    )
    truth: str = Field(
        "",
        title="Truth",
        description="True states: a folder with annotations.csv as 'simulate' writes it, or a CSV. "
        "Cells are drawn from it as if they were clicked. Your own annotations if left out.",
        json_schema_extra={"path": "folder"},
    )
    task: str = Field(
        "infection",
        title="Task",
        description="States that cells are classified by.",
        json_schema_extra={"choices": "tasks"},
    )
    held_out: tuple[str, ...] = Field(
        (),
        title="Held out",
        description="Wells or FOVs that neither encoders nor classifiers learn from, and on which "
        "all is measured. Left out: with a truth, the last well that shows every state; without, "
        "none, and the classifiers are cross-validated.",
    )
    clicks: int = Field(
        40, title="Clicks", description="Cells of the truth that are learnt from.", ge=4, le=100_000
    )
    draws: int = Field(
        10,
        title="Draws",
        description="How often the clicks are drawn anew; F1 is the mean, and varies by f1_sd.",
        ge=1,
        le=1000,
        json_schema_extra={"advanced": True},
    )
    reach: float = Field(
        6.0,
        title="Reach (um)",
        description="A true cell is the one of ours whose centroid is nearest, within this "
        "distance.",
        gt=0,
        le=1000,
        json_schema_extra={"advanced": True},
    )
    imagenet_weights: str = Field(
        "",
        title="Weights of ImageNet",
        description="File of the weights of ConvNeXt-Tiny, if you have it already; downloaded on "
        "first use if not.",
        json_schema_extra={"path": "file", "filter": "Weights (*.pth *.pt *.safetensors)"},
    )
    imagenet_channels: tuple[str, ...] = Field(
        (),
        title="Channels for ImageNet",
        description="One channel, shown as grey, or three, shown as red, green and blue; the last "
        "one of the encoders' if left out.",
        json_schema_extra={"choices": "channels", "ordered": True, "advanced": True},
    )
    channels: tuple[str, ...] = Field(
        (),
        title="Channels",
        description="Channels that the encoders see; all of the dataset if none is named.",
        json_schema_extra={"choices": "channels", "ordered": True},
    )
    patch_size: int = Field(
        64,
        title="Patch size (pixels)",
        description="Width and height of the patches: a cell and a little of what is around it.",
        ge=32,
        le=1024,
    )
    backbone: Literal["convnext_mini", "convnext_tiny", "convnextv2_tiny", "resnet50"] = (
        _as_in_training("backbone")
    )
    depth: int | None = _as_in_training("depth")
    z_start: int | None = _as_in_training("z_start")
    normalization: tuple[str, ...] = _as_in_training("normalization")
    epochs: int = _as_in_training("epochs")
    minutes: float | None = _as_in_training("minutes")
    tau: float = _as_in_training("tau")
    tau_unit: Literal["frames", "min"] = _as_in_training("tau_unit")
    temperature: float = _as_in_training("temperature")
    margin: float = _as_in_training("margin")
    batch_size: int = _as_in_training("batch_size")
    learning_rate: float | None = _as_in_training("learning_rate")
    border: Literal["leave out", "reflect"] = _as_in_training("border")
    memory: float | None = _as_in_training("memory")
    device: Literal["auto", "cuda", "mps", "cpu"] = _as_in_training("device")
    precision: Literal["auto", "full", "mixed"] = _as_in_training("precision")
    seed: int = _as_in_training("seed")

    @field_validator("name")
    @classmethod
    def _file_name(cls, name: str) -> str:
        return check_name(name) if name else name

    def named(self, what: str) -> str:
        """Name of an encoder or embedding of this comparison."""
        return f"{self.name}-{what}" if self.name else what

    @field_validator("encoders")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _check(names, ENCODERS)

    @field_validator("baselines")
    @classmethod
    def _known_baselines(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return () if names == ("none",) else _check(names, BASELINES)


def _check(names: tuple[str, ...], known: Iterable[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise ValueError(f"there is no '{name}': choose {', '.join(known)}")
    return tuple(dict.fromkeys(names))
