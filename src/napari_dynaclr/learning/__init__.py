"""Learning: what every training of a network shares, and the stage that trains."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

from napari_dynaclr.core.background import in_background
from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.device import require_networks
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import resolve
from napari_dynaclr.core.runs import recorded

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.params import Params
    from napari_dynaclr.learning.params import TrainingParams


def train(dataset: Dataset, params: Params | None = None, job: Job | None = None) -> pd.DataFrame:
    """Train a network.

    Writes ``weights/<name>.safetensors``, which says of itself what it takes: the stage that
    uses the network needs no more than this file. Beside it, in the folder
    ``weights/<name>/``, are the checkpoint that an interrupted training goes on from, the
    figures of every epoch (``metrics.csv``), and TensorBoard's log. The job is told the
    figures as they come; :meth:`~napari_dynaclr.core.job.Job.finish` ends a training early
    and keeps what it has learned.

    Parameters
    ----------
    dataset
        What to learn from; for an encoder of cells, it has been tracked.
    params
        Settings of a training method; the default method if omitted.
    job
        Progress, figures, cancelling and finishing.

    Returns
    -------
    pandas.DataFrame
        A row per epoch: ``epoch``, ``loss``, ``validation_loss``, what else the method
        measures, ``learning_rate``, ``seconds``.

    Raises
    ------
    MissingInput
        If it learns from a result that is not there.
    InvalidInput
        If there is nothing to learn from, or the settings do not fit the images.
    """
    job = job or Job()
    method, settings = resolve("train", params)
    module, params = method.load(), cast("TrainingParams", settings)
    require_networks("lightning", "monai", "tensorboard")
    datasets = [dataset, *(open_dataset(path) for path in params.also)]

    def load() -> Any:  # torch and Lightning take seconds to import
        from napari_dynaclr.learning import run

        return run

    with ExitStack() as stack:
        first = is_first(params)
        entry = stack.enter_context(recorded(dataset, method, params)) if first else {}
        run = in_background(load, job)
        trained = run.run(datasets, params, method, module.prepare, entry, job)
    return cast("pd.DataFrame", trained)


def is_first(params: TrainingParams) -> bool:
    """Whether this process is the only one, or the first of those that share the training."""
    ranks = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    alone = params.devices * params.num_nodes == 1
    return alone or all(os.environ.get(name, "0") == "0" for name in ranks)
