"""The training of a profiler: what it learns from, and how it is put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.runs import source_key, stain_inputs
from napari_dynaclr.embedding.profiler.architecture import SIZES
from napari_dynaclr.embedding.profiler.checkpoint import save_profiler
from napari_dynaclr.embedding.profiler.sight import resized
from napari_dynaclr.embedding.profiler.training.feed import Feed
from napari_dynaclr.embedding.profiler.training.learner import ProfilerLearner, Weighing
from napari_dynaclr.embedding.profiler.training.positives import Partner
from napari_dynaclr.embedding.profiler.training.setting import Setting, find_channels, settle
from napari_dynaclr.embedding.profiler.training.teacher import Pair
from napari_dynaclr.embedding.profiler.training.units import find_places, gather_units
from napari_dynaclr.embedding.profiler.training.views import (
    Crops,
    Elastic,
    Jitter,
    Looks,
    MicroscopeNoise,
    Views,
)
from napari_dynaclr.embedding.profiler.training.watch import WATCHED, Watch
from napari_dynaclr.embedding.training.cells import Shrink, hold_out, prepare, read_patches
from napari_dynaclr.learning.learner import Rule
from napari_dynaclr.learning.run import room

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import lightning.pytorch as pl
    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.profiler.training.params import ProfilerTrainingParams
    from napari_dynaclr.embedding.training.cells import Cells, Pixels
    from napari_dynaclr.learning.learner import Write

_WATCHED = 0.1
"""Of the memory for images, for those that are measured after every epoch."""

_LOOKS = {"cell": 1, "field": 10}

_DROP_PATH = 0.1
"""Of small and base: less than DINOv2's 0.3, which is for larger ones. The others need none."""


class ProfilerTraining:
    """Trains a profiler; see :class:`~napari_dynaclr.learning.run.Training`.

    Parameters
    ----------
    datasets
        To learn from; for cells, they have been tracked.
    params
        Settings.
    job
        Takes notes.

    Raises
    ------
    MissingInput
        If it is about cells, and a FOV has not been tracked.
    InvalidInput
        If settings and images do not fit together.
    """

    what = "profiler"
    sha256: tuple[str, ...] = ()

    def __init__(
        self, datasets: Sequence[Dataset], params: ProfilerTrainingParams, job: Job
    ) -> None:
        self._datasets, self._params, self._job = datasets, params, job
        self._setting = settle(datasets, params)
        self.inputs = tuple(self._inputs())

    def _inputs(self) -> list[str]:
        found: list[str] = []
        channels, _, _ = find_channels(self._datasets, self._params)
        for dataset in self._datasets:
            for fov in dataset.fovs:
                found += [source_key(fov), *stain_inputs(dataset, fov, channels).values()]
                if self._params.unit == "cell":
                    tracks = dataset.workspace.require("tracks", fov, "tracks", "track")
                    found.append(tracks + dataset.workspace.corrected(fov))
        return found

    def learner(self, trainer: pl.Trainer, key: str, write: Write) -> ProfilerLearner:
        """Gather what is learned from, and make all parts of the training."""
        params, setting, job = self._params, self._setting, self._job
        units = gather_units(self._datasets, params.unit, setting.window, job)
        prepare(units, setting.window, job)
        rows, held, told = hold_out(units, params.held_out, params.split, params.seed)
        places, timed = find_places(units)
        memory = room(params)
        each = 2 * len(setting.window.channels) * setting.size[0] * setting.size[1]

        def read(rows: NDArray[np.intp], report: bool) -> Pixels:
            return _read(units, rows, setting, job, report)

        feed = Feed(
            places,
            rows,
            params.time_window if params.local_aggregation else None,
            read,
            each,
            params.batch_size,
            params.looks or _LOOKS[params.unit],
            (1 - _WATCHED) * memory,
            params.seed,
            job,
            trainer.global_rank,
            trainer.world_size,
        )
        for line in (*setting.told, told, *self._notes(feed, timed)):
            if line:
                job.note(line)
        few = max(min(WATCHED, int(_WATCHED * memory / each)), 1)
        watched = _some(held if len(held) else rows, few, params.seed)
        pixels = feed.pixels(watched)
        watch = Watch(pixels, setting.config.side, job)
        pair = self._pair()
        for branch in (pair.student, pair.teacher):
            branch.backbone.standardize(torch.from_numpy(pixels))
        return ProfilerLearner(
            self._views(),
            Weighing(params.ibot_weight, params.koleo_weight, params.momentum, params.temperature),
            watch,
            pair,
            Rule.of(params, SIZES[params.size].rate),
            feed,
            job,
            key,
            write,
            frozen=(pair.teacher,),
        )

    def _notes(self, feed: Feed, timed: bool) -> list[str]:
        params = self._params
        notes = []
        if params.patience is not None:
            notes.append("Without a validation loss, the patience has no meaning.")
        if not feed.fits:
            notes.append("The images do not fit into memory at once: they are read in every epoch.")
        if not params.local_aggregation:
            return notes
        if not timed:
            notes.append(
                "A dataset does not say how far apart its frames are: images of the same time "
                "point are pulled together."
            )
        lone = int((feed.best == Partner.NONE).sum())
        near = int((feed.best == Partner.SAME_FIELD).sum())
        if lone:
            notes.append(
                f"{lone} of {len(feed.best)} images have no other one of their well within "
                f"{params.time_window:g} min and are not learned from."
            )
        if near:
            other = "cell of the same field" if params.unit == "cell" else "time of the same field"
            notes.append(
                f"{near} of {len(feed.best)} images have no other field of their well: they are "
                f"pulled to another {other}."
            )
        return notes

    def _views(self) -> Views:
        params, setting = self._params, self._setting
        looks = Looks(
            Crops(near=params.crop_scale, locals_=params.local_crops),
            Elastic(chance=params.elastic),
            Jitter(params.brightness, params.contrast),
            MicroscopeNoise(chance=params.noise),
        )
        return Views(setting.config.side, setting.local_side, setting.inside, looks)

    def _pair(self) -> Pair:
        params, config = self._params, self._setting.config
        drop_path = _DROP_PATH if config.size in ("small", "base") else 0.0
        with torch.random.fork_rng(devices=[]):  # the user's own random numbers stay as they are
            torch.manual_seed(params.seed)
            return Pair(config, params.prototypes, drop_path)

    def save(self, path: Path, learner: ProfilerLearner, about: dict[str, Any]) -> None:
        """Write the teacher's backbone, as DINOv2 does, and what its user has to know."""
        chosen = ("local_aggregation", "time_window", "crop_scale", "local_crops", "brightness",
                  "contrast", "noise", "elastic", "ibot_weight", "koleo_weight", "prototypes",
                  "momentum", "temperature", "seed")  # fmt: skip
        trained = {name: getattr(self._params, name) for name in chosen}
        trained["epochs"] = len(learner.figures)
        backbone = learner.model.teacher.backbone
        save_profiler(path, backbone, self._setting.recipe, {**about, "trained": trained})

    def hint(self, path: Path) -> str:
        """Say where the profiler is."""
        if self._params.unit == "cell":
            return f"The profiler is in {path}: embed with it as weights file (method profiler)."
        return f"The profiler is in {path}: profile fields with it as weights file."


def _read(units: Cells, rows: NDArray[np.intp], setting: Setting, job: Job, report: bool) -> Pixels:
    """Read images, and make them as small as they are learned from."""
    shrink = None
    if setting.size != setting.window.size[1:]:
        shrink = Shrink(setting.size, lambda pixels: _smaller(pixels, setting.size))
    return read_patches(units, rows, setting.window, job, report=report, shrink=shrink)


def _smaller(pixels: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    found = resized(torch.from_numpy(pixels[:, :, 0]), *size)
    return np.asarray(found.numpy())[:, :, None]


def _some(rows: NDArray[np.intp], most: int, seed: int) -> NDArray[np.intp]:
    """Choose some rows at random, ascending."""
    if not len(rows):
        raise InvalidInput("There is nothing to learn from: choose FOVs with images.")
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])
