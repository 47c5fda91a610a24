from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time

import pytest
from qtpy.QtCore import QThread

from napari_dynaclr.core.errors import Cancelled, InvalidInput
from napari_dynaclr.core.job import Figures, Part
from napari_dynaclr.gui.runner import Run, Runner, RunState

LONG = 10_000


@pytest.fixture
def runner(qtbot):
    made = Runner()
    yield made
    made.close()
    qtbot.waitUntil(lambda: not made.is_busy, timeout=LONG)


class Gate:
    """Work that goes on until it is let through, and can be cancelled meanwhile."""

    def __init__(self, result=None):
        self.result = result
        self.begun, self.open = threading.Event(), threading.Event()
        self.items = 0

    def __call__(self, job):
        self.begun.set()
        while not self.open.wait(0.005):
            job.check()
            self.items += 1
        return self.result


@pytest.fixture
def gate(request):
    made = Gate("through")
    request.addfinalizer(made.open.set)
    return made


def states_of(run):
    """All states that a run is in from now on, as the window sees them."""
    seen = [run.state]

    def look(*_):
        if seen[-1] is not run.state:
            seen.append(run.state)

    run.progressed.connect(look)
    run.ended.connect(look)
    return seen


def our_threads():
    return {one for one in threading.enumerate() if one.name.startswith("dynaclr-")}


# -- how a run goes -----------------------------------------------------------


def test_a_run_waits_runs_and_finishes(runner, qtbot, gate):
    first = runner.start("first", gate)
    second = runner.start("second", lambda job: job.report("now", 1, 2) or 7)
    assert (first.state, second.state) == (RunState.WAITING, RunState.WAITING)
    seen = states_of(second)
    qtbot.waitUntil(lambda: first.state is RunState.RUNNING)
    assert first.began > 0
    assert second.began == 0
    assert second.state is RunState.WAITING
    gate.open.set()
    qtbot.waitUntil(lambda: second.is_over)
    assert seen == [RunState.WAITING, RunState.RUNNING, RunState.FINISHED]
    assert (first.result, second.result) == ("through", 7)
    assert not runner.is_busy


def test_asked_to_stop_is_not_yet_stopped(runner, qtbot, gate):
    run = runner.start("work", gate)
    qtbot.waitUntil(lambda: run.state is RunState.RUNNING)
    seen = states_of(run)
    run.cancel()
    assert run.state is RunState.STOPPING
    assert not run.is_over
    qtbot.waitUntil(lambda: run.is_over)
    assert seen == [RunState.RUNNING, RunState.CANCELLED]
    run.cancel()
    assert run.state is RunState.CANCELLED, "over is over"


def test_cancelled_work_calls_nobody(runner, qtbot, gate):
    told = []
    runner.failed.connect(lambda *what: told.append(what))
    run = runner.start("work", gate, told.append, told.append)
    qtbot.waitUntil(lambda: gate.items > 3)
    run.cancel()
    qtbot.waitUntil(lambda: run.is_over)
    before = gate.items
    qtbot.wait(30)
    assert gate.items == before, "it has stopped indeed"
    assert told == []
    assert (run.result, run.error) == (None, None)


def test_what_waits_is_cancelled_without_being_begun(runner, qtbot, gate):
    begun = []
    runner.start("first", gate)
    second = runner.start("second", begun.append)
    second.cancel()
    assert second.state is RunState.STOPPING
    gate.open.set()
    qtbot.waitUntil(lambda: second.state is RunState.CANCELLED)
    assert begun == []


def test_work_that_does_not_look_finishes_though_it_was_cancelled(runner, qtbot):
    go, found = threading.Event(), []
    run = runner.start("deaf", lambda _job: go.wait(5), found.append)
    qtbot.waitUntil(lambda: run.state is RunState.RUNNING)
    run.cancel()
    go.set()
    qtbot.waitUntil(lambda: run.is_over)
    assert run.state is RunState.FINISHED, "what is done is done"
    assert found == [True]


def test_a_stage_that_says_cancelled_is_cancelled(runner, qtbot):
    def work(_job):
        raise Cancelled

    run = runner.start("work", work)
    qtbot.waitUntil(lambda: run.state is RunState.CANCELLED)


@pytest.mark.parametrize("error", [InvalidInput("no such FOV: choose another."), KeyError("x")])
def test_a_failure_is_told_to_whoever_takes_care(runner, qtbot, error):
    def work(_job):
        raise error

    everybody, one = [], []
    runner.failed.connect(lambda *what: everybody.append(what))
    runs = [runner.start("mine", work, failed=one.append), runner.start("ours", work)]
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert [run.state for run in runs] == [RunState.FAILED] * 2
    assert [run.error for run in runs] == [error] * 2
    assert one == [error]
    assert everybody == [("ours", error)]


@pytest.mark.parametrize("end", [SystemExit(3), KeyboardInterrupt()])
def test_a_library_that_wants_to_exit_fails_and_the_lane_goes_on(runner, qtbot, end):
    def work(_job):
        raise end

    told = []
    runner.failed.connect(lambda _title, error: told.append(error))
    run = runner.start("exits", work)
    after = runner.start("after", lambda _job: "still here")
    qtbot.waitUntil(lambda: after.state is RunState.FINISHED)
    assert run.state is RunState.FAILED
    assert type(end).__name__ in str(told[0])


# -- lanes --------------------------------------------------------------------


def test_a_lane_keeps_the_order(runner, qtbot):
    began, found = [], []
    for i in range(50):
        runner.start(f"{i}", lambda _job, i=i: began.append(i) or i, found.append)
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert began == found == list(range(50))


def test_quick_reads_do_not_wait_behind_a_stage(runner, qtbot, gate):
    stage = runner.start_stage("segment", gate)
    qtbot.waitUntil(gate.begun.is_set)
    found = []
    runner.start("read", lambda _job: 1, found.append)
    runner.start("click", lambda _job: 2, found.append, lane="annotate")
    qtbot.waitUntil(lambda: sorted(found) == [1, 2])
    assert stage.state is RunState.RUNNING


def test_there_is_one_stage_at_a_time(runner, qtbot, gate):
    changes = []
    runner.stage_changed.connect(lambda: changes.append(runner.stage and runner.stage.title))
    first = runner.start_stage("segment", gate)
    assert runner.stage is first
    with pytest.raises(RuntimeError, match="'segment' is running"):
        runner.start_stage("track", gate)
    assert runner.stage is first
    first.cancel()
    assert runner.stage is first, "it is stopping; it has not stopped"
    qtbot.waitUntil(lambda: runner.stage is None)
    second = runner.start_stage("track", lambda _job: None)
    qtbot.waitUntil(lambda: second.is_over and runner.stage is None)
    assert changes == ["segment", None, "track", None]


def test_a_stage_that_fails_is_no_longer_the_stage(runner, qtbot):
    run = runner.start_stage("segment", lambda _job: 1 / 0)
    qtbot.waitUntil(lambda: runner.stage is None)
    assert run.state is RunState.FAILED


# -- where and when -----------------------------------------------------------


def test_work_is_on_another_thread_and_what_follows_on_this_one(runner, qtbot, qapp):
    where = {}

    def at(name):
        where[name] = QThread.currentThread()

    def work(job):
        where["work"] = threading.get_ident()
        job.report("now", 1, 2)
        job.made(Part("stain", "A/1/0", 0, None))
        raise InvalidInput("no")

    run = runner.start("work", work, failed=lambda _: at("failed"))
    run.progressed.connect(lambda _: at("progressed"))
    run.made.connect(lambda _: at("made"))
    run.ended.connect(lambda: at("ended"))
    runner.start("other", lambda _job: 1, lambda _: at("done"))
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert where.pop("work") != threading.get_ident()
    assert set(where) == {"failed", "progressed", "made", "ended", "done"}
    assert all(one is qapp.thread() for one in where.values())


def test_progress_comes_as_it_goes_and_ends_with_the_last(runner, qtbot):
    seen = []

    def work(job):
        for _ in job.track(range(2000), "items"):
            for _ in job.track(range(2), "inner"):
                pass
            time.sleep(0.0002)

    start = time.monotonic()
    run = runner.start("work", work)
    run.progressed.connect(seen.append)
    qtbot.waitUntil(lambda: run.is_over, timeout=LONG)
    seconds = time.monotonic() - start
    outer = [p for p in seen if p.level == 0]
    assert [p.done for p in outer] == sorted(p.done for p in outer)
    assert (outer[-1].done, outer[-1].total) == (2000, 2000)
    assert 2 < len(outer) < seconds * 20 + 5, "no more than a person can read"


def test_parts_come_all_and_in_order(runner, qtbot):
    seen = []
    run = runner.start(
        "work", lambda job: [job.made(Part("stain", "A/1/0", t, None)) for t in range(30)]
    )
    run.made.connect(lambda part: seen.append(part.t))
    qtbot.waitUntil(lambda: run.is_over)
    assert seen == list(range(30))


def test_figures_come_all_and_in_order(runner, qtbot):
    def work(job):
        for epoch in range(1, 40):
            job.measured(Figures(epoch, {"loss": 1 / epoch}))

    run, seen = runner.start("train", work), []
    run.measured.connect(lambda figures: seen.append((figures.epoch, QThread.currentThread())))
    qtbot.waitUntil(lambda: run.is_over)
    assert [epoch for epoch, _ in seen] == list(range(1, 40))
    assert {thread for _, thread in seen} == {runner.thread()}


def test_a_training_that_is_to_finish_ends_with_its_result(runner, qtbot):
    begun = threading.Event()

    def work(job):
        begun.set()
        while not job.finishing:
            job.check()
            time.sleep(0.005)
        return "kept"

    run = runner.start("train", work)
    qtbot.waitUntil(begun.is_set)
    assert not run.is_finishing
    run.finish()
    assert run.is_finishing
    qtbot.waitUntil(lambda: run.is_over)
    assert (run.state, run.result) == (RunState.FINISHED, "kept")
    assert not run.is_finishing, "it has"


def test_what_is_to_finish_can_still_be_cancelled(runner, qtbot, gate):
    run = runner.start("train", gate)
    qtbot.waitUntil(gate.begun.is_set)
    run.finish()
    run.cancel()
    assert run.state is RunState.STOPPING
    qtbot.waitUntil(lambda: run.is_over)
    assert run.state is RunState.CANCELLED


def test_a_window_is_not_held_up_by_a_thousand_runs(runner, qtbot):
    before = our_threads()
    found = []
    for i in range(1000):
        runner.start(f"{i}", lambda _job, i=i: i, found.append, lane=f"{i % 4}")
    qtbot.waitUntil(lambda: not runner.is_busy, timeout=LONG)
    assert sorted(found) == list(range(1000))
    assert len(our_threads() - before) == 4, "a thread per lane"
    runner.close()
    qtbot.waitUntil(lambda: our_threads() <= before)


def test_runs_are_let_go_of(runner, qtbot):
    import gc
    import weakref

    class Big:
        pass

    big = Big()
    known = weakref.ref(big)
    runner.start("work", lambda _job, big=big: big)
    del big
    qtbot.waitUntil(lambda: not runner.is_busy)

    def gone():
        gc.collect()
        return known() is None

    qtbot.waitUntil(gone)


# -- closing ------------------------------------------------------------------


def test_closing_stops_everything_and_does_not_wait(runner, qtbot, gate):
    before = our_threads()
    told = []
    runner.failed.connect(lambda *what: told.append(what))
    stage = runner.start_stage("segment", gate, told.append)
    waiting = runner.start("read", told.append, told.append, lane="stage")
    qtbot.waitUntil(lambda: stage.state is RunState.RUNNING)
    start = time.monotonic()
    runner.close()
    assert time.monotonic() - start < 0.05
    assert stage.state is RunState.STOPPING
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert [stage.state, waiting.state] == [RunState.CANCELLED] * 2
    assert told == []
    qtbot.waitUntil(lambda: our_threads() <= before)


def test_what_comes_after_closing_goes_nowhere(runner, qtbot):
    go, told = threading.Event(), []
    runner.failed.connect(lambda *what: told.append(what))

    def fail(_job):
        go.wait(5)
        raise ValueError

    runs = [
        runner.start("deaf", lambda _job: go.wait(5), told.append, lane="a"),
        runner.start("fails", fail, lane="b"),
    ]
    qtbot.waitUntil(lambda: all(run.state is RunState.RUNNING for run in runs))
    runner.close()
    go.set()
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert [run.state for run in runs] == [RunState.FINISHED, RunState.FAILED]
    assert told == []


def test_what_is_started_after_closing_is_cancelled_but_for_annotations(runner, qtbot):
    before, told = our_threads(), []
    runner.close()
    late = runner.start("late", told.append, told.append)
    runner.execute(lambda: "clicked", told.append, told.append)
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert late.state is RunState.CANCELLED
    assert told == ["clicked"]
    qtbot.waitUntil(lambda: our_threads() <= before)


def test_annotations_under_way_are_finished_after_closing(runner, qtbot):
    go, done = threading.Event(), []

    def click(i):
        go.wait(5)
        return i

    for i in range(3):
        runner.execute(lambda i=i: click(i), done.append, done.append)
    runner.close()
    go.set()
    qtbot.waitUntil(lambda: done == [0, 1, 2])


def test_a_closing_window_waits_for_clicks_and_for_nothing_else(runner, gate):
    done = []

    def first():
        time.sleep(0.05)
        return 1

    def then(result):
        done.append(result)
        if result < 3:  # as an annotator: the next begins when the one before is shown
            runner.execute(lambda: result + 1, then, done.append)

    runner.start("segment", gate, done.append)
    runner.execute(first, then, done.append)
    assert runner.settle("annotate")
    assert done == [1, 2, 3], "without the window having had a turn"
    assert runner.is_busy


def test_a_closing_window_does_not_wait_for_ever(runner, qtbot, gate):
    runner.start("stuck", gate, lane="annotate")
    start = time.monotonic()
    assert not runner.settle("annotate", 0.1)
    assert 0.05 < time.monotonic() - start < 2
    gate.open.set()
    qtbot.waitUntil(lambda: not runner.is_busy)


def test_errors_of_annotations_are_told_to_the_annotator_alone(runner, qtbot):
    told, everybody = [], []
    runner.failed.connect(lambda *what: everybody.append(what))
    error = OSError("the disk is gone")

    def work():
        raise error

    runner.execute(work, told.append, told.append)
    qtbot.waitUntil(lambda: not runner.is_busy)
    assert told == [error]
    assert everybody == []


def test_a_runner_that_nobody_closes_ends_its_threads(qtbot):
    import gc

    before = our_threads()
    runner = Runner()
    run = runner.start("work", lambda _job: None)
    with qtbot.waitSignal(run.ended):
        pass
    del runner, run

    def ended():
        gc.collect()
        return our_threads() <= before

    qtbot.waitUntil(ended)


def test_a_run_whose_window_is_gone_stops(qtbot, gate):
    run = Run("work", gate)
    thread = threading.Thread(target=run.task.execute)
    run.deleteLater()
    qtbot.waitUntil(lambda: not_alive(run))
    thread.start()
    qtbot.waitUntil(lambda: run.job.state.value == "cancel requested")
    gate.open.set()
    thread.join(5)
    assert not thread.is_alive()
    qtbot.wait(20)  # its last word reaches nobody, and harms nobody


def not_alive(thing):
    from qtpy.compat import isalive

    return not isalive(thing)


def test_a_program_that_ends_stops_its_work_and_keeps_its_clicks(tmp_path):
    """No window has a turn any more; nothing is left half done."""
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from qtpy.QtCore import QCoreApplication
        from napari_dynaclr.gui.runner import Runner

        app, folder = QCoreApplication([]), Path(sys.argv[1])
        runner = Runner()

        def stage(job):
            try:
                for i in job.track(range(10_000), "items"):
                    (folder / "begun").touch()
                    time.sleep(0.01)
            finally:
                (folder / "tidied").touch()
            (folder / "finished").touch()

        def click():
            time.sleep(0.2)
            (folder / "clicked").touch()

        runner.start("stage", stage, lane="stage")
        runner.execute(click, print, print)
        while not (folder / "begun").exists():
            time.sleep(0.01)
        """
    )
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)
    assert time.monotonic() - start < 30
    assert {path.name for path in tmp_path.iterdir()} == {"begun", "tidied", "clicked"}
