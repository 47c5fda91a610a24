"""The line at the lower right of the window that says what was done."""

from __future__ import annotations

from qtpy.QtCore import QTimer
from superqt import QElidingLabel

_WIDTH = 320
"""In pixels."""

_STAYS = 20_000
"""Milliseconds after which a line is old news."""


class Said(QElidingLabel):
    """Shows a line for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumWidth(_WIDTH)
        self._clock = QTimer(self)
        self._clock.setSingleShot(True)
        self._clock.setInterval(_STAYS)
        self._clock.timeout.connect(self.clear)

    def show_text(self, text: str) -> None:
        """Show another line."""
        self.setText(text)
        self.setToolTip(text)
        self._clock.start()
