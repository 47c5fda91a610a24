"""Combo boxes that say so with "…" where they cannot show all of a text."""

from __future__ import annotations

import html

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import (
    QComboBox,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolTip,
)

_ROOM = 2
"""Pixels beside the text; napari's style keeps some that Qt does not know of."""


def elide(combo: QComboBox, letters: int = 6) -> None:
    """Let a combo box be narrower than its texts, and cut them with "…" where it is.

    All of a text that is cut is in the tool tip. Those that are typed scroll instead.

    Parameters
    ----------
    combo
        The combo box.
    letters
        That there is room for at least.
    """
    # A long name in the list must not make the dock wider.
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(letters)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    combo.installEventFilter(_Elider(combo))


class _Elider(QObject):
    """Paints a combo box as Qt does, but for its text."""

    def __init__(self, combo: QComboBox) -> None:
        super().__init__(combo)
        self._combo = combo

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Paint, and tell what is cut."""
        if watched is not self._combo or event is None or self._combo.isEditable():
            return False
        if event.type() == QEvent.Type.Paint:
            self._paint()
            return True
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            return self._tell(event)
        return False

    def _option(self) -> QStyleOptionComboBox:
        option = QStyleOptionComboBox()
        self._combo.initStyleOption(option)
        return option

    def _shown(self, option: QStyleOptionComboBox) -> str:
        """Return what there is room for."""
        text, style = self._combo.currentText(), self._combo.style()
        if style is None:
            return text
        room = style.subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            self._combo,
        )
        cut = Qt.TextElideMode.ElideRight
        metrics = self._combo.fontMetrics()
        return metrics.elidedText(text, cut, room.width() - 2 * _ROOM)

    def _paint(self) -> None:
        option = self._option()
        option.currentText = self._shown(option)
        painter = QStylePainter(self._combo)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def _tell(self, event: QHelpEvent) -> bool:
        combo, text = self._combo, self._combo.currentText()
        if self._shown(self._option()) == text:
            return False
        about, parent = combo.toolTip(), combo.parentWidget()
        if not about and parent is not None:
            about = parent.toolTip()
        QToolTip.showText(event.globalPos(), f"<qt><b>{html.escape(text)}</b><br>{about}</qt>")
        return True
