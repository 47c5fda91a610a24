"""What Lightning trains by contrast: views of pairs, and the loss that compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from napari_dynaclr.embedding.training.losses import nt_xent, triplet
from napari_dynaclr.learning.learner import Learner, Measured, require_finite

if TYPE_CHECKING:
    from torch import Tensor

    from napari_dynaclr.embedding.training.feed import Patches
    from napari_dynaclr.embedding.training.watch import Watch
    from napari_dynaclr.learning.augment import Augmentation


@dataclass(frozen=True)
class Contrast:
    """What is compared with what.

    Attributes
    ----------
    loss
        "nt-xent" or "triplet".
    temperature, margin
        Of either.
    apart
        Whether NT-Xent leaves relatives in the batch alone (cell-aware sampling).
    """

    loss: str
    temperature: float
    margin: float
    apart: bool = False


class ContrastiveLearner(Learner):
    """A contrastive encoder in training (dynaclr.txt, 3.1 and A.2).

    Parameters
    ----------
    augmentation
        Makes views of patches.
    contrast
        How they are compared.
    watch
        What the embedding is measured on.
    *others, **more
        See :class:`~napari_dynaclr.learning.learner.Learner`.
    """

    def __init__(
        self,
        augmentation: Augmentation,
        contrast: Contrast,
        watch: Watch,
        *others: Any,
        **more: Any,
    ) -> None:
        super().__init__(*others, **more)
        self._augmentation, self._contrast, self._watch = augmentation, contrast, watch

    def transfer_batch_to_device(
        self, batch: Patches, device: torch.device, dataloader_idx: int
    ) -> tuple[Tensor, ...]:
        """Bring the patches of a batch to the device."""
        parts = (batch.family, batch.anchor, batch.positive, batch.negative)
        tensors = [torch.from_numpy(part) for part in parts if part is not None]
        if device.type == "cuda":
            return tuple(one.pin_memory().to(device, non_blocking=True) for one in tensors)
        return tuple(one.to(device) for one in tensors)

    def loss(self, batch: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
        """Compare views of pairs."""
        family, *patches = batch
        return self._compare([self._augmentation(p.float(), generator) for p in patches], family)

    def _compare(self, views: list[Tensor], family: Tensor) -> Tensor:
        # Together: batch statistics are those of all views.
        _, projections = self.model(torch.cat(views))
        parts = projections.chunk(len(views))
        if self._contrast.loss == "triplet":
            anchors, positives, negatives = parts
            return triplet(anchors, positives, negatives, self._contrast.margin)
        anchors, positives = parts[:2]
        known = family if self._contrast.apart else None
        return nt_xent(anchors, positives, self._contrast.temperature, known)

    def measure(self) -> Measured:
        """Measure the loss of what was held out, and the embedding."""
        values = self._validate()
        require_finite(values)
        found = self._watch.measure(lambda patches: self.model(patches.to(self.device))[0])
        return Measured({**values, **found})

    def _validate(self) -> dict[str, float]:
        generator = self.seeded(0)  # the same views after every epoch
        losses = []
        for parts in self._watch.pairs(self._feed.size):
            family, *patches = parts
            used = patches if self._contrast.loss == "triplet" else patches[:2]
            views = [self._augmentation(one.to(self.device).float(), generator) for one in used]
            losses.append(float(self._compare(views, family.to(self.device))))
        return {"validation_loss": sum(losses) / len(losses)} if losses else {}
