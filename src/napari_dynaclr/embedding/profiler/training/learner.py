"""What Lightning trains: a student that learns from its teacher (sslprofiler.txt, 3.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from napari_dynaclr.embedding.profiler.training.losses import dino, ibot, koleo, sinkhorn
from napari_dynaclr.embedding.profiler.training.masks import block_masks
from napari_dynaclr.embedding.profiler.training.teacher import momentum_at, temperature_at
from napari_dynaclr.learning.learner import Learner, Measured

if TYPE_CHECKING:
    from torch import Tensor

    from napari_dynaclr.embedding.profiler.training.feed import Images
    from napari_dynaclr.embedding.profiler.training.views import Views
    from napari_dynaclr.embedding.profiler.training.watch import Watch

_STEEPEST = 3.0
"""Length of the gradient at most; the paper does not say, DINOv2's."""

_SETTLING = 0.01
"""Of the training, in which the prototypes stay: an epoch of 100, as in DINO and DINOv2."""


@dataclass(frozen=True)
class Weighing:
    """How much parts of the loss weigh, how fast the teacher follows, and how sure it is.

    Attributes
    ----------
    ibot, koleo
        lambda_1 and lambda_2 of sslprofiler.txt, 3.2.1.
    momentum
        What the teacher keeps of its weights at first.
    temperature
        Of the teacher, at last.
    """

    ibot: float = 1.0
    koleo: float = 0.1
    momentum: float = 0.992
    temperature: float = 0.07


class ProfilerLearner(Learner):
    """A student and its teacher in training (sslprofiler.txt, 3.2.1).

    Parameters
    ----------
    views
        Makes views of images.
    weighing
        Of the parts of the loss.
    watch
        What representations are measured on.
    *others, **more
        See :class:`~napari_dynaclr.learning.learner.Learner`; the network is a
        :class:`~napari_dynaclr.embedding.profiler.training.teacher.Pair`.
    """

    def __init__(
        self, views: Views, weighing: Weighing, watch: Watch, *others: Any, **more: Any
    ) -> None:
        super().__init__(*others, **more)
        self._views, self._weighing, self._watch = views, weighing, watch
        self._parts: dict[str, list[Tensor]] = {}

    def transfer_batch_to_device(
        self, batch: Images, device: torch.device, dataloader_idx: int
    ) -> tuple[Tensor, ...]:
        """Bring the images of a batch to the device."""
        parts = [batch.image] if batch.partner is None else [batch.image, batch.partner]
        return tuple(torch.from_numpy(np.ascontiguousarray(one)).to(device) for one in parts)

    def loss(self, batch: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
        """Compute the loss of sslprofiler.txt, 3.2.1, and DINOv2's of local views beside it.

        The paper's second view is of the same image, its third of another one of the well (or
        of the same again, without local aggregation). The mask of the second is the student's:
        as in iBOT, the teacher sees what the student has to guess.
        """
        images, others = batch[0].float(), batch[-1].float()
        views = self._views
        first, second = (views.whole(images, generator) for _ in range(2))
        third = views.whole(others, generator)
        masks = self._masks(len(images), generator)
        target, patch_targets = self._targets(first, second, masks)

        student = self.model.student
        none = torch.zeros_like(masks)
        tokens, patches = student.backbone.tokens(
            torch.cat([second, third, first]), torch.cat([masks, none, none])
        )
        masked, other, plain = tokens.chunk(3)
        scores = student.image_head(torch.cat([masked, other]))
        guesses = student.patch_head(patches.chunk(3)[0][masks.flatten(1)])
        parts = {
            "dino": dino(scores[: len(images)], target),
            "aggregation": dino(scores[len(images) :], target),
            "ibot": ibot(guesses, patch_targets, masks),
            "koleo": koleo(plain) + koleo(other),
        }
        total = parts["dino"] + parts["aggregation"]
        total = total + self._weighing.ibot * parts["ibot"] + self._weighing.koleo * parts["koleo"]
        pieces = views.parts(images, generator)
        if pieces:
            tokens, _ = student.backbone.tokens(torch.cat(pieces))
            parts["local"] = dino(student.image_head(tokens), target.repeat(len(pieces), 1))
            total = total + parts["local"]
        for name, value in parts.items():
            self._parts.setdefault(name, []).append(value.detach())
        return total

    def _masks(self, count: int, generator: torch.Generator) -> Tensor:
        seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
        grid = self.model.student.backbone.config.grid
        drawn = block_masks(count, grid, np.random.default_rng(seed))
        return torch.from_numpy(drawn).to(self.device)

    def _targets(self, first: Tensor, second: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the teacher makes of images, and of the tokens that are masked."""
        teacher = self.model.teacher
        progress = self.progress(self.global_step)
        temperature = temperature_at(progress, self._weighing.temperature)
        with torch.no_grad():
            tokens, patches = teacher.backbone.tokens(torch.cat([first, second]))
            hidden = patches.chunk(2)[1][masks.flatten(1)]
            return (
                sinkhorn(teacher.image_head(tokens.chunk(2)[0]), temperature),
                sinkhorn(teacher.patch_head(hidden), temperature),
            )

    def on_before_optimizer_step(self, _optimizer: Any) -> None:
        """Keep steps from being too large, and the prototypes still at first."""
        student = self.model.student
        if self.progress(self.global_step) < _SETTLING:
            for head in (student.image_head, student.patch_head):
                head.prototypes.grad = None
        clip_grad_norm_(student.parameters(), _STEEPEST)

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        """Let the teacher follow."""
        progress = self.progress(self.global_step)
        self.model.follow(momentum_at(self._weighing.momentum, progress))
        super().on_train_batch_end(outputs, batch, index)

    def on_train_epoch_start(self) -> None:
        """Count the parts of the loss anew."""
        self._parts = {}
        super().on_train_epoch_start()

    def measure(self) -> Measured:
        """Tell the parts of the loss, and whether the teacher's representations collapse.

        There is no loss of held-out images: its target is the teacher, who changes as well.
        """
        represent = self.model.teacher.backbone.represent
        parts = {name: float(torch.stack(values).mean()) for name, values in self._parts.items()}
        found = self._watch.measure(lambda images: represent(images.to(self.device)))
        return Measured({**parts, **found})
