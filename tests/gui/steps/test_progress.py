from __future__ import annotations

import threading

import pytest
from qtpy.QtWidgets import QApplication

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Progress
from napari_dynaclr.gui.runner import Runner
from napari_dynaclr.gui.steps import progress as progress_module
from napari_dynaclr.gui.steps.progress import RunProgress, duration


@pytest.fixture
def runner():
    made = Runner()
    yield made
    made.close()
    made.deleteLater()


@pytest.fixture
def shown(qtbot):
    made = RunProgress()
    qtbot.addWidget(made)
    made.show()
    return made


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(progress_module, "time", made)
    return made


class Gate:
    """Work that does a step each time it is let."""

    def __init__(self, levels=()):
        self._steps = threading.Semaphore(0)
        self.levels = levels

    def __call__(self, job):
        for _ in job.track(range(4), "FOVs"):
            for _ in job.track(range(5), "A/1/0"):
                assert self._steps.acquire(timeout=20)

    def step(self, count=1):
        self._steps.release(count)


def test_it_takes_no_room_where_there_is_nothing_to_say(shown):
    assert not shown.bar.isVisible()
    assert not shown.text.isVisible()


def test_it_follows_a_run_from_start_to_end(shown, runner, qtbot):
    gate = Gate()
    run = runner.start("segment", gate)
    shown.follow(run)
    assert shown.text.text() == "starting…"
    assert (shown.bar.minimum(), shown.bar.maximum()) == (0, 0)  # busy
    gate.step(8)
    # Three time points of the second of four FOVs.
    qtbot.waitUntil(lambda: shown.text.text() == "FOVs 1/4 · A/1/0 3/5")
    assert shown.fraction == pytest.approx((1 + 3 / 5) / 4)
    assert shown.bar.value() == round(shown.bar.maximum() * shown.fraction)
    gate.step(12)
    qtbot.waitUntil(lambda: run.is_over)
    assert shown.text.text() == "finished in 1 s"
    assert not shown.bar.isVisible()


def test_asked_to_stop_it_says_so_until_it_has_stopped(shown, runner, qtbot):
    gate = Gate()
    run = runner.start("segment", gate)
    shown.follow(run)
    gate.step(2)
    qtbot.waitUntil(lambda: "2/5" in shown.text.text())
    run.cancel()
    shown._tell()  # as the clock does every second
    assert shown.text.text().endswith("stopping…")
    gate.step(1)
    qtbot.waitUntil(lambda: run.is_over)
    assert shown.text.text() == "cancelled; run again to go on where it stopped"
    assert not shown.bar.isVisible()


def test_asked_to_finish_it_says_so_and_then_how_it_went(shown, runner, qtbot):
    gate = Gate()
    run = runner.start("train", gate)
    shown.follow(run)
    gate.step(2)
    qtbot.waitUntil(lambda: "2/5" in shown.text.text())
    run.finish()
    shown._tell()  # as the clock does every second
    assert shown.text.text().endswith("finishing…")
    gate.step(18)
    qtbot.waitUntil(lambda: run.is_over)
    assert shown.text.text().startswith("finished")


@pytest.mark.parametrize("error", [InvalidInput("no nuclei: choose a channel."), KeyError("x")])
def test_a_failure_is_not_left_running(shown, runner, qtbot, error):
    def work(_job):
        raise error

    run = runner.start("segment", work, failed=lambda _error: None)
    shown.follow(run)
    qtbot.waitUntil(lambda: run.is_over)
    assert shown.text.text() == f"failed: {error}"
    assert not shown.bar.isVisible()


def test_a_run_that_was_cancelled_while_it_waited_says_so(shown, runner, qtbot):
    gate = Gate()
    runner.start("first", gate)
    run = runner.start("second", gate)
    shown.follow(run)
    run.cancel()
    shown._tell()
    assert shown.text.text() == "stopping…"
    gate.step(20)
    qtbot.waitUntil(lambda: run.is_over)
    assert shown.text.text().startswith("cancelled")


def told_after(shown, clock, steps):
    """Text after reports as a run sends them: all levels each time, a second apart."""
    for levels in steps:
        clock.now += 1
        for level, (text, done, total) in enumerate(levels):
            shown._progressed(Progress(text, done, total, level))
    return shown.text.text()


def test_the_time_left_is_told_once_it_can_be_known(shown, runner, clock):
    gate = Gate()
    shown.follow(runner.start("segment", gate))
    steps = [[("FOVs", 0, 2), ("A/1/0", t, 10)] for t in range(3)]
    assert "left" not in told_after(shown, clock, steps)  # two seconds say little
    steps = [[("FOVs", 0, 2), ("A/1/0", t, 10)] for t in range(3, 11)]
    # Half of it took ten seconds.
    assert told_after(shown, clock, steps) == "FOVs 0/2 · A/1/0 10/10 · about 10 s left"
    steps = [[("FOVs", 1, 2), ("A/1/1", t, 10)] for t in range(1, 6)]
    assert told_after(shown, clock, steps).endswith("about 5 s left")
    gate.step(20)


def test_what_an_earlier_run_had_finished_does_not_make_this_one_look_fast(shown, runner, clock):
    gate = Gate()
    shown.follow(runner.start("track", gate))
    steps = [[("FOVs", done, 100)] for done in range(90, 95)]
    assert told_after(shown, clock, steps) == "FOVs 94/100 · about 6 s left"
    gate.step(20)


def test_the_estimate_begins_anew_with_the_next_thing_to_do(shown, runner, clock):
    gate = Gate()
    shown.follow(runner.start("embed", gate))
    told_after(shown, clock, [[("read", done, 10)] for done in range(11)])
    steps = [[("embed", done, 10)] for done in (0, 0, 0, 1)]
    assert told_after(shown, clock, steps) == "embed 1/10 · about 27 s left"
    gate.step(20)


def test_a_second_run_takes_the_place_of_the_first(shown, runner, qtbot):
    gates = [Gate(), Gate()]
    runs = [runner.start(str(i), gate, lane=str(i)) for i, gate in enumerate(gates)]
    shown.follow(runs[0])
    gates[0].step(2)
    qtbot.waitUntil(lambda: "2/5" in shown.text.text())
    shown.follow(runs[1])
    assert shown.fraction == 0
    gates[0].step(18)
    qtbot.waitUntil(lambda: runs[0].is_over)
    assert "finished" not in shown.text.text()
    gates[1].step(20)
    qtbot.waitUntil(lambda: runs[1].is_over)
    assert "finished" in shown.text.text()
    shown.follow(runs[0])  # over: nothing to show
    assert "finished" in shown.text.text()
    assert not shown.bar.isVisible()


def test_one_that_is_gone_is_not_told(runner, qtbot):
    shown = RunProgress()
    gate = Gate()
    run = runner.start("segment", gate)
    shown.follow(run)
    shown.deleteLater()
    QApplication.sendPostedEvents(None, 52)  # DeferredDelete
    gate.step(20)
    qtbot.waitUntil(lambda: run.is_over)
    qtbot.wait(20)  # an exception in a slot fails the test


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3000, "50 min"),
        (5400, "1.5 h"),
        (90_000, "25.0 h"),
    ],
)
def test_durations_as_a_person_says_them(seconds, text):
    assert duration(seconds) == text
