"""Pre-training on label-free images alone: its settings (cytoland.txt, VSCyto2D, Pre-training)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from napari_dynaclr.staining.training.params import ImageTrainingParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.learning.run import Training


class MaskedParams(ImageTrainingParams):
    """Settings of the pre-training of a masked autoencoder (FCMAE)."""

    name: str = Field(
        "pretrained",
        title="Name",
        description="Name of the network; it is kept as weights/NAME.safetensors in the results.",
    )
    architecture: Literal["fcmae_mini", "fcmae"] = Field(
        "fcmae_mini",
        title="Network",
        description="fcmae_mini has less than a million weights and trains on a laptop; fcmae "
        "(VSCyto2D, VSCyto3D) has 31 to 35 million and wants a GPU.",
    )
    mask_ratio: float = Field(
        0.5,
        title="Masked part",
        description="Part of each patch that is hidden from the network, which it has to fill in.",
        gt=0,
        lt=1,
        json_schema_extra={"advanced": True},
    )
    learning_rate: float | None = Field(
        None,
        title="Learning rate",
        description="Of AdamW, at its highest. Left out: 0.0002, and 0.002 for fcmae_mini.",
        gt=0,
        le=1,
        json_schema_extra={"advanced": True},
    )


def prepare(datasets: Sequence[Dataset], params: MaskedParams, job: Job) -> Training:
    """Check and gather what the training needs.

    See :class:`~napari_dynaclr.learning.run.Training`.
    """
    from napari_dynaclr.staining.training.run import MaskedTraining

    return MaskedTraining(datasets, params, job)
