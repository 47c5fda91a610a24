"""What Lightning trains, whatever the network is for: time, rate, figures, checkpoints."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import lightning.pytorch as pl
import torch

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.learning.params import TrainingParams

    type Write = Callable[[list[dict[str, float]]], None]

_REPORT_EVERY = 0.2
"""Seconds between reports of progress."""


class Batches(Protocol):
    """What gives the batches of a training.

    Attributes
    ----------
    epoch
        Set before each epoch; the same number gives the same batches.
    size
        Items of a batch.
    """

    epoch: int
    size: int

    def __len__(self) -> int:
        """Batches of an epoch."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the batches of an epoch."""
        ...


@dataclass(frozen=True)
class Rule:
    """How the weights are changed.

    Attributes
    ----------
    rate, decay
        Highest learning rate, and weight decay, of AdamW.
    warm_up
        Fraction of the training in which the rate rises.
    cosine
        Whether it falls to 0 afterwards.
    epochs, minutes
        When to stop, whichever is first; without limit of time if None.
    seed
        For everything that is drawn.
    """

    rate: float
    decay: float
    warm_up: float
    cosine: bool
    epochs: int
    minutes: float | None
    seed: int

    @classmethod
    def of(cls, params: TrainingParams, rate: float) -> Rule:
        """Take it from the settings; ``rate`` is that of a training which names none."""
        return cls(
            rate=params.learning_rate or rate,
            decay=params.weight_decay,
            warm_up=params.warm_up,
            cosine=params.schedule == "cosine",
            epochs=params.epochs,
            minutes=params.minutes,
            seed=params.seed,
        )


@dataclass(frozen=True)
class Measured:
    """What is measured after an epoch.

    Attributes
    ----------
    values, pictures
        See :class:`~napari_dynaclr.core.job.Figures`.
    """

    values: Mapping[str, float]
    pictures: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class Learner(pl.LightningModule):
    """A network in training; what it learns, a subclass says.

    Parameters
    ----------
    network
        The network.
    rule
        How its weights are changed.
    feed
        Its batches.
    job
        Told of progress and figures; asked whether to stop.
    key
        What the training depends on; a checkpoint of another one is refused.
    write
        Called with all figures so far after each epoch, on the first process.
    frozen
        Parts of the network that stay as they are, batch statistics included.
    """

    def __init__(
        self,
        network: nn.Module,
        rule: Rule,
        feed: Batches,
        job: Job,
        key: str,
        write: Write,
        frozen: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.model = network
        self.figures: list[dict[str, float]] = []
        """Figures of every epoch."""
        self.best: dict[str, Tensor] = {}
        """Weights of the epoch with the lowest validation loss, else of the last one."""
        self._rule, self._feed, self._job = rule, feed, job
        self._key, self._write = key, write
        self._frozen = list(frozen)
        self._time = 0.0
        self._spent = 0.0
        self._least = math.inf
        self._losses: list[Tensor] = []
        self._rate = 0.0
        self._generator: torch.Generator | None = None
        self._began = self._reported = time.monotonic()
        self._first_step = 0
        for part in self._frozen:
            part.requires_grad_(False)

    # -- what a subclass says ---------------------------------------------

    def loss(self, batch: Any, generator: torch.Generator) -> Tensor:
        """Compute the loss of a batch that is on the device.

        Parameters
        ----------
        batch
            As the feed gives it, on the device.
        generator
            Of the device; the same for the same epoch.
        """
        raise NotImplementedError

    def measure(self) -> Measured:
        """Measure what has been learned; the network is in evaluation, without gradients.

        "validation_loss" among the values decides which epoch is kept.
        """
        raise NotImplementedError

    # -- a batch ----------------------------------------------------------

    def train_dataloader(self) -> Batches:
        """Return what gives the batches."""
        return self._feed

    def training_step(self, batch: Any, _index: int) -> Tensor:
        """Compute the loss of a batch."""
        assert self._generator is not None
        self._rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        loss = self.loss(batch, self._generator)
        self._losses.append(loss.detach())
        return loss

    def on_train_start(self) -> None:
        """Begin, or go on after a checkpoint."""
        self._began = time.monotonic()
        self._time = self._time_fraction()
        self._first_step = self.global_step

    def on_train_epoch_start(self) -> None:
        """Let the epoch have its own random numbers, whether it was begun before or not."""
        for part in self._frozen:
            part.eval()  # their batch statistics stay, too
        self._feed.epoch = self.current_epoch
        self._losses = []
        self._generator = self.seeded(self.current_epoch * 4096 + 1 + self.global_rank)

    def seeded(self, number: int) -> torch.Generator:
        """Return random numbers of the device; 0 are those of every validation."""
        generator = torch.Generator(self.device)
        return generator.manual_seed((self._rule.seed << 24) + number)

    def on_train_batch_start(self, _batch: Any, _index: int) -> None:
        """Stop here if the job was cancelled."""
        self._job.check()

    def on_train_batch_end(self, _outputs: Any, _batch: Any, index: int) -> None:
        """Report progress, and end the epoch if asked to, or if the time is over."""
        self._job.check()
        self._time = self._time_fraction()
        stop = self._job.finishing
        if self.trainer.world_size > 1:
            # One clock for all: the learning rate goes by it.
            self._time = self.trainer.strategy.broadcast(self._time)
            stop = self.trainer.strategy.reduce_boolean_decision(stop, all=False)
        if stop or self._time >= 1:
            self.trainer.should_stop = True
        now = time.monotonic()
        if now - self._reported >= _REPORT_EVERY:
            self._reported = now
            self._report(f"epoch {self.current_epoch + 1} of {self._rule.epochs}")

    def _report(self, text: str) -> None:
        total = len(self._feed) * self._rule.epochs
        done = self.global_step
        left = None
        if done > self._first_step:
            pace = (time.monotonic() - self._began) / (done - self._first_step)
            left = (total - done) * pace
            if self._rule.minutes is not None:
                left = min(left, max(self._rule.minutes * 60 - self._elapsed(), 0.0))
        self._job.report(text, done, total, left)

    # -- an epoch ---------------------------------------------------------

    def on_train_epoch_end(self) -> None:
        """Measure what has been learned."""
        values = {"loss": float(torch.stack(self._losses).mean())}
        require_finite(values)
        self._report(f"measure after epoch {self.current_epoch + 1}")
        self.model.eval()
        with torch.no_grad():
            measured = self.measure()
        values |= measured.values
        require_finite(values)
        self.model.train()
        values["learning_rate"] = self._rate  # of the last batch: by now the next one's is set
        values["seconds"] = round(self._elapsed(), 3)
        for name, value in values.items():
            if name != "seconds":
                self.log(name, value, rank_zero_only=self.trainer.world_size > 1)
        epoch = self.current_epoch + 1
        self._keep(values)
        self.figures.append({"epoch": epoch, **values})
        if self.trainer.is_global_zero:
            self._log_pictures(measured, epoch)
            self._job.check()
            self._write(self.figures)
            self._job.measured(Figures(epoch, values, measured.pictures))

    def _keep(self, values: dict[str, float]) -> None:
        """Keep the weights if they are the best so far."""
        value = values.get("validation_loss", -math.inf)
        if not self.best or value <= self._least:
            self._least = value
            state = self.model.state_dict()
            self.best = {name: one.detach().cpu().clone() for name, one in state.items()}

    def _log_pictures(self, measured: Measured, epoch: int) -> None:
        board: Any = self.logger
        for name, picture in measured.pictures.items():
            board.experiment.add_image(name, picture, epoch, dataformats="HW")

    # -- time and rate ----------------------------------------------------

    def _elapsed(self) -> float:
        """Seconds of training, those before an interruption included."""
        return self._spent + time.monotonic() - self._began

    def _time_fraction(self) -> float:
        minutes = self._rule.minutes
        return 0.0 if minutes is None else self._elapsed() / (60 * minutes)

    def progress(self, step: int) -> float:
        """How much of the training is over after some steps, by steps or time, 0-1."""
        done = step / max(len(self._feed) * self._rule.epochs, 1)
        return min(max(done, self._time), 1.0)

    def _factor(self, step: int) -> float:
        """Learning rate after some steps, relative to the highest."""
        done = self.progress(step)
        rise = self._rule.warm_up
        if done < rise:
            # Not 0 in the very first step.
            return max(done, 1 / max(len(self._feed) * self._rule.epochs, 1)) / rise
        if not self._rule.cosine:
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (done - rise) / (1 - rise)))

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW, with warm-up and schedule."""
        trained = [one for one in self.model.parameters() if one.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=self._rule.rate, weight_decay=self._rule.decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    # -- checkpoints ------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put what is not weights of the network into a checkpoint."""
        checkpoint["napari_dynaclr"] = {
            "key": self._key,
            # What is asked for in the last epoch would be forgotten by a training that goes on.
            "ended": bool(self.trainer.should_stop),
            "figures": self.figures,
            "best": self.best,
            "least": self._least,
            "spent": self._elapsed(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it from there."""
        self.restore(checkpoint)

    def restore(self, checkpoint: dict[str, Any]) -> bool:
        """Take figures and best weights from a checkpoint.

        Returns
        -------
        bool
            Whether the training had ended.

        Raises
        ------
        InvalidInput
            If it is of another training.
        """
        kept = checkpoint["napari_dynaclr"]
        if kept["key"] != self._key:
            raise InvalidInput(
                "The checkpoint is of a training with other settings or data: choose another "
                "name, or delete its folder."
            )
        self.figures, self.best = list(kept["figures"]), dict(kept["best"])
        self._least, self._spent = float(kept["least"]), float(kept["spent"])
        return bool(kept["ended"])


def require_finite(values: Mapping[str, float]) -> None:
    """Check that a training has not gone astray.

    Raises
    ------
    InvalidInput
        If a value is NaN or infinite.
    """
    if not all(map(math.isfinite, values.values())):
        raise InvalidInput(
            "The loss is not a number any more: choose a lower learning_rate or precision "
            "'full', or check the images for extreme values."
        )
