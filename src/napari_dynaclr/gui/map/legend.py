"""What the colours of the map mean."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from matplotlib import colormaps
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_dynaclr.session.colours import Legend

_MOST = 16


class LegendBar(QWidget):
    """Names with their colours, or a colour map between two numbers.

    Parameters
    ----------
    parent
        Its parent in Qt.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.names, self.low, self.high, self.bar = QLabel(), QLabel(), QLabel(), QLabel()
        self.names.setWordWrap(True)
        self.bar.setScaledContents(True)
        self.bar.setFixedHeight(10)
        self.bar.setMinimumWidth(60)
        scale = QHBoxLayout()
        scale.addWidget(self.low)
        scale.addWidget(self.bar, 1)
        scale.addWidget(self.high)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.names)
        layout.addLayout(scale)
        self.set_legend(None)

    def set_legend(self, legend: Legend | None) -> None:
        """Show what colours mean; None for nothing."""
        ranged = legend is not None and bool(legend.colormap)
        for part in (self.low, self.high, self.bar):
            part.setVisible(ranged)
        entries = legend.entries if legend is not None else ()
        shown = [
            f'<span style="color:{colour}">●</span>&nbsp;{html.escape(name)}'
            for name, colour in entries[:_MOST]
        ]
        if len(entries) > _MOST:
            shown.append(f"and {len(entries) - _MOST} more")
        self.names.setText("&nbsp; ".join(shown))
        self.names.setVisible(bool(shown))
        if legend is not None and ranged:
            self.low.setText(f"{legend.low:.4g}")
            self.high.setText(f"{legend.high:.4g}")
            colours = (colormaps[legend.colormap](range(256)) * 255).round().astype("uint8")
            image = QImage(colours.tobytes(), 256, 1, QImage.Format.Format_RGBA8888)
            self.bar.setPixmap(QPixmap.fromImage(image))
