"""How a run is going: a bar with an estimate, and how it ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_dynaclr.gui.runner import RunState

if TYPE_CHECKING:
    from napari_dynaclr.core.job import Progress
    from napari_dynaclr.gui.runner import Run

_STEPS = 1000
_BEFORE_ESTIMATE = 2.0
"""Seconds before an estimate is worth anything."""


class RunProgress(QWidget):
    """Shows one run: progress with the time left, then how it ended.

    Parameters
    ----------
    parent
        Its parent in Qt.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.text = QLabel()
        self.text.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.bar)
        layout.addWidget(self.text)
        self._levels: dict[int, Progress] = {}
        self._run: Run | None = None
        self._start = (0.0, 0.0)
        self._clock = QTimer(self)
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._tell)
        self.bar.hide()
        self.tell("")

    def tell(self, text: str) -> None:
        """Show a line; takes no room where there is nothing to say."""
        self.text.setText(text)
        self.text.setVisible(bool(text))

    def follow(self, run: Run) -> None:
        """Show a run from now on."""
        if run is self._run or run.is_over:
            return
        if self._run is not None:
            self._run.progressed.disconnect(self._progressed)
            self._run.ended.disconnect(self._ended)
        self._run, self._levels = run, {}
        self.bar.setRange(0, 0)
        self.bar.show()
        self.tell("starting…")
        run.progressed.connect(self._progressed)
        run.ended.connect(self._ended)
        self._clock.start()

    def _progressed(self, progress: Progress) -> None:
        before = self._levels.get(progress.level)
        self._levels = {k: p for k, p in self._levels.items() if k < progress.level}
        is_new = before is None or before.text != progress.text or before.done > progress.done
        if not self._levels and is_new:
            # From here on: what an earlier run had finished says nothing of the pace.
            self._start = (time.monotonic(), _fraction({progress.level: progress}))
        self._levels[progress.level] = progress
        self._tell()

    @property
    def fraction(self) -> float:
        """How much is done, from 0 to 1, the inner loops counted within the outer."""
        return _fraction(self._levels)

    def _tell(self) -> None:
        if self._run is None:
            return
        asked = _asked(self._run)
        if not self._levels:
            self.tell(asked or "starting…")
            return
        done = self.fraction
        self.bar.setRange(0, _STEPS if done else 0)
        self.bar.setValue(round(done * _STEPS))
        said = [
            f"{p.text} {p.done}/{p.total}" if p.total else p.text
            for _, p in sorted(self._levels.items())
        ]
        elapsed, gained = time.monotonic() - self._start[0], done - self._start[1]
        left = asked
        if not asked and gained > 0 and elapsed > _BEFORE_ESTIMATE:
            left = f"about {duration(elapsed * (1 - done) / gained)} left"
        self.tell(" · ".join([*said, left] if left else said))

    def _ended(self) -> None:
        run, self._run = self._run, None
        self._clock.stop()
        self.bar.hide()
        if run is None:
            return
        elapsed = duration(time.monotonic() - run.began)
        self.tell(
            {
                RunState.FINISHED: f"finished in {elapsed}",
                RunState.CANCELLED: "cancelled; run again to go on where it stopped",
            }.get(run.state, f"failed: {run.error}")
        )


def _asked(run: Run) -> str:
    """Say what a run was asked to do."""
    if run.state is RunState.STOPPING:
        return "stopping…"
    return "finishing…" if run.is_finishing else ""


def _fraction(levels: dict[int, Progress]) -> float:
    """How much is done, each level a part of an item of the one around it."""
    inner = 0.0
    for level in sorted(levels, reverse=True):
        progress = levels[level]
        if progress.total:
            inner = min((progress.done + inner) / progress.total, 1.0)
    return inner


def duration(seconds: float) -> str:
    """Say a time span as a person would."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
