"""The training of an encoder: what it learns from, and how it is put together."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch

from napari_dynaclr.core.runs import source_key, stain_inputs
from napari_dynaclr.embedding.dynaclr.checkpoint import save_encoder
from napari_dynaclr.embedding.dynaclr.network import ContrastiveEncoder
from napari_dynaclr.embedding.training.cells import Cells, gather, hold_out, prepare
from napari_dynaclr.embedding.training.feed import Feed, Pairing
from napari_dynaclr.embedding.training.groups import find_groups, states_of
from napari_dynaclr.embedding.training.learner import Contrast, ContrastiveLearner
from napari_dynaclr.embedding.training.setting import Setting, Start, find_start, settle
from napari_dynaclr.embedding.training.watch import Watch
from napari_dynaclr.learning.augment import Augmentation
from napari_dynaclr.learning.learner import Rule
from napari_dynaclr.learning.run import room

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import lightning.pytorch as pl

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.training.contrastive import ContrastiveParams
    from napari_dynaclr.learning.learner import Write

_RATES = {True: 2e-5, False: 1e-3}
"""Learning rate by whether the weights were trained before (dynaclr.txt, A.2.3)."""

_WATCHED = 0.1
"""Of the memory for patches, for those that are measured after every epoch."""


class ContrastiveTraining:
    """Trains an encoder of cells; see :class:`~napari_dynaclr.learning.run.Training`.

    Parameters
    ----------
    datasets
        To learn from; they have been tracked.
    params
        Settings.
    job
        Takes notes.

    Raises
    ------
    MissingInput
        If a FOV has not been tracked.
    InvalidInput
        If the encoder to start from cannot be had.
    """

    what = "encoder"

    def __init__(self, datasets: Sequence[Dataset], params: ContrastiveParams, job: Job) -> None:
        self._datasets, self._params, self._job = datasets, params, job
        self.inputs = tuple(self._inputs())  # before anything is downloaded
        self._start = find_start(params, job)
        self.sha256 = self._start.sha256
        self._setting: Setting | None = None

    def _inputs(self) -> list[str]:
        found: list[str] = []
        for dataset in self._datasets:
            for fov in dataset.fovs:
                tracks = dataset.workspace.require("tracks", fov, "tracks", "track")
                tracks += dataset.workspace.corrected(fov)
                seen = self._params.channels or fov.channels
                found += [source_key(fov), tracks, *stain_inputs(dataset, fov, seen).values()]
            if self._params.balance == "state":
                states = sorted(states_of(dataset, self._params.task).items())
                found.append(hashlib.sha256(repr(states).encode()).hexdigest())
        return found

    def learner(self, trainer: pl.Trainer, key: str, write: Write) -> ContrastiveLearner:
        """Gather the cells and make all parts of the training."""
        self._setting = settle(self._datasets, self._params, self._start)
        return _learner(
            self._datasets,
            self._params,
            self._setting,
            self._start,
            trainer,
            key,
            write,
            self._job,
        )

    def save(self, path: Path, learner: ContrastiveLearner, about: dict[str, Any]) -> None:
        """Write the encoder, and what an embedding with it has to know."""
        assert self._setting is not None
        chosen = ("strategy", "tau", "tau_unit", "loss", "temperature", "seed")
        trained = {name: getattr(self._params, name) for name in chosen}
        trained["epochs"] = len(learner.figures)
        recipe = self._setting.recipe.model_dump()
        save_encoder(path, learner.model, {**recipe, **about, "trained": trained})

    def hint(self, path: Path) -> str:
        """Say where the encoder is."""
        return f"The encoder is in {path}: embed with it as weights file."


def _learner(
    datasets: Sequence[Dataset],
    params: ContrastiveParams,
    setting: Setting,
    start: Start,
    trainer: pl.Trainer,
    key: str,
    write: Write,
    job: Job,
) -> ContrastiveLearner:
    """Gather the cells and make all parts of the training."""
    cells, dropped = gather(
        datasets, setting.window, keep_border=params.border == "reflect", job=job
    )
    prepare(cells, setting.window, job)
    rows, held, told = hold_out(cells, params.held_out, params.split, params.seed)
    if params.patience is not None and not len(held):
        told += " Without a validation loss, the patience has no meaning."
    pairing = Pairing(params.strategy, params.lineage, setting.tau, params.loss == "triplet")
    memory = room(params)
    feed = Feed(
        cells,
        rows,
        pairing,
        find_groups(cells, params.balance, params.task),
        setting.window,
        params.batch_size,
        (1 - _WATCHED) * memory,
        params.seed,
        job,
        trainer.global_rank,
        trainer.world_size,
    )
    _tell(job, setting, cells, feed, dropped, told)
    watch = Watch(
        cells,
        held if len(held) else rows,
        pairing,
        setting.window,
        setting.side,
        _WATCHED * memory,
        params.seed,
        len(held) > 0,
        job,
    )
    feed.load()
    network = _network(setting, start, params.seed)
    contrast = Contrast(
        params.loss, params.temperature, params.margin, apart=params.strategy == "cell-aware"
    )
    head_only = params.fine_tune == "head"
    return ContrastiveLearner(
        Augmentation(setting.augmentations, setting.side),
        contrast,
        watch,
        network,
        Rule.of(params, _RATES[start.encoder is not None]),
        feed,
        job,
        key,
        write,
        frozen=(network.stem, network.encoder) if head_only else (),
    )


def _network(setting: Setting, start: Start, seed: int) -> ContrastiveEncoder:
    if start.encoder is not None:
        start.encoder.network.train()
        return start.encoder.network
    with torch.random.fork_rng(devices=[]):  # the user's own random numbers stay as they are
        torch.manual_seed(seed)
        return ContrastiveEncoder(setting.config)


def _tell(job: Job, setting: Setting, cells: Cells, feed: Feed, dropped: int, held: str) -> None:
    for line in setting.told:
        job.note(line)
    if dropped:
        job.note(
            f"{dropped} of {dropped + len(cells.nodes)} cells are near the edge and not learned "
            "from: rotated, their patches would leave the image (border 'reflect' takes them, too)."
        )
    if held:
        job.note(held)
    if not feed.fits:
        job.note("The patches do not fit into memory at once: they are read in every epoch.")
