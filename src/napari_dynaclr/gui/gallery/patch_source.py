"""Reads thumbnails of cells in the background, a few at a time, for whoever shows them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QImage, QPixmap

from napari_dynaclr.session.thumbnails import WIDTH_UM, Look, thumbnails

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.gui.runner import Run
    from napari_dynaclr.gui.workbench import Workbench
    from napari_dynaclr.session.thumbnails import Place

_AT_A_TIME = 0.2
"""Seconds of reading before what there is is shown."""

Pictures = list[tuple[int, "NDArray[np.uint8]"]]


class PatchSource(QObject):
    """Reads thumbnails for one view; a new request replaces the one before.

    Parameters
    ----------
    bench
        The viewer's workbench.
    parent
        Its owner in Qt.
    """

    arrived = Signal(object)
    """Some have been read: a list of (index into the places asked for, picture (Y, X, 3))."""
    finished = Signal()
    """All have been read."""

    def __init__(self, bench: Workbench, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bench = bench
        self._tickets = [0]
        self._run: Run | None = None
        # What comes back after this object is gone must find that nobody waits for it.
        self.destroyed.connect(self._tickets.clear)

    def request(
        self, places: Sequence[Place], looks: Sequence[Look], width: float = WIDTH_UM
    ) -> None:
        """Read thumbnails; what was asked for before and has not come yet is dropped.

        Parameters
        ----------
        places
            The cells, the most urgent first.
        looks
            Channels, and how to show them: see :func:`looks_of`.
        width
            Width of a patch in um.
        """
        self.stop()
        dataset = self._bench.session.dataset
        if dataset is not None and len(places):
            coming = thumbnails(dataset, places, looks, width, self._bench.cache)
            self._go_on(coming, list(self._tickets))

    def stop(self) -> None:
        """Drop what has been asked for."""
        self._tickets[0] += 1
        if self._run is not None:
            self._run.cancel()
            self._run = None

    def _go_on(self, coming: Iterator[tuple[int, NDArray[np.uint8]]], ticket: list[int]) -> None:
        def work(job: Job) -> tuple[Pictures, bool]:
            found: Pictures = []
            until = time.monotonic() + _AT_A_TIME
            for one in coming:
                job.check()
                found.append(one)
                if time.monotonic() > until:
                    return found, False
            return found, True

        def done(result: tuple[Pictures, bool]) -> None:
            if ticket != self._tickets:
                return
            found, is_all = result
            self._run = None
            self.arrived.emit(found)
            if not is_all and ticket == self._tickets:
                self._go_on(coming, ticket)
            elif is_all:
                self.finished.emit()

        def failed(error: Exception) -> None:
            if ticket == self._tickets:
                self._run = None
                self._bench.explain(error)

        self._run = self._bench.runner.start("read patches", work, done, failed, lane="patches")


def looks_of(bench: Workbench, channel: str = "") -> list[Look]:
    """Return how channels are shown in the viewer.

    Parameters
    ----------
    bench
        The viewer's workbench.
    channel
        The one channel wanted; all that are visible if empty, or the first one.
    """
    fov = bench.session.fov
    if fov is None:
        return []
    layers = {name: bench.layers.layer(f"channel {name}") for name in fov.channels}
    if channel:
        return [_look(channel, layers.get(channel))]
    seen = [name for name, layer in layers.items() if layer is not None and layer.visible]
    return [_look(name, layers[name]) for name in seen or fov.channels[:1]]


def _look(channel: str, layer: Any) -> Look:
    if layer is None:  # the user has deleted it
        return Look(channel)
    low, high = layer.contrast_limits
    steps = np.linspace(0.0, 1.0, 256) ** layer.gamma
    table = np.asarray(layer.colormap.map(steps)[:, :3] * layer.opacity, np.float32)
    return Look(channel, (float(low), float(high)), table)


def pixmap(picture: NDArray[np.uint8]) -> QPixmap:
    """Turn a picture (Y, X, 3) into one that Qt can draw."""
    whole = np.ascontiguousarray(picture)
    height, width = whole.shape[:2]
    image = QImage(whole.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.copy())  # a copy: Qt does not keep the array alive
