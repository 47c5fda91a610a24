"""What the annotation widget is made of, and where it is; it does nothing by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_dynaclr.gui.annotate.review_panel import ReviewPanel
from napari_dynaclr.gui.annotate.state_buttons import StateButtons

if TYPE_CHECKING:
    from napari_dynaclr.gui.workbench import Workbench

_GAP = 8


class AnnotateForm(QWidget):
    """The controls of the annotation widget, from the task to what was said last.

    Parameters
    ----------
    bench
        The viewer's workbench, for the patches of the review queue.
    parent
        Its parent in Qt.
    """

    def __init__(self, bench: Workbench, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.task = QComboBox()
        self.task.setToolTip("What the cells are asked about.")
        self.task.setAccessibleName("Task")
        self.edit = _button("Edit tasks…", "Add, rename or remove tasks, states, colours and keys.")
        self.states = StateButtons()
        self.select_only = _button("Select only", "Clicks select cells and give no state (Esc).")
        self.select_only.setCheckable(True)
        self.clear = _button("Clear", "Take the annotation of the selected cells away.")
        self.carry = QCheckBox("Holds for the rest of the track")
        self.carry.setToolTip("A state holds for the later time points, up to the next one given.")
        self.inherit = QCheckBox("Daughters inherit it")
        self.inherit.setToolTip("Daughters begin with the state that their mother ended with.")
        self.annotator = QLineEdit()
        self.annotator.setToolTip("Recorded with every annotation.")
        self.annotator.setAccessibleName("Annotator")
        self.reach = QDoubleSpinBox()
        self.reach.setRange(0.0, 1000.0)
        self.reach.setDecimals(1)
        self.reach.setSuffix(" um")
        self.reach.setKeyboardTracking(False)
        self.reach.setAccessibleName("Reach of a click")
        self.reach.setToolTip("A click beside all cells means the nearest one within this reach.")
        self.selected = QLabel("no cell selected")
        self.label = _button("Give state", "Give all selected cells a state.")
        self.label_menu = QMenu(self.label)
        self.label.setMenu(self.label_menu)
        self.track = _button("Whole track", "Select the selected cells at all time points.")
        self.between = _button("Between", "Select all cells between two of a track or lineage.")
        self.onward = _button("From here on", "Select them from here to the end of their tracks.")
        self.undo = _button("Undo", "Take back the last annotation (Ctrl+Z).")
        self.redo = _button("Redo", "Annotate again what was taken back (Ctrl+Shift+Z).")
        self.previous = _button("◀ Previous", "Go to the annotated cell before this one (J).")
        self.next = _button("Next ▶", "Go to the next annotated cell (K).")
        self.review = ReviewPanel(bench)
        self.tables = _button(
            "Import / export", "Exchange annotations with napari-iohub, VisCy and other tools."
        )
        self.tables_menu = QMenu(self.tables)
        self.tables.setMenu(self.tables_menu)
        self.said = QElidingLabel()
        self.said.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._lay_out()

    def _lay_out(self) -> None:
        content = QWidget()
        inside = QVBoxLayout(content)
        inside.setContentsMargins(8, 6, 8, 4)
        inside.setSpacing(4)
        inside.addLayout(_row(self.task, self.edit, stretch=0))
        inside.addWidget(self.states)
        inside.addLayout(_row(self.select_only, self.clear))
        inside.addSpacing(_GAP)
        options = QGridLayout()
        options.setHorizontalSpacing(8)
        options.setVerticalSpacing(3)
        options.addWidget(self.carry, 0, 0, 1, 4)
        options.addWidget(self.inherit, 1, 0, 1, 4)
        options.addWidget(QLabel("Annotator"), 2, 0)
        options.addWidget(self.annotator, 2, 1)
        options.addWidget(QLabel("Reach"), 2, 2)
        options.addWidget(self.reach, 2, 3)
        options.setColumnStretch(1, 1)
        inside.addLayout(options)
        inside.addWidget(_rule())
        inside.addLayout(_row(self.selected, self.undo, self.redo, stretch=0))
        inside.addLayout(_row(self.track, self.between, self.onward))
        inside.addLayout(_row(self.label, self.previous, self.next))
        inside.addWidget(_rule())
        inside.addWidget(self.review, 1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        bottom = QHBoxLayout()
        bottom.setContentsMargins(8, 0, 8, 6)
        bottom.addWidget(self.said, 1)
        bottom.addWidget(self.tables)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(scroll, 1)
        layout.addLayout(bottom)
        bar = scroll.verticalScrollBar()
        room = bar.sizeHint().width() if bar is not None else 0
        # Qt lets the tabs of a dock be as narrow as the one on top.
        self.setMinimumWidth(content.minimumSizeHint().width() + room)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _row(*widgets: QWidget, stretch: int | None = None) -> QHBoxLayout:
    """Lay widgets side by side: of equal width, or one of them taking what is left."""
    row = QHBoxLayout()
    row.setSpacing(6)
    for i, widget in enumerate(widgets):
        if stretch is None:
            widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        row.addWidget(widget, 1 if stretch is None or stretch == i else 0)
    return row


def _rule() -> QFrame:
    rule = QFrame()
    rule.setFrameShape(QFrame.Shape.NoFrame)
    rule.setFixedHeight(9)
    return rule
