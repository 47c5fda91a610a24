"""The only file that knows threads: runs work in the background for one viewer.

Stages run one at a time in a lane of their own; short reads and writes have theirs,
so that they never wait behind a stage. Everything that comes back arrives on the GUI
thread.
"""

from __future__ import annotations

import atexit
import queue
import threading
import time
import weakref
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer, Signal, Slot

from napari_dynaclr.core.errors import Cancelled
from napari_dynaclr.core.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_dynaclr.core.job import Figures, Progress

_PATIENCE = 10.0
"""Seconds that a closing program waits for cancelled work at most."""

_REPORT_EVERY = 50
"""Milliseconds between reports of progress: a person cannot read faster."""


_KEPT = "annotate"
"""Lane of what is done even after closing: a click must reach the disk."""


class RunState(Enum):
    """Where a run stands; asked to stop is not yet stopped."""

    WAITING = "waiting"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class _Post(QObject):
    """Brings what threads say to the GUI thread.

    There is one, which is never deleted: a thread may still be inside the signal that it
    sent when its message has long been heard.
    """

    _woken = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._inbox: queue.SimpleQueue[tuple[_Task, str, Any]] = queue.SimpleQueue()
        self._woken.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def send(self, task: _Task, what: str, value: Any) -> None:
        """Say something of a task, from any thread."""
        self._inbox.put((task, what, value))
        self._woken.emit()

    @Slot()  # type: ignore[untyped-decorator]
    def _deliver(self) -> None:
        # One at a time, as it was called: whoever fails to listen keeps no other waiting.
        task, what, value = self._inbox.get()
        run = task.run()
        if run is None or not isalive(run):  # nobody wants to know any more
            task.job.cancel()
        else:
            run.receive(what, value)

    def deliver_all(self) -> None:
        """Have everything heard now rather than when the window has time."""
        QCoreApplication.sendPostedEvents(self, QEvent.Type.MetaCall)


@cache
def _post() -> _Post:
    return _Post()


class _Task:
    """What a thread has of a run: nothing of Qt, whose objects must end on the GUI thread."""

    def __init__(self, work: Callable[[Job], Any], run: Run) -> None:
        self.job = Job(on_progress=self._report, on_part=self._part, on_figures=self._figures)
        self.began = 0.0
        self.worked = threading.Event()
        self.run = weakref.ref(run)
        self._work: Callable[[Job], Any] | None = work
        self._post = _post()
        self._levels: dict[int, Progress] = {}
        self._announced = False
        self._lock = threading.Lock()

    def execute(self) -> None:
        """Do the work; on the thread of a lane."""
        self.began = time.monotonic()
        self._send("started", None)
        work, self._work = self._work, None
        try:
            self.job.check()
            result = work(self.job) if work else None
        except Cancelled:
            self._send("cancelled", None)
        except Exception as error:  # noqa: BLE001 # whatever went wrong must not stay "running"
            self._send("failed", error)
        except BaseException as error:  # noqa: BLE001 # a library that exits, or panics in Rust
            self._send("failed", RuntimeError(f"{type(error).__name__}: {error}"))
        else:
            self._send("finished", result)
        self.worked.set()

    def reported(self) -> list[Progress]:
        """Return the newest progress of each level, outermost first, if any is new."""
        with self._lock:
            levels, new, self._announced = self._levels, self._announced, False
        return [levels[level] for level in sorted(levels)] if new else []

    def _report(self, progress: Progress) -> None:
        # One message at a time is on its way, however often the work reports.
        with self._lock:
            outer = {k: p for k, p in self._levels.items() if k < progress.level}
            self._levels = {**outer, progress.level: progress}
            known, self._announced = self._announced, True
        if not known:
            self._send("progress", None)

    def _part(self, part: Any) -> None:
        self._send("part", part)

    def _figures(self, figures: Figures) -> None:
        self._send("figures", figures)

    def _send(self, what: str, value: object) -> None:
        try:
            self._post.send(self, what, value)
        except RuntimeError:  # the program is at its end, and Qt with it
            self.job.cancel()


class Run(QObject):
    """One piece of work in the background.

    Parameters
    ----------
    title
        What it does, in the user's words.
    work
        Does it, given the job.
    lane
        Where it waits for its turn.
    """

    progressed = Signal(object)
    """:class:`~napari_dynaclr.core.job.Progress`: the newest of each level, outermost first,
    at most twenty times a second."""
    made = Signal(object)
    """A part of the result is on disk: :class:`~napari_dynaclr.core.job.Part`."""
    measured = Signal(object)
    """A training has finished an epoch: :class:`~napari_dynaclr.core.job.Figures`."""
    ended = Signal()
    """It is over, however it went; see :attr:`state`."""

    def __init__(self, title: str, work: Callable[[Job], Any], lane: str = "read") -> None:
        super().__init__()
        self.title, self.lane = title, lane
        self.state = RunState.WAITING
        self.result: Any = None
        self.error: Exception | None = None
        self.task = _Task(work, self)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_REPORT_EVERY)
        self._pause.timeout.connect(self._tell)

    @property
    def job(self) -> Job:
        """What the work was given."""
        return self.task.job

    @property
    def began(self) -> float:
        """When the work began, by :func:`time.monotonic`; 0 while it waits."""
        return self.task.began

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in (RunState.FINISHED, RunState.CANCELLED, RunState.FAILED)

    def cancel(self) -> None:
        """Ask it to stop at its next item."""
        if not self.is_over:
            self.state = RunState.STOPPING
            self.job.cancel()

    def finish(self) -> None:
        """Ask a training to end after its next batch, and to keep what it has learned."""
        if not self.is_over:
            self.job.finish()

    @property
    def is_finishing(self) -> bool:
        """Whether it was asked to :meth:`finish`, and has not ended yet."""
        return self.job.finishing and not self.is_over

    def settle(self, seconds: float) -> None:
        """Wait for the work, and hear how it went now rather than when the window has time."""
        if self.task.worked.wait(seconds):
            _post().deliver_all()

    def receive(self, what: str, value: Any) -> None:
        """Hear from the thread that works; on the GUI thread."""
        if what == "progress":
            if not self._pause.isActive():
                self._tell()
        elif what == "part":
            self.made.emit(value)
        elif what == "figures":
            self.measured.emit(value)
        elif what == "started":
            if self.state is RunState.WAITING:
                self.state = RunState.RUNNING
        else:
            self._tell()
            self._pause.stop()
            self.state = RunState(what)
            if what == "finished":
                self.result = value
            elif what == "failed":
                self.error = value
            self.ended.emit()

    def _tell(self) -> None:
        """Pass on what has been reported since the last time, then wait a while."""
        reported = self.task.reported()
        if reported:
            self._pause.start()
        for progress in reported:
            self.progressed.emit(progress)


class Runner(QObject):
    """Runs the background work of one viewer.

    Parameters
    ----------
    parent
        Its owner in Qt.
    """

    failed = Signal(str, object)
    """A run failed that nobody takes care of: title and error."""
    stage_changed = Signal()
    """A stage was started, or the running one has ended."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        _post()  # made on this thread
        self._runs: set[Run] = set()
        self._lanes: dict[str, queue.SimpleQueue[_Task | None]] = {}
        self._closed = False
        self.stage: Run | None = None
        """The stage that is running, if any."""
        _runners.add(self)
        # Threads must end also where nobody calls close().
        weakref.finalize(self, _end_lanes, self._lanes)

    def start(
        self,
        title: str,
        work: Callable[[Job], Any],
        done: Callable[[Any], None] | None = None,
        failed: Callable[[Exception], None] | None = None,
        lane: str = "read",
    ) -> Run:
        """Run something in the background.

        Parameters
        ----------
        title
            What it does, in the user's words.
        work
            Does it, given the job; on another thread.
        done
            Called with the result, on the GUI thread.
        failed
            Called with the error instead of :attr:`failed`, on the GUI thread.
        lane
            Work of the same lane is done in order, one after the other.
        """
        run = Run(title, work, lane)
        self._runs.add(run)

        def tell(error: Exception) -> None:
            if failed is not None:
                failed(error)
            elif isalive(self):
                self.failed.emit(title, error)

        def ended() -> None:
            self._runs.discard(run)
            run.deleteLater()  # Python's collector may run on any thread; Qt's objects end here
            self._let_go()
            if self._closed and lane != _KEPT:
                return
            if run.state is RunState.FINISHED and done is not None:
                done(run.result)
            elif run.state is RunState.FAILED and run.error is not None:
                tell(run.error)

        run.ended.connect(ended)
        if self._closed and lane != _KEPT:
            run.cancel()
        self._lane(lane).put(run.task)
        if self._closed:
            _end_lanes(self._lanes)
        return run

    def start_stage(
        self, title: str, work: Callable[[Job], Any], done: Callable[[Any], None] | None = None
    ) -> Run:
        """Run a stage; there is one at a time.

        Raises
        ------
        RuntimeError
            If one is running: its widget must not offer to start another.
        """
        if self.stage is not None:
            raise RuntimeError(f"'{self.stage.title}' is running")
        run = self.start(title, work, done, lane="stage")
        self.stage = run

        def ended() -> None:
            self.stage = None
            self.stage_changed.emit()

        run.ended.connect(ended)
        self.stage_changed.emit()
        return run

    def execute(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Do work that touches the disk, in order: what a session's annotator asks for."""
        self.start("annotate", lambda _job: work(), done, failed, lane=_KEPT)

    def _lane(self, name: str) -> queue.SimpleQueue[_Task | None]:
        if name not in self._lanes:
            waiting: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
            self._lanes[name] = waiting
            # Daemons: what cannot be interrupted must not keep a closed program alive.
            thread = threading.Thread(
                target=_work_off, args=(waiting,), name=f"dynaclr-{name}", daemon=True
            )
            thread.start()
            _threads.add(thread)
        return self._lanes[name]

    @property
    def is_busy(self) -> bool:
        """Whether anything is waiting or running."""
        return bool(self._runs)

    def settle(self, lane: str, patience: float = _PATIENCE) -> bool:
        """Wait until a lane is empty, for a window that is closing: nobody hears of it later.

        Parameters
        ----------
        lane
            The lane; what its results start in it is waited for too.
        patience
            Seconds to wait at most.

        Returns
        -------
        bool
            Whether it is empty.
        """
        until = time.monotonic() + patience
        while runs := [run for run in self._runs if run.lane == lane]:
            left = until - time.monotonic()
            if left <= 0:
                return False
            runs[0].settle(left)
        return True

    def close(self) -> None:
        """Ask everything to stop, and accept nothing from it any more, but for annotations.

        When all has stopped, this deletes itself: Python may find on any thread that
        nobody needs it, and Qt's objects must end on theirs.
        """
        self._closed = True
        for run in list(self._runs):
            if run.lane != _KEPT:
                run.cancel()
        _end_lanes(self._lanes)
        self._let_go()

    def _let_go(self) -> None:
        if self._closed and not self._runs and isalive(self):
            self.deleteLater()


_threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
_runners: weakref.WeakSet[Runner] = weakref.WeakSet()


@atexit.register
def _let_them_end() -> None:
    """Give cancelled work the time to stop at its next item, so that it ends cleanly."""
    for runner in list(_runners):
        runner.close()
    until = time.monotonic() + _PATIENCE
    for thread in list(_threads):
        thread.join(max(until - time.monotonic(), 0.0))


def _work_off(waiting: queue.SimpleQueue[_Task | None]) -> None:
    while (task := waiting.get()) is not None:
        task.execute()
        del task  # or the last one would live until the next comes


def _end_lanes(lanes: dict[str, queue.SimpleQueue[_Task | None]]) -> None:
    for waiting in lanes.values():
        waiting.put(None)
    lanes.clear()
