from __future__ import annotations

import threading
import time

import pytest

from napari_dynaclr import Job
from napari_dynaclr.core.background import in_background, read_ahead
from napari_dynaclr.core.errors import Cancelled


def test_items_come_in_order_from_another_thread():
    seen = []

    def items():
        for i in range(20):
            seen.append(threading.current_thread())
            yield i

    assert list(read_ahead(items(), Job())) == list(range(20))
    assert threading.current_thread() not in seen
    assert list(read_ahead([None, None], Job())) == [None, None]
    assert list(read_ahead([], Job())) == []


def test_no_more_is_prepared_than_asked_for():
    made = []

    def items():
        for i in range(50):
            made.append(i)
            yield i

    ahead = read_ahead(items(), Job(), depth=2)
    next(ahead)
    time.sleep(0.3)
    assert len(made) <= 1 + 2 + 1
    ahead.close()


def test_an_error_there_is_raised_here_after_the_items_before_it():
    def items():
        yield 1
        raise KeyError("x")

    ahead = read_ahead(items(), Job())
    assert next(ahead) == 1
    with pytest.raises(KeyError):
        next(ahead)


def test_cancelling_does_not_wait_for_a_busy_thread_and_closes_what_it_read():
    release, closed = threading.Event(), threading.Event()

    def items():
        try:
            yield 1
            release.wait(30)
            yield 2
        finally:
            closed.set()

    job = Job()
    ahead = read_ahead(items(), job)
    assert next(ahead) == 1
    threading.Timer(0.2, job.cancel).start()
    start = time.monotonic()
    with pytest.raises(Cancelled):
        next(ahead)
    assert time.monotonic() - start < 2
    release.set()
    assert closed.wait(5)


def test_leaving_early_ends_the_thread():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    for _ in read_ahead(items(), Job()):
        break
    assert closed.wait(5)


def test_work_that_cannot_be_interrupted_is_left_alone_when_cancelled():
    assert in_background(lambda: 3, Job()) == 3
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 / 0, Job())
    release, job = threading.Event(), Job()
    threading.Timer(0.2, job.cancel).start()
    start = time.monotonic()
    with pytest.raises(Cancelled):
        in_background(lambda: release.wait(30), job)
    assert time.monotonic() - start < 2
    release.set()
