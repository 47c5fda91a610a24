"""The movies that TAP learns from: frames normalised as they are read, and where there is much."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.half import halved
from napari_dynaclr.embedding.tap.images import prepare, read
from napari_dynaclr.learning.holding_out import divide

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.embedding.tap.recipe import Stacks

_LEFT = 1 / 6
"""Of the frames of single movies, the last ones are held out."""

BLOCK = 16
"""Pixels; how finely it is known where in a frame there is something."""

_EMPTY = 10
"""Percentile of the blocks of a frame that is taken for its background."""


@dataclass(frozen=True)
class Place:
    """A FOV to learn from.

    Attributes
    ----------
    number
        Of its dataset.
    dataset, fov
        Where the pixels are.
    channel
        Which of them.
    stacks
        What becomes of images with depth.
    step
        Frames from the first to the second of a pair.
    """

    number: int
    dataset: Dataset
    fov: Fov
    channel: str
    stacks: Stacks
    step: int

    @property
    def slices(self) -> int:
        """Images of a frame."""
        return 1 if self.stacks == "max" else self.fov.shape[1]


@dataclass
class Stretch:
    """A part of a movie to learn from, or to validate with.

    Attributes
    ----------
    place
        The FOV.
    first, last
        Its first and last time point.
    content
        How much there is in each block of the frames that have been read, (Z, Y / 16, X / 16)
        rounded up, by time point; frames that are of one value are not among them.
    seen
        Time points that have been read.
    """

    place: Place
    first: int
    last: int
    content: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)

    @property
    def pixels(self) -> tuple[int, int]:
        """Pixels of a frame as it is read, and of what stays of it."""
        _, depth, height, width = self.place.fov.shape
        return depth * height * width, self.place.slices * height * width

    @property
    def block(self) -> int:
        """Frames that one read from disk brings."""
        return self.place.fov.find(self.place.channel)[0].time_chunk

    @property
    def empty(self) -> list[int]:
        """Time points that have been read and are of one value."""
        return sorted(self.seen - self.content.keys())

    def read(self, times: Sequence[int]) -> Iterator[tuple[int, NDArray[np.float16]]]:
        """Read frames, and note where there is something in them.

        Parameters
        ----------
        times
            Which, ascending.

        Yields
        ------
        tuple
            Time point, and the normalised frame, (Z, Y, X).
        """
        place = self.place
        for t, frame in read(place.fov, place.channel, times):
            scaled = prepare(frame, place.stacks)
            if t not in self.seen:
                self.seen.add(t)
                if scaled.any():
                    self.content[t] = content_of(scaled)
            yield t, halved(scaled)

    def starts(self) -> list[int]:
        """Return the time points of frames with which a pair begins, as far as is known."""
        step = self.place.step
        empty = set(self.empty)
        return [
            t
            for t in range(self.first, self.last - step + 1)
            if t not in empty and t + step not in empty
        ]


def content_of(frame: NDArray[np.floating]) -> NDArray[np.float32]:
    """Say where in a frame there is something, bright or dark, in blocks of 16 pixels.

    Parameters
    ----------
    frame
        Normalised, (Z, Y, X).

    Returns
    -------
    numpy.ndarray
        Mean distance of the pixels of each block from the median of their slice, beyond that of
        the emptiest tenth of the blocks, (Z, Y / 16, X / 16) rounded up; 0 for nothing.
    """
    away = np.abs(frame - np.median(frame, axis=(1, 2), keepdims=True)).astype(np.float32)
    padding = [(0, -side % BLOCK) for side in away.shape[1:]]
    away = np.pad(away, [(0, 0), *padding], mode="edge")
    depth, height, width = away.shape
    blocks = away.reshape(depth, height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean((2, 4))
    found: NDArray[np.float32] = (blocks - np.percentile(blocks, _EMPTY)).clip(0)
    return found.astype(np.float32)


def hold_out(
    places: Sequence[Place], fraction: float, unit: str, seed: int
) -> tuple[list[Stretch], list[Stretch], str]:
    """Divide the movies into what to train with and what to validate with.

    Parameters
    ----------
    places
        All FOVs; each is longer than its step.
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
    """
    whole = [(one, one.fov.shape[0] - 1) for one in places]
    if unit != "time" and fraction:
        pairs = [(one.number, one.fov) for one in places]
        rest, chosen, told = divide(pairs, range(len(places)), fraction, unit, seed)
        if chosen:
            train, held = ([Stretch(places[i], 0, whole[i][1]) for i in some]
                           for some in (rest, chosen))  # fmt: skip
            return train, held, told
    if not fraction:
        return [Stretch(one, 0, last) for one, last in whole], [], ""
    share = fraction if unit == "time" else _LEFT
    train, held = [], []
    for one, last in whole:
        # A pair at least on either side.
        count = max(round(share * (last + 1)), one.step + 1)
        cut = last + 1 - count
        if cut > one.step:
            train.append(Stretch(one, 0, cut - 1))
            held.append(Stretch(one, cut, last))
        else:
            train.append(Stretch(one, 0, last))
    if not held:
        return train, [], "The movies are too short to hold out frames of them."
    return train, held, "Held out for validation: the last frames of each movie."


def require_pairs(stretches: Sequence[Stretch], channel: str, job: Job) -> None:
    """Check, once all frames have been read, that there are pairs; say what was left out.

    Parameters
    ----------
    stretches
        What to train with.
    channel
        For the message.
    job
        Told of frames that are left out.

    Raises
    ------
    InvalidInput
        If there are none.
    """
    empty = [(one, len(one.empty)) for one in stretches if one.empty]
    if not any(one.content for one in stretches):
        raise InvalidInput(
            f"Channel {channel} holds frames of one value only, such as zeros: there is nothing "
            "to learn from. Choose another channel."
        )
    if not any(one.starts() for one in stretches):
        raise InvalidInput(
            f"No two frames of channel {channel} that make a pair hold more than one value: "
            "choose another channel or time step."
        )
    for one, count in empty:
        frames = "frame is" if count == 1 else "frames are"
        job.note(
            f"FOV {one.place.fov.name}: {count} {frames} of one value, such as zeros, and left "
            f"out: {_listed(one.empty)}."
        )


def _listed(times: Sequence[int]) -> str:
    few = ", ".join(map(str, times[:5]))
    return f"t = {few}{' ...' if len(times) > 5 else ''}"
