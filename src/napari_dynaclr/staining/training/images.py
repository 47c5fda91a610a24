"""The images that a stainer learns from: frames of all datasets, normalised as they are read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.normalize import Level, normalize, statistics
from napari_dynaclr.learning.holding_out import divide
from napari_dynaclr.staining.training.equalize import fit_equalizers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.staining.training.equalize import Equalizer

_LARGEST = 6e4
"""What float16 can hold; a normalised picture is far from it but for single hot pixels."""

_FLAT = 0.01
"""Spread of an equalised stain, of 1 at most, that is as good as none."""

BLOCK = 16
"""Pixels; how finely it is known where a frame is labelled."""

STATISTICS = {"mean-std": ("mean", "std"), "median-iqr": ("median", "iqr")}
"""What is subtracted and divided by, by the normalisation's name."""

Kind = Literal["mean-std", "median-iqr"]


@dataclass(frozen=True)
class Scaling:
    """How a channel is normalised.

    Attributes
    ----------
    kind
        Key of :data:`STATISTICS`.
    level
        What the statistics are of.
    """

    kind: Kind
    level: Level


@dataclass(frozen=True)
class Channels:
    """What is read of a frame: the source, then the targets.

    Attributes
    ----------
    source, targets
        Names; no targets where a network learns from the source alone.
    scaling
        Of the source.
    target_scaling
        Of each target.
    equalize
        Whether the local contrast of the targets is equalised before. They are then normalised
        over each FOV, whatever the level.
    """

    source: str
    targets: tuple[str, ...]
    scaling: Scaling
    target_scaling: Scaling
    equalize: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All, in order."""
        return (self.source, *self.targets)


@dataclass(frozen=True)
class Place:
    """A FOV to learn from.

    Attributes
    ----------
    number
        Of its dataset.
    fov
        Where the pixels are.
    statistics
        Of each channel: one for all time points, or one each.
    equalizers
        Of each target, where their local contrast is equalised.
    """

    number: int
    fov: Fov
    statistics: tuple[dict[Any, Any], ...]
    equalizers: tuple[Equalizer, ...] = ()


@dataclass(frozen=True)
class Frames:
    """Frames to learn from.

    Attributes
    ----------
    channels
        What is read of them.
    places
        Their FOVs.
    place, t
        Number of the FOV and time point of each, (N,).
    labelled
        How much of each is labelled, relative to the others of its dataset, (N,).
    """

    channels: Channels
    places: tuple[Place, ...]
    place: NDArray[np.intp]
    t: NDArray[np.intp]
    labelled: NDArray[np.float64]

    def of(self, places: Sequence[int]) -> NDArray[np.intp]:
        """Return the rows of some FOVs, by number."""
        return np.flatnonzero(np.isin(self.place, places))

    def size(self, row: int) -> tuple[int, int, int]:
        """(Z, Y, X) of a frame."""
        _, depth, height, width = self.places[self.place[row]].fov.shape
        return depth, height, width

    def runs(self, rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Divide rows into those that one read from disk brings."""
        steps = [
            math.lcm(*(place.fov.find(name)[0].time_chunk for name in self.channels.names))
            for place in self.places
        ]
        blocks = np.array([self.t[row] // steps[self.place[row]] for row in rows])
        _, number = np.unique(np.stack([self.place[rows], blocks]), axis=1, return_inverse=True)
        number = number.reshape(-1)
        return [rows[number == one] for one in range(number.max(initial=-1) + 1)]

    def read(
        self, rows: NDArray[np.intp], slices: slice = slice(None)
    ) -> Iterator[tuple[int, NDArray[np.float16]]]:
        """Read frames of one FOV, normalised.

        Parameters
        ----------
        rows
            Which, ascending.
        slices
            Slices of the stack.

        Yields
        ------
        tuple
            The row; its source and targets, (C, Z, Y, X).
        """
        place = self.places[self.place[rows[0]]]
        by_time = {int(self.t[row]): int(row) for row in rows}
        for t, frame in place.fov.frames(
            self.channels.names, by_time, allow_empty=True, slices=slices
        ):
            yield by_time[t], self._normalized(place, t, frame)

    def _normalized(self, place: Place, t: int, frame: NDArray[Any]) -> NDArray[np.float16]:
        found = np.empty(frame.shape, np.float16)
        channels = self.channels
        for number, image in enumerate(frame):
            scaling = channels.target_scaling if number else channels.scaling
            known = place.statistics[number]
            if number and place.equalizers:
                image = place.equalizers[number - 1](image)
            elif scaling.level == "timepoint":
                known = known[t]
            scaled = normalize(image, known, *STATISTICS[scaling.kind])
            found[number] = scaled.clip(-_LARGEST, _LARGEST)
        return found


def gather(
    datasets: Sequence[Dataset], channels: Channels, every: int, job: Job
) -> tuple[Frames, int]:
    """Gather the frames of all FOVs, with the statistics that normalising them needs.

    Parameters
    ----------
    datasets
        To learn from.
    channels
        What is read.
    every
        Each n-th time point is taken.
    job
        Progress and cancelling.

    Returns
    -------
    tuple
        The frames, and how many were left out because a channel of them is empty.

    Raises
    ------
    InvalidInput
        If none is left.
    """
    places: list[Place] = []
    rows: list[tuple[int, int, int, float]] = []
    fovs = [(i, dataset, fov) for i, dataset in enumerate(datasets) for fov in dataset.fovs]
    empty = 0
    for number, dataset, fov in job.track(fovs, "prepare the images"):
        levels = {"timepoint", channels.scaling.level, channels.target_scaling.level}
        found = {
            level: statistics(dataset, fov, channels.names, level, job) for level in sorted(levels)
        }
        chosen = [channels.scaling.level] + [channels.target_scaling.level] * len(channels.targets)
        known = tuple(
            found[level][name] for name, level in zip(channels.names, chosen, strict=True)
        )
        by_time = {
            t: [found["timepoint"][name][t] for name in channels.names]
            for t in range(0, fov.shape[0], every)
        }
        times = [t for t, here in by_time.items() if all(one["std"] > 0 for one in here)]
        empty += len(by_time) - len(times)
        equalizers: tuple[Equalizer, ...] = ()
        if channels.equalize and times:
            equalizers, equal = fit_equalizers(fov, channels.targets, times)
            known = (known[0], *equal)
        for t in times:
            _require_spread(fov, channels, known, t)
            label = [_labelled(one) for one in by_time[t][1:]]
            rows.append((len(places), t, number, float(np.mean(label)) if label else 1.0))
        places.append(Place(number, fov, known, equalizers))
    if not rows:
        raise InvalidInput(
            f"Every frame is empty in {' or '.join(channels.names)}: choose other channels."
        )
    place, times, numbers = np.array([row[:3] for row in rows], np.intp).T
    labelled = np.array([row[3] for row in rows])
    for number in np.unique(numbers):
        labelled[numbers == number] /= max(labelled[numbers == number].mean(), 1e-12)
    return Frames(channels, tuple(places), place, times, labelled), empty


def _labelled(found: dict[str, float]) -> float:
    """How far a frame's label stands out from its background."""
    return max(float(found["mean"]) - float(found.get("p5", found["mean"])), 0.0)


def _require_spread(fov: Fov, channels: Channels, known: Sequence[dict[Any, Any]], t: int) -> None:
    """Refuse a normalisation by a spread that is 0: it would blow up the noise.

    Raises
    ------
    InvalidInput
        If it is.
    """
    for number, (name, found) in enumerate(zip(channels.names, known, strict=True)):
        scaling = channels.target_scaling if number else channels.scaling
        spread = STATISTICS[scaling.kind][1]
        if number and channels.equalize:
            if found[spread] < _FLAT:
                raise InvalidInput(
                    f"FOV {fov.name}: most of {name} is of one value, also once equalised, its "
                    f"{spread} is about 0: choose the target_normalization mean-std, or train "
                    "without clahe."
                )
            continue
        here = found[t] if scaling.level == "timepoint" else found
        if not here.get(spread, 0) > 0:
            raise InvalidInput(
                f"FOV {fov.name}: most of {name} is of one value, its {spread} is 0: choose the "
                "normalisation mean-std for it."
            )


def hold_out(
    frames: Frames, fraction: float, unit: str, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], str]:
    """Divide the frames into those to train with and those to validate with, by FOV or well.

    Parameters
    ----------
    frames
        All frames.
    fraction
        Of the FOVs or wells to hold out; one at least, unless it is 0.
    unit
        "fov" or "well".
    seed
        For the choice.

    Returns
    -------
    tuple
        Rows to train with, rows to validate with, and what to tell the user.
    """
    places = [(one.number, one.fov) for one in frames.places]
    used = np.unique(frames.place).tolist()
    rest, held, told = divide(places, used, fraction, unit, seed)
    return frames.of(rest), frames.of(held), told


def label_map(frame: NDArray[np.float16]) -> NDArray[np.float64]:
    """Say where a frame is labelled, in blocks of 16 pixels.

    Parameters
    ----------
    frame
        Source and targets, normalised, (C, Z, Y, X).

    Returns
    -------
    numpy.ndarray
        Mean over the targets of how far each block is above the background, relative to
        the frame's mean, (Y / 16, X / 16) rounded up; 1 everywhere without targets.
    """
    height, width = (-(-side // BLOCK) for side in frame.shape[2:])
    found = np.zeros((height, width))
    for image in frame[1:]:
        flat = image.mean(0, dtype=np.float32)
        padding = (height * BLOCK - flat.shape[0], width * BLOCK - flat.shape[1])
        flat = np.pad(flat, [(0, one) for one in padding], mode="edge")
        blocks = flat.reshape(height, BLOCK, width, BLOCK).mean((1, 3))
        signal = (blocks - np.percentile(flat, 5)).clip(0)
        found += signal / max(float(signal.mean()), 1e-6)
    return found / found.mean() if found.any() else np.ones_like(found)
