"""What the clicks, keys and buttons of correction do in one viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_dynaclr.gui.latest import Latest
from napari_dynaclr.gui.runner import RunState
from napari_dynaclr.session.desk import suspicious, write_corrections
from napari_dynaclr.session.frames import FovImage

if TYPE_CHECKING:
    import pandas as pd

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.gui.workbench import Workbench

KEYS = {
    "cut": "C",
    "link": "L",
    "swap": "S",
    "merge": "M",
    "divide": "D",
    "undivide": "Shift+D",
    "delete_node": "E",
    "delete_track": "Shift+E",
    "add": "A",
    "next": "N",
    "previous": "P",
    "accept": "Y",
    "undo": "Ctrl+Z",
    "redo": "Ctrl+Shift+Z",
    "leave": "Esc",
}
"""Keys while clicks correct; those of annotation are digits, letters of one's own, J, K and Q."""

_PAUSE = 5000
"""Milliseconds without a correction before tracks.csv and tracks.zarr are written again."""

_BREATH = 700
"""Milliseconds without a correction before the suspicious places are looked for again."""

_HARMLESS = ("stain",)
"""Stages that read no tracks: one may go on correcting while they run."""


class Correcting(QObject):
    """Corrections in one viewer: shown at once, and written when there is time.

    Parameters
    ----------
    bench
        The viewer's workbench.
    """

    written_changed = Signal()
    """There is something to be written, or there is not any more."""
    looking_changed = Signal()
    """Suspicious places are being looked for, or were found."""

    def __init__(self, bench: Workbench) -> None:
        super().__init__(bench)
        self._bench = bench
        self._session = bench.session
        self._suspects = Latest(bench.runner, self, "suspects")
        self._behind: dict[str, tuple[Dataset, int]] = {}
        self._edits = 0
        self._drawn: object = None
        self.looking = ""
        """What to say where no suspicious places are shown."""
        self._writing = False
        self.wanted = False
        """Whether someone looks at the suspicious places."""
        self.looked_for: object = None
        """The cells whose suspicious places are in the queue."""
        self._write_soon = self._clock(_PAUSE, self.write)
        self._suspect_soon = self._clock(_BREATH, self.find_suspects)
        corrections = self._session.corrections
        corrections.changed.connect(self._show)
        corrections.pair_changed.connect(bench.layers.show_pair)
        corrections.mode_changed.connect(bench.layers.show_pair)
        self._session.cells_changed.connect(self._cells_changed)
        bench.runner.stage_changed.connect(self._stage_changed)

    def _clock(self, pause: int, act: Any) -> QTimer:
        clock = QTimer(self)
        clock.setSingleShot(True)
        clock.setInterval(pause)
        clock.timeout.connect(act)
        return clock

    @property
    def keys(self) -> frozenset[str]:
        """Keys that correct now, so that they annotate nothing."""
        return frozenset(KEYS.values() if self._session.corrections.active else ())

    @property
    def reason(self) -> str:
        """Why nothing can be corrected now, "" if it can."""
        session, run = self._session, self._bench.runner.stage
        if session.dataset is None:
            return "open a dataset first"
        if session.fov is None or session.fov.name not in session.cells.fovs:
            return "segment and track this FOV first"
        if run is not None and self._is_read:
            return f"'{run.title}' is running and reads the tracks: wait or cancel"
        return ""

    @property
    def _is_read(self) -> bool:
        """Whether a stage is running that may read tracks."""
        run = self._bench.runner.stage
        return run is not None and run.title not in _HARMLESS

    # -- acting -----------------------------------------------------------

    def act(self, action: str) -> None:
        """Correct the chosen cells."""
        if self._may():
            self._session.corrections.act(action)

    def accept(self) -> None:
        """Say that the suspicious place that is looked at is right, and go on to the next."""
        if self._may():
            self._session.corrections.accept()

    def undo(self) -> None:
        """Take back the last correction."""
        if self._may():
            self._session.corrections.undo()

    def redo(self) -> None:
        """Do again what was taken back."""
        if self._may():
            self._session.corrections.redo()

    def replay(self) -> None:
        """Do again, on these tracks, what was corrected in earlier ones."""
        if self._may():
            self._session.corrections.replay()

    def _may(self) -> bool:
        reason = self.reason
        if reason:
            self._session.say(f"nothing can be corrected now: {reason}")
        return not reason

    def leave(self) -> None:
        """Choose no cell any more; add none."""
        corrections = self._session.corrections
        if corrections.adding:
            corrections.set_adding(False)
        else:
            corrections.choose(None)

    def add_at_cursor(self) -> None:
        """Add a cell where the mouse is; where it is beside the image, where it clicks next."""
        viewer = self._bench.viewer
        if not self._may():
            return
        if not (viewer.mouse_over_canvas and self.add_at(tuple(viewer.cursor.position))):
            self._session.corrections.set_adding(True)

    def add_at(self, position: tuple[float, ...]) -> bool:
        """Add a cell at a place in the viewer's world; False if that is beside the image."""
        session, scene = self._session, self._bench.layers.scene
        if scene is None or len(position) < 3 or not self._may():
            return False
        place = np.asarray(position[-3:]) / scene.fov.scale
        if scene.fov.shape[1] == 1:
            place[0] = 0.0
        if not ((place >= -0.5) & (place < np.array(scene.fov.shape[1:]) - 0.5)).all():
            return False
        session.corrections.set_adding(False)
        session.corrections.add(session.frame, (float(place[0]), float(place[1]), float(place[2])))
        return True

    # -- suspicious places ------------------------------------------------

    def step(self, step: int) -> None:
        """Go to the next suspicious place, or to the one before."""
        queue = self._session.corrections.queue
        place = queue.position + step
        if not queue.places:
            self._session.say("no suspicious places")
        elif 0 <= place < len(queue.places):
            self.look_at(place)
        else:
            self._session.say(f"this is the {'last' if step > 0 else 'first'} suspicious place")

    def look_at(self, position: int) -> None:
        """Go to a suspicious place: its time, its place, and its cells chosen."""
        corrections, fov = self._session.corrections, self._session.fov
        queue = corrections.queue.at(position)
        place = queue.current
        if place is None or fov is None:
            return
        corrections.set_queue(queue)
        self._bench.go_to(fov.name, place.id, lambda: corrections.choose(place.id, place.other))

    def want_suspects(self, wanted: bool) -> None:
        """Have the suspicious places looked for, now and whenever the tracks change, or not."""
        self.wanted = wanted
        if wanted and self.looked_for is not self._session.cells:
            self._suspect_soon.start(0)

    def find_suspects(self) -> None:
        """Look for suspicious places in the FOV on screen, in the background."""
        session = self._session
        dataset, fov, cells = session.dataset, session.fov, session.cells
        if dataset is None or fov is None or fov.name not in cells.fovs or not self.wanted:
            self._look("")
            return
        name, shown = fov.name, session.corrections.shown
        self._look("looking for suspicious places…")

        def work(_job: Job) -> pd.DataFrame:
            return suspicious(dataset, name, shown)

        def done(table: pd.DataFrame) -> None:
            if session.cells is cells and session.fov is fov:
                self.looked_for = cells
                self._look("no suspicious places: all looks right")
                session.corrections.set_queue(session.corrections.queue.renewed(table))

        def failed(error: Exception) -> None:
            self._look("")
            self._bench.explain(error)

        self._suspects.start("look for suspicious places", work, done, failed)

    def _look(self, text: str) -> None:
        self.looking = text
        self.looking_changed.emit()

    # -- showing ----------------------------------------------------------

    def _show(self) -> None:
        """Show the tracks as they were corrected."""
        shown, bench = self._session.corrections.shown, self._bench
        scene = bench.layers.scene
        if scene is None or scene.fov.name != shown.fov_name or scene.key != shown.key:
            return
        source = shown.labels
        if source is not None:
            bench.layers.correct(
                shown.changes,
                source,
                lambda: FovImage(source, source.channels[0], bench.cache, bench.tell_damage),
            )
        if shown.cells is not self._drawn:
            self._drawn = shown.cells
            bench.layers.show_cells()
        if self._session.dataset is not None and shown.behind:
            self._edits += 1
            self._behind[shown.fov_name] = (self._session.dataset, self._edits)
            self._write_soon.start()
        else:  # undone to what is written
            self._behind.pop(shown.fov_name, None)
        self.written_changed.emit()
        if self.wanted:
            self._suspect_soon.start()

    def _cells_changed(self) -> None:
        if self.wanted and self.looked_for is not self._session.cells:
            self._suspect_soon.start()

    # -- writing ----------------------------------------------------------

    @property
    def unwritten(self) -> list[str]:
        """FOVs with corrections that their tables and label images do not have yet."""
        return list(self._behind)

    @property
    def writing(self) -> bool:
        """Whether corrected tracks are being written."""
        return self._writing

    @property
    def state(self) -> str:
        """Whether the corrected tracks are written, in a few words."""
        if self._writing:
            return "writing…"
        if self._behind:
            return "not written yet"
        return "written" if self._session.corrections.shown.undo else ""

    def write(self) -> None:
        """Write corrected tracks, in the background; while a stage reads tracks, later."""
        self._write_soon.stop()
        if self._writing or not self._behind or self._is_read:
            return
        todo = dict(self._behind)
        self._writing = True

        def work(job: Job) -> None:
            for name, (dataset, _) in todo.items():
                write_corrections(dataset, [name], job)

        # In the lane of the stages: one that is started meanwhile begins when this is done.
        run = self._bench.runner.start("write corrected tracks", work, lane="stage")

        def ended() -> None:
            self._writing = False
            if run.state is RunState.FINISHED:
                for name, state in todo.items():
                    if self._behind.get(name) == state:  # nothing was corrected since
                        del self._behind[name]
            if self._behind and run.state is RunState.FINISHED:
                self._write_soon.start()
            # The label images of the tracker have been put elsewhere, at the first time.
            self._session.corrections.refresh()
            self.written_changed.emit()

        run.ended.connect(ended)
        self.written_changed.emit()

    def write_first(self, dataset: Dataset, names: list[str], job: Job) -> None:
        """Write what a stage is going to read; in its job."""
        write_corrections(dataset, names, job)

    def _stage_changed(self) -> None:
        """After a stage, which has written what it was going to read: write the rest."""
        if self._behind and not self._is_read:
            self._session.corrections.refresh()
            self._write_soon.start()

    def stop(self) -> None:
        """Look for nothing any more, and write at the next opportunity: the journal has it all."""
        self._write_soon.stop()
        self._suspect_soon.stop()
        self._suspects.stop()
