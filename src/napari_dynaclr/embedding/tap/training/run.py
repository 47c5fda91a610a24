"""The parts of a training of TAP, put together; and what is saved of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.runs import source_key, stain_inputs
from napari_dynaclr.core.weights import PRESETS, find_preset, get_weights, local_weights
from napari_dynaclr.embedding.tap.architecture import TapConfig
from napari_dynaclr.embedding.tap.checkpoint import load_tap, save_tap
from napari_dynaclr.embedding.tap.network import TimeArrowNet
from napari_dynaclr.embedding.tap.recipe import TapRecipe
from napari_dynaclr.embedding.tap.source import state_file
from napari_dynaclr.embedding.tap.training.augment import TapAugmentation, TapRanges
from napari_dynaclr.embedding.tap.training.feed import Drawing, Feed
from napari_dynaclr.embedding.tap.training.learner import TapLearner
from napari_dynaclr.embedding.tap.training.movies import Place, hold_out, require_pairs
from napari_dynaclr.embedding.tap.training.watch import (
    ANYWHERE,
    Watch,
    kept_figures,
    no_better_than_chance,
)
from napari_dynaclr.learning.feed import Share
from napari_dynaclr.learning.learner import Rule
from napari_dynaclr.learning.run import room
from napari_dynaclr.learning.sources import common_channel, require_alike

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import lightning.pytorch as pl

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.tap.checkpoint import LoadedTap
    from napari_dynaclr.embedding.tap.training.params import TapTrainingParams
    from napari_dynaclr.learning.learner import Write

SHAPES: Mapping[str, TapConfig] = {
    "tap_mini": TapConfig(features=16, maps=16),
    "tap": TapConfig(),
}
"""Networks by the setting ``architecture``."""

_RATES = {"tap_mini": 1e-3, "tap": 4e-4}
_TRAINED_RATE = 1e-4

_WATCHED = 0.1
"""Of the memory for images, for those that are measured after every epoch."""


@dataclass(frozen=True)
class Start:
    """What a training starts from: a network, or nothing."""

    loaded: LoadedTap | None = None
    sha256: tuple[str, ...] = ()


class TapTraining:
    """Training of TAP; see :class:`~napari_dynaclr.learning.run.Training`.

    Parameters
    ----------
    datasets
        To learn from; they need no tracks. Where there are some, they tell regions apart that
        are watched.
    params
        Settings.
    job
        Takes notes.

    Raises
    ------
    InvalidInput
        If the images have no such channel, or are too few or too small.
    """

    what = "TAP network"

    def __init__(self, datasets: Sequence[Dataset], params: TapTrainingParams, job: Job) -> None:
        self._params, self._job = params, job
        self._start = _find_start(params.start_from, job)
        self.sha256 = self._start.sha256
        loaded = self._start.loaded
        named = params.channel
        if not named and loaded is not None:
            named = loaded.recipe.source_channel or ""
        self._channel = common_channel(datasets, named)
        require_alike(datasets)
        _require_size(datasets, params.patch_size)
        self._places = _places(datasets, self._channel, params, job)
        self.inputs = tuple(
            one
            for place in self._places
            for one in (
                source_key(place.fov),
                *stain_inputs(place.dataset, place.fov, [self._channel]).values(),
            )
        )

    def learner(self, trainer: pl.Trainer, key: str, write: Write) -> TapLearner:
        """Read what is learned from, and put the parts together."""
        params, job = self._params, self._job
        train, held, told = hold_out(self._places, params.held_out, params.split, params.seed)
        ranges = TapRanges() if params.augment else None
        side, memory = params.patch_size, room(params)
        plain = Drawing(side, side, params.foreground, params.changing)
        drawing = replace(plain, wide=ranges.wide(side)) if ranges else plain
        feed = Feed(
            train,
            drawing,
            params.batch_size,
            params.pairs,
            (1 - _WATCHED) * memory,
            params.seed,
            job,
            Share(trainer.global_rank, trainer.world_size),
        )
        feed.look()
        require_pairs(train, self._channel, job)
        room_to_watch = _WATCHED * memory
        watch = Watch(held or train, plain, room_to_watch, params.seed, bool(held), job)
        if not watch.pairs:
            told = "All frames held out are of one value: nothing is held out."
            watch = Watch(train, plain, room_to_watch, params.seed, False, job)
        for line in (*self._told(feed, watch), told):
            if line:
                job.note(line)
        return TapLearner(
            TapAugmentation(side, ranges),
            watch,
            self._channel,
            params.decorrelation,
            params.temperature,
            self._network(),
            Rule.of(params, _TRAINED_RATE if self._start.loaded else _RATES[params.architecture]),
            feed,
            job,
            key,
            write,
        )

    def _network(self) -> TimeArrowNet:
        loaded = self._start.loaded
        if loaded is not None:
            return _quick(loaded.network.train())
        with torch.random.fork_rng(devices=[]):  # the user's own random numbers stay as they are
            torch.manual_seed(self._params.seed)
            return _quick(TimeArrowNet(SHAPES[self._params.architecture]))

    def _told(self, feed: Feed, watch: Watch) -> list[str]:
        steps = sorted({one.step for one in self._places})
        frames = " or ".join(map(str, steps))
        told = [
            f"Learning which of two images of {self._channel} comes first, {frames} "
            f"frame{'s' * (steps != [1])} apart, in patches of {self._params.patch_size} pixels."
        ]
        if not feed.fits:
            told.append("The images do not fit into memory: each is read once an epoch.")
        regions = [f"{len(some)} of {name}" for name, some in watch.pairs.items()
                   if name != ANYWHERE]  # fmt: skip
        if regions:
            told.append(f"Accuracy by region is of pairs of patches: {', '.join(regions)}.")
        return told

    def save(self, path: Path, learner: TapLearner, about: dict[str, Any]) -> None:
        """Write the network, and what its user has to know."""
        params = self._params
        chosen = ("pairs", "patch_size", "batch_size", "foreground", "changing", "augment",
                  "decorrelation", "temperature", "seed")  # fmt: skip
        trained = {name: getattr(params, name) for name in chosen}
        trained["epochs"] = len(learner.figures)
        place = self._places[0]
        interval = place.fov.frame_interval
        recipe = TapRecipe(
            source_channel=self._channel,
            delta_t=place.step,
            delta_minutes=interval and place.step * interval / 60,
            stacks=params.stacks,
            pixel_size=place.fov.scale[-1],
        )
        counts = {name: len(pairs) for name, pairs in learner.watch.pairs.items()}
        if said_of := no_better_than_chance(kept_figures(learner.figures), counts):
            self._job.note(said_of)
        said = recipe.model_dump(mode="json")
        save_tap(path, learner.model, {**said, **about, "trained": trained})

    def hint(self, path: Path) -> str:
        """Say where the network is."""
        return f"The network is in {path}: find events and embed with it as weights file (tap)."


def _quick(network: TimeArrowNet) -> TimeArrowNet:
    """Lay the weights out as convolutions of PyTorch like them best: a third less time on a CPU."""
    network.to(memory_format=torch.channels_last)
    return network


def _require_size(datasets: Sequence[Dataset], side: int) -> None:
    least = min(min(fov.shape[2:]) for dataset in datasets for fov in dataset.fovs)
    if side > least:
        raise InvalidInput(
            f"patch_size = {side}: there are images of {least} pixels only. Choose {least} or less."
        )


def _places(
    datasets: Sequence[Dataset], channel: str, params: TapTrainingParams, job: Job
) -> list[Place]:
    """Gather the FOVs that are long enough.

    Raises
    ------
    InvalidInput
        If none is.
    """
    fovs = [
        (number, dataset, fov) for number, dataset in enumerate(datasets) for fov in dataset.fovs
    ]
    longest = max(fov.shape[0] for _, _, fov in fovs)
    if longest < 2:
        raise InvalidInput(
            "There is one time point only: the arrow of time is learned from two at least. Choose "
            "a time-lapse."
        )
    found, left_out = [], []
    for number, dataset, fov in fovs:
        step = _step(fov, params)
        if fov.shape[0] <= step:
            left_out.append(f"{fov.name} ({fov.shape[0]} frames)")
        else:
            found.append(Place(number, dataset, fov, channel, params.stacks, step))
    if not found:
        setting = "delta_t" if params.delta_minutes is None else "delta_minutes"
        raise InvalidInput(
            f"The time step of {_step(fovs[0][2], params)} frames goes beyond the movies, which "
            f"have {longest} frames at most: choose a smaller {setting}."
        )
    if left_out:
        job.note(f"Too short for the time step, and left out: {', '.join(left_out)}.")
    return found


def _step(fov: Fov, params: TapTrainingParams) -> int:
    """Frames from the first to the second of a pair.

    Raises
    ------
    InvalidInput
        If it is given in minutes, and the frame interval is not known.
    """
    if params.delta_minutes is None:
        return params.delta_t or 1
    if not fov.frame_interval:
        raise InvalidInput(
            f"FOV {fov.name} does not say how long its frame interval is: give delta_t, in frames, "
            "instead of delta_minutes."
        )
    return max(round(params.delta_minutes * 60 / fov.frame_interval), 1)


def _find_start(start_from: str, job: Job) -> Start:
    if not start_from:
        return Start()
    if start_from in PRESETS:
        weights = get_weights(find_preset(start_from, "arrow"), job)
    else:
        weights = local_weights(state_file(Path(start_from).expanduser()), job)
    loaded = load_tap(weights.path)
    for line in (*weights.told, *loaded.told):
        job.note(line)
    return Start(loaded, (weights.sha256,))
