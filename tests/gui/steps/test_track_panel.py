from __future__ import annotations

import pytest
from plain import rest

from napari_dynaclr.core.cells import segmented_cells
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.motion import survey
from napari_dynaclr.gui.steps.track_panel import TrackPanel


@pytest.fixture
def panel(windowless, qtbot):
    made = TrackPanel(windowless.viewer)
    qtbot.addWidget(made)
    made.show()
    rest(windowless, qtbot)
    return made


def test_settings_are_suggested_by_how_the_cells_move(panel, windowless, qtbot):
    dataset, fov = windowless.session.dataset, windowless.session.fov
    wanted = survey(segmented_cells(dataset, fov, Job()), fov.scale, fov.frame_interval)
    before = panel.form.values()
    assert panel.verdict.isHidden()
    panel.suggest.click()
    assert not panel.suggest.isEnabled()
    rest(windowless, qtbot)
    qtbot.waitUntil(panel.suggest.isEnabled)
    after = panel.form.values()
    assert panel.verdict.text() == f"FOV {fov.name}: {wanted.verdict}"
    for name, value in wanted.suggested.items():
        assert after[name] == pytest.approx(value)
    assert wanted.suggested
    unasked = set(before) - set(wanted.suggested)
    assert {name: after[name] for name in unasked} == {name: before[name] for name in unasked}


def test_it_is_for_methods_that_have_such_settings_and_for_segmented_fovs(panel, windowless, qtbot):
    assert panel.suggest.isVisible()
    panel.method.setCurrentIndex(panel.method.findData("masks"))
    assert not panel.suggest.isVisible()
    panel.method.setCurrentIndex(0)
    assert panel.suggest.isVisible()
    dataset, fov = windowless.session.dataset, windowless.session.fov
    dataset.workspace.forget("segmentation", fov)
    windowless.session.results_changed.emit("segment")
    assert not panel.suggest.isEnabled()
    assert panel.suggest.toolTip() == "Segment this FOV first."
