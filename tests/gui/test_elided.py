from __future__ import annotations

import pytest
from qtpy.QtCore import QEvent, QPoint
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QComboBox, QHBoxLayout, QToolTip, QWidget

from napari_dynaclr.gui.elided import elide

LONG = "Virtual staining: a network, from <paired> channels"


@pytest.fixture
def make(qtbot):
    outers = []  # pytest-qt does not keep them alive

    def make(*, elided=True):
        outer = QWidget()
        outer.setToolTip("Which way.")
        made = QComboBox()
        made.addItems(["short", LONG])
        QHBoxLayout(outer).addWidget(made)
        if elided:
            elide(made)
        qtbot.addWidget(outer)
        outers.append(outer)
        outer.show()
        made.setFixedSize(140, 24)
        return made

    return make


@pytest.fixture
def tips(monkeypatch):
    """What tool tips say."""
    told = []
    monkeypatch.setattr(QToolTip, "showText", lambda _place, text: told.append(text))
    return told


def ask(combo):
    here = QPoint(5, 5)
    QApplication.sendEvent(combo, QHelpEvent(QEvent.Type.ToolTip, here, combo.mapToGlobal(here)))


def test_a_long_text_does_not_ask_for_room(make):
    combo = make()
    assert combo.sizeHint().width() < combo.fontMetrics().horizontalAdvance(LONG)


@pytest.mark.parametrize(("index", "same"), [(0, True), (1, False)])
def test_only_what_is_cut_is_painted_in_another_way(make, index, same):
    mine, stock = make(), make(elided=False)
    for combo in (mine, stock):
        combo.setCurrentIndex(index)
    assert (mine.grab().toImage() == stock.grab().toImage()) is same


def test_all_of_what_is_cut_is_in_the_tool_tip(make, tips):
    combo = make()
    combo.setCurrentIndex(1)
    ask(combo)
    text = LONG.replace("<paired>", "&lt;paired&gt;")
    assert tips == [f"<qt><b>{text}</b><br>Which way.</qt>"]
    combo.setCurrentIndex(0)
    ask(combo)
    assert len(tips) == 1
