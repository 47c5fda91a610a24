"""What is higher than its dock scrolls, and is never cut at the side."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize
from qtpy.QtWidgets import QFrame, QScrollArea, QWidget

_WIDTH = 360
"""Pixels that a dock with a form has at first: its texts have room, and so has the image."""


class Scroll(QScrollArea):
    """Scrolls a panel up and down; it is as wide as the panel needs to be at least.

    Qt's own asks for the width that the panel had when it was first shown, and gives it
    another scroll bar, at the bottom, when it needs more later.

    Parameters
    ----------
    content
        The panel.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidget(content)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take note when the panel needs more or less room."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)

    # Names of Qt's virtual methods.

    def minimumSizeHint(self) -> QSize:
        """Ask for the width of the panel and the scroll bar beside it."""
        panel, bar = self.widget(), self.verticalScrollBar()
        width = panel.minimumSizeHint().width() if panel is not None else 0
        width += bar.sizeHint().width() if bar is not None else 0
        return QSize(width, super().minimumSizeHint().height())

    def sizeHint(self) -> QSize:
        """Ask for room for a form."""
        width = max(_WIDTH, self.minimumSizeHint().width())
        return QSize(width, super().sizeHint().height())
