from __future__ import annotations

import os

import pytest
from napari._qt.qt_resources import get_stylesheet
from plain import plain_bench, rest, show, shut
from qtpy.QtWidgets import QScrollArea

from napari_dynaclr.gui.steps.stage_widgets import EmbedAndProjectWidget, SegmentAndTrackWidget

pytestmark = pytest.mark.skipif(
    os.environ.get("QT_QPA_PLATFORM") == "offscreen",
    reason="the map needs OpenGL: install xvfb",
)
STAGES = {SegmentAndTrackWidget: ["segment", "track"], EmbedAndProjectWidget: ["embed", "project"]}


@pytest.fixture
def bench(dataset, qtbot):
    made = plain_bench()
    yield show(made, qtbot, dataset.root, "B/1/0", dataset.workspace.path)
    shut(made, qtbot)


def shown(kind, bench, qtbot):
    made = kind(bench.viewer)
    qtbot.addWidget(made)
    made.resize(340, 600)
    made.show()
    rest(bench, qtbot)
    return made


@pytest.mark.parametrize("kind", STAGES)
def test_there_is_a_tab_per_stage_in_the_order_of_the_work(kind, bench, qtbot):
    widget = shown(kind, bench, qtbot)
    assert list(widget.steps.panels) == STAGES[kind]
    titles = [widget.steps.tabText(i) for i in range(widget.steps.count())]
    assert [title[0] for title in titles] == ["1", "2"]
    assert [title[3:].lower() for title in titles] == STAGES[kind]


@pytest.mark.parametrize("kind", STAGES)
def test_only_the_tab_on_top_works(kind, bench, qtbot):
    widget = shown(kind, bench, qtbot)
    first, second = widget.steps.panels.values()
    assert first._connected
    assert second._connected == []
    widget.steps.setCurrentIndex(1)
    rest(bench, qtbot)
    assert first._connected == []
    assert second._connected


@pytest.mark.parametrize("kind", STAGES)
def test_it_fits_a_narrow_dock_and_a_low_window(kind, bench, qtbot):
    widget = shown(kind, bench, qtbot)
    widget.setStyleSheet(get_stylesheet("dark"))  # napari's own buttons are narrow
    qtbot.wait(10)
    assert widget.minimumSizeHint().width() <= 340
    assert widget.minimumSizeHint().height() <= 600  # napari in 1280 x 720 leaves that
    for i in range(widget.steps.count()):
        widget.steps.setCurrentIndex(i)
        area = widget.steps.currentWidget()
        assert isinstance(area, QScrollArea)
        assert not area.horizontalScrollBar().isVisible()


def test_one_stage_after_the_other_up_to_the_map(bench, qtbot):
    cells = shown(SegmentAndTrackWidget, bench, qtbot)
    maps = shown(EmbedAndProjectWidget, bench, qtbot)
    assert maps.map.count.text() == ""
    for widget in (cells, maps):
        for i, (stage, panel) in enumerate(widget.steps.panels.items()):
            widget.steps.setCurrentIndex(i)
            if stage == "project":
                panel.method.setCurrentIndex(panel.method.findData("pca"))
            panel.run()
            rest(bench, qtbot)
            assert panel.progress.text.text().startswith("finished"), stage
    assert list(bench.session.cells.maps) == ["pca"]
    assert maps.map.count.text() == f"{len(bench.session.cells)} cells"
    assert len(maps.map.cloud.canvas.order) == len(bench.session.cells)
    maps.map.cloud.grab()
