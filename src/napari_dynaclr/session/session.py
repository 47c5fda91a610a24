"""Session: what one viewer is looking at. Its views listen to its events and change it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Literal

import numpy as np
from psygnal import Signal

from napari_dynaclr.core.assign import assign_points
from napari_dynaclr.core.tasks import TASKS
from napari_dynaclr.session.annotator import Annotator, Execute, at_once
from napari_dynaclr.session.cells import Cells
from napari_dynaclr.session.colours import ColourBy
from napari_dynaclr.session.corrections import Corrections
from napari_dynaclr.session.events import Events
from napari_dynaclr.session.profiles import Profiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset
    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.tasks import Task
    from napari_dynaclr.session.colours import Palette
    from napari_dynaclr.session.marks import Marks
    from napari_dynaclr.session.training import Training

How = Literal["replace", "add", "remove", "toggle"]

_NONE = np.zeros(0, np.intp)


class Scope(Enum):
    """Which FOVs something is about."""

    FOV = "this FOV"
    WELL = "this well"
    PLATE = "whole plate"


class Session:
    """What one viewer is looking at.

    All methods are quick; what takes time is read elsewhere and handed in. Views must
    change the session, never each other.

    Parameters
    ----------
    execute
        How the annotator does work that touches the disk.

    Attributes
    ----------
    dataset, fov
        What is open, or None.
    frame
        Time point on screen.
    cells
        Cells of the FOVs in :attr:`scope`.
    selection
        Ascending rows of the selected cells.
    scope
        Which FOVs' cells the views show.
    embedding, map
        Whose map is wanted; empty for the first there is.
    corrections
        How its tracks are corrected.
    events
        Likely events of its FOVs, as a list to walk through.
    profiles
        Profiles of its fields and wells, as points.
    training
        The last training that was started here, of whichever dataset, or None.
    awaits_cells
        Whether cells are being read: what is not among :attr:`cells` may be there all the same.
    """

    dataset_changed = Signal()
    """Another dataset is open, or none."""
    fov_changed = Signal()
    """Another FOV is on screen, or none."""
    frame_changed = Signal()
    """Another time point is on screen."""
    results_changed = Signal(str)
    """A stage has written results; its name."""
    cells_awaited = Signal()
    """Cells are being read, or were not to be read after all."""
    cells_changed = Signal()
    """Other cells, or the same with other maps or predictions. Selection is kept."""
    selection_changed = Signal()
    """Other cells are selected."""
    colour_changed = Signal()
    """The cells have other colours."""
    marks_changed = Signal()
    """Cells have been given states, or lost them."""
    task_changed = Signal()
    """Another task or state is active, or the tasks were edited."""
    focus_requested = Signal(str, int)
    """Someone wants to see a cell: FOV name and node id."""
    training_changed = Signal()
    """A training has begun, or has finished another epoch."""
    said = Signal(str)
    """Something worth a line in the status bar."""
    failed = Signal(object)
    """Something went wrong: the error."""

    def __init__(self, execute: Execute = at_once) -> None:
        self._execute = execute
        self.dataset: Dataset | None = None
        self.fov: Fov | None = None
        self.frame = 0
        self.cells = Cells()
        self.awaits_cells = False
        self.selection: NDArray[np.intp] = _NONE
        self.scope = Scope.FOV
        self.embedding = ""
        self.map = ""
        self.colour_by = ColourBy()
        self.palette: Palette | None = None
        self.tasks: tuple[Task, ...] = TASKS
        self.task: Task = TASKS[0]
        self.state = ""
        self.annotator: Annotator | None = None
        self.training: Training | None = None
        self.last_said = ""
        self.corrections = Corrections(self, execute)
        self.corrections.said.connect(self.say)
        self.corrections.failed.connect(self.fail)
        self.events = Events(self)
        self.profiles = Profiles(self)

    # -- what is open -----------------------------------------------------

    def open(self, dataset: Dataset | None, tasks: Sequence[Task] = TASKS) -> None:
        """Look at another dataset, or at none."""
        name = self.annotator.name if self.annotator else None
        if self.annotator is not None:
            # Not from failed: its last clicks may be on their way to the disk still.
            self.annotator.changed.disconnect()
            self.annotator.said.disconnect()
        self.dataset, self.fov, self.frame = dataset, None, 0
        self.annotator = None
        if dataset is not None:
            self.annotator = Annotator(dataset, self._execute)
            self.annotator.changed.connect(self._annotated)
            self.annotator.said.connect(self.say)
            self.annotator.failed.connect(self.fail)
            self.annotator.name = name or self.annotator.name
        self.set_cells(Cells())
        self.dataset_changed.emit()
        self.fov_changed.emit()
        self.set_tasks(tasks)

    def show(self, fov: Fov | None) -> None:
        """Look at another FOV of the dataset."""
        if fov is not self.fov:
            self.fov = fov
            self.fov_changed.emit()

    def set_frame(self, t: int) -> None:
        """Look at another time point."""
        if t != self.frame:
            self.frame = t
            self.frame_changed.emit()

    def fovs_in(self, scope: Scope) -> list[str]:
        """Names of the FOVs that a scope means now."""
        if self.dataset is None:
            return []
        if scope is Scope.PLATE:
            return self.dataset.fov_names
        if self.fov is None:
            return []
        if scope is Scope.FOV:
            return [self.fov.name]
        return [n for n in self.dataset.fov_names if n.startswith(f"{self.fov.well}/")]

    def say(self, text: str) -> None:
        """Have something told to the user, in a line."""
        self.last_said = text
        self.said.emit(text)

    def set_training(self, training: Training) -> None:
        """Take note of a training, or of another epoch of it."""
        self.training = training
        self.training_changed.emit()

    def fail(self, error: Exception) -> None:
        """Have something that went wrong told to the user."""
        self.failed.emit(error)

    def _annotated(self) -> None:
        self.marks_changed.emit()

    # -- cells ------------------------------------------------------------

    def await_cells(self, awaited: bool = True) -> None:
        """Take note that cells are being read, until :meth:`set_cells`, or are not any more."""
        self.awaits_cells = awaited
        self.cells_awaited.emit()

    def set_cells(
        self, cells: Cells, marks: Marks | None = None, palette: Palette | None = None
    ) -> None:
        """Show other cells; the selected ones that are among them stay selected.

        Parameters
        ----------
        cells
            The cells.
        marks
            What is annotated, where it was read again too.
        palette
            Their colours, where they are known already.
        """
        old, kept = self.cells, self.selection
        self.cells, self.awaits_cells = cells, False
        if marks is not None and self.annotator is not None:
            self.annotator.load(marks)
        same = old.keys == cells.keys and old.fovs == cells.fovs
        if not (same and np.array_equal(old.id, cells.id)):  # corrected, or other FOVs
            rows = [
                cells.find(name, old.id[kept[old.fov[kept] == i]])
                for i, name in enumerate(old.fovs)
                if cells.keys.get(name) == old.keys.get(name)
            ]
            self.selection = np.unique(np.concatenate([_NONE, *rows]))
            self.selection = self.selection[self.selection >= 0]
        self.palette = palette
        self.cells_changed.emit()
        if palette is not None:
            self.colour_changed.emit()
        if len(kept):
            self.selection_changed.emit()

    @property
    def map_name(self) -> str:
        """The map on show: the chosen one if it is there, else the first there is."""
        return self.map if self.map in self.cells.maps else next(iter(self.cells.maps), "")

    def set_palette(self, colour_by: ColourBy, palette: Palette | None) -> None:
        """Colour the cells."""
        self.colour_by, self.palette = colour_by, palette
        self.colour_changed.emit()

    def here(self) -> NDArray[np.intp]:
        """Rows of the cells on screen: of this FOV at this time point."""
        return self.cells.at(self.fov.name, self.frame) if self.fov is not None else _NONE

    def cell_at(
        self,
        point: tuple[float, float, float],
        label: int,
        radius: float,
    ) -> int:
        """Find the cell on screen that a point means.

        Parameters
        ----------
        point
            (z, y, x) in pixels.
        label
            Track id in the label image at the point, 0 if there is none.
        radius
            Reach in um around the point, where it hits no label.

        Returns
        -------
        int
            Row of the cell, -1 where there is none.
        """
        rows = self.here()
        if self.fov is None or not len(rows):
            return -1
        if not label:
            nowhere = np.zeros((1, 1, 1), np.uint32)
            place = np.array([[np.nan if self.fov.shape[1] == 1 else point[0], *point[1:]]])
            nodes = self.cells.nodes(rows)
            label = int(assign_points(place, nowhere, nodes, self.fov.scale, radius)[0])
        hit = rows[self.cells.track[rows] == label]
        return int(hit[0]) if label and len(hit) else -1

    # -- selection --------------------------------------------------------

    def select(self, rows: Sequence[int] | NDArray[np.integer], how: How = "replace") -> None:
        """Select cells."""
        # Masks, not sets of rows: a million of them take milliseconds.
        chosen = np.zeros(len(self.cells), bool)
        chosen[np.asarray(rows, np.intp)] = True
        if how != "replace":
            before = np.zeros(len(self.cells), bool)
            before[self.selection] = True
            both = {"add": before | chosen, "remove": before & ~chosen, "toggle": before ^ chosen}
            chosen = both[how]
        new = np.flatnonzero(chosen)
        if not np.array_equal(new, self.selection):
            self.selection = new
            self.selection_changed.emit()

    @property
    def selected_track(self) -> tuple[str, int] | None:
        """FOV and track of the selection, if all of it is of one track."""
        rows = self.selection
        if not len(rows):
            return None
        first = rows[0]
        same = (self.cells.track[rows] == self.cells.track[first]) & (
            self.cells.fov[rows] == self.cells.fov[first]
        )
        return (self.cells.name(first), int(self.cells.track[first])) if same.all() else None

    def focus(self, row: int) -> None:
        """Select a cell and show it, wherever it is."""
        if 0 <= row < len(self.cells):
            self.select([row])
            self.focus_requested.emit(self.cells.name(row), int(self.cells.id[row]))

    def describe(self, row: int) -> str:
        """Name a cell for a person."""
        where = self.cells.name(row)
        here = f"FOV {where}, " if self.fov is None or where != self.fov.name else ""
        return f"{here}track {self.cells.track[row]}, t={self.cells.t[row]}"

    # -- annotation -------------------------------------------------------

    def set_tasks(self, tasks: Sequence[Task]) -> None:
        """Edit the list of tasks; the active one stays active if it is still there."""
        self.tasks = tuple(tasks)
        names = [task.name for task in tasks]
        active = names.index(self.task.name) if self.task.name in names else 0
        self.task = self.tasks[active]
        if self.state not in [state.name for state in self.task.choices]:
            self.state = ""
        self.task_changed.emit()

    def set_task(self, name: str) -> None:
        """Make another task the active one; no state is active then."""
        for task in self.tasks:
            if task.name == name and task != self.task:
                self.task, self.state = task, ""
                self.task_changed.emit()

    def set_state(self, state: str) -> None:
        """Choose the state that clicks give; empty: clicks only select."""
        if state != self.state:
            self.state = state
            self.task_changed.emit()

    def annotate(self, rows: Sequence[int] | NDArray[np.integer], state: str) -> None:
        """Give cells a state of the active task; an empty state takes theirs away."""
        chosen = np.asarray(rows, np.intp)
        if self.annotator is not None and len(chosen):
            said = self.describe(int(chosen[0])) if len(chosen) == 1 else ""
            self.annotator.give(self.cells, chosen, self.task, state, said)

    @property
    def marks(self) -> Marks:
        """States that people have given to cells."""
        from napari_dynaclr.session.marks import Marks

        return self.annotator.marks if self.annotator else Marks()
