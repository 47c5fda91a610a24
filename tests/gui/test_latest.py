from __future__ import annotations

import threading

import pytest
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.runner import Runner, RunState


@pytest.fixture
def runner(qtbot):
    made = Runner()
    yield made
    made.close()
    qtbot.waitUntil(lambda: not made.is_busy)


@pytest.fixture
def owner():
    return QObject()


@pytest.fixture
def latest(runner, owner):
    return Latest(runner, owner, "charts")


def ignore(_result):
    """For work of which only the failure, or nothing, is looked at."""


class Slow:
    """Work that hears of a cancellation only at its end, as a library's does."""

    def __init__(self, result):
        self.result, self.go = result, threading.Event()

    def __call__(self, _job):
        self.go.wait(5)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def test_the_result_arrives(latest, runner, qtbot):
    found = []
    latest.start("draw", lambda _job: 1, found.append)
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert found == [1]
    latest.start("draw", lambda _job: 2, found.append)
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert found == [1, 2]


def test_of_many_wishes_the_last_counts(latest, runner, qtbot):
    found, works = [], [Slow(i) for i in range(5)]
    for work in works:
        latest.start("draw", work, found.append)
    for work in works:
        work.go.set()
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert found == [4]


def test_what_is_overtaken_is_cancelled(latest, runner, qtbot):
    first = Slow(1)
    latest.start("draw", first, ignore)
    (run,) = runner._runs
    qtbot.waitUntil(lambda: run.state is RunState.RUNNING)
    latest.start("draw", lambda _job: 2, ignore)
    assert run.state is RunState.STOPPING
    first.go.set()


def test_an_older_result_that_is_on_its_way_reaches_nobody(latest, runner, qtbot):
    """The work has ended, but its message waits in the queue of the window."""
    found, ended = [], threading.Event()
    latest.start("draw", lambda _job: ended.set() or 1, found.append)
    ended.wait(5)
    latest.start("draw", lambda _job: 2, found.append)
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert found == [2]


def test_nothing_is_wanted_any_more(latest, runner, qtbot):
    work, found = Slow(1), []
    latest.start("draw", work, found.append)
    latest.stop()
    latest.stop()
    work.go.set()
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert found == []


def test_after_its_owner_is_gone_nobody_is_told(latest, owner, runner, qtbot):
    works, found = [Slow(1), Slow(InvalidInput("no"))], []
    latest.start("draw", works[0], found.append, found.append)
    owner.deleteLater()
    QApplication.sendPostedEvents(owner, 52)  # DeferredDelete
    works[0].go.set()
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert found == []
    latest.stop()  # a widget that is being destroyed may still call


def test_failures_are_told_while_they_are_of_interest(latest, runner, qtbot):
    failed, errors = [], [InvalidInput("first"), InvalidInput("second")]
    works = [Slow(error) for error in errors]
    for work in works:
        latest.start("draw", work, ignore, failed.append)
    for work in works:
        work.go.set()
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert failed == errors[1:]


def test_without_anyone_to_tell_failures_are_everybodys(latest, runner, qtbot):
    told = []
    runner.failed.connect(lambda title, error: told.append((title, str(error))))
    work = Slow(InvalidInput("no such task"))
    work.go.set()
    latest.start("draw", work, ignore)
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert told == [("draw", "no such task")]


def test_two_owners_do_not_disturb_each_other(runner, owner, qtbot):
    other, found = QObject(), []
    one, two = Latest(runner, owner, "charts"), Latest(runner, other, "charts")
    one.start("draw", lambda _job: 1, found.append)
    two.start("draw", lambda _job: 2, found.append)
    two.start("draw", lambda _job: 3, found.append)
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert found == [1, 3]
