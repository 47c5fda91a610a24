"""The movies that CELLECT learns from: pixels normalised as they are read, and their cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.half import halved
from napari_dynaclr.learning.holding_out import divide
from napari_dynaclr.tracking.cellect.images import normalise
from napari_dynaclr.tracking.cellect.training.points import tracked_points, true_points

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.tracking.cellect.recipe import Normalization
    from napari_dynaclr.tracking.cellect.training.points import Points

_LEFT = 1 / 6
"""Of the frames of a single movie, the last ones are held out; the paper holds out 50 of 320."""


@dataclass(frozen=True)
class Place:
    """A FOV to learn from.

    Attributes
    ----------
    number
        Of its dataset.
    fov
        Where the pixels are.
    channel
        Which of them.
    normalization
        How they are normalised.
    points
        Its cells.
    """

    number: int
    fov: Fov
    channel: str
    normalization: Normalization
    points: Points

    def read(self, times: Sequence[int]) -> Iterator[tuple[int, NDArray[np.float16]]]:
        """Read frames.

        Parameters
        ----------
        times
            Which, ascending.

        Yields
        ------
        tuple
            Time point, and the normalised frame, (Z, Y, X).
        """
        for t, frame in self.fov.frames([self.channel], times, allow_empty=True):
            yield t, halved(normalise(frame[0], self.normalization))


@dataclass(frozen=True)
class Stretch:
    """A part of a movie to learn from, or to validate with.

    Attributes
    ----------
    place
        The FOV.
    first, last
        Its first and last time point.
    """

    place: Place
    first: int
    last: int

    @property
    def pixels(self) -> tuple[int, int]:
        """Pixels of a frame as it is read, and of what stays of it: all."""
        pixels = int(np.prod(self.place.fov.shape[1:]))
        return pixels, pixels

    @property
    def block(self) -> int:
        """Frames that one read from disk brings."""
        return self.place.fov.find(self.place.channel)[0].time_chunk

    def read(self, times: Sequence[int]) -> Iterator[tuple[int, NDArray[np.float16]]]:
        """Read frames; see :meth:`Place.read`."""
        return self.place.read(times)

    def starts(self) -> list[int]:
        """Return the time points from which there is a cell, and a frame to go on to."""
        times = np.unique(self.place.points.t)
        return [int(t) for t in times if self.first <= t < self.last]

    def times(self, t: int, interval: int) -> tuple[int, int, int]:
        """Return the time points of a sample; at the end, the last frame stands for the next."""
        following = min(t + interval, self.last)
        return t, following, min(following + interval, self.last)


def gather(
    datasets: Sequence[Dataset], channel: str, normalization: Normalization, truth: str, job: Job
) -> list[Place]:
    """Gather the cells of all FOVs.

    Parameters
    ----------
    datasets
        To learn from.
    channel
        Which is read.
    normalization
        How it is normalised.
    truth
        Plate of true tracks of the first dataset; the tracks of the workspaces if empty.
    job
        Progress and cancelling.

    Raises
    ------
    MissingInput
        If a FOV has not been tracked.
    InvalidInput
        If there are no tracks, or but one frame.
    """
    places = []
    fovs = [(i, dataset, fov) for i, dataset in enumerate(datasets) for fov in dataset.fovs]
    for number, dataset, fov in job.track(fovs, "prepare the tracks"):
        if fov.shape[0] < 2:
            raise InvalidInput(
                f"FOV {fov.name} has one frame only: linking is learned from two at least. "
                "Leave it out."
            )
        points = true_points(truth, fov, job) if truth else tracked_points(dataset, fov, job)
        places.append(Place(number, fov, channel, normalization, points))
    return places


def hold_out(
    places: Sequence[Place], fraction: float, unit: str, seed: int
) -> tuple[list[Stretch], list[Stretch], str]:
    """Divide the movies into what to train with and what to validate with.

    Parameters
    ----------
    places
        All FOVs.
    fraction
        Of the FOVs or wells, or of the time points, to hold out; 0 for none.
    unit
        "fov", "well", or "time": the last frames of every movie. So it is, too, where there is
        one FOV or well only.
    seed
        For the choice.

    Returns
    -------
    tuple
        What to train with, what to validate with, and what to tell the user.

    Raises
    ------
    InvalidInput
        If no two frames with cells are left to train with.
    """
    whole = [Stretch(one, 0, one.fov.shape[0] - 1) for one in places]
    train, held, told = whole, list[Stretch](), ""
    if unit != "time" and fraction:
        used = [i for i, one in enumerate(whole) if one.starts()]
        pairs = [(one.number, one.fov) for one in places]
        rest, chosen, told = divide(pairs, used, fraction, unit, seed)
        train, held = [whole[i] for i in rest], [whole[i] for i in chosen]
    if fraction and not held:
        share = fraction if unit == "time" else _LEFT
        cuts = [max(one.last + 1 - max(round(share * (one.last + 1)), 2), 2) for one in whole]
        parts = [(one, cut) for one, cut in zip(whole, cuts, strict=True) if cut < one.last]
        train = [Stretch(one.place, 0, cut - 1) for one, cut in parts]
        train += [one for one, cut in zip(whole, cuts, strict=True) if cut >= one.last]
        held = [Stretch(one.place, cut, one.last) for one, cut in parts]
        told = (
            "Held out for validation: the last frames of each movie."
            if held
            else ("The movies are too short to hold out frames of them.")
        )
    train, held = ([one for one in some if one.starts()] for some in (train, held))
    if not train:
        raise InvalidInput(
            "There are no cells in any frame but the last: there is nothing to learn linking from."
        )
    return train, held, told
