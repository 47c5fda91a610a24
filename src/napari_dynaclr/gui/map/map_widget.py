"""The linked map: all cells as points, selected, coloured and followed together with the image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QSearchableComboBox

from napari_dynaclr.core.atomic import write_csv
from napari_dynaclr.core.errors import DynaclrError, storage_errors
from napari_dynaclr.gui.colouring import choose_colour, recall_colour
from napari_dynaclr.gui.filling import fill
from napari_dynaclr.gui.map.hover import HoverCard
from napari_dynaclr.gui.map.legend import LegendBar
from napari_dynaclr.gui.map.theme import follow_theme
from napari_dynaclr.gui.scatter.plot import NO_MAP, PointCloud
from napari_dynaclr.gui.view import View
from napari_dynaclr.session import Scope
from napari_dynaclr.session.cells import READING
from napari_dynaclr.session.painting import choices
from napari_dynaclr.session.table import cell_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from numpy.typing import NDArray
    from qtpy.QtGui import QHideEvent

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.session.colours import ColourBy

_MODES = {
    "pan": ("Pan", "Drag to move, wheel to zoom (P)"),
    "lasso": ("Lasso", "Draw around cells to select them; Shift adds, Alt removes (L)"),
    "rectangle": ("Box", "Drag a rectangle to select cells; Shift adds, Alt removes (R)"),
}

_NO_CELLS = "No cells yet: run Segment and track"

_MIXED = """The maps of these FOVs were made in several runs: their axes do not agree.
Run Project over all of them at once (Work on: whole plate)"""


class MapPanel(View):
    """The map of the cells in scope.

    Parameters
    ----------
    viewer
        The viewer.
    parent
        Its parent in Qt.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(viewer, parent)
        recall_colour(self.bench)
        self.cloud = PointCloud()
        self.cloud.setMinimumHeight(240)
        self.cloud.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.scope, self.embedding, self.map = QComboBox(), QComboBox(), QComboBox()
        self.scope.addItems([scope.value for scope in Scope])
        self.scope.setToolTip("Whose cells are on the map.")
        self.embedding.setToolTip("Which embedding the map is of.")
        self.map.setToolTip("Which map of the embedding.")
        self.colour = QSearchableComboBox()
        self.colour.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.colour.setToolTip("What the cells are coloured by, here and in the image.")
        self.legend = LegendBar()
        self.count = QLabel()
        self.modes = QButtonGroup(self)
        self.save, self.fit = QPushButton("Save"), QPushButton("Fit")
        self.fit.setToolTip("Show all cells (Home)")
        self.card = HoverCard(self.bench, self)
        self._colours: list[ColourBy] = []
        self._shown: tuple[object, ...] = ()
        """What the points are of: the view is kept while it stays."""
        self._lay_out()
        follow_theme(viewer, self.cloud)
        self._hovered = -1
        self._hover_timer = QTimer(self)
        self._hover_timer.setSingleShot(True)
        self._hover_timer.setInterval(120)
        self._hover_timer.timeout.connect(self._show_card)
        self.cloud.selected.connect(self._lassoed)
        self.cloud.clicked.connect(self._clicked)
        self.cloud.hovered.connect(self._hover)
        self.cloud.mode_changed.connect(self._mode_changed)
        self.fit.clicked.connect(self.cloud.reset_view)
        self.scope.currentTextChanged.connect(lambda text: self.bench.set_scope(Scope(text)))
        self.embedding.activated.connect(self._choose_embedding)
        self.map.activated.connect(self._choose_map)
        self.colour.activated.connect(self._choose_colour)

    def _lay_out(self) -> None:
        first, second, tools = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        for box in (self.scope, self.embedding, self.map):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
            first.addWidget(box)
        second.addWidget(QLabel("Colour by"))
        second.addWidget(self.colour, 1)
        for mode, (text, tip) in _MODES.items():
            button = QPushButton(text)
            button.setToolTip(tip)
            button.setCheckable(True)
            button.setObjectName(mode)
            button.clicked.connect(lambda _on=False, mode=mode: setattr(self.cloud, "mode", mode))
            self.modes.addButton(button)
            tools.addWidget(button)
        tools.addWidget(self.fit)
        tools.addStretch(1)
        tools.addWidget(self.count)
        tools.addWidget(self.save)
        menu = QMenu(self.save)
        for text, suffix in (
            ("Picture (PNG)…", "png"),
            ("Vector graphic (SVG)…", "svg"),
            ("Table of the cells (CSV)…", "csv"),
        ):
            action = menu.addAction(text)
            if action is not None:
                action.triggered.connect(lambda _on=False, suffix=suffix: self._ask_save(suffix))
        self.save.setMenu(menu)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addLayout(first)
        layout.addLayout(second)
        layout.addLayout(tools)
        layout.addWidget(self.cloud, 1)
        layout.addWidget(self.legend)
        self._mode_changed(self.cloud.mode)

    # -- the user ---------------------------------------------------------

    def _choose_embedding(self) -> None:
        self.session.embedding = self.embedding.currentText()
        self.bench.load_cells()

    def _choose_map(self) -> None:
        self.session.map = str(self.map.currentData())
        self._show_points()

    def _choose_colour(self) -> None:
        choose_colour(self.bench, self._colours[self.colour.currentIndex()])

    def _lassoed(self, rows: NDArray[np.integer], how: str) -> None:
        self.session.select(rows, how)  # type: ignore[arg-type] # one of the words of How
        self.session.say(f"{len(self.session.selection)} cells selected")

    def _clicked(self, row: int, how: str) -> None:
        if row < 0:
            if how == "replace":
                self.session.select([])
        elif how == "replace":
            self.session.focus(row)
        else:
            self.session.select([row], how)  # type: ignore[arg-type]

    def _hover(self, row: int) -> None:
        self._hovered = row
        if row < 0:
            self._hover_timer.stop()
            self.card.put_away()
        else:
            self._hover_timer.start()

    def _show_card(self) -> None:
        if self._hovered >= 0:
            self.card.show_cell(self._hovered)

    def _mode_changed(self, mode: str) -> None:
        for button in self.modes.buttons():
            button.setChecked(button.objectName() == mode)

    def _ask_save(self, suffix: str) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the map", f"map.{suffix}", f"{suffix.upper()} (*.{suffix})"
        )
        if path:
            self.save_as(Path(path).with_suffix(f".{suffix}"))

    def save_as(self, path: Path) -> None:
        """Write the map as a picture (.png, .svg) or the cells as a table (.csv)."""
        session = self.session
        if path.suffix == ".csv":
            # Of now, whatever is opened or selected meanwhile.
            about = (session.cells, session.selection, session.tasks, session.marks)

            def work(_job: Job) -> None:
                with storage_errors(f"save {path}"):
                    write_csv(path, cell_table(*about))
        else:
            try:
                shot = self.cloud.shot(path)
            except DynaclrError as error:
                self.bench.explain(error)
                return

            def work(_job: Job) -> None:
                shot.write(path)

        self.read(f"save {path.name}", work, lambda _done: session.say(f"saved {path}"))

    # -- following --------------------------------------------------------

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Take the card away too: it is a window of its own."""
        super().hideEvent(event)
        self._hover(-1)

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the cells, their colours, the selection and the frame."""
        return [
            (self.session.cells_changed, self._cells_changed),
            (self.session.cells_awaited, self._show_hint),
            (self.session.colour_changed, self._show_colours),
            (self.session.selection_changed, self._show_selection),
            (self.session.frame_changed, self._show_frame),
            (self.session.fov_changed, self._show_frame),
            (self.session.task_changed, self._fill_colours),
        ]

    def synchronise(self) -> None:
        """Show the map as the session has it."""
        self._cells_changed()

    def _cells_changed(self) -> None:
        session = self.session
        self.scope.blockSignals(True)
        self.scope.setCurrentText(session.scope.value)
        self.scope.blockSignals(False)
        embeddings = {name: name for name in self.bench.embeddings}
        fill(self.embedding, embeddings, session.cells.embedding)
        self.embedding.setVisible(len(self.bench.embeddings) > 1)
        fill(self.map, {name: name.upper() for name in session.cells.maps}, session.map_name)
        self.map.setVisible(bool(session.cells.maps))
        self._fill_colours()
        self._show_points()

    def _fill_colours(self) -> None:
        session = self.session
        self._colours = choices(session.cells, session.tasks, self.bench.features)
        self.colour.blockSignals(True)
        self.colour.clear()
        self.colour.addItems([one.title for one in self._colours])
        if session.colour_by in self._colours:
            self.colour.setCurrentIndex(self._colours.index(session.colour_by))
        self.colour.blockSignals(False)

    def _show_points(self) -> None:
        session = self.session
        name = session.map_name
        cells, nowhere = session.cells, np.full((len(session.cells), 2), np.nan, np.float32)
        mixed = name in cells.mixed
        places = nowhere if mixed else cells.maps.get(name, nowhere)
        self._show_hint()
        root = session.dataset.root if session.dataset is not None else None
        shown = (root, session.cells.embedding, name, session.scope)
        self.cloud.set_points(places, keep_view=shown == self._shown)
        self._shown = shown
        self.cloud.set_axis_names(*(f"{name.upper()} {i}" if name else "" for i in (1, 2)))
        known = int(np.isfinite(places[:, 0]).sum())
        self.count.setText(f"{known:,} cells" if known else "")
        self._show_colours()
        self._show_selection()
        self._show_frame()

    def _show_hint(self) -> None:
        """Say why there are no points, while there are none."""
        session = self.session
        mixed = session.map_name in session.cells.mixed
        none = READING if session.awaits_cells else _NO_CELLS
        self.cloud.set_hint(_MIXED if mixed else NO_MAP if len(session.cells) else none)

    def _show_colours(self) -> None:
        palette = self.session.palette
        if palette is not None and len(palette.index) == len(self.session.cells):
            self.cloud.set_colours(palette.rgba)
        self.legend.set_legend(palette.legend if palette is not None else None)
        if self.session.colour_by in self._colours:
            self.colour.setCurrentIndex(self._colours.index(self.session.colour_by))

    def _show_selection(self) -> None:
        session = self.session
        self.cloud.set_selected(session.selection)
        track = session.selected_track
        if track is None:
            self.cloud.set_path(None)
            return
        name, number = track
        lines = []
        for one in session.cells.lineage(name, number):
            rows = session.cells.of_track(name, one)
            parent = session.cells.parent_of(name, one)
            before = session.cells.of_track(name, parent)[-1:] if parent >= 0 else rows[:0]
            lines.append(np.concatenate([before, rows]))
        self.cloud.set_path(lines)

    def _show_frame(self) -> None:
        self.cloud.set_highlighted(self.session.here())
