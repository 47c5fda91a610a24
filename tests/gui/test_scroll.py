from __future__ import annotations

import pytest
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_dynaclr.core.registry import find_method
from napari_dynaclr.gui.form.form import Form
from napari_dynaclr.gui.scroll import Scroll


@pytest.fixture
def panel(qtbot):
    made = QWidget()
    QVBoxLayout(made).addWidget(QLabel("short"))
    return made


def shown(panel, qtbot):
    outer = QWidget()
    QVBoxLayout(outer).addWidget(Scroll(panel))
    qtbot.addWidget(outer)
    outer.show()
    return outer


def test_a_panel_that_needs_more_width_later_gets_it(panel, qtbot):
    outer = shown(panel, qtbot)
    outer.resize(100, 100)
    line = QLabel("a line that does not wrap and needs far more than a hundred pixels of room")
    panel.layout().addWidget(line)
    scroll = outer.findChild(Scroll)
    qtbot.waitUntil(lambda: outer.width() > line.minimumSizeHint().width())
    qtbot.waitUntil(lambda: scroll.horizontalScrollBar().maximum() == 0)


def test_it_begins_with_room_for_a_form(panel, qtbot):
    assert shown(panel, qtbot).findChild(Scroll).sizeHint().width() == 360


@pytest.mark.parametrize(
    ("stage", "method"),
    [("stain", "cytoland"), ("train", "dynaclr"), ("train", "staining"), ("train", "fcmae")],
)
def test_the_longest_forms_fit_their_docks(qtbot, stage, method):
    form = Form(find_method(stage, method).params_class(), {"channels": ["Phase", "x" * 60]})
    outer = shown(form, qtbot)
    form._more.setChecked(True)
    outer.resize(360, 400)
    qtbot.waitUntil(lambda: outer.width() == 360)
    assert outer.findChild(Scroll).horizontalScrollBar().maximum() == 0
