"""What TAP learns: which of two images comes first (tap.txt, Equation 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_dynaclr.embedding.tap.architecture import BACKWARD, FORWARD
from napari_dynaclr.embedding.tap.training.losses import decorrelation, order_loss
from napari_dynaclr.embedding.tap.training.watch import ANYWHERE
from napari_dynaclr.learning.learner import Learner, Measured

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_dynaclr.embedding.tap.training.augment import TapAugmentation
    from napari_dynaclr.embedding.tap.training.watch import Watch

_CHUNK = 32
"""Pairs that are measured at a time."""


class TapLearner(Learner):
    """TAP in training.

    Parameters
    ----------
    augmentation
        What is done to the pairs.
    watch
        What it is measured on.
    channel
        Name of what it sees.
    weight, temperature
        Of the decorrelation.
    *others, **more
        See :class:`~napari_dynaclr.learning.learner.Learner`.
    """

    def __init__(
        self,
        augmentation: TapAugmentation,
        watch: Watch,
        channel: str,
        weight: float,
        temperature: float,
        *others: Any,
        **more: Any,
    ) -> None:
        super().__init__(*others, **more)
        self._augmentation, self.watch, self._channel = augmentation, watch, channel
        self._weight, self._temperature = weight, temperature

    def transfer_batch_to_device(
        self, batch: NDArray[np.float16], device: torch.device, dataloader_idx: int
    ) -> Tensor:
        """Bring a batch to the device."""
        found = torch.from_numpy(batch)
        if device.type == "cuda":
            return found.pin_memory().to(device, non_blocking=True)
        return found.to(device)

    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Flip the order of half of the augmented pairs, and compare it with what is predicted."""
        with torch.autocast(self.device.type, enabled=False):
            pairs = self._augmentation(batch, generator)
        flipped = torch.rand(len(pairs), generator=generator, device=pairs.device) < 0.5
        pairs = torch.where(flipped[:, None, None, None, None], pairs.flip(1), pairs)
        labels = torch.where(flipped, BACKWARD, FORWARD)
        return self._compare(pairs, labels)[0]

    def _compare(self, pairs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of pairs (B, 2, 1, Y, X), and the logits."""
        logits, z = self.model.both(pairs)
        with torch.autocast(self.device.type, enabled=False):
            logits, z = logits.float(), z.float()
            loss = order_loss(logits, labels)
            if self._weight:
                loss = loss + self._weight * decorrelation(z, self._temperature)
        return loss, logits

    def measure(self) -> Measured:
        """Measure loss and accuracy on the pairs that are watched.

        Only in the order of time: of the reverse, the network says the reverse.
        """
        values: dict[str, float] = {}
        for name in self.watch.pairs:
            losses: list[float] = []
            right: list[Tensor] = []
            for batch in self.watch.batches(name, _CHUNK):
                pairs = torch.from_numpy(batch).to(self.device).float()
                labels = torch.full((len(pairs),), FORWARD, device=self.device)
                loss, logits = self._compare(pairs, labels)
                losses += [float(loss)] * len(pairs)
                right.append(right_order(logits))
            suffix = "" if name == ANYWHERE else f"_{name}"
            values[f"accuracy{suffix}"] = float(torch.cat(right).mean())
            if name == ANYWHERE and self.watch.held_out:
                values["validation_loss"] = sum(losses) / len(losses)
        return Measured(values, self._pictures())

    def _pictures(self) -> dict[str, NDArray[np.float32]]:
        first, second = self.watch.shown[:, 0].clip(0, 1)
        return {self._channel: first, f"{self._channel}, later": second}


def right_order(logits: Tensor) -> Tensor:
    """Return 1 for pairs in the order of time that are told so, 0 for others, 1/2 for a tie.

    Parameters
    ----------
    logits
        Of pairs in the order of time, (B, 2).
    """
    lead = logits[:, FORWARD] - logits[:, 1 - FORWARD]
    return (lead.sign() + 1) / 2
