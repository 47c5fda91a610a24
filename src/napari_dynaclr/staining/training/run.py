"""The parts of a training for virtual staining, put together; and what is saved of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_dynaclr.core.runs import source_key, stain_inputs
from napari_dynaclr.learning.augment import Augmentation
from napari_dynaclr.learning.learner import Rule
from napari_dynaclr.learning.run import room
from napari_dynaclr.staining.checkpoint import save_stainer
from napari_dynaclr.staining.network import build
from napari_dynaclr.staining.training.feed import Cropping, Feed
from napari_dynaclr.staining.training.images import gather, hold_out
from napari_dynaclr.staining.training.learner import MaskedLearner, PairedLearner
from napari_dynaclr.staining.training.setting import (
    SOURCE,
    Setting,
    Start,
    find_start,
    mask_stride,
    settle,
)
from napari_dynaclr.staining.training.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import lightning.pytorch as pl

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.staining.blocks import Stainer
    from napari_dynaclr.staining.training.learner import ImageLearner
    from napari_dynaclr.staining.training.masked import MaskedParams
    from napari_dynaclr.staining.training.paired import PairedParams
    from napari_dynaclr.staining.training.params import ImageTrainingParams

_RATE = 2e-4
"""Learning rate of the published networks (Methods)."""

_SMALL_RATE = 2e-3
"""Of small ones from random weights."""

_SMALL = 2e6
"""Weights of a small network, at most."""

_WATCHED = 0.1
"""Of the memory for images, for those that are measured after every epoch."""


class _ImageTraining:
    """What both trainings share; see :class:`~napari_dynaclr.learning.run.Training`."""

    what = "network"

    def __init__(
        self, datasets: Sequence[Dataset], params: ImageTrainingParams, start: Start, job: Job
    ) -> None:
        self._datasets, self._params, self._start, self._job = datasets, params, start, job
        self._setting: Setting = settle(datasets, params, start)
        self.sha256 = start.sha256
        self.inputs = tuple(self._inputs())

    def _inputs(self) -> list[str]:
        names, found = self._setting.channels.names, list[str]()
        for dataset in self._datasets:
            for fov in dataset.fovs:
                found += [source_key(fov), *stain_inputs(dataset, fov, names).values()]
        return found

    def _parts(self, labelled: bool, trainer: pl.Trainer) -> dict[str, Any]:
        """Gather the images, and what learning from them takes."""
        params, setting, job = self._params, self._setting, self._job
        frames, empty = gather(self._datasets, setting.channels, params.every, job)
        rows, held, told = hold_out(frames, params.held_out, params.split, params.seed)
        if params.patience is not None and not len(held):
            told += " Without a validation loss, the patience has no meaning."
        memory = room(params)
        # The watched are read first: what is left is known then.
        watch = Watch(
            frames,
            held if len(held) else rows,
            (setting.config.depth, setting.side, setting.side),
            _WATCHED * memory,
            params.seed,
            len(held) > 0,
            job,
        )
        feed = Feed(
            frames,
            rows,
            Cropping(setting.crop, labelled),
            params.batch_size,
            params.patches,
            (1 - _WATCHED) * memory,
            params.seed,
            job,
            trainer.global_rank,
            trainer.world_size,
        )
        left_out = f"{empty} frames are empty and not learned from." if empty else ""
        streamed = "The images do not fit into memory: each is read once an epoch."
        for line in (*setting.told, told, left_out, "" if feed.fits else streamed):
            if line:
                job.note(line)
        feed.load()
        augmentation = Augmentation((SOURCE,), setting.side, setting.ranges, setting.config.depth)
        return {"augmentation": augmentation, "watch": watch, "feed": feed}

    def _network(self) -> Stainer:
        """Build the network, with the weights that it starts from."""
        with torch.random.fork_rng(devices=[]):  # the user's own random numbers stay as they are
            torch.manual_seed(self._params.seed)
            network = build(self._setting.config)
        loaded = self._start.loaded
        if loaded is not None:
            same = loaded.network.config == network.config
            state = loaded.network.state_dict() if same else loaded.network.encoder_state()
            network.load_state_dict(state, strict=same)
        # Of its two stems, the one for other depths gets no gradient.
        unused = "conv2d" if network.config.depth > 1 else "conv3d"
        for name, one in network.named_parameters():
            if f"stem.{unused}." in name:
                one.requires_grad_(False)
        network.train()
        return network

    def _rule(self, network: Stainer) -> Rule:
        small = sum(one.numel() for one in network.parameters()) < _SMALL
        fresh = self._start.loaded is None
        return Rule.of(self._params, _SMALL_RATE if small and fresh else _RATE)

    def save(self, path: Path, learner: ImageLearner, about: dict[str, Any]) -> None:
        """Write the network, and what its user has to know."""
        chosen = ("patches", "every", "augment", "seed", "sampling", "target_normalization",
                  "clahe", "l1", "fine_tune", "mask_ratio")  # fmt: skip
        values = self._params.model_dump()
        trained = {name: values[name] for name in chosen if name in values}
        trained["epochs"] = len(learner.figures)
        recipe = self._setting.recipe.model_dump(mode="json")
        save_stainer(path, learner.model, {**recipe, **about, "trained": trained})


class PairedTraining(_ImageTraining):
    """Training of a stainer from paired channels."""

    what = "stainer"

    def __init__(self, datasets: Sequence[Dataset], params: PairedParams, job: Job) -> None:
        super().__init__(datasets, params, find_start(params.start_from, job), job)
        self._paired = params

    def learner(
        self, trainer: pl.Trainer, key: str, write: Callable[[list[dict[str, float]]], None]
    ) -> PairedLearner:
        """Read the images, and put the parts together."""
        parts = self._parts(self._paired.sampling == "labelled", trainer)
        network = self._network()
        frozen = network.encoder_parts() if self._paired.fine_tune == "decoder" else ()
        return PairedLearner(
            self._paired.l1,
            parts["augmentation"],
            parts["watch"],
            network,
            self._rule(network),
            parts["feed"],
            self._job,
            key,
            write,
            frozen=frozen,
        )

    def hint(self, path: Path) -> str:
        """Say where the stainer is."""
        return f"The stainer is in {path}: stain with it as weights file."


class MaskedTraining(_ImageTraining):
    """Pre-training on label-free images alone."""

    what = "pre-trained network"

    def __init__(self, datasets: Sequence[Dataset], params: MaskedParams, job: Job) -> None:
        super().__init__(datasets, params, Start(), job)
        self._masked = params

    def learner(
        self, trainer: pl.Trainer, key: str, write: Callable[[list[dict[str, float]]], None]
    ) -> MaskedLearner:
        """Read the images, and put the parts together."""
        parts = self._parts(False, trainer)
        network = self._network()
        return MaskedLearner(
            mask_stride(network.config),
            self._masked.mask_ratio,
            parts["augmentation"],
            parts["watch"],
            network,
            self._rule(network),
            parts["feed"],
            self._job,
            key,
            write,
        )

    def hint(self, path: Path) -> str:
        """Say where the network is."""
        return f"The pre-trained network is in {path}: train a stainer that starts from it."
