"""What the keys and buttons of annotation do in one viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from napari_dynaclr.annotation.export import export_annotations
from napari_dynaclr.core.registry import parse
from napari_dynaclr.core.taskbook import complete_tasks, found_states, write_tasks
from napari_dynaclr.session.cells import load_cells
from napari_dynaclr.session.stretches import Stops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.tasks import Task
    from napari_dynaclr.gui.gallery.gallery import Patch
    from napari_dynaclr.gui.runner import Run
    from napari_dynaclr.gui.workbench import Workbench
    from napari_dynaclr.session.cells import Cells

_TOOLS = ("pan_zoom", "transform")
"""Modes of a layer in which nothing is drawn."""


def give_state(bench: Workbench, state: str) -> None:
    """Give a state to the cell under the mouse, or, where that is elsewhere, to the selected."""
    session = bench.session
    row = bench.row_under_cursor()
    if row >= 0:
        session.annotate([row], state)
    elif bench.viewer.mouse_over_canvas:
        # Who points beside a cell means that one, not all that were selected before.
        session.say(f"no cell within {bench.radius:g} um of the mouse")
    elif len(session.selection):
        session.annotate(session.selection, state)
    else:
        session.say(f"{state or 'clear'}: point at a cell, or select some, first")


def label(bench: Workbench, patch: Patch, state: str) -> None:
    """Give a state to a cell of any FOV, on show or not."""
    session = bench.session
    dataset, annotator, task = session.dataset, session.annotator, session.task
    name = patch.fov_name
    if dataset is None or annotator is None:
        return

    def give(cells: Cells) -> None:
        rows = cells.find(name, [patch.id])
        # In other tracks, the same id is of another cell.
        if rows[0] < 0 or cells.keys.get(name) != patch.made_on:
            session.say(f"FOV {name} was tracked again, this cell is no more: fill or select again")
        elif cells is session.cells:
            session.annotate(rows, state)
        else:
            said = f"FOV {name}, track {cells.track[rows[0]]}, t={cells.t[rows[0]]}"
            annotator.give(cells, rows, task, state, said)

    if name in session.cells.fovs:
        give(session.cells)
        return

    def work(job: Job) -> Cells:
        return load_cells(dataset.select([name]), "", job)

    bench.runner.start(f"read cells of {name}", work, give)


def undo(bench: Workbench) -> None:
    """Take back the last annotation, or the last stroke on a layer that is being painted on."""
    active = bench.viewer.layers.selection.active
    is_drawn_on = str(getattr(active, "mode", "pan_zoom")) not in _TOOLS
    if is_drawn_on and not bench.layers.owns(active) and hasattr(active, "undo"):
        active.undo()
    elif bench.session.annotator is not None:
        bench.session.annotator.undo()


def redo(bench: Workbench) -> None:
    """Do again what :func:`undo` took back."""
    active = bench.viewer.layers.selection.active
    is_drawn_on = str(getattr(active, "mode", "pan_zoom")) not in _TOOLS
    if is_drawn_on and not bench.layers.owns(active) and hasattr(active, "redo"):
        active.redo()
    elif bench.session.annotator is not None:
        bench.session.annotator.redo()


def step_annotation(bench: Workbench, stops: Stops, step: int) -> None:
    """Go to the next cell that someone gave a state, or to the one before."""
    session = bench.session
    if session.fov is None:
        return
    here = (session.fov.name, session.frame, -1)
    if len(session.selection) == 1:
        row = session.selection[0]
        here = (session.cells.name(row), int(session.cells.t[row]), int(session.cells.id[row]))
    found = stops.step(here, step)
    if found is None:
        way = "after" if step > 0 else "before"
        session.say(f"no annotation of {session.task.name} {way} this one")
    else:
        bench.go_to(*found)


def stops_of(bench: Workbench) -> Stops:
    """Return the annotated cells in the order in which to visit them."""
    session = bench.session
    names = session.dataset.fov_names if session.dataset is not None else []
    return Stops.of(session.marks, session.task.name, session.cells, names)


def save_tasks(bench: Workbench, tasks: Sequence[Task]) -> Run | None:
    """Keep the tasks of the dataset on disk, then use them.

    Parameters
    ----------
    bench
        The viewer's workbench.
    tasks
        The tasks.

    Returns
    -------
    Run or None
        None where no dataset is open. Once it has ended, well or not, the session says
        what the tasks are.
    """
    session = bench.session
    dataset, chosen = session.dataset, tuple(tasks)
    if dataset is None:
        return None

    def done(_: object) -> None:
        if session.dataset is dataset:
            session.set_tasks(chosen)

    def work(_job: Job) -> None:
        write_tasks(dataset.workspace, chosen)

    return bench.runner.start("save tasks", work, done, lane="annotate")


def import_table(bench: Workbench, method: str, path: str) -> None:
    """Take over annotations from a CSV.

    A table that names no FOV is about the one on screen.

    Parameters
    ----------
    bench
        The viewer's workbench.
    method
        Method of the stage "annotate": "iohub" or "points".
    path
        The table.
    """
    session = bench.session
    dataset, fov, annotator = session.dataset, session.fov, session.annotator
    if dataset is None or fov is None or annotator is None:
        return
    values: dict[str, object] = {"path": path, "annotator": annotator.name}
    if method == "points":
        values |= {"task": session.task.name, "state": session.state, "radius": bench.radius}

    def work(_job: Job) -> bool:
        try:
            return "fov_name" in pd.read_csv(path, nrows=0).columns
        except (OSError, ValueError):  # the stage will say what is wrong with it
            return False

    def imported(table: pd.DataFrame) -> None:
        known = complete_tasks(session.tasks, found_states(table))
        if known != session.tasks and session.dataset is dataset:
            save_tasks(bench, known)
        session.say(f"imported {path}: {len(table):,} cells are annotated now")

    def looked(names_fovs: bool) -> None:
        names = dataset.fov_names if names_fovs else [fov.name]
        bench.run_stage("annotate", parse("annotate", method, values), names, imported)

    bench.runner.start(f"read {path}", work, looked)


def export_table(bench: Workbench, path: str) -> None:
    """Write napari-iohub's table of the annotations of the whole dataset."""
    session = bench.session
    dataset = session.dataset
    if dataset is None:
        return

    def work(_job: Job) -> int:
        return len(export_annotations(dataset, path))

    # Behind the clicks that are still on their way to the disk.
    bench.runner.start(
        f"export {path}",
        work,
        lambda count: session.say(f"exported {count:,} cells to {path}"),
        lane="annotate",
    )
