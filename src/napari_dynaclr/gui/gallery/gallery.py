"""Gallery: patches of cells side by side, to look at, to jump to and to label by keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractListModel, QEvent, QModelIndex, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QPainter, QPen
from qtpy.QtWidgets import QListView, QStyle, QStyledItemDelegate, QVBoxLayout, QWidget

from napari_dynaclr.gui.gallery.patch_source import PatchSource, looks_of, pixmap
from napari_dynaclr.session.thumbnails import WIDTH_UM, Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from qtpy.QtCore import QPersistentModelIndex
    from qtpy.QtGui import QPixmap
    from qtpy.QtWidgets import QStyleOptionViewItem

    from napari_dynaclr.gui.workbench import Workbench
    from napari_dynaclr.session import Session

    Index = QModelIndex | QPersistentModelIndex

SIDE = 64
"""Width and height of a patch on screen, in logical pixels."""

_MARGIN = 4
_PIXMAP = int(Qt.ItemDataRole.UserRole)


@dataclass(frozen=True)
class Patch:
    """A cell to show.

    Attributes
    ----------
    fov_name, id
        The node.
    place
        Where it is.
    made_on
        Key of the tracks that it is a node of: in others, the same id is of another cell.
    tip
        What is told of it when the mouse rests on it.
    predicted
        Its predicted state, where its FOV is not among those whose cells are shown.
    """

    fov_name: str
    id: int
    place: Place
    made_on: str = ""
    tip: str = ""
    predicted: str = ""


def patches_of(session: Session, rows: Sequence[int] | NDArray[Any]) -> list[Patch]:
    """Return the cells of some rows of a session."""
    cells = session.cells
    return [
        Patch(
            cells.name(row),
            int(cells.id[row]),
            Place(cells.name(row), int(cells.t[row]), *map(float, cells.position[row])),
            cells.keys.get(cells.name(row), ""),
            f"{cells.name(row)}, track {cells.track[row]}, t={cells.t[row]}",
        )
        for row in rows
    ]


class _Model(QAbstractListModel):
    """The patches, and the pictures that have come so far."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.patches: list[Patch] = []
        self.pictures: dict[int, QPixmap] = {}

    def show(self, patches: Sequence[Patch]) -> None:
        self.beginResetModel()
        self.patches, self.pictures = list(patches), {}
        self.endResetModel()

    def put(self, pictures: dict[int, QPixmap]) -> None:
        self.pictures |= pictures
        self.dataChanged.emit(self.index(min(pictures)), self.index(max(pictures)), [_PIXMAP])

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.patches)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        if role == _PIXMAP:
            return self.pictures.get(index.row())
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return self.patches[index.row()].tip
        return None


class _Painter(QStyledItemDelegate):
    """Draws a patch in a frame: whole for a state that was given, broken for a predicted one."""

    def __init__(self, session: Session, patches: _Model, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._patches = session, patches

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(SIDE + 2 * _MARGIN, SIDE + 2 * _MARGIN)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: Index) -> None:
        if painter is None:
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette = option.palette
        cell: QRect = option.rect
        if option.state & QStyle.StateFlag.State_Selected:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(palette.color(palette.ColorRole.Text))
            painter.drawRoundedRect(cell, 4, 4)
        inside = cell.adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
        picture = index.data(_PIXMAP)
        if picture is None:
            grey = QColor(palette.color(palette.ColorRole.Text))
            grey.setAlpha(28)
            painter.fillRect(inside, grey)
        else:
            painter.drawPixmap(inside, picture)
        colour, is_given = self._frame(self._patches.patches[index.row()])
        if colour:
            pen = QPen(QColor(colour), 3 if is_given else 2)
            pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
            if not is_given:
                pen.setDashPattern([2, 2])
            painter.setPen(pen)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(inside.adjusted(1, 1, -1, -1))
        painter.restore()

    def _frame(self, patch: Patch) -> tuple[str, bool]:
        """Colour of the state of a cell, and whether a person gave it; "" where it has none."""
        session = self._session
        task = session.task
        given = session.marks.get(patch.fov_name, patch.id, task.name)
        if given is not None:
            return task.colour(given.state), True
        prediction = session.cells.predictions.get(task.name)
        rows = session.cells.find(patch.fov_name, [patch.id])
        if rows[0] < 0:
            return task.colour(patch.predicted) if patch.predicted else "", False
        if prediction is None or prediction.codes[rows[0]] < 0:
            return "", False
        return task.colour(prediction.states[prediction.codes[rows[0]]]), False


class _List(QListView):
    """The list itself; it takes the keys of the states before shortcuts of the window do."""

    pressed_key = Signal(str)
    entered_key = Signal()
    current_changed = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.keys: Mapping[str, str] = {}

    def _state_key(self, event: QKeyEvent) -> str:
        held = event.modifiers() & ~(
            Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier
        )
        key = event.text().casefold()
        return key if key in self.keys and not held else ""

    def event(self, event: QEvent | None) -> bool:
        """Claim the keys of the states, which are shortcuts of the window otherwise."""
        if (
            isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.ShortcutOverride
            and self.currentIndex().isValid()
            and self._state_key(event)
        ):
            event.accept()
            return True
        return bool(super().event(event))

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """Tell who listens."""
        super().currentChanged(current, previous)
        self.current_changed.emit(current.row())

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Give a state, go to the cell, or move among the patches."""
        if event is None:
            return
        if self.currentIndex().isValid() and (key := self._state_key(event)):
            self.pressed_key.emit(key)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.entered_key.emit()
        elif event.text() and event.text().isprintable():
            event.ignore()  # nothing here is found by typing its name
        else:
            super().keyPressEvent(event)


class Gallery(QWidget):
    """Patches of cells in a grid.

    Arrows move, Enter or a click asks for the cell to be shown, the key of a state
    labels the current one and moves on.

    Parameters
    ----------
    bench
        The viewer's workbench.
    parent
        Its parent in Qt.
    """

    activated = Signal(str, object)
    """The user wants to see a cell: FOV name and node id."""
    labelled = Signal(object, str)
    """The user gives a cell a state: its :class:`Patch`, and the state."""
    moved = Signal(int)
    """Another patch is the current one: its place; -1 for none."""

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bench = bench
        self._channel, self._width = "", WIDTH_UM
        self._source = PatchSource(bench, self)
        self._patches = _Model(self)
        self.list = _List(self)
        self.list.setModel(self._patches)
        self.list.setItemDelegate(_Painter(bench.session, self._patches, self.list))
        self.list.setViewMode(QListView.ViewMode.IconMode)
        self.list.setMovement(QListView.Movement.Static)
        self.list.setResizeMode(QListView.ResizeMode.Adjust)
        self.list.setUniformItemSizes(True)
        self.list.setSpacing(0)
        self.list.setFrameShape(QListView.Shape.NoFrame)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.list.setMinimumHeight(SIDE + 2 * _MARGIN)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list)
        self.setFocusProxy(self.list)
        self._source.arrived.connect(self._arrived)
        self.list.clicked.connect(self._clicked)
        self.list.entered_key.connect(lambda: self._activate(self.current))
        self.list.pressed_key.connect(self._label)
        self.list.current_changed.connect(self.moved)

    # -- what is shown ----------------------------------------------------

    @property
    def patches(self) -> list[Patch]:
        """The cells on show."""
        return list(self._patches.patches)

    @property
    def current(self) -> int:
        """Place of the current patch, -1 if there is none."""
        return int(self.list.currentIndex().row())

    @property
    def loaded(self) -> int:
        """Number of pictures that have been read."""
        return len(self._patches.pictures)

    def show_patches(self, patches: Sequence[Patch]) -> None:
        """Show other cells; their pictures are read in the background."""
        self._patches.show(patches)
        self.refresh()
        self.moved.emit(-1)

    def set_keys(self, keys: Mapping[str, str]) -> None:
        """Say which keys give which states."""
        self.list.keys = {key.casefold(): state for key, state in keys.items() if key}

    def set_look(self, channel: str = "", width: float = WIDTH_UM) -> None:
        """Show another channel, those visible in the viewer by default, or another width in um."""
        if (channel, width) != (self._channel, self._width):
            self._channel, self._width = channel, width
            self.refresh()

    def refresh(self) -> None:
        """Read the pictures again, as the channels look in the viewer now."""
        places = [patch.place for patch in self._patches.patches]
        self._source.request(places, looks_of(self._bench, self._channel), self._width)

    def recolour(self) -> None:
        """Draw the frames again: cells have been given other states."""
        if (viewport := self.list.viewport()) is not None:
            viewport.update()

    def stop(self) -> None:
        """Read nothing more: nobody can see it."""
        self._source.stop()

    def _arrived(self, found: list[tuple[int, Any]]) -> None:
        if found:
            self._patches.put({i: pixmap(picture) for i, picture in found})

    # -- what the user does -----------------------------------------------

    def step(self, step: int) -> bool:
        """Make the next patch the current one, or the one before; whether there is one."""
        return self.go(self.current + step if self.current >= 0 else 0)

    def go(self, place: int) -> bool:
        """Make a patch the current one; whether there is one at this place."""
        if not 0 <= place < len(self._patches.patches):
            return False
        index = self._patches.index(place)
        self.list.setCurrentIndex(index)
        self.list.scrollTo(index)
        return True

    def _clicked(self, index: Index) -> None:
        self._activate(index.row())

    def _activate(self, place: int) -> None:
        if 0 <= place < len(self._patches.patches):
            patch = self._patches.patches[place]
            self.activated.emit(patch.fov_name, patch.id)

    def _label(self, key: str) -> None:
        self.labelled.emit(self._patches.patches[self.current], self.list.keys[key])
        self.step(1)
