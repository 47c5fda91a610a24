"""The selected cells as a gallery, in a dock of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
)

from napari_dynaclr.gui.annotating import label
from napari_dynaclr.gui.gallery.gallery import Gallery, patches_of
from napari_dynaclr.gui.view import View
from napari_dynaclr.session.thumbnails import WIDTH_UM

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from qtpy.QtGui import QHideEvent
    from qtpy.QtWidgets import QWidget

MOST = 200
"""Cells that are shown at once; of more, as many are taken evenly."""

_AS_IN_VIEWER = "visible channels"


class GalleryWidget(View):
    """Patches of the cells that are selected, on the map or in the image.

    Parameters
    ----------
    napari_viewer
        The viewer; napari knows by this name that it must give it.
    parent
        Its parent in Qt.
    """

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self.gallery = Gallery(self.bench)
        self.heading = QLabel()
        self.channel = QComboBox()
        self.channel.addItem(_AS_IN_VIEWER, "")
        self.channel.setToolTip("Channels to show, with the colours and contrast of the viewer.")
        self.width_um = QSpinBox()
        self.width_um.setRange(5, 500)
        self.width_um.setValue(round(WIDTH_UM))
        self.width_um.setSuffix(" um")
        self.width_um.setKeyboardTracking(False)
        self.width_um.setToolTip("Width of a patch.")
        self.again = QToolButton()
        self.again.setText("↻")
        self.again.setToolTip("Show the channels as they look in the viewer now.")
        self.again.setAccessibleName("Refresh")
        top = QHBoxLayout()
        top.addWidget(self.channel, 1)
        top.addWidget(self.width_um)
        top.addWidget(self.again)
        # Napari puts empty space below a widget that does not ask for it.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.addLayout(top)
        layout.addWidget(self.heading)
        layout.addWidget(self.gallery, 1)
        # A lasso that is still being drawn selects anew with every move of the mouse.
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(100)
        self._pause.timeout.connect(self._show_selection)
        self.channel.currentIndexChanged.connect(self._look)
        self.width_um.valueChanged.connect(self._look)
        self.again.clicked.connect(self.gallery.refresh)
        self.gallery.activated.connect(self.bench.go_to)
        self.gallery.labelled.connect(partial(label, self.bench))

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the selection, the cells and their states."""
        return [
            (self.session.selection_changed, self._selection_changed),
            (self.session.cells_changed, self._selection_changed),
            (self.session.fov_changed, self._fill_channels),
            (self.session.marks_changed, self.gallery.recolour),
            (self.session.task_changed, self._task_changed),
        ]

    def synchronise(self) -> None:
        """Show the selection as it is now."""
        self._fill_channels()
        self._task_changed()
        self._show_selection()
        if self.gallery.loaded < len(self.gallery.patches):  # hidden before all had come
            self.gallery.refresh()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Stop reading."""
        super().hideEvent(event)
        self._pause.stop()
        self.gallery.stop()

    def _fill_channels(self) -> None:
        fov, chosen = self.session.fov, self.channel.currentData()
        self.channel.blockSignals(True)
        self.channel.clear()
        self.channel.addItem(_AS_IN_VIEWER, "")
        for name in fov.channels if fov is not None else ():
            self.channel.addItem(name, name)
        self.channel.setCurrentIndex(max(self.channel.findData(chosen), 0))
        self.channel.blockSignals(False)

    def _task_changed(self) -> None:
        self.gallery.set_keys({one.key: one.name for one in self.session.task.choices})
        self.gallery.recolour()

    def _selection_changed(self) -> None:
        self._pause.start()

    def _show_selection(self) -> None:
        rows = self.session.selection
        count = len(rows)
        new = patches_of(self.session, rows[:1])
        shown = self.gallery.patches
        if count == 1 and new[0] in shown:
            # Going to a cell selects it alone; the others must stay to go to the next.
            self.gallery.go(shown.index(new[0]))
            return
        if count > MOST:
            rows = rows[np.linspace(0, count - 1, MOST).round().astype(int)]
            self.heading.setText(f"{MOST} of {count:,} selected cells")
        else:
            self.heading.setText("1 cell selected" if count == 1 else f"{count} cells selected")
        self.gallery.show_patches(patches_of(self.session, rows))

    def _look(self) -> None:
        self.gallery.set_look(self.channel.currentData() or "", float(self.width_um.value()))
