"""VisCy's side of ``staining.py``: its own data module, Lightning module, loop and writer."""

from __future__ import annotations

import logging
import shutil
import warnings
from typing import TYPE_CHECKING

from common import Measured, counting_reads, measuring
from staining_cases import SOURCE, TARGETS, Case
from staining_ours import pixels

if TYPE_CHECKING:
    import numpy as np
    from cytoland.engine import VSUNet
    from numpy.typing import NDArray
    from viscy_data.hcs import HCSDataModule

warnings.filterwarnings("ignore")
for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "iohub.ngff.nodes"):
    logging.getLogger(name).setLevel(logging.ERROR)


def prepare(case: Case) -> None:
    """Let VisCy write its statistics into the plate, as `viscy preprocess` does."""
    from viscy_utils.meta_utils import generate_normalization_metadata

    generate_normalization_metadata(case.making, num_workers=1)
    case.making.rename(case.plate)


def weights(case: Case) -> None:
    """Save a checkpoint as Lightning does: of random weights, or of those trained."""
    import torch

    torch.manual_seed(0)
    module = network(case, None)
    if case.made.trained:
        from safetensors.torch import load_file

        module.model.load_state_dict(load_file(case.trained), strict=True)
    else:
        for name, value in module.state_dict().items():
            if "grn" in name:  # zero at first, which would leave out what it does
                torch.nn.init.normal_(value, std=0.5)
    known = {"architecture": case.made.architecture, "model_config": case.made.config}
    torch.save({"state_dict": module.state_dict(), "hyper_parameters": known}, case.weights)


def network(case: Case, checkpoint: str | None) -> VSUNet:
    from cytoland.engine import VSUNet

    made = case.made
    return VSUNet(made.architecture, model_config=made.config, ckpt_path=checkpoint)


def data_module(case: Case, workers: int, batch: int) -> HCSDataModule:
    from viscy_data.hcs import HCSDataModule
    from viscy_transforms import NormalizeSampled

    return HCSDataModule(
        data_path=str(case.plate),
        source_channel=SOURCE,
        target_channel=list(TARGETS),
        z_window_size=case.made.depth,
        batch_size=batch,
        num_workers=workers,
        normalizations=[NormalizeSampled([SOURCE], "fov_statistics", "mean", "std")],
    )


def stain(
    case: Case, device: str, workers: int, batch: int, windows: int | None = None
) -> Measured:
    """Stain all, or so many windows."""
    from lightning.pytorch import Trainer
    from viscy_utils.callbacks.prediction_writer import HCSPredictionWriter

    shutil.rmtree(case.their_result, ignore_errors=True)
    case.their_result.parent.mkdir(exist_ok=True)
    with measuring() as found:
        trainer = Trainer(
            accelerator="gpu" if device == "cuda" else device,
            devices=1,
            precision="16-mixed" if device == "cuda" else "32-true",  # as we compute there
            logger=False,
            callbacks=[HCSPredictionWriter(str(case.their_result))],
            inference_mode=True,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_predict_batches=None if windows is None else windows // batch,
        )
        module = network(case, str(case.weights))
        data = data_module(case, workers, batch)
        trainer.predict(module, datamodule=data, return_predictions=False)
        found.done = case.time_points * case.slices
    return found


def reads(case: Case, device: str) -> float:
    """How often a slice of the source is read."""
    with counting_reads(case.plate) as found:
        stain(case, device, 0, 1)
    return sum(found.values()) / (case.time_points * case.slices)


def result(case: Case) -> NDArray[np.float32]:
    """The last stain, (T, C, Z, Y, X)."""
    return pixels(case.their_result)


def stride(case: Case, device: str, step: int) -> NDArray[np.float32]:
    """What its function for stacks in memory makes of the first one with windows further apart."""
    import torch
    from cytoland.engine import AugmentedPredictionVSUNet

    data = data_module(case, 0, 1)
    data.z_window_size = case.slices
    data.setup("predict")
    stack = data.predict_dataset[0]["source"][None].to(device)
    module = AugmentedPredictionVSUNet(network(case, str(case.weights)).model)
    with torch.inference_mode():
        found = module.eval().to(device).predict_sliding_windows(stack, len(TARGETS), step)
    return found.float().cpu().numpy()
