from __future__ import annotations

import threading

import pytest

from napari_dynaclr.core import job as module
from napari_dynaclr.core.errors import Cancelled
from napari_dynaclr.core.job import Job, JobState, Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until told."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_without_a_listener_items_pass_unchanged():
    assert list(Job().track("abc", "letters")) == ["a", "b", "c"]


def test_progress_counts_finished_items():
    seen = []
    for _ in Job(seen.append).track(["x", "y"], "work"):
        pass
    assert [(p.text, p.done, p.total) for p in seen] == [
        ("work", 0, 2),
        ("work", 1, 2),
        ("work", 2, 2),
    ]


def test_an_item_counts_when_it_is_finished_not_when_it_starts():
    seen = []
    items = Job(seen.append).track(["x", "y"], "work")
    next(items)
    assert seen[-1].done == 0
    next(items)
    assert seen[-1].done == 1


def test_nested_loops_report_their_level_and_return_to_the_outer():
    seen = []
    job = Job(seen.append)
    for _ in job.track(range(2), "fovs"):
        for _ in job.track(range(1), "frames"):
            job.report("inside")
        job.report("after")
    assert {p.level for p in seen if p.text == "fovs"} == {0}
    assert {p.level for p in seen if p.text == "frames"} == {1}
    assert {p.level for p in seen if p.text == "inside"} == {2}
    assert {p.level for p in seen if p.text == "after"} == {1}


@pytest.mark.parametrize("leave", ["break", "error"])
def test_leaving_a_loop_early_restores_the_level(leave):
    seen = []
    job = Job(seen.append)
    loop = job.track(range(3), "work")
    next(loop)
    if leave == "break":
        loop.close()
    else:
        with pytest.raises(KeyError):
            loop.throw(KeyError("x"))
    job.report("next")
    assert seen[-1] == Progress("next", 0, 0, level=0)


def test_estimate_is_the_mean_time_of_the_items_left(clock):
    seen = []
    for _ in Job(seen.append).track(range(4), "work"):
        clock.now += 10
    assert [p.seconds_left for p in seen] == [None, 30.0, 20.0, 10.0, 0.0]


def test_items_of_an_earlier_run_count_as_done_but_not_for_the_estimate(clock):
    seen = []
    for _ in Job(seen.append).track(range(2), "work", done=8):
        clock.now += 5
    assert [(p.done, p.total) for p in seen] == [(8, 10), (9, 10), (10, 10)]
    assert seen[1].seconds_left == 5.0


def test_unknown_length_gives_no_total_and_no_estimate(clock):
    seen = []
    for _ in Job(seen.append).track(iter(range(2)), "work"):
        clock.now += 1
    assert {(p.total, p.seconds_left) for p in seen} == {(0, None)}


def test_more_items_than_said_never_give_a_negative_estimate(clock):
    seen = []
    for _ in Job(seen.append).track(iter(range(3)), "work", total=1):
        clock.now += 1
    assert all(p.seconds_left is None or p.seconds_left >= 0 for p in seen)


def test_cancel_takes_effect_before_the_next_item():
    done = []
    job = Job()
    with pytest.raises(Cancelled):
        for item in job.track(range(5), "work"):
            done.append(item)
            if item == 1:
                job.cancel()
    assert done == [0, 1]


def test_a_lazy_source_is_not_asked_for_more_after_cancel():
    asked = []

    def source():
        for i in range(5):
            asked.append(i)
            yield i

    job = Job()
    with pytest.raises(Cancelled):
        for _ in job.track(source(), "work"):
            job.cancel()
    assert asked == [0]


def test_asked_to_cancel_is_a_state_of_its_own():
    job = Job()
    assert job.state is JobState.RUNNING
    job.check()
    job.cancel()
    assert job.state is JobState.CANCEL_REQUESTED
    with pytest.raises(Cancelled):
        job.check()


def test_a_cancelled_job_does_not_start():
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        next(job.track(range(3), "work"))
    with pytest.raises(Cancelled):
        job.report("work")


def test_cancel_comes_out_of_all_nested_loops():
    job = Job()
    outer = []
    with pytest.raises(Cancelled):
        for i in job.track(range(3), "outer"):
            outer.append(i)
            for _ in job.track(range(3), "inner"):
                job.cancel()
    assert outer == [0]


def test_cancel_from_another_thread_is_seen():
    job = Job()
    reached = []
    with pytest.raises(Cancelled):
        for item in job.track(range(3), "work"):
            reached.append(item)
            thread = threading.Thread(target=job.cancel)
            thread.start()
            thread.join()
    assert reached == [0]


def test_errors_of_the_work_and_of_the_listener_are_not_swallowed():
    def listener(progress):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(Job(listener).track(range(2), "work"))

    def broken():
        yield 1
        raise KeyError("x")

    with pytest.raises(KeyError):
        list(Job().track(broken(), "work"))
