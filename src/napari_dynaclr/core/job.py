"""Job: progress and cancelling, the same for a script, a terminal and a GUI."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from napari_dynaclr.core.errors import Cancelled

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")


class JobState(Enum):
    """Where a job stands; asked to cancel is not yet cancelled."""

    RUNNING = "running"
    CANCEL_REQUESTED = "cancel requested"


@dataclass(frozen=True)
class Progress:
    """How far one level of a job has come.

    Attributes
    ----------
    text
        What is being done, in the user's words.
    done, total
        Finished and expected items; ``total`` is 0 where it is unknown.
    level
        Depth of nesting: 0 for the outermost loop (usually FOVs).
    seconds_left
        Estimate for this level, or None before the first item is finished.
    """

    text: str
    done: int
    total: int
    level: int = 0
    seconds_left: float | None = None


@dataclass(frozen=True)
class Part:
    """A time point of a FOV's result that can be looked at before the rest is done.

    Attributes
    ----------
    result
        Name of the result, such as "segmentation".
    fov_name, t
        What it is of.
    image
        Folder of the unfinished image, an OME-Zarr FOV that grows; it goes when the
        result is complete.
    """

    result: str
    fov_name: str
    t: int
    image: Path


@dataclass(frozen=True)
class Figures:
    """What a training has come to after an epoch, to be drawn as curves.

    Attributes
    ----------
    epoch
        Epochs that are finished.
    values
        Value by name, such as "loss"; what was not measured is not there.
    pictures
        What the network makes of something that it has not learned from: images (Y, X) by
        name, float32 from 0 to 1, to be shown beside each other.
    """

    epoch: int
    values: Mapping[str, float]
    pictures: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class Job:
    """One run of some stage: reports progress, and stops when asked.

    A stage always has a job; without a listener it is a null job, so that code
    needs no checks for optional callbacks. Methods may be called from any thread.

    Parameters
    ----------
    on_progress
        Called with each :class:`Progress`, on the thread that does the work.
    on_part
        Called with each :class:`Part`, on the same thread.
    on_figures
        Called with the :class:`Figures` of a training, on the thread that trains.
    """

    def __init__(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        on_part: Callable[[Part], None] | None = None,
        on_figures: Callable[[Figures], None] | None = None,
    ) -> None:
        self._on_progress = on_progress
        self._on_part = on_part
        self._on_figures = on_figures
        self.notes: list[str] = []
        """What the user should know about the result, a sentence each."""
        self._cancel = threading.Event()
        self._finish = threading.Event()
        self._level = 0

    @property
    def state(self) -> JobState:
        """Whether the job runs freely or has been asked to stop."""
        return JobState.CANCEL_REQUESTED if self._cancel.is_set() else JobState.RUNNING

    def cancel(self) -> None:
        """Ask the job to stop at its next item."""
        self._cancel.set()

    def finish(self) -> None:
        """Ask a training to stop after its next batch, and to keep what it has learned."""
        self._finish.set()

    @property
    def finishing(self) -> bool:
        """Whether :meth:`finish` was called."""
        return self._finish.is_set()

    def check(self) -> None:
        """Stop here if asked to.

        Raises
        ------
        Cancelled
            If :meth:`cancel` was called.
        """
        if self._cancel.is_set():
            raise Cancelled

    def note(self, text: str) -> None:
        """Keep a sentence to tell the user with the result; the job goes on."""
        self.notes.append(text)

    def made(self, part: Part) -> None:
        """Tell the listener that a time point is there to be looked at."""
        if self._on_part is not None:
            self._on_part(part)

    def measured(self, figures: Figures) -> None:
        """Tell the listener what a training has come to."""
        if self._on_figures is not None:
            self._on_figures(figures)

    def report(
        self, text: str, done: int = 0, total: int = 0, seconds_left: float | None = None
    ) -> None:
        """Tell the listener where the innermost level stands, then :meth:`check`."""
        if self._on_progress is not None:
            self._on_progress(Progress(text, done, total, self._level, seconds_left))
        self.check()

    def track(
        self, items: Iterable[T], text: str, total: int | None = None, done: int = 0
    ) -> Iterator[T]:
        """Iterate over ``items``, reporting each; loops may be nested.

        Parameters
        ----------
        items
            What to work through.
        text
            What is being done, in the user's words.
        total
            Number of items with those in ``done``; taken from ``len(items)`` if omitted.
        done
            Items that an earlier run had finished already.

        Raises
        ------
        Cancelled
            Before the next item, if the job was asked to stop.
        """
        if total is None:
            total = len(items) + done if isinstance(items, Sized) else 0
        level, start, finished = self._level, time.monotonic(), 0
        self.report(text, done, total)
        try:
            for item in items:
                self.check()
                self._level = level + 1
                yield item
                self._level = level
                finished += 1
                left = (total - done - finished) * (time.monotonic() - start) / finished
                self.report(text, done + finished, total, max(left, 0.0) if total else None)
        finally:
            self._level = level
