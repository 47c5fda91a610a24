"""VisCy's side of ``embedding.py``: its own data module, transforms, prediction loop and writer."""

from __future__ import annotations

import shutil
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from common import Measured, measuring
from embedding_cases import CHANNELS, Case

if TYPE_CHECKING:
    from viscy_data.triplet import TripletDataModule

warnings.filterwarnings("ignore")

BATCH = 32
"""Of its public configuration of DynaCLR."""


def prepare(case: Case) -> None:
    """Let VisCy write its statistics into the plate, as `viscy preprocess` does."""
    from iohub.ngff import open_ome_zarr
    from viscy_utils.meta_utils import generate_normalization_metadata

    generate_normalization_metadata(case.plate, num_workers=1)
    with open_ome_zarr(case.plate, mode="r+") as plate:
        for _, position in plate.positions():
            known = position.zattrs["normalization"]
            for levels in known.values():
                # viscy-data 0.1 stops at them: it stacks the statistics of a batch as numbers.
                levels.pop("timepoint_statistics", None)
            position.zattrs["normalization"] = known


def data_module(case: Case, workers: int, cache: int) -> TripletDataModule:
    from viscy_data.triplet import TripletDataModule
    from viscy_transforms import BatchedScaleIntensityRangePercentilesd, NormalizeSampled

    return TripletDataModule(
        data_path=str(case.plate),
        tracks_path=str(case.their_tracks),
        source_channel=list(CHANNELS),
        z_range=case.z_range,
        initial_yx_patch_size=(case.patch, case.patch),
        final_yx_patch_size=(case.patch, case.patch),
        batch_size=BATCH,
        num_workers=workers,
        cache_pool_bytes=cache,
        normalizations=[
            NormalizeSampled([CHANNELS[0]], "fov_statistics", "mean", "std"),
            # By cell, as its later versions and we do, not by batch.
            BatchedScaleIntensityRangePercentilesd([CHANNELS[1]], 50, 99, 0.0, 1.0),
        ],
    )


def read(case: Case, workers: int, cache: int) -> Measured:
    with measuring() as found:
        module = data_module(case, workers, cache)
        module.setup("predict")
        for batch in module.predict_dataloader():
            found.done += len(module.on_after_batch_transfer(batch, 0)["anchor"])
    return found


def network(case: Case) -> Any:
    """Its network; ours in its loop where it has none."""
    import torch
    from viscy_models.contrastive import ContrastiveEncoder

    if case.backbone == "convnext_mini":
        from napari_dynaclr.embedding.dynaclr.checkpoint import load_encoder

        return load_encoder(case.weights, case.depth).network
    made = ContrastiveEncoder(
        backbone=case.backbone,
        in_channels=len(CHANNELS),
        in_stack_depth=case.depth,
        stem_kernel_size=case.stem,
        stem_stride=case.stem,
        projection_dim=32,
    )
    state = torch.load(case.weights, weights_only=True)["state_dict"]
    made.load_state_dict({name.removeprefix("model."): v for name, v in state.items()})
    return made


def embed(case: Case, device: str, workers: int, cache: int) -> Measured:
    from lightning.pytorch import LightningModule, Trainer
    from viscy_utils.callbacks.embedding_writer import EmbeddingWriter

    class ContrastiveModule(LightningModule):
        """What its module of this name, which is not on PyPI, does to predict."""

        def __init__(self) -> None:
            super().__init__()
            self.model = network(case)

        def predict_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
            features, projections = self.model(batch["anchor"])
            return {"features": features, "projections": projections, "index": batch["index"]}

    shutil.rmtree(case.their_result, ignore_errors=True)
    with measuring() as found:
        trainer = Trainer(
            accelerator="gpu" if device == "cuda" else device,
            devices=1,
            precision="16-mixed" if device == "cuda" else "32-true",
            logger=False,
            callbacks=[EmbeddingWriter(case.their_result)],
            inference_mode=True,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        module = data_module(case, workers, cache)
        trainer.predict(ContrastiveModule(), datamodule=module, return_predictions=False)
        found.done = len(module.predict_dataset)
    return found


def result(case: Case) -> pd.DataFrame:
    """Embeddings and projections by FOV and cell."""
    import anndata as ad

    found = ad.read_zarr(case.their_result)
    values = np.hstack([found.X, found.obsm["X_projections"]])
    keys = found.obs[["fov_name", "id"]].astype(str)
    return pd.DataFrame(values, index=pd.MultiIndex.from_frame(keys))
