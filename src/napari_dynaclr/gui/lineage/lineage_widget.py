"""Lineage: the selected cell over time, with its mother and daughters, as a dock widget."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from napari_dynaclr.gui.charts.ink import ink_of
from napari_dynaclr.gui.gallery.patch_source import PatchSource, looks_of, pixmap
from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.lineage.lineage_strip import PATCH, LaneLook, LineageStrip
from napari_dynaclr.gui.settings import recall, remember
from napari_dynaclr.gui.view import View
from napari_dynaclr.session.lineage import annotated, lineage_of, predicted
from napari_dynaclr.session.thumbnails import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from napari import Viewer
    from numpy.typing import NDArray
    from qtpy.QtGui import QHideEvent, QPixmap

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.session.lineage import Lineage

HINT = "Select a cell: click it in the image or on the map."

_AS_IN_VIEWER = "visible channels"

_FIELD = 32.0
"""Side of a patch in um: a cell and a little of its neighbours."""

_KEPT = 4000
"""Patches kept in memory, some 8 kB each."""


class LineageWidget(View):
    """A strip of the selected track and its relatives.

    Parameters
    ----------
    napari_viewer
        The viewer; napari knows by this name that it must give it.
    parent
        Its parent in Qt.
    """

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self._viewer = napari_viewer
        self.title = QLabel()
        self.title.setTextFormat(Qt.TextFormat.PlainText)
        self.legend = QLabel()
        self.legend.setWordWrap(True)  # else states make the widget too wide for the side
        self.channel = QComboBox()
        # The names come later, and another dataset has others.
        self.channel.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.channel.setToolTip("What the patches show.")
        self.channel.setAccessibleName("Channel of the patches")
        self.strip = LineageStrip()
        self.strip.hint = HINT
        self._lay_out()
        self._layout = Latest(self.bench.runner, self, "lineage")
        self.source = PatchSource(self.bench, self)
        self._kept: OrderedDict[tuple[Any, Place], QPixmap] = OrderedDict()
        self._wanted: tuple[Any, tuple[Place, ...]] = ((), ())
        self._rows: list[int] = []
        # Many events in a row, such as those of a resize, mean one look at what is missing.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._show_patches)
        self.source.arrived.connect(self._take)
        self.channel.activated.connect(self._choose_channel)
        self.strip.picked.connect(self._pick)
        self.strip.walked.connect(self._walk)
        self.strip.view_changed.connect(self._soon.start)

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setSpacing(6)
        top.addWidget(self.title)
        top.addStretch(1)
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
        layout.addWidget(self.legend)
        layout.addWidget(self.strip, 1)

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Stop reading."""
        super().hideEvent(event)
        self._soon.stop()
        self.source.stop()
        self._wanted = ((), ())

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
        self.channel.clear()
        self.channel.addItem(_AS_IN_VIEWER, "")
        for name in fov.channels if fov is not None else ():
            self.channel.addItem(name, name)
        self.channel.setCurrentIndex(max(self.channel.findData(recall("lineage/channel", "")), 0))
        self._soon.start()

    def _choose_channel(self) -> None:
        remember("lineage/channel", self.channel.currentData())
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
        self._layout.stop()
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
            if self.session.cells is cells:
                self._show(found, track)

        self._layout.start("lineage", work, done)

    def _show(self, lineage: Lineage | None, track: int) -> None:
        self.strip.patches = {}
        self.strip.show_lineage(lineage)
        self.strip.set_active(track)
        self._colour()
        self._tell()
        self._soon.start()

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
                    annotated(session.cells, lane, session.marks, task.name),
                    predicted(session.cells, lane, task.name),
                )
                for lane in lineage.lanes
            ]
        self.strip.show_states(looks, {state.name: state.colour for state in task.choices})
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

    def _show_patches(self) -> None:
        """Show what is in memory of what is in sight, and have the rest read."""
        session = self.session
        if self.strip.lineage is None or session.dataset is None or not self.isVisible():
            self.source.stop()
            return
        looks = looks_of(self.bench, self.channel.currentData() or "")
        style = tuple((look.channel, look.limits, look.table.tobytes()) for look in looks)
        shown: dict[int, QPixmap] = {}
        missing: list[tuple[int, int, Place]] = []
        for row in self.strip.visible_rows():
            place = self._place(row)
            if (patch := self._kept.get((style, place))) is not None:
                self._kept.move_to_end((style, place))
                shown[row] = patch
            else:
                missing.append((abs(place.t - session.frame), row, place))
        self.strip.patches = shown
        self.strip.repaint_all()
        missing.sort()  # from the cursor outwards; a time point's cells together
        wanted = (style, tuple(place for *_, place in missing))
        if wanted != self._wanted:
            self._wanted = wanted
            self._rows = [row for _, row, _ in missing]
            self.source.request(wanted[1], looks, _FIELD)

    def _place(self, row: int) -> Place:
        cells = self.session.cells
        z, y, x = (float(one) for one in cells.position[row])
        return Place(cells.name(row), int(cells.t[row]), z, y, x)

    def _take(self, pictures: list[tuple[int, NDArray[np.uint8]]]) -> None:
        side = round(PATCH * self.devicePixelRatioF())
        style, places = self._wanted
        for i, picture in pictures:
            patch = pixmap(picture).scaled(
                side,
                side,
                Qt.AspectRatioMode.IgnoreAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
            self._kept[style, places[i]] = patch
            self.strip.patches[self._rows[i]] = patch
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        self.strip.repaint_all()
