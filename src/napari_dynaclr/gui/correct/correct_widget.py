"""The dock widget in which people correct tracks, by hand and eye."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_dynaclr.gui.correct.action_buttons import TITLES, ActionButtons
from napari_dynaclr.gui.correct.suspects_panel import SuspectsPanel
from napari_dynaclr.gui.correcting import KEYS
from napari_dynaclr.gui.layers.pair import COLOURS
from napari_dynaclr.gui.settings import recall, remember
from napari_dynaclr.gui.shortcuts import bind, unbind, window_of
from napari_dynaclr.gui.view import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from qtpy.QtGui import QHideEvent, QShortcut, QShowEvent

    from napari_dynaclr.gui.shortcuts import Action
    from napari_dynaclr.gui.workbench import Workbench

_SWITCH = "correct/active"


class CorrectWidget(View):
    """Corrects the tracks of the FOV on screen, from one suspicious place to the next.

    Parameters
    ----------
    napari_viewer
        The viewer; napari knows by this name that it must give it.
    parent
        Its parent in Qt.
    """

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self.switch = QCheckBox("Clicks and keys correct tracks")
        self.switch.setToolTip(
            "A click chooses cell A, Shift+click cell B, and the keys below work in the whole "
            "window. Off: clicks select or annotate."
        )
        self.suspects = SuspectsPanel()
        self.chosen = {name: QElidingLabel() for name in COLOURS}
        self.buttons = ActionButtons()
        self.undo, self.redo = QPushButton("Undo"), QPushButton("Redo")
        self.state = QElidingLabel()
        self.write = QPushButton("Write now")
        self.write.setToolTip(
            "Write tracks.csv and the label images. It happens by itself after a while, and "
            "before another step runs; until then the journal of corrections has it all."
        )
        self.earlier = QLabel()
        self.earlier.setWordWrap(True)
        self.replay = QPushButton("Replay them")
        self.replay.setToolTip(
            "Do the corrections that were made on earlier tracks again, where their cells are "
            "found at the same places."
        )
        self.said = QElidingLabel()
        self.said.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._shortcuts: list[QShortcut] = []
        self._lay_out()
        # Napari puts empty space below a widget that does not ask for it.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        bench, corrections = self.bench, self.session.corrections
        self.switch.clicked.connect(self._switch)
        self.suspects.stepped.connect(bench.correcting.step)
        self.suspects.chosen.connect(bench.correcting.look_at)
        self.suspects.accepted.connect(bench.correcting.accept)
        self.buttons.acted.connect(bench.correcting.act)
        self.buttons.adding.connect(corrections.set_adding)
        self.buttons.radius.valueChanged.connect(corrections.set_radius)
        self.undo.clicked.connect(bench.correcting.undo)
        self.redo.clicked.connect(bench.correcting.redo)
        self.write.clicked.connect(bench.correcting.write)
        self.replay.clicked.connect(bench.correcting.replay)

    def _lay_out(self) -> None:
        content = QWidget()
        inside = QVBoxLayout(content)
        inside.setContentsMargins(8, 6, 8, 4)
        inside.setSpacing(4)
        inside.addWidget(self.switch)
        self.offer = QWidget()
        offer = QHBoxLayout(self.offer)
        offer.setContentsMargins(0, 0, 0, 0)
        offer.addWidget(self.earlier, 1)
        offer.addWidget(self.replay)
        inside.addWidget(self.offer)
        inside.addSpacing(4)
        inside.addWidget(self.suspects)
        inside.addSpacing(8)
        for name, label in self.chosen.items():
            line = QHBoxLayout()
            line.setSpacing(6)
            line.addWidget(_chip(name))
            line.addWidget(label, 1)
            inside.addLayout(line)
        inside.addSpacing(2)
        inside.addWidget(self.buttons)
        inside.addStretch(1)
        last = QHBoxLayout()
        last.setSpacing(6)
        last.addWidget(self.undo)
        last.addWidget(self.redo)
        last.addWidget(self.state, 1)
        last.addWidget(self.write)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        bottom = QVBoxLayout()
        bottom.setContentsMargins(8, 0, 8, 6)
        bottom.setSpacing(4)
        bottom.addLayout(last)
        bottom.addWidget(self.said)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(scroll, 1)
        layout.addLayout(bottom)
        bar = scroll.verticalScrollBar()
        room = bar.sizeHint().width() if bar is not None else 0
        self.setMinimumWidth(content.minimumSizeHint().width() + room)

    # -- following --------------------------------------------------------

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow what is chosen, corrected, suspicious and running."""
        session, corrections = self.session, self.session.corrections
        return [
            (session.dataset_changed, self._show),
            (session.fov_changed, self._show),
            (session.cells_changed, self._show),
            (session.said, self.said.setText),
            (corrections.mode_changed, self._mode_changed),
            (corrections.pair_changed, self._show),
            (corrections.changed, self._show),
            (corrections.queue_changed, self._show_queue),
            (self.bench.correcting.written_changed, self._show_written),
            (self.bench.correcting.looking_changed, self._show_queue),
            (self.bench.runner.stage_changed, self._show),
        ]

    def synchronise(self) -> None:
        """Show what the session holds now."""
        corrections = self.session.corrections
        self.buttons.radius.blockSignals(True)
        self.buttons.radius.setValue(corrections.radius)
        self.buttons.radius.blockSignals(False)
        self.said.setText(self.session.last_said)
        self._mode_changed()
        self._show()
        self._show_queue()

    def _mode_changed(self) -> None:
        corrections = self.session.corrections
        self.switch.setChecked(corrections.active)
        self.buttons.add.setChecked(corrections.adding)
        self._bind()

    def _show(self) -> None:
        corrections = self.session.corrections
        reason = self.bench.correcting.reason
        self.buttons.show_plans(corrections.plans(), reason)
        for (name, label), node in zip(
            self.chosen.items(), (corrections.a, corrections.b), strict=True
        ):
            row = corrections.row_of(node)
            hint = "click a cell" if name == "A" else "Shift+click another, at any time point"
            text = self.bench.mouse.known(row) if row >= 0 else hint
            label.setText(text)
            label.setToolTip(text)
            label.setEnabled(row >= 0)
        shown = corrections.shown
        for button, what, title, key in (
            (self.undo, shown.undo, "Undo", KEYS["undo"]),
            (self.redo, shown.redo, "Redo", KEYS["redo"]),
        ):
            button.setEnabled(bool(what) and not reason)
            button.setToolTip(f"{title} ({key}): {what}" if what else f"Nothing to {title.lower()}")
        self.offer.setVisible(shown.waiting > 0)
        many = shown.waiting > 1
        self.earlier.setText(
            f"{shown.waiting} correction{'s were' if many else ' was'} made on earlier tracks."
        )
        self.replay.setEnabled(not reason)
        self._show_written()

    def _show_queue(self) -> None:
        self.suspects.show_queue(self.session.corrections.queue, self.bench.correcting.looking)

    def _show_written(self) -> None:
        correcting = self.bench.correcting
        behind = bool(correcting.unwritten)
        self.state.setText(correcting.state)
        self.write.setVisible(behind)
        self.write.setEnabled(behind and not correcting.writing and not correcting.reason)

    # -- acting -----------------------------------------------------------

    def _switch(self, on: bool) -> None:
        remember(_SWITCH, on)
        self.session.corrections.set_active(on)

    def key_actions(self) -> list[Action]:
        """Return the keys that work while clicks correct: key, what it does, and how."""
        correcting = self.bench.correcting
        found: list[Action] = [
            (KEYS[name], f"Correct: {title}", partial(correcting.act, name))
            for name, (title, _) in TITLES.items()
        ]
        return [
            *found,
            (KEYS["add"], "Correct: add a cell", correcting.add_at_cursor),
            (KEYS["next"], "Next suspicious place", partial(correcting.step, 1)),
            (KEYS["previous"], "Previous suspicious place", partial(correcting.step, -1)),
            (KEYS["accept"], "Looks right", correcting.accept),
            (KEYS["undo"], "Undo correction", correcting.undo),
            (KEYS["redo"], "Redo correction", correcting.redo),
            (KEYS["leave"], "Choose no cell", correcting.leave),
        ]

    def _bind(self) -> None:
        """Have the keys work in the whole window while clicks correct."""
        unbind(self._shortcuts)
        if self._connected and self.session.corrections.active:
            again = (KEYS["next"], KEYS["previous"])
            self._shortcuts = bind(window_of(self), self.key_actions(), again)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Follow the session, and take the clicks and keys if they are wanted here."""
        super().showEvent(event)
        self.session.corrections.set_active(bool(recall(_SWITCH, True)))
        self.bench.correcting.want_suspects(True)
        self._bind()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Follow nothing, and give the keys back; behind another tab it is not hidden."""
        super().hideEvent(event)
        unbind(self._shortcuts)
        hidden, owner = self.isHidden(), self.parentWidget()
        while owner is not None and not isinstance(owner, QMainWindow):
            hidden, owner = hidden or owner.isHidden(), owner.parentWidget()
        if hidden:  # it or its dock, and not just the window that they are in
            # In a moment: a dock that begins or ceases to float is hidden and shown again.
            QTimer.singleShot(0, partial(_rest, self, self.bench))


def _chip(name: str) -> QLabel:
    """Return the name of a chosen cell, in the colour that it has in the image."""
    chip = QLabel(name)
    chip.setAlignment(Qt.AlignmentFlag.AlignCenter)
    chip.setFixedWidth(20)
    chip.setStyleSheet(
        f"background: {COLOURS[name]}; color: black; font-weight: bold; border-radius: 3px;"
    )
    return chip


def _rest(widget: CorrectWidget, bench: Workbench) -> None:
    """Where the widget has been put away, let clicks select: nothing shows what they do."""
    if isalive(bench) and not (isalive(widget) and widget.isVisible()):
        bench.session.corrections.set_active(False)
        bench.correcting.want_suspects(False)
