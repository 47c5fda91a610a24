"""Training of a stainer from paired channels: its settings (cytoland.txt, Methods)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from napari_dynaclr.staining.training.params import ImageTrainingParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.learning.run import Training


class PairedParams(ImageTrainingParams):
    """Settings of the training of a stainer (cytoland.txt, Methods)."""

    name: str = Field(
        "stainer",
        title="Name",
        description="Name of the stainer; it is kept as weights/NAME.safetensors in the results.",
    )
    targets: tuple[str, ...] = Field(
        (),
        title="Stained channels",
        description="Fluorescence channels that the network is to predict, in its order. Those "
        "named after nuclei and membranes if none is chosen.",
        json_schema_extra={
            "choices": "channels",
            "ordered": True,
            "left_out": "told by their names",
        },
    )
    architecture: Literal["fcmae_mini", "fcmae", "unext2"] = Field(
        "fcmae_mini",
        title="Network",
        description="fcmae_mini has less than a million weights and trains on a laptop; fcmae "
        "(VSCyto2D, VSCyto3D) and unext2 (VSNeuromast) have 31 to 40 million and want a GPU.",
    )
    start_from: str = Field(
        "",
        title="Start from",
        description="Network to go on from: a published stainer by name, or a file of weights, of "
        "a stainer or of a pre-training (method fcmae); random weights if left out.",
        json_schema_extra={
            "path": "file",
            "filter": "Weights (*.ckpt *.pt *.pth *.safetensors)",
            "choices": "starts",
            "left_out": "random weights",
        },
    )
    fine_tune: Literal["all", "decoder"] = Field(
        "all",
        title="Fine-tune",
        description="Of the network to start from, train all, or leave its encoder as it is.",
    )
    learning_rate: float | None = Field(
        None,
        title="Learning rate",
        description="Of AdamW, at its highest. Left out: 0.0002, and 0.002 for fcmae_mini from "
        "random weights.",
        gt=0,
        le=1,
        json_schema_extra={"advanced": True},
    )
    sampling: Literal["labelled", "uniform"] = Field(
        "labelled",
        title="Draw patches",
        description="In proportion to how much is labelled there, or everywhere alike (Fig. S4).",
        json_schema_extra={"advanced": True},
    )
    target_normalization: Literal["median-iqr", "mean-std"] = Field(
        "median-iqr",
        title="Normalisation of the stains",
        description="Median 0 and interquartile range 1, or mean 0 and standard deviation 1.",
        json_schema_extra={"advanced": True},
    )
    clahe: bool = Field(
        False,
        title="Equalise the stains",
        description="Equalise the local contrast of the stained channels (CLAHE), slice by slice, "
        "for labels that are expressed unevenly (VSNeuromast).",
        json_schema_extra={"advanced": True},
    )
    l1: float = Field(
        0.5,
        title="Weight of the absolute error",
        description="Weight of the mean absolute error in the loss; the rest is that of the "
        "structural dissimilarity (MS-DSSIM).",
        ge=0,
        le=1,
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _complete(self) -> PairedParams:
        if self.fine_tune == "decoder" and not self.start_from:
            raise ValueError("the decoder alone can be trained of a network only: set start_from")
        return self


def prepare(datasets: Sequence[Dataset], params: PairedParams, job: Job) -> Training:
    """Check and gather what the training needs.

    See :class:`~napari_dynaclr.learning.run.Training`.
    """
    from napari_dynaclr.staining.training.run import PairedTraining

    return PairedTraining(datasets, params, job)
