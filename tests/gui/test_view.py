from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QTabWidget, QWidget

from napari_dynaclr.gui import view as module
from napari_dynaclr.gui.runner import Runner
from napari_dynaclr.gui.view import View
from napari_dynaclr.session import Session
from napari_dynaclr.session.cells import Cells


@pytest.fixture
def bench(qtbot, monkeypatch):
    """What a view needs of a workbench, without a viewer."""
    made = SimpleNamespace(session=Session(), runner=Runner())
    monkeypatch.setattr(module, "workbench", lambda _viewer: made)
    yield made
    made.runner.close()
    qtbot.waitUntil(lambda: not made.runner.is_busy)


class Frame(View):
    """Shows the number of the frame."""

    def __init__(self, viewer):
        super().__init__(viewer)
        self.shown, self.updates = -1, 0

    def connections(self):
        return [
            (self.session.frame_changed, self.synchronise),
            (self.session.selection_changed, self._selected),
        ]

    def _selected(self):
        self.updates += 1

    def synchronise(self):
        self.shown = self.session.frame
        self.updates += 1


@pytest.fixture
def view(bench, qtbot):
    made = Frame(None)
    qtbot.addWidget(made)
    return made


def test_before_it_is_shown_it_does_nothing(view, bench):
    bench.session.set_frame(3)
    assert (view.shown, view.updates) == (-1, 0)


def test_shown_it_catches_up_and_follows(view, bench):
    bench.session.set_frame(3)
    view.show()
    assert (view.shown, view.updates) == (3, 1)
    bench.session.set_frame(4)
    assert (view.shown, view.updates) == (4, 2)


def test_hidden_it_does_no_work_and_catches_up_once(view, bench):
    view.show()
    view.hide()
    before = view.updates
    for t in range(5, 9):
        bench.session.set_frame(t)
    assert view.updates == before
    view.show()
    assert (view.shown, view.updates) == (8, before + 1)
    bench.session.set_frame(1)
    assert view.updates == before + 2, "listening once, not twice"


def test_hidden_with_what_it_is_in_it_listens_to_nothing(bench, qtbot):
    view, tabs = Frame(None), QTabWidget()
    qtbot.addWidget(tabs)
    tabs.addTab(view, "frame")
    tabs.addTab(QWidget(), "other")
    tabs.show()
    bench.session.set_frame(1)
    assert view.shown == 1
    tabs.setCurrentIndex(1)
    bench.session.set_frame(2)
    assert view.shown == 1
    tabs.setCurrentIndex(0)
    assert view.shown == 2


def test_two_views_of_a_session_see_the_same(bench, qtbot):
    views = [Frame(None), Frame(None)]
    for one in views:
        qtbot.addWidget(one)
        one.show()
    bench.session.set_frame(6)
    assert [one.shown for one in views] == [6, 6]
    views[0].hide()
    bench.session.set_frame(7)
    assert [one.shown for one in views] == [6, 7]


def test_a_view_that_is_closed_and_gone_leaves_the_session_free(bench):
    view = Frame(None)
    view.show()
    view.close()
    view.deleteLater()
    QApplication.sendPostedEvents(view, 52)  # DeferredDelete
    bench.session.set_frame(1)
    bench.session.set_cells(
        Cells(fovs=("A/1/0",), fov=np.zeros(1, np.int32), track=np.ones(1, int),
              t=np.zeros(1, int), id=np.ones(1, int), parent=-np.ones(1, int),
              position=np.zeros((1, 3), np.float32))
    )  # fmt: skip
    bench.session.select([0])
    assert view.updates == 1


def test_what_it_reads_arrives(view, bench, qtbot):
    found = []
    view.read("something", lambda _job: 7, found.append)
    qtbot.waitUntil(lambda: found == [7])


def test_what_arrives_after_it_is_gone_concerns_nobody(bench, qtbot):
    view, go, found = Frame(None), threading.Event(), []
    view.read("something", lambda _job: go.wait(5), found.append)
    view.deleteLater()
    QApplication.sendPostedEvents(view, 52)  # DeferredDelete
    go.set()
    qtbot.waitUntil(lambda: not bench.runner.is_busy)
    assert found == []
