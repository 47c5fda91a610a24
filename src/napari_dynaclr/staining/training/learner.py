"""What a network for virtual staining learns: to stain, or to fill in what is hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_dynaclr.learning.learner import Learner, Measured
from napari_dynaclr.staining.fcmae import random_mask, spread_mask
from napari_dynaclr.staining.training.losses import masked_error, mixed_loss
from napari_dynaclr.staining.training.watch import (
    Correlation,
    masked_pictures,
    stained_pictures,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_dynaclr.learning.augment import Augmentation
    from napari_dynaclr.staining.training.watch import Watch

_CHUNK = 16
"""Patches that are measured at a time."""


class ImageLearner(Learner):
    """A network that learns from patches of images.

    Parameters
    ----------
    augmentation
        What is done to the patches.
    watch
        What it is measured on.
    *others, **more
        See :class:`~napari_dynaclr.learning.learner.Learner`.
    """

    def __init__(self, augmentation: Augmentation, watch: Watch, *others: Any, **more: Any) -> None:
        super().__init__(*others, **more)
        self._augmentation, self._watch = augmentation, watch

    def transfer_batch_to_device(
        self, batch: NDArray[np.float16], device: torch.device, dataloader_idx: int
    ) -> Tensor:
        """Bring a batch to the device."""
        found = torch.from_numpy(batch)
        if device.type == "cuda":
            return found.pin_memory().to(device, non_blocking=True)
        return found.to(device)

    def _augmented(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Augment a batch, in full precision."""
        with torch.autocast(self.device.type, enabled=False):
            return self._augmentation(batch.float(), generator)


class PairedLearner(ImageLearner):
    """A stainer in training (cytoland.txt, Training objectives).

    Parameters
    ----------
    absolute
        Weight of the absolute error in the loss.
    *others, **more
        See :class:`ImageLearner`.
    """

    def __init__(self, absolute: float, *others: Any, **more: Any) -> None:
        super().__init__(*others, **more)
        self._absolute = absolute

    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Compare what the network makes of the augmented source with the target."""
        patches = self._augmented(batch, generator)
        return mixed_loss(self.model(patches[:, :1]), patches[:, 1:], self._absolute)

    def measure(self) -> Measured:
        """Measure loss and correlation on the patches that are watched."""
        correlation = Correlation(len(self._watch.names) - 1)
        losses, shown, place = [], {}, 0
        for patches in self._watch.batches(_CHUNK):
            patches = patches.to(self.device)
            prediction = self.model(patches[:, :1]).float()
            target = patches[:, 1:]
            losses += [float(mixed_loss(prediction, target, self._absolute))] * len(patches)
            correlation.add(prediction, target)
            if place <= self._watch.shown < place + len(patches):
                here = self._watch.shown - place
                shown = stained_pictures(self._watch.names, patches[here], prediction[here])
            place += len(patches)
        each = correlation.value()
        values = {"pcc": sum(each) / len(each)}
        values |= {
            f"pcc_{name}": one for name, one in zip(self._watch.names[1:], each, strict=True)
        }
        if self._watch.held_out:
            values["validation_loss"] = sum(losses) / len(losses)
        return Measured(values, shown)


class MaskedLearner(ImageLearner):
    """A masked autoencoder in training (cytoland.txt, VSCyto2D, Pre-training).

    Parameters
    ----------
    stride
        Side of the squares that are hidden, in pixels.
    ratio
        Part of them that is.
    *others, **more
        See :class:`ImageLearner`.
    """

    def __init__(self, stride: int, ratio: float, *others: Any, **more: Any) -> None:
        super().__init__(*others, **more)
        self._stride, self._ratio = stride, ratio

    def loss(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Compare what the network fills in with what is there."""
        patches = self._augmented(batch, generator)
        return self._compare(patches, generator)[0]

    def _compare(
        self, patches: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss, what was filled in, and where, (B, 1, Y, X)."""
        coarse = random_mask(patches.shape, self._stride, self._ratio, generator)
        mask = spread_mask(coarse, [side // self.model.config.stride for side in patches.shape[3:]])
        filled = self.model(patches, mask)
        hidden = spread_mask(coarse, patches.shape)
        return masked_error(filled, patches, hidden), filled, hidden

    def measure(self) -> Measured:
        """Measure the loss on the patches that are watched, always with the same squares hidden."""
        generator = self.seeded(0)
        losses, shown, place = [], {}, 0
        for patches in self._watch.batches(_CHUNK):
            patches = patches.to(self.device)
            loss, filled, hidden = self._compare(patches, generator)
            losses += [float(loss)] * len(patches)
            if place <= self._watch.shown < place + len(patches):
                here = self._watch.shown - place
                shown = masked_pictures(
                    self._watch.names[0], patches[here, 0], hidden[here, 0], filled[here, 0]
                )
            place += len(patches)
        held_out = {"validation_loss": sum(losses) / len(losses)} if self._watch.held_out else {}
        return Measured(held_out, shown)
