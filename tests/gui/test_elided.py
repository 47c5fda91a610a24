from __future__ import annotations

import pytest
from qtpy.QtCore import QEvent, QPoint
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QComboBox, QHBoxLayout, QToolTip, QWidget

from napari_dynaclr.gui.elided import elide

LONG = "Virtual staining: a network, from <paired> channels"


@pytest.fixture
def combo(qtbot):
    outer = QWidget()
    outer.setToolTip("Which way.")
    made = QComboBox()
    made.addItems(["short", LONG])
    QHBoxLayout(outer).addWidget(made)
    elide(made)
    qtbot.addWidget(outer)
    outer.resize(160, 60)
    outer.show()
    yield made
    QToolTip.hideText()


def tip(combo):
    """What the tool tip says; "" for none of its own."""
    QToolTip.hideText()
    here = QPoint(5, 5)
    QApplication.sendEvent(combo, QHelpEvent(QEvent.Type.ToolTip, here, combo.mapToGlobal(here)))
    return QToolTip.text()


def picture(combo, text):
    combo.setItemText(1, text)
    combo.setCurrentIndex(1)
    return combo.grab().toImage()


def test_a_long_text_does_not_ask_for_room(combo):
    assert combo.sizeHint().width() < combo.fontMetrics().horizontalAdvance(LONG)


def test_a_text_that_is_cut_says_so(combo):
    begun = picture(combo, LONG[:40])
    assert begun == picture(combo, LONG)  # the same up to the "…"
    for end in range(1, 40):  # without it, it would be seen as one of these
        assert begun != picture(combo, LONG[:end]) or "…" not in LONG[:end]


def test_all_of_what_is_cut_is_in_the_tool_tip(combo):
    combo.setCurrentIndex(1)
    assert "from &lt;paired&gt; channels" in tip(combo)
    assert "Which way." in tip(combo)
    combo.setCurrentIndex(0)
    assert "short" not in tip(combo)
