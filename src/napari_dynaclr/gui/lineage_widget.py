"""Lineage: the selected cell over time, with its mother and daughters, as a dock widget."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from napari_dynaclr.gui.ink import ink_of
from napari_dynaclr.gui.lineage_patches import read_patches
from napari_dynaclr.gui.lineage_strip import PATCH, LaneLook, LineageStrip
from napari_dynaclr.gui.settings import recall, remember
from napari_dynaclr.gui.view import View
from napari_dynaclr.session.lineage import annotated_bars, lineage_of, predicted_bars

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.gui.runner import Run
    from napari_dynaclr.session.lineage import Lineage

HINT = "Select a cell: click it in the image or on the map."

ALL = "all channels"

_FIELD = 32.0
"""Side of a patch in um: a cell and a little of its neighbours."""

_AT_ONCE = 8
"""Time points read in one go: what has been read appears while the rest is read."""

_KEPT = 4000
"""Patches kept in memory, some 8 kB each."""

Place = tuple[str, int, float, float, float]
"""A cell by FOV, time point and centroid (z, y, x)."""


class LineageWidget(View):
    """A strip of the selected track and its relatives.

    Parameters
    ----------
    viewer
        The viewer.
    parent
        Its parent in Qt.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        self._viewer = viewer
        self.title = QLabel()
        self.title.setTextFormat(Qt.TextFormat.PlainText)
        self.legend = QLabel()
        self.channel = QComboBox()
        self.channel.setToolTip("What the patches show.")
        self.channel.setAccessibleName("Channel of the patches")
        self.strip = LineageStrip()
        self.strip.hint = HINT
        self._lay_out()
        self._run: Run | None = None
        self._reading: Run | None = None
        self._kept: OrderedDict[tuple[str, Place], QPixmap | None] = OrderedDict()
        # Many events in a row, such as those of a resize, mean one look at what is missing.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._read)
        self.channel.activated.connect(self._choose_channel)
        self.strip.picked.connect(self._pick)
        self.strip.walked.connect(self._walk)
        self.strip.view_changed.connect(self._soon.start)

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setSpacing(6)
        top.addWidget(self.title)
        top.addStretch(1)
        top.addWidget(self.legend)
        top.addSpacing(8)
        top.addWidget(self.channel)
        for text, tip, act in (
            ("-", "Less room for each time point (Ctrl + wheel)", lambda: self.strip.zoom(1 / 1.5)),
            ("+", "More room for each time point (Ctrl + wheel)", lambda: self.strip.zoom(1.5)),
            ("fit", "Show the whole lineage, or as much as can be read", self.strip.fit),
        ):
            button = QToolButton()
            button.setText(text)
            button.setToolTip(tip)
            button.clicked.connect(act)
            top.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self.strip, 1)

    # -- following --------------------------------------------------------

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the selection, the time point, states and predictions."""
        session = self.session
        return [
            (session.dataset_changed, self.synchronise),
            (session.fov_changed, self._fill_channels),
            (session.cells_changed, self._reload),
            (session.selection_changed, self._select),
            (session.frame_changed, self._move_cursor),
            (session.marks_changed, self._colour),
            (session.task_changed, self._colour),
            (self._viewer.events.theme, self._paint),
        ]

    def synchronise(self) -> None:
        """Show the selected track as it is now."""
        self._paint()
        self._fill_channels()
        self.strip.set_frame(self.session.frame)
        self._reload()

    def _paint(self, _event: object = None) -> None:
        ink = ink_of(self._viewer)
        self.strip.set_colours(ink.text, ink.accent)

    def _fill_channels(self) -> None:
        fov = self.session.fov
        names = [] if fov is None else list(fov.channels)
        if len(names) > 1:
            names.insert(0, ALL)
        self.channel.clear()
        self.channel.addItems(names)
        self.channel.setVisible(len(names) > 1)
        self.channel.setCurrentText(recall("lineage/channel", ALL))

    def _choose_channel(self) -> None:
        remember("lineage/channel", self.channel.currentText())
        self._find_patches()
        self._soon.start()

    def _reload(self) -> None:
        """Lay the lineage out anew: rows may mean other cells."""
        self.strip.show_lineage(None)
        self._select()

    @property
    def _target(self) -> tuple[str, int] | None:
        """FOV and track to show: those of the first of the selected cells."""
        cells, rows = self.session.cells, self.session.selection
        if not len(rows) or rows[0] >= len(cells):
            return None
        return cells.name(int(rows[0])), int(cells.track[rows[0]])

    def _select(self) -> None:
        target, lineage = self._target, self.strip.lineage
        if self._run is not None:
            self._run.cancel()
            self._run = None
        if target is None:
            self.strip.show_lineage(None)
            self._tell()
            return
        fov_name, track = target
        if lineage is not None and lineage.fov_name == fov_name and lineage.lane_of(track) >= 0:
            self.strip.set_active(track)
            self._tell()
            return
        cells = self.session.cells

        def work(_job: Job) -> Lineage | None:
            return lineage_of(cells, fov_name, track)

        def done(found: Lineage | None) -> None:
            if self._run is run and self.session.cells is cells:
                self._run = None
                self._show(found, track)

        self._run = run = self.bench.runner.start("lineage", work, done, lane="lineage")

    def _show(self, lineage: Lineage | None, track: int) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self.strip.patches = {}
        self.strip.show_lineage(lineage)
        self.strip.set_active(track)
        self._find_patches()
        self._colour()
        self._tell()

    def _tell(self) -> None:
        """Say what is shown."""
        lineage, session = self.strip.lineage, self.session
        target = self._target
        if lineage is None or target is None:
            self.title.setText("")
            return
        fov_name, track = target
        said = [f"Track {track}, FOV {fov_name}"]
        others = len(lineage.lanes) - 1
        if others:
            said.append(f"{others} relative{'s' if others > 1 else ''}")
        if session.selected_track is None:
            said.append("the first of the selected tracks")
        self.title.setText(" · ".join(said))

    def _move_cursor(self) -> None:
        self.strip.set_frame(self.session.frame)

    def _colour(self) -> None:
        """Show the states of the active task."""
        lineage, session, task = self.strip.lineage, self.session, self.session.task
        looks: list[LaneLook] = []
        if lineage is not None:
            looks = [
                LaneLook(
                    annotated_bars(session.cells, lane, session.marks, task.name),
                    predicted_bars(session.cells, lane, task.name),
                )
                for lane in lineage.lanes
            ]
        self.strip.looks = looks
        self.strip.colours = {state.name: state.colour for state in task.choices}
        self.strip.repaint_all()
        names = [
            f"<span style='color:{state.colour}'>■</span> {state.name}" for state in task.states
        ]
        self.legend.setText("&nbsp; ".join(names))
        self.legend.setToolTip(
            f"{task.name}: upper bar annotated (pale: carried over), lower bar predicted "
            "(pale: unsure)"
        )
        self.legend.setVisible(lineage is not None)

    # -- acting -----------------------------------------------------------

    def _pick(self, row: int) -> None:
        selection = self.session.selection
        if len(selection) != 1 or selection[0] != row or self._is_elsewhere(row):
            self.session.focus(row)

    def _is_elsewhere(self, row: int) -> bool:
        session = self.session
        fov = session.fov
        elsewhere = fov is None or session.cells.name(row) != fov.name
        return elsewhere or int(session.cells.t[row]) != session.frame

    def _walk(self, in_time: int, in_lanes: int) -> None:
        """Go from the selected cell at the time on screen to the next one."""
        session, lineage, target = self.session, self.strip.lineage, self._target
        if lineage is None or target is None:
            return
        at = lineage.lane_of(target[1])
        if at < 0:
            return
        row = lineage.lanes[at].row_at(session.frame)
        if in_time:
            row = lineage.neighbour(session.cells, row, in_time)
        else:
            at = min(max(at + in_lanes, 0), len(lineage.lanes) - 1)
            row = lineage.lanes[at].row_at(session.frame)
        self._pick(row)

    # -- patches ----------------------------------------------------------

    def _place(self, row: int) -> Place:
        cells = self.session.cells
        z, y, x = (float(one) for one in cells.position[row])
        return cells.name(row), int(cells.t[row]), z, y, x

    def _find_patches(self) -> list[int]:
        """Show what is in memory of what is in sight; return the rows that are not."""
        channel, missing = self.channel.currentText(), []
        shown: dict[int, QPixmap] = {}
        for row in self.strip.visible_rows():
            key = (channel, self._place(row))
            if key not in self._kept:
                missing.append(row)
            elif (patch := self._kept[key]) is not None:
                self._kept.move_to_end(key)
                shown[row] = patch
        self.strip.patches = shown
        self.strip.repaint_all()
        return missing

    def _read(self) -> None:
        """Read the patches that are missing, some time points at a time."""
        dataset, cells = self.session.dataset, self.session.cells
        lineage = self.strip.lineage
        if lineage is None or dataset is None or not self.isVisible() or not self.channel.count():
            return
        missing = self._find_patches()
        if not missing or self._reading is not None:
            return  # what is being read comes first; then this is called again
        times = np.unique(cells.t[missing])[:_AT_ONCE]
        rows = [row for row in missing if cells.t[row] in times]
        places = [self._place(row) for row in rows]
        chosen = self.channel.currentText()

        def work(job: Job) -> list[NDArray[np.uint8]]:
            fov = dataset.whole[lineage.fov_name]
            size = int(np.clip(round(_FIELD / fov.scale[2]), 16, min(256, *fov.shape[2:])))
            channels = fov.channels if chosen == ALL else [chosen]
            return read_patches(dataset, places, channels, size, job)

        def done(patches: list[NDArray[np.uint8]]) -> None:
            ratio = self.devicePixelRatioF()
            for place, patch in zip(places, patches, strict=True):
                self._keep((chosen, place), _pixmap(patch, round(PATCH * ratio)))

        def failed(error: Exception) -> None:
            for place in places:  # not to be tried again and again
                self._keep((chosen, place), None)
            self.bench.explain(error)

        def ended() -> None:
            self._reading = None
            self._soon.start()

        run = self.bench.runner.start("read patches", work, done, failed, "patches of a lineage")
        run.ended.connect(ended)
        self._reading = run

    def _keep(self, key: tuple[str, Place], patch: QPixmap | None) -> None:
        self._kept[key] = patch
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)


def _pixmap(patch: NDArray[np.uint8], side: int) -> QPixmap:
    """Turn an RGB patch (H, W, 3) into a pixmap of the size it is shown in."""
    data = np.ascontiguousarray(patch)
    high, wide = data.shape[:2]
    image = QImage(data.data, wide, high, 3 * wide, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(
        image.scaled(
            side,
            side,
            Qt.AspectRatioMode.IgnoreAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
    )
