"""A training from the first batch to the saved encoder: resumed, cancelled, finished early."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from napari_dynaclr.core.atomic import remove, write_csv, write_text
from napari_dynaclr.core.background import in_background
from napari_dynaclr.core.device import Device, choose_device, device_memory
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.runs import result_key, source_key
from napari_dynaclr.embedding.dynaclr.checkpoint import save_encoder
from napari_dynaclr.embedding.dynaclr.network import ContrastiveEncoder
from napari_dynaclr.embedding.training.cells import Cells, gather, hold_out, prepare
from napari_dynaclr.embedding.training.feed import Feed, Pairing
from napari_dynaclr.embedding.training.groups import find_groups, states_of
from napari_dynaclr.embedding.training.learner import Learner, Rule
from napari_dynaclr.embedding.training.setting import Setting, Start, find_start, settle
from napari_dynaclr.embedding.training.trainer import LAST, AtomicCheckpoints, make_trainer
from napari_dynaclr.embedding.training.watch import Watch
from napari_dynaclr.learning.augment import Augmentation
from napari_dynaclr.learning.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import lightning.pytorch as pl

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.registry import Method
    from napari_dynaclr.embedding.training.contrastive import ContrastiveParams

_SHARE = 0.25
"""Of the computer's memory, for patches."""

_RATES = {True: 2e-5, False: 1e-3}
"""Learning rate by whether the weights were trained before (dynaclr.txt, A.2.3)."""

_WATCHED = 0.1
"""Of the memory for patches, for those that are measured after every epoch."""


@dataclass(frozen=True)
class _Place:
    """Where a training keeps its files."""

    encoder: Path

    @property
    def folder(self) -> Path:
        return self.encoder.with_suffix("")

    @property
    def last(self) -> Path:
        return self.folder / LAST

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.csv"

    @property
    def stamp(self) -> Path:
        return self.folder / "key"


def run(
    datasets: Sequence[Dataset],
    params: ContrastiveParams,
    method: Method,
    entry: dict[str, Any],
    job: Job,
) -> pd.DataFrame:
    """Train an encoder; the first dataset's workspace keeps it.

    See :func:`~napari_dynaclr.embedding.training.stage.train`.

    Parameters
    ----------
    datasets
        To learn from.
    params
        Settings.
    method
        The method that they are of.
    entry
        Of the record of runs; gets the hash of the weights that it starts from.
    job
        Progress, figures, cancelling and finishing.
    """
    home = datasets[0]
    device = choose_device(Device(params.device))
    place = _Place(home.workspace.encoder(params.name))
    trainer = make_trainer(params, device, place.folder, job)
    first = trainer.is_global_zero
    with ExitStack() as stack:
        if first:
            stack.enter_context(home.workspace.claim_encoder(params.name))
        for dataset in datasets:  # before anything is downloaded
            for fov in dataset.fovs:
                dataset.workspace.require("tracks", fov, "tracks", "track")
        start = find_start(params, job)
        entry["weights_sha256"] = list(start.sha256)
        key = _key(datasets, params, method, start)
        if _is_finished(place, key):
            job.note(f"The encoder is there already: {place.encoder}")
            return pd.read_csv(place.metrics) if place.metrics.exists() else pd.DataFrame()
        setting = settle(datasets, params, start)
        stack.enter_context(device_memory(device))
        learner = in_background(
            lambda: _learner(datasets, params, setting, start, trainer, place, key, job), job
        )
        if first:
            write_text(place.stamp, key)
        _train(trainer, learner, place, params, job)
        if not first:  # what comes after a training is the first process's business
            raise SystemExit(0)
        about = {**setting.recipe.model_dump(), "key": key, "trained": _summary(params, learner)}
        learner.model.load_state_dict(learner.best)
        save_encoder(place.encoder, learner.model, about)
        remove(place.last)
        job.note(f"The encoder is in {place.encoder}: embed with it as weights file.")
    return pd.DataFrame(learner.figures)


def _key(
    datasets: Sequence[Dataset], params: ContrastiveParams, method: Method, start: Start
) -> str:
    inputs: list[str] = list(start.sha256)
    for dataset in datasets:
        for fov in dataset.fovs:
            inputs += [
                source_key(fov),
                dataset.workspace.require("tracks", fov, "tracks", "track"),
            ]
        if params.balance == "state":
            states = sorted(states_of(dataset, params.task).items())
            inputs.append(hashlib.sha256(repr(states).encode()).hexdigest())
    return result_key(method, params, *inputs)


def _is_finished(place: _Place, key: str) -> bool:
    """Whether there is nothing left to do; a training under other settings is not thrown away.

    Raises
    ------
    InvalidInput
        If there is an encoder of that name which was trained in another way.
    """
    if place.encoder.exists():
        if read_checkpoint(place.encoder).about.get("key") == key:
            remove(place.last)
            return True
        raise InvalidInput(
            f"There is an encoder '{place.encoder.stem}' already, of other settings or tracks: "
            "choose another name."
        )
    if place.last.exists() and place.stamp.read_text(encoding="utf-8") != key:
        raise InvalidInput(
            f"There is an unfinished training '{place.encoder.stem}' with other settings or "
            f"tracks: choose another name, or delete {place.folder}."
        )
    return False


def _learner(
    datasets: Sequence[Dataset],
    params: ContrastiveParams,
    setting: Setting,
    start: Start,
    trainer: pl.Trainer,
    place: _Place,
    key: str,
    job: Job,
) -> Learner:
    """Gather the cells and make all parts of the training."""
    cells, dropped = gather(
        datasets, setting.window, keep_border=params.border == "reflect", job=job
    )
    prepare(cells, setting.window, job)
    rows, held, told = hold_out(cells, params.held_out, params.split, params.seed)
    if params.patience is not None and not len(held):
        told += " Without a validation loss, the patience has no meaning."
    pairing = Pairing(params.strategy, params.lineage, setting.tau, params.loss == "triplet")
    room = (params.memory * 1e9 if params.memory else _SHARE * _memory()) / params.devices
    feed = Feed(
        cells,
        rows,
        pairing,
        find_groups(cells, params.balance, params.task),
        setting.window,
        params.batch_size,
        (1 - _WATCHED) * room,
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
        _WATCHED * room,
        params.seed,
        len(held) > 0,
        job,
    )
    feed.load()
    rule = Rule(
        loss=params.loss,
        temperature=params.temperature,
        margin=params.margin,
        rate=params.learning_rate or _RATES[start.encoder is not None],
        decay=params.weight_decay,
        warm_up=params.warm_up,
        cosine=params.schedule == "cosine",
        head_only=params.fine_tune == "head",
        epochs=params.epochs,
        minutes=params.minutes,
        seed=params.seed,
        apart=params.strategy == "cell-aware",
    )
    return Learner(
        _network(setting, start, params.seed),
        Augmentation(setting.augmentations, setting.side),
        rule,
        feed,
        watch,
        job,
        key,
        lambda figures: write_csv(place.metrics, pd.DataFrame(figures)),
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


def _train(
    trainer: pl.Trainer, learner: Learner, place: _Place, params: ContrastiveParams, job: Job
) -> None:
    """Train in a thread: a cancelled job need not wait for the end of a batch."""
    going_on = place.last.exists()
    if going_on:
        job.note("The training goes on where it was interrupted.")

    def work() -> None:
        if going_on and learner.restore(AtomicCheckpoints(job).load_checkpoint(place.last)):
            return  # it had ended, and could not be saved
        try:
            trainer.fit(learner, ckpt_path=place.last if going_on else None)
        except (torch.OutOfMemoryError, MemoryError):
            raise InvalidInput(
                f"There is not enough memory: choose a smaller batch_size (now "
                f"{params.batch_size}) or patch_size."
            ) from None

    in_background(work, job)


def _summary(params: ContrastiveParams, learner: Learner) -> dict[str, Any]:
    """Return what is said of the training in the encoder's file."""
    chosen = ("strategy", "tau", "tau_unit", "loss", "temperature", "seed")
    return {**{name: getattr(params, name) for name in chosen}, "epochs": len(learner.figures)}


def _memory() -> float:
    """Memory of this computer, bytes; 16 GB where the system does not tell."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 16e9
