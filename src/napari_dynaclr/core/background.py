"""Work ahead in the background, so that reading and computing go on at the same time."""

from __future__ import annotations

import queue
import threading
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from napari_dynaclr.core.job import Job

_POLL = 0.1
"""Seconds between looks at whether the job was cancelled."""


def in_background[T](work: Callable[[], T], job: Job) -> T:
    """Do something that cannot be interrupted, such as importing torch, and return its result.

    A cancelled job stops at once; the work then ends by itself, and its result is dropped.

    Parameters
    ----------
    work
        What to do, in a thread.
    job
        For cancelling.
    """
    with closing(read_ahead((work() for _ in range(1)), job)) as done:
        return next(done)


def read_ahead[T](items: Iterable[T], job: Job, depth: int = 2) -> Generator[T]:
    """Iterate over ``items``, of which a thread prepares the next ones meanwhile.

    A cancelled job stops at once, also while the thread is busy with an item or
    waits for a server; the thread then ends by itself, and what it made is dropped.

    Parameters
    ----------
    items
        What to iterate over; it is advanced in the thread, and closed there.
    job
        For cancelling.
    depth
        Items that may wait. Two more are in work: one there, one here.

    Yields
    ------
    T
        The items, in their order; an error in the thread is raised here.
    """
    ready: queue.Queue[tuple[list[T], BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(found: list[T], error: BaseException | None = None) -> bool:
        while not stop.is_set():
            try:
                ready.put((found, error), timeout=_POLL)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put([item]):
                    return
        except BaseException as error:  # noqa: BLE001 raised again where it can be handled
            put([], error)
        else:
            put([])
        finally:
            if close := getattr(iterator, "close", None):
                close()

    # A daemon: a server that never answers must not keep the program from ending.
    threading.Thread(target=work, name="napari-dynaclr read ahead", daemon=True).start()
    try:
        while True:
            job.check()
            try:
                found, error = ready.get(timeout=_POLL)
            except queue.Empty:
                continue
            if error is not None:
                raise error
            if not found:
                return
            yield found[0]
    finally:
        stop.set()
