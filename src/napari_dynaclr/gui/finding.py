"""What the clicks, keys and buttons for likely events do in one viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.layers.overlays import EVENT_UM
from napari_dynaclr.session.events import (
    DIVIDES,
    DIVIDES_NOT,
    EventList,
    event_names,
    read_events,
)
from napari_dynaclr.session.session import Scope

if TYPE_CHECKING:
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.gui.workbench import Workbench

KEYS = {
    "next": "N",
    "previous": "P",
    "accept": "Y",
    "reject": "X",
    "undo": "Ctrl+Z",
    "redo": "Ctrl+Shift+Z",
}
"""Keys while clicks and keys go through the events."""


class Finding(QObject):
    """The likely events of one viewer: read, gone to, accepted and rejected.

    Parameters
    ----------
    bench
        The viewer's workbench.
    """

    read_changed = Signal()
    """Events are being read, or have been."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self._bench, self._session = bench, bench.session
        self._reads = Latest(bench.runner, self, "events")
        self.wanted = False
        """Whether someone looks at them."""
        self.scope = Scope.FOV
        """Whose events are listed."""
        self.name = ""
        """Search that is listed; "" for the first there is."""
        self.names: list[str] = []
        """Searches that the dataset has events of."""
        self.reading = False
        self._known = False
        self._slice = -1
        session = self._session
        session.events.changed.connect(self._draw)
        session.marks_changed.connect(self._draw)
        session.dataset_changed.connect(self._closed)
        for moved in (bench.viewer.dims.events.current_step, bench.viewer.dims.events.ndisplay):
            moved.connect(self._slice_changed)
        session.fov_changed.connect(self._moved)
        session.results_changed.connect(self._results_changed)

    @property
    def keys(self) -> frozenset[str]:
        """Keys that go through the events now, so that they annotate nothing else."""
        return frozenset(KEYS.values() if self._session.events.active else ())

    @property
    def is_known(self) -> bool:
        """Whether it is known what events there are."""
        return self._known and not self.reading

    # -- reading -----------------------------------------------------------

    def want(self, wanted: bool) -> None:
        """Have events read, now and whenever there are others, or not."""
        self.wanted = wanted
        if wanted:
            self.read()

    def choose(self, name: str) -> None:
        """List the events of another search."""
        if name != self.name:
            self.name = name
            self.read()

    def set_scope(self, scope: Scope) -> None:
        """List the events of this FOV, of its well, or of all."""
        if scope is not self.scope:
            self.scope = scope
            self.read()

    def read(self) -> None:
        """Read the events in scope, in the background."""
        session = self._session
        dataset, names, wanted = session.dataset, session.fovs_in(self.scope), self.name
        if dataset is None or not self.wanted:
            return

        def work(job: Job) -> tuple[list[str], EventList]:
            known = event_names(dataset)
            name = wanted if wanted in known else next(iter(known), "")
            return known, read_events(dataset, name, names, job)

        def done(found: tuple[list[str], EventList]) -> None:
            self.reading = False
            if session.dataset is dataset:
                self._known = True
                self.names = found[0]
                self.name = found[1].name
                session.events.set_found(session.events.found.renewed(found[1]))
            self.read_changed.emit()

        def failed(error: Exception) -> None:
            self.reading, self._known = False, True  # the error says the rest
            self.read_changed.emit()
            self._bench.explain(error)

        self.reading = True
        self._reads.start("read events", work, done, failed)
        self.read_changed.emit()

    def _closed(self) -> None:
        self.name, self.names, self._known = "", [], False

    def _moved(self) -> None:
        if self.scope is not Scope.PLATE or not self._session.events.found.name:
            self.read()

    def _results_changed(self, stage: str) -> None:
        if stage in ("find", "track", "correct"):
            self.read()

    # -- drawing -----------------------------------------------------------

    def _draw(self) -> None:
        self._slice = self._slice_seen()
        self._bench.layers.over.show_events_in(self._slice)

    def _slice_changed(self, _event: object = None) -> None:
        if self._session.events.found.places and self._slice_seen() != self._slice:
            self._draw()

    def _slice_seen(self) -> int:
        """Slice on screen, in which all events are drawn; -1 where all slices are seen."""
        if self._bench.viewer.dims.ndisplay == 3:
            return -1
        return self._bench.navigation.slice_on_screen()

    # -- going -------------------------------------------------------------

    def step(self, step: int) -> None:
        """Go to the next event of the list, or to the one before."""
        found = self._session.events.found
        place = found.position + step
        if not found.places:
            self._session.say("no likely events: run the search first")
        elif 0 <= place < len(found.places):
            self.look_at(place)
        else:
            self._session.say(f"this is the {'last' if step > 0 else 'first'} event")

    def look_at(self, position: int) -> None:
        """Go to an event: its FOV, its time and its place."""
        events = self._session.events
        events.set_found(events.found.at(position))
        event = events.found.current
        if event is None:
            return

        def there() -> None:
            row = events.row_of(event)
            if events.found.current == event:
                self._session.select([row] if row >= 0 else [])

        self._bench.navigation.go_to_place(event.fov_name, event.t, event.position, there)

    def pick(self, position: tuple[float, ...]) -> bool:
        """Look at the event under a click in the viewer's world; False if there is none."""
        scene, session = self._bench.layers.scene, self._session
        if not session.events.active or scene is None or len(position) < 3:
            return False
        layer = self._bench.layers.layer("events")
        if layer is None or not layer.visible:
            return False
        scale = np.array(scene.fov.scale)
        here = [(i, e) for i, e in session.events.found.of(scene.fov.name) if e.t == session.frame]
        away = [
            float(np.linalg.norm((np.array(e.position) * scale - position[-3:])[1:]))
            for _, e in here
        ]
        if not away or min(away) > EVENT_UM / 2:
            return False
        self.look_at(here[int(np.argmin(away))][0])
        return True

    # -- judging -----------------------------------------------------------

    def accept(self) -> None:
        """Annotate the event that is looked at as a division, and go on to the next."""
        self._judge(DIVIDES)

    def reject(self) -> None:
        """Annotate the cell of the event that is looked at as not dividing, and go on."""
        self._judge(DIVIDES_NOT)

    def _judge(self, state: str) -> None:
        events = self._session.events
        event = events.found.current
        if event is None:
            self._session.say("choose an event first")
        elif events.judge(event, state) and events.found.position + 1 < len(events.found.places):
            self.look_at(events.found.position + 1)

    def stop(self) -> None:
        """Read nothing any more."""
        self._reads.stop()
