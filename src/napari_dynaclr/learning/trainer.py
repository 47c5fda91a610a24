"""Lightning's trainer, set up for a job: quiet, with checkpoints that are whole or not there."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from napari_dynaclr.core.atomic import atomic_file, remove
from napari_dynaclr.core.device import Device
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.learning.checkpoint import read_plain

if TYPE_CHECKING:
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.learning.params import TrainingParams

# Lightning 2.6 asks PyTorch something in an old way; users can do nothing about it.
warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.` is deprecated")

LAST = "last.ckpt"
"""Checkpoint of the last finished epoch, in Lightning's form."""

_ACCELERATORS = {Device.CUDA: "gpu", Device.MPS: "mps", Device.CPU: "cpu"}


class AtomicCheckpoints(CheckpointIO):
    """Writes checkpoints in one go, and reads them without unpickling anything.

    Parameters
    ----------
    job
        Once it is cancelled, nothing is written any more: somebody may train anew.
    """

    def __init__(self, job: Job) -> None:
        self._job = job

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; a killed program leaves the one before."""
        with atomic_file(Path(path)) as temporary:
            torch.save(checkpoint, temporary)
            self._job.check()  # that took a while

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint.

        Raises
        ------
        InvalidInput
            If it is damaged.
        """
        try:
            found: dict[str, Any] = read_plain(Path(path))
        except (InvalidInput, OSError):
            raise InvalidInput(
                f"{path} is damaged: delete {Path(path).parent} to train from the start."
            ) from None
        return found

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint."""
        remove(Path(path))


class KeepLast(Checkpoint):
    """Keeps the state after every epoch.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the checkpoint."""
        trainer.save_checkpoint(self._path)


def make_trainer(params: TrainingParams, device: Device, folder: Path, job: Job) -> pl.Trainer:
    """Set up the trainer.

    Parameters
    ----------
    params
        Precision, devices, nodes, epochs and patience.
    device
        Where to train.
    folder
        For the checkpoint and TensorBoard's log, in ``tensorboard/``.
    job
        For cancelling.

    Raises
    ------
    InvalidInput
        If there are not as many devices.
    """
    there = {Device.CUDA: torch.cuda.device_count(), Device.MPS: 1}.get(device, params.devices)
    if params.devices > there:
        raise InvalidInput(
            f"This machine has {there} {device.value.upper()} device{'s' * (there != 1)}, "
            f"{params.devices} are asked for: choose no more devices than there are."
        )
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    callbacks: list[Callback] = [KeepLast(folder / LAST)]
    if params.patience is not None:
        callbacks.append(
            EarlyStopping(
                "validation_loss",
                patience=params.patience,
                strict=False,
                check_on_train_epoch_end=True,
            )
        )
    several = params.devices * params.num_nodes > 1
    try:
        return pl.Trainer(
            accelerator=_ACCELERATORS[device],
            devices=params.devices,
            num_nodes=params.num_nodes,
            strategy="ddp" if several else "auto",
            sync_batchnorm=several and device is Device.CUDA,
            precision=_precision(params.precision, device),
            max_epochs=params.epochs,
            logger=TensorBoardLogger(folder, name="", version="tensorboard"),
            callbacks=callbacks,
            plugins=[AtomicCheckpoints(job)],
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise InvalidInput(f"The training cannot be set up: {str(error).splitlines()[0]}") from None


def _precision(wanted: str, device: Device) -> Any:
    if device is Device.CUDA and wanted != "full":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "bf16-mixed" if wanted == "mixed" else "32-true"
