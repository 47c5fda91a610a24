"""A card beside the mouse: what the cell under it looks like, and what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_dynaclr.gui.gallery.patch_source import PatchSource, looks_of, pixmap
from napari_dynaclr.session.thumbnails import Place

if TYPE_CHECKING:
    from napari_dynaclr.gui.gallery.patch_source import Pictures
    from napari_dynaclr.gui.workbench import Workbench

_SIDE = 96
"""Of the picture on the screen, in pixels."""


class HoverCard(QWidget):
    """Shows one cell; its patch is read in the background, the newest wish only.

    Parameters
    ----------
    bench
        The viewer's workbench.
    parent
        Its parent in Qt.
    """

    def __init__(self, bench: Workbench, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.ToolTip)
        self.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
        self._bench = bench
        self._source = PatchSource(bench, self)
        self._source.arrived.connect(self._show)
        self.picture, self.text = QLabel(), QLabel()
        self.picture.setFixedSize(_SIDE, _SIDE)
        self.picture.setScaledContents(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(2)
        layout.addWidget(self.picture)
        layout.addWidget(self.text)

    def show_cell(self, row: int) -> None:
        """Show a cell, beside the mouse."""
        cells = self._bench.session.cells
        if not 0 <= row < len(cells):
            return
        z, y, x = (float(one) for one in cells.position[row])
        place = Place(cells.name(row), int(cells.t[row]), z, y, x)
        self.text.setText(self._bench.mouse.known(row).replace(", ", "\n"))
        self.picture.clear()  # it is of the cell before
        self._source.request([place], looks_of(self._bench))

    def put_away(self) -> None:
        """Hide, and want nothing any more."""
        self._source.stop()
        self.hide()

    def _show(self, pictures: Pictures) -> None:
        self.picture.setPixmap(pixmap(pictures[0][1]))
        self.adjustSize()
        self.move(QCursor.pos() + QPoint(18, 18))
        self.show()
