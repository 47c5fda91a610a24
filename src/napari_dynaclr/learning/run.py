"""A training from the first batch to the saved network: resumed, cancelled, finished early."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from napari_dynaclr.core.atomic import remove, write_csv, write_text
from napari_dynaclr.core.background import in_background
from napari_dynaclr.core.device import Device, choose_device, device_memory, is_out_of_memory
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.runs import result_key
from napari_dynaclr.learning.checkpoint import read_checkpoint
from napari_dynaclr.learning.trainer import LAST, AtomicCheckpoints, make_trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import lightning.pytorch as pl

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.registry import Method
    from napari_dynaclr.learning.learner import Learner, Write
    from napari_dynaclr.learning.params import TrainingParams

_SHARE = 0.25
"""Of the computer's memory, for what is learned from."""


class Training(Protocol):
    """What a method of training brings along.

    It is made by the method's ``prepare(datasets, params, job)``, which checks quickly that
    there is what the training needs, and fetches the weights that it starts from.

    Attributes
    ----------
    what
        What comes of it, as in "encoder".
    sha256
        Hashes of the weights that it starts from.
    inputs
        What else its result depends on.
    """

    what: str
    sha256: tuple[str, ...]
    inputs: tuple[str, ...]

    def learner(self, trainer: pl.Trainer, key: str, write: Write) -> Learner:
        """Read what is learned from, and put all parts of the training together.

        Parameters
        ----------
        trainer
            Knows which of several processes this one is.
        key
            What the training depends on.
        write
            Keeps the figures of all epochs so far.
        """
        ...

    def save(self, path: Path, learner: Learner, about: dict[str, Any]) -> None:
        """Write the network that came of it, with ``about`` and what its user needs to know."""
        ...

    def hint(self, path: Path) -> str:
        """Say where the network is and what to do with it."""
        ...


@dataclass(frozen=True)
class _Place:
    """Where a training keeps its files."""

    weights: Path

    @property
    def folder(self) -> Path:
        return self.weights.with_suffix("")

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
    params: TrainingParams,
    method: Method,
    prepare: Callable[[Sequence[Dataset], Any, Job], Training],
    entry: dict[str, Any],
    job: Job,
) -> pd.DataFrame:
    """Train a network; the first dataset's workspace keeps it.

    See :func:`~napari_dynaclr.learning.train`.

    Parameters
    ----------
    datasets
        To learn from.
    params
        Settings.
    method
        The method that they are of.
    prepare
        Of the method; see :class:`Training`.
    entry
        Of the record of runs; gets the hashes of the weights that it starts from.
    job
        Progress, figures, cancelling and finishing.
    """
    home = datasets[0].workspace
    device = choose_device(Device(params.device))
    place = _Place(home.trained(params.name))
    trainer = make_trainer(params, device, place.folder, job)
    first = trainer.is_global_zero
    with ExitStack() as stack:
        if first:
            stack.enter_context(home.claim_training(params.name))
        training = prepare(datasets, params, job)
        entry["weights_sha256"] = list(training.sha256)
        key = result_key(method, params, *training.sha256, *training.inputs)
        if _is_finished(place, key, training.what):
            job.note(f"The {training.what} is there already: {place.weights}")
            return pd.read_csv(place.metrics) if place.metrics.exists() else pd.DataFrame()
        stack.enter_context(device_memory(device))

        def write(figures: list[dict[str, float]]) -> None:
            write_csv(place.metrics, pd.DataFrame(figures))

        learner = in_background(lambda: training.learner(trainer, key, write), job)
        if first:
            write_text(place.stamp, key)
        _train(trainer, learner, place, params, job)
        if not first:  # what comes after a training is the first process's business
            raise SystemExit(0)
        learner.model.load_state_dict(learner.best)
        training.save(place.weights, learner, {"key": key})
        remove(place.last)
        job.note(training.hint(place.weights))
    return pd.DataFrame(learner.figures)


def _is_finished(place: _Place, key: str, what: str) -> bool:
    """Whether there is nothing left to do; a training under other settings is not thrown away.

    Raises
    ------
    InvalidInput
        If there is a network of that name which was trained in another way.
    """
    if place.weights.exists():
        if read_checkpoint(place.weights).about.get("key") == key:
            remove(place.last)
            return True
        raise InvalidInput(
            f"There is {_a(what)} '{place.weights.stem}' already, of other settings or data: "
            "choose another name."
        )
    if place.last.exists() and place.stamp.read_text(encoding="utf-8") != key:
        raise InvalidInput(
            f"There is an unfinished training '{place.weights.stem}' with other settings or "
            f"data: choose another name, or delete {place.folder}."
        )
    return False


def _a(what: str) -> str:
    return f"{'an' if what[0] in 'aeiou' else 'a'} {what}"


def _train(
    trainer: pl.Trainer, learner: Learner, place: _Place, params: TrainingParams, job: Job
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
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise InvalidInput(
                f"There is not enough memory: choose a smaller batch_size (now "
                f"{params.batch_size}) or patch_size."
            ) from None

    in_background(work, job)


def room(params: TrainingParams) -> float:
    """Memory for what is learned from, of each process, bytes."""
    whole = params.memory * 1e9 if params.memory else _SHARE * _memory()
    return whole / params.devices


def _memory() -> float:
    """Memory of this computer, bytes; 16 GB where the system does not tell."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 16e9
