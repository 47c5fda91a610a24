"""The parts of a training of CELLECT, put together; and what is saved of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.runs import source_key, stain_inputs
from napari_dynaclr.core.weights import PRESETS, find_preset, get_weights, local_weights
from napari_dynaclr.learning.learner import Rule
from napari_dynaclr.learning.run import room
from napari_dynaclr.learning.sources import common_channel, require_alike
from napari_dynaclr.tracking.cellect.architecture import CellectConfig
from napari_dynaclr.tracking.cellect.checkpoint import load_cellect, save_cellect
from napari_dynaclr.tracking.cellect.model import Cellect
from napari_dynaclr.tracking.cellect.recipe import Recipe
from napari_dynaclr.tracking.cellect.training.feed import Drawing, Feed
from napari_dynaclr.tracking.cellect.training.frames import gather, hold_out
from napari_dynaclr.tracking.cellect.training.learner import CellectLearner
from napari_dynaclr.tracking.cellect.training.parts import Losses
from napari_dynaclr.tracking.cellect.training.points import digest, find_truth
from napari_dynaclr.tracking.cellect.training.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import lightning.pytorch as pl

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.learning.learner import Write
    from napari_dynaclr.tracking.cellect.checkpoint import LoadedCellect
    from napari_dynaclr.tracking.cellect.training.frames import Place
    from napari_dynaclr.tracking.cellect.training.params import CellectTrainingParams

# Statistics of batches rather than of each patch: a frame computed in blocks is the same as whole.
SHAPES: Mapping[str, CellectConfig] = {
    "cellect_mini": CellectConfig(base=4, levels=4, dropout=0.1, norm="batch"),
    "cellect": CellectConfig(norm="batch"),
}
"""Networks by the setting ``architecture``."""

_SIDES = {"cellect_mini": 128, "cellect": 256}
_DEPTH = 32
"""Patches of the paper are 256 x 256 x 32 voxels."""

_RATE = 1e-4
_WATCHED = 0.1
"""Of the memory for images, for those that are measured after every epoch."""


@dataclass(frozen=True)
class Start:
    """What a training starts from: a tracker, or nothing."""

    loaded: LoadedCellect | None = None
    sha256: tuple[str, ...] = ()


class CellectTraining:
    """Training of CELLECT; see :class:`~napari_dynaclr.learning.run.Training`."""

    what = "tracker"

    def __init__(
        self, datasets: Sequence[Dataset], params: CellectTrainingParams, job: Job
    ) -> None:
        self._datasets, self._params, self._job = datasets, params, job
        self._channel = common_channel(datasets, params.channel)
        require_alike(datasets, depth=True)
        self._size = _size(datasets, params)
        self._start = _find_start(params.start_from, job)
        self.sha256 = self._start.sha256
        self.inputs = tuple(self._inputs())
        self._recipe = Recipe()

    def _inputs(self) -> list[str]:
        found = list[str]()
        for dataset in self._datasets:
            for fov in dataset.fovs:
                found.append(source_key(fov))
                found += stain_inputs(dataset, fov, [self._channel]).values()
                if self._params.truth:
                    true_fov, file = find_truth(self._params.truth, fov)
                    found.append(source_key(true_fov))
                else:
                    found.append(dataset.workspace.require("tracks", fov, "tracks", "track"))
                    file = dataset.workspace.tracks_csv(fov)
                # Corrections change the table, not the key.
                found.append(digest(file))
        return found

    def learner(self, trainer: pl.Trainer, key: str, write: Write) -> CellectLearner:
        """Read what is learned from, and put the parts together."""
        params, job = self._params, self._job
        places = gather(self._datasets, self._channel, self._normalization, params.truth, job)
        train, held, told = hold_out(places, params.held_out, params.split, params.seed)
        drawing = Drawing(self._size, params.interval, params.divisions, params.augment)
        memory = room(params)
        plain = replace(drawing, turn=False)
        watch = Watch(
            held or train, plain, params.patches, _WATCHED * memory, params.seed, bool(held), job
        )
        feed = Feed(
            train,
            drawing,
            params.batch_size,
            params.patches,
            (1 - _WATCHED) * memory,
            params.seed,
            job,
            trainer.global_rank,
            trainer.world_size,
        )
        self._recipe = self._described(places)
        for line in (*self._told(places, feed), told):
            if line:
                job.note(line)
        feed.load()
        model = self._model()
        rate = Rule.of(params, _RATE)
        spacing = self._recipe.spacing(places[0].fov.scale)
        return CellectLearner(
            Losses(model, spacing),
            watch,
            self._channel,
            params.mlps == "staged",
            model,
            rate,
            feed,
            job,
            key,
            write,
        )

    @property
    def _normalization(self) -> Any:
        """Of the start, where there is one: it knows no other."""
        loaded = self._start.loaded
        return self._params.normalization if loaded is None else loaded.recipe.normalization

    def _model(self) -> Cellect:
        params, loaded = self._params, self._start.loaded
        if loaded is not None:
            loaded.model.train()
            return loaded.model
        config = replace(SHAPES[params.architecture], candidates=params.candidates)
        with torch.random.fork_rng(devices=[]):  # the user's own random numbers stay as they are
            torch.manual_seed(params.seed)
            return Cellect(config)

    def _described(self, places: Sequence[Place]) -> Recipe:
        radius = np.concatenate([one.points.radius for one in places])
        loaded = self._start.loaded
        return Recipe(
            normalization=self._normalization,
            voxel_size=places[0].fov.scale,
            diameter_um=2 * float(np.median(radius)),
            isotropic=loaded is None or loaded.recipe.isotropic,
            source_channel=self._channel,
        )

    def _told(self, places: Sequence[Place], feed: Feed) -> list[str]:
        loaded = self._start.loaded
        cells = sum(len(one.points.t) for one in places)
        daughters = sum(int(one.points.newborn.sum()) for one in places)
        depth, height, width = self._size
        told = [] if loaded is None else list(loaded.told)
        told.append(
            f"Learning from {self._channel}, in patches of {depth} x {height} x {width}: {cells} "
            f"centres of cells, about {daughters // 2} divisions."
        )
        if not daughters:
            told.append("No cell divides: the tracker will not know divisions.")
        if not feed.fits:
            told.append("The images do not fit into memory: each is read once an epoch.")
        return told

    def save(self, path: Path, learner: CellectLearner, about: dict[str, Any]) -> None:
        """Write the tracker, and what its user has to know."""
        params = self._params
        chosen = ("patches", "patch_size", "depth", "batch_size", "interval", "divisions",
                  "augment", "mlps", "seed")  # fmt: skip
        trained = {name: getattr(params, name) for name in chosen}
        trained["epochs"] = len(learner.figures)
        recipe = self._recipe.model_dump(mode="json")
        save_cellect(path, learner.model, {**recipe, **about, "trained": trained})

    def hint(self, path: Path) -> str:
        """Say where the tracker is."""
        return f"The tracker is in {path}: track with it as weights file (method cellect)."


def _size(datasets: Sequence[Dataset], params: CellectTrainingParams) -> tuple[int, int, int]:
    """Return (Z, Y, X) of the patches, as large as all images allow."""
    shapes = [fov.shape[1:] for dataset in datasets for fov in dataset.fovs]
    least = [min(shape[axis] for shape in shapes) for axis in range(3)]
    for name, wanted, most in (
        ("patch_size", params.patch_size, min(least[1:])),
        ("depth", params.depth, least[0]),
    ):
        if wanted is not None and wanted > most:
            raise InvalidInput(
                f"{name} = {wanted}: there are images of {most} only. Choose {most} or less."
            )
    side = params.patch_size or _SIDES[params.architecture]
    return min(params.depth or _DEPTH, least[0]), min(side, least[1]), min(side, least[2])


def _find_start(start_from: str, job: Job) -> Start:
    if not start_from:
        return Start()
    if start_from in PRESETS:
        weights = get_weights(find_preset(start_from, "track"), job)
    else:
        weights = local_weights(start_from, job)
    for line in weights.told:
        job.note(line)
    return Start(load_cellect(weights.path), (weights.sha256,))
