"""What CELLECT learns: maps, embedding and both MLPs at once (cellect.txt, Methods)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_dynaclr.learning.learner import Learner, Measured
from napari_dynaclr.tracking.cellect.centres import find_centres
from napari_dynaclr.tracking.cellect.training.detections import true_centres
from napari_dynaclr.tracking.cellect.training.parts import pairs_of, right_links
from napari_dynaclr.tracking.cellect.training.stages import learns
from napari_dynaclr.tracking.cellect.training.watch import CentreScore, pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_dynaclr.tracking.cellect.network import Maps
    from napari_dynaclr.tracking.cellect.training.parts import Losses
    from napari_dynaclr.tracking.cellect.training.samples import Batch
    from napari_dynaclr.tracking.cellect.training.watch import Watch

_CHUNK = 8
"""Patches that are measured at a time."""


class CellectLearner(Learner):
    """CELLECT in training.

    Parameters
    ----------
    losses
        Of the network that is trained.
    watch
        What it is measured on.
    channel
        Name of what it sees.
    staged
        Whether the MLPs learn in some epochs only (:mod:`~.stages`), or in all.
    *others, **more
        See :class:`~napari_dynaclr.learning.learner.Learner`.
    """

    def __init__(
        self, losses: Losses, watch: Watch, channel: str, staged: bool, *others: Any, **more: Any
    ) -> None:
        super().__init__(*others, **more)
        self._terms, self._watch, self._channel = losses, watch, channel
        self._staged = staged

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Bring a batch to the device."""
        return batch.to(device)

    # -- stages -----------------------------------------------------------

    @property
    def _matching(self) -> bool:
        """Whether the MLPs learn in this epoch."""
        return not self._staged or learns(self.current_epoch + 1, self._rule.epochs)

    def on_train_epoch_start(self) -> None:
        """Freeze the MLPs where it is not their turn, batch statistics included."""
        super().on_train_epoch_start()
        for part in (self.model.intra, self.model.inter):
            part.train(self._matching)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Leave the weights of frozen MLPs as they are.

        Not by ``requires_grad``: processes that share a training would wait for gradients.
        """
        if not self._matching:
            for part in (self.model.intra, self.model.inter):
                for one in part.parameters():
                    one.grad = None

    # -- a batch ----------------------------------------------------------

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Sum all losses of a batch."""
        seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
        with _seeded(seed, self.device):
            maps = self.model.net.see(pairs_of(batch.images))
        total = sum(self._parts(maps, batch, np.random.default_rng(seed)).values())
        if self.trainer.world_size > 1:
            # Every weight needs a gradient, also of a batch without cells.
            total = total + 0 * sum(one.sum() for one in self.model.parameters())
        return total

    def _parts(self, maps: Maps, batch: Batch, rng: np.random.Generator) -> dict[str, Tensor]:
        with torch.autocast(self.device.type, enabled=False):
            terms = self._terms
            cells = terms.detections(batch, rng, self._found(maps, batch))
            links = terms.links(maps, batch, [one.once() for one in cells])
            return {
                **terms.of_maps(maps, batch),
                "embedding": terms.of_embedding(maps, batch, rng),
                "merging": terms.of_merging(maps, cells),
                "linking": terms.of_linking(links, maps),
            }

    def _found(self, maps: Maps, batch: Batch) -> list[NDArray[np.int64]]:
        """Return the centres that the network finds in what counts of each frame."""
        with torch.no_grad():
            return [
                one.counted(find_centres(maps, item).voxels)
                for item, one in enumerate(batch.samples * 2)
            ]

    # -- an epoch ---------------------------------------------------------

    def measure(self) -> Measured:
        """Measure losses, centres and links on the patches that are watched."""
        score, totals, right, shown = CentreScore(), list[float](), list[float](), {}
        rng = np.random.default_rng(self._rule.seed)
        place = 0
        for batch in self._watch.batches(_CHUNK):
            batch = batch.to(self.device)
            maps = self.model.net.see(pairs_of(batch.images))
            count = len(batch.samples)
            parts = self._parts(maps, batch, rng)
            totals += [float(sum(parts.values()))] * count
            seen = [(one.first, one.second) for one in batch.samples]
            frames = [first for first, _ in seen] + [second for _, second in seen]
            for voxels, one in zip(self._found(maps, batch), frames, strict=True):
                score.add(voxels, one)
            links = self._terms.links(maps, batch, [true_centres(one) for one in frames])
            right += [] if links is None else right_links(links).float().tolist()
            if place <= self._watch.shown < place + count:
                item = self._watch.shown - place
                shown = pictures(
                    self._channel, batch.images[item, 0], maps, batch.levels[item, 0], item
                )
            place += count
        values = {"centre_f1": score.f1, "link_accuracy": float(np.mean(right)) if right else 0.0}
        if self._watch.held_out:
            values["validation_loss"] = sum(totals) / len(totals)
        return Measured(values, shown)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Let dropout draw the same for the same seed, and leave the user's random numbers."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
