"""Likely events as a list to walk through, and what is said of each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_dynaclr.gui import annotating
from napari_dynaclr.gui.arrow.event_table import EventTable, Line
from napari_dynaclr.gui.docks import bring_up
from napari_dynaclr.gui.finding import KEYS
from napari_dynaclr.gui.settings import recall, remember
from napari_dynaclr.gui.shortcuts import bind, unbind, window_of
from napari_dynaclr.gui.view import View
from napari_dynaclr.session.events import DIVIDES
from napari_dynaclr.session.session import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from qtpy.QtGui import QHideEvent, QShortcut, QShowEvent

    from napari_dynaclr.gui.shortcuts import Action
    from napari_dynaclr.gui.workbench import Workbench
    from napari_dynaclr.session.events import Event

_SWITCH = "events/active"

_PREVIOUS, _NEXT = f"Previous event ({KEYS['previous']})", f"Next event ({KEYS['next']})"

_NONE_YET = "No events yet. Run the search above."
_NONE_HERE = "Nothing has been looked for in this FOV. Run the search above on it."
_FOUND_NONE = "The search has found no events here."


class EventsPanel(View):
    """Lists likely events; goes to them, and accepts and rejects them as divisions.

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
        self.scope, self.search = QComboBox(), QComboBox()
        self.scope.addItems([scope.value for scope in Scope])
        self.scope.setToolTip("Whose events are listed.")
        self.search.setToolTip("Which search is listed, by its name.")
        self.heading = QLabel()
        self.heading.setTextFormat(Qt.TextFormat.PlainText)
        self.heading.setWordWrap(True)
        self.previous_button, self.next_button = QToolButton(), QToolButton()
        self.table = EventTable()
        self.accept_button = QPushButton(f"Division  ({KEYS['accept']})")
        self.reject_button = QPushButton(f"No division  ({KEYS['reject']})")
        self.undo_button = QPushButton("Undo")
        self.undo_button.setToolTip(f"Take back the last annotation ({KEYS['undo']}).")
        self.hindrance = QLabel()
        self.hindrance.setWordWrap(True)
        self.track_button = QPushButton("Segment and track…")
        self.track_button.setToolTip("Open the widget that finds and links the cells.")
        self.switch = QCheckBox("Clicks and keys go through the events")
        self.switch.setToolTip(
            f"A click on a circle in the image chooses that event. {KEYS['next']} and "
            f"{KEYS['previous']} go to the next and the previous one, {KEYS['accept']} accepts a "
            f"division, {KEYS['reject']} rejects it, in the whole window. Off: they select, "
            "annotate or correct."
        )
        self._shortcuts: list[QShortcut] = []
        self._rows: tuple[Event, ...] = ()
        self._lay_out()
        finding, events = self.bench.finding, self.session.events
        self.scope.activated.connect(lambda _: finding.set_scope(Scope(self.scope.currentText())))
        self.search.activated.connect(lambda _: finding.choose(self.search.currentText()))
        self.table.chosen.connect(finding.look_at)
        self.accept_button.clicked.connect(finding.accept)
        self.reject_button.clicked.connect(finding.reject)
        self.undo_button.clicked.connect(partial(annotating.undo, self.bench))
        self.track_button.clicked.connect(partial(bring_up, viewer, "Segment and track"))
        self.switch.clicked.connect(partial(remember, _SWITCH))
        self.switch.clicked.connect(events.set_active)

    def _lay_out(self) -> None:
        for button, text, tip, step in (
            (self.previous_button, "◀", _PREVIOUS, -1),
            (self.next_button, "▶", _NEXT, 1),
        ):
            button.setText(text)
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.clicked.connect(partial(self._step, step))
        top, second, below, last = QHBoxLayout(), QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        top.addWidget(self.scope)
        top.addWidget(self.search)
        top.addStretch(1)
        second.addWidget(self.heading, 1)
        second.addWidget(self.previous_button)
        second.addWidget(self.next_button)
        below.addWidget(self.accept_button, 1)
        below.addWidget(self.reject_button, 1)
        below.addWidget(self.undo_button)
        last.addWidget(self.hindrance, 1)
        last.addWidget(self.track_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for part in (top, second, below, last, self.table, self.switch):
            if isinstance(part, QWidget):
                layout.addWidget(part)
            else:
                part.setSpacing(6)
                layout.addLayout(part)

    # -- following ---------------------------------------------------------

    def connections(self) -> list[tuple[Any, Callable[..., Any]]]:
        """Follow the events, the cells and what is said of them."""
        session = self.session
        return [
            (session.events.changed, self._show),
            (session.events.mode_changed, self._mode_changed),
            (session.marks_changed, self._mark),
            (session.cells_changed, self._mark),
            (session.cells_awaited, self._mark),
            (session.fov_changed, self._show),
            (self.bench.finding.read_changed, self._show),
        ]

    def synchronise(self) -> None:
        """Show what the session holds now."""
        self.scope.setCurrentText(self.bench.finding.scope.value)
        self._show()
        self._mode_changed()

    def _mode_changed(self) -> None:
        self.switch.setChecked(self.session.events.active)
        self._bind()

    def _show(self) -> None:
        finding, found = self.bench.finding, self.session.events.found
        if [self.search.itemText(i) for i in range(self.search.count())] != finding.names:
            self.search.clear()
            self.search.addItems(finding.names)
        self.search.setCurrentText(finding.name)
        self.search.setVisible(len(finding.names) > 1)
        if found.places != self._rows or self.table.topLevelItemCount() != len(found.places):
            self._rows = found.places
            self.table.set_tips([_tip(place) for place in found.places])
        there = bool(found.places)
        self.table.setVisible(there)
        self.table.look_at(found.position)
        for part in (
            self.previous_button, self.next_button, self.accept_button, self.reject_button,
            self.undo_button,
        ):  # fmt: skip
            part.setVisible(there)
        last = found.position >= len(found.places) - 1
        for button, at_end, tip, end in (
            (self.next_button, last, _NEXT, "This is the last event."),
            (self.previous_button, found.position <= 0, _PREVIOUS, "There is none before."),
        ):
            button.setEnabled(not at_end)
            button.setToolTip(end if at_end else tip)
        self._mark()

    def _mark(self) -> None:
        """Say which events are accepted, and what can be done with the one that is looked at."""
        events = self.session.events
        found, several = events.found, self.bench.finding.scope is not Scope.FOV
        lines = [self._line(i, place) for i, place in enumerate(self._rows)]
        self.table.set_lines(lines, several=several)
        self.heading.setText(self._heading(sum(bool(line.judged) for line in lines)))
        current = found.current
        reason = events.hindrance(current) if found.places else ""
        self.hindrance.setText(reason)
        self.hindrance.setVisible(bool(reason))
        self.track_button.setVisible("not tracked" in reason)
        for button, tip in (
            (self.accept_button, "Annotate the cell as dividing (mitosis), and go on."),
            (self.reject_button, "Annotate the cell as not dividing (interphase), and go on."),
        ):
            button.setEnabled(current is not None and not reason)
            button.setToolTip(reason or (tip if current is not None else "Choose an event first."))

    def _line(self, place: int, event: Event) -> Line:
        events, dataset = self.session.events, self.session.dataset
        verdict, track = events.verdict(event), events.track_of(event)
        said = ("✓" if verdict == DIVIDES else "✗") if verdict else ""
        interval = dataset.whole[event.fov_name].frame_interval if dataset is not None else None
        hours = f" ({event.t * interval / 3600:.1f} h)" if interval else ""
        cell = str(track) if track >= 0 else ""
        when, score = f"t={event.t}{hours}", f"{event.score:.3g}"
        chance = "" if event.by_chance is None else f"{event.by_chance:.0%}"
        return Line(said, str(place + 1), event.fov_name, when, score, chance, cell)

    def _heading(self, judged: int) -> str:
        session, found = self.session, self.session.events.found
        if session.dataset is None:
            return "Open a dataset first."
        if not (found.places or self.bench.finding.is_known):
            return "reading events…"
        if not found.places:
            if not self.bench.finding.names:
                return _NONE_YET
            return _NONE_HERE if found.missing else _FOUND_NONE
        most = f" (the {len(found.places)} likeliest)" if found.total > len(found.places) else ""
        at = f"{found.position + 1} of " if found.position >= 0 else ""
        return f"{at}{found.total:,} likely events{most}, {judged} judged"

    # -- acting ------------------------------------------------------------

    def _step(self, step: int) -> None:
        self.bench.finding.step(step)

    def key_actions(self) -> list[Action]:
        """Return the keys that work while they go through the events: key, what, and how."""
        finding = self.bench.finding
        return [
            (KEYS["next"], "Next likely event", partial(finding.step, 1)),
            (KEYS["previous"], "Previous likely event", partial(finding.step, -1)),
            (KEYS["accept"], "Accept as a division", finding.accept),
            (KEYS["reject"], "No division", finding.reject),
            (KEYS["undo"], "Undo annotation", partial(annotating.undo, self.bench)),
            (KEYS["redo"], "Redo annotation", partial(annotating.redo, self.bench)),
        ]

    def _bind(self) -> None:
        """Have the keys work in the whole window while they are for the events."""
        unbind(self._shortcuts)
        if self._connected and self.session.events.active:
            again = (KEYS["next"], KEYS["previous"])
            self._shortcuts = bind(window_of(self), self.key_actions(), again)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Follow the session, and take the clicks and keys if they are wanted here."""
        super().showEvent(event)
        self.bench.finding.want(True)
        self.session.events.set_active(bool(recall(_SWITCH, True)))
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


def _tip(event: Event) -> str:
    where = ", ".join(f"{one:.0f}" for one in event.position)
    return f"FOV {event.fov_name}, t={event.t}, z, y, x = {where}: score {event.score:.3g}"


def _rest(panel: EventsPanel, bench: Workbench) -> None:
    """Where the panel has been put away, let clicks select: nothing shows what they do."""
    if isalive(bench) and not (isalive(panel) and panel.isVisible()):
        bench.session.events.set_active(False)
        bench.finding.want(False)
