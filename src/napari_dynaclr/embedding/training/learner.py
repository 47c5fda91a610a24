"""What Lightning trains: network, loss, augmentation, schedule, and the figures of an epoch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Figures
from napari_dynaclr.embedding.training.losses import nt_xent, triplet

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.dynaclr.network import ContrastiveEncoder
    from napari_dynaclr.embedding.training.feed import Feed, Patches
    from napari_dynaclr.embedding.training.watch import Watch
    from napari_dynaclr.learning.augment import Augmentation

_REPORT_EVERY = 0.2
"""Seconds between reports of progress."""


@dataclass(frozen=True)
class Rule:
    """How the weights are changed.

    Attributes
    ----------
    loss
        "nt-xent" or "triplet".
    temperature, margin
        Of either.
    rate, decay
        Highest learning rate, and weight decay, of AdamW.
    warm_up
        Fraction of the training in which the rate rises.
    cosine
        Whether it falls to 0 afterwards.
    head_only
        Whether stem and backbone stay as they are.
    epochs, minutes
        When to stop, whichever is first; without limit of time if None.
    seed
        For the augmentation.
    apart
        Whether NT-Xent leaves relatives in the batch alone (cell-aware sampling).
    """

    loss: str
    temperature: float
    margin: float
    rate: float
    decay: float
    warm_up: float
    cosine: bool
    head_only: bool
    epochs: int
    minutes: float | None
    seed: int
    apart: bool = False


class Learner(pl.LightningModule):
    """A contrastive encoder in training (dynaclr.txt, 3.1 and A.2).

    Parameters
    ----------
    network
        The encoder.
    augmentation
        Makes views of patches.
    rule
        How its weights are changed.
    feed
        Its batches.
    watch
        What its embedding is measured on.
    job
        Told of progress and figures; asked whether to stop.
    key
        What the training depends on; a checkpoint of another one is refused.
    figures_changed
        Called with all figures so far after each epoch, on the first process.
    """

    def __init__(
        self,
        network: ContrastiveEncoder,
        augmentation: Augmentation,
        rule: Rule,
        feed: Feed,
        watch: Watch,
        job: Job,
        key: str,
        figures_changed: Callable[[list[dict[str, float]]], None],
    ) -> None:
        super().__init__()
        self.model = network
        self.figures: list[dict[str, float]] = []
        """Figures of every epoch."""
        self.best: dict[str, Tensor] = {}
        """Weights of the epoch with the lowest validation loss, else of the last one."""
        self._augmentation, self._rule, self._feed = augmentation, rule, feed
        self._watch, self._job, self._figures_changed = watch, job, figures_changed
        self._key = key
        self._time = 0.0
        self._spent = 0.0
        self._least = math.inf
        self._losses: list[Tensor] = []
        self._generator: torch.Generator | None = None
        self._began = self._reported = time.monotonic()
        self._first_step = 0
        if rule.head_only:
            for part in (network.stem, network.encoder):
                part.requires_grad_(False)

    # -- a batch ----------------------------------------------------------

    def train_dataloader(self) -> Feed:
        """Return what gives the batches."""
        return self._feed

    def transfer_batch_to_device(
        self, batch: Patches, device: torch.device, dataloader_idx: int
    ) -> tuple[Tensor, ...]:
        """Bring the patches of a batch to the device."""
        parts = (batch.family, batch.anchor, batch.positive, batch.negative)
        tensors = [torch.from_numpy(part) for part in parts if part is not None]
        if device.type == "cuda":
            return tuple(one.pin_memory().to(device, non_blocking=True) for one in tensors)
        return tuple(one.to(device) for one in tensors)

    def training_step(self, batch: tuple[Tensor, ...], _index: int) -> Tensor:
        """Compute the loss of a batch."""
        assert self._generator is not None
        family, *patches = batch
        views = [self._augmentation(one.float(), self._generator) for one in patches]
        loss = self._loss(views, family)
        self._losses.append(loss.detach())
        return loss

    def _loss(self, views: list[Tensor], family: Tensor) -> Tensor:
        # Together: batch statistics are those of all views.
        _, projections = self.model(torch.cat(views))
        parts = projections.chunk(len(views))
        if self._rule.loss == "triplet":
            anchors, positives, negatives = parts
            return triplet(anchors, positives, negatives, self._rule.margin)
        anchors, positives = parts[:2]
        known = family if self._rule.apart else None
        return nt_xent(anchors, positives, self._rule.temperature, known)

    def on_train_start(self) -> None:
        """Begin, or go on after a checkpoint."""
        self._began = time.monotonic()
        self._time = self._time_fraction()
        self._first_step = self.global_step

    def on_train_epoch_start(self) -> None:
        """Let the epoch have its own random numbers, whether it was begun before or not."""
        if self._rule.head_only:
            for part in (self.model.stem, self.model.encoder):
                part.eval()  # their batch statistics stay, too
        self._feed.epoch = self.current_epoch
        self._losses = []
        self._generator = self._seeded(self.current_epoch * 4096 + 1 + self.global_rank)

    def _seeded(self, number: int) -> torch.Generator:
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
        _require_finite(values)
        self._report(f"measure after epoch {self.current_epoch + 1}")
        self.model.eval()
        with torch.no_grad():
            values |= self._validate()
            _require_finite(values)
            values |= self._watch.measure(lambda patches: self.model(patches.to(self.device))[0])
        self.model.train()
        values["learning_rate"] = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        values["seconds"] = round(self._elapsed(), 3)
        for name, value in values.items():
            if name != "seconds":
                self.log(name, value, rank_zero_only=self.trainer.world_size > 1)
        epoch = self.current_epoch + 1
        self._keep(values)
        self.figures.append({"epoch": epoch, **values})
        if self.trainer.is_global_zero:
            self._job.check()
            self._figures_changed(self.figures)
            self._job.measured(Figures(epoch, values))

    def _validate(self) -> dict[str, float]:
        generator = self._seeded(0)  # the same views after every epoch
        losses = []
        for parts in self._watch.pairs(self._feed.size):
            family, *patches = parts
            used = patches if self._rule.loss == "triplet" else patches[:2]
            views = [self._augmentation(one.to(self.device).float(), generator) for one in used]
            losses.append(float(self._loss(views, family.to(self.device))))
        return {"validation_loss": sum(losses) / len(losses)} if losses else {}

    def _keep(self, values: dict[str, float]) -> None:
        """Keep the weights if they are the best so far."""
        value = values.get("validation_loss", -math.inf)
        if not self.best or value <= self._least:
            self._least = value
            state = self.model.state_dict()
            self.best = {name: one.detach().cpu().clone() for name, one in state.items()}

    # -- time and rate ----------------------------------------------------

    def _elapsed(self) -> float:
        """Seconds of training, those before an interruption included."""
        return self._spent + time.monotonic() - self._began

    def _time_fraction(self) -> float:
        minutes = self._rule.minutes
        return 0.0 if minutes is None else self._elapsed() / (60 * minutes)

    def _factor(self, step: int) -> float:
        """Learning rate after some steps, relative to the highest."""
        done = step / max(len(self._feed) * self._rule.epochs, 1)
        done = min(max(done, self._time), 1.0)
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
                "The checkpoint is of a training with other settings or tracks: choose another "
                "name, or delete its folder."
            )
        self.figures, self.best = list(kept["figures"]), dict(kept["best"])
        self._least, self._spent = float(kept["least"]), float(kept["spent"])
        return bool(kept["ended"])


def _require_finite(values: dict[str, float]) -> None:
    if not all(map(math.isfinite, values.values())):
        raise InvalidInput(
            "The loss is not a number any more: choose a lower learning_rate or precision "
            "'full', or check the images for extreme values."
        )
