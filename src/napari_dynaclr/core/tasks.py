"""The tasks people annotate, with napari-iohub's names for columns and states."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """Something cells can be asked about.

    Attributes
    ----------
    name
        Short name, used in file names and on the command line.
    column
        Its column in annotation tables.
    states
        Possible states, the negative first.
    """

    name: str
    column: str
    states: tuple[str, ...] = ()


TASKS: tuple[Task, ...] = (
    Task("infection", "infection_state", ("uninfected", "infected")),
    Task("division", "cell_division_state", ("interphase", "mitosis")),
    Task("organelle", "organelle_state", ("noremodel", "remodel")),
    Task("death", "cell_death_state", ("alive", "dead")),
)
"""Tasks known from the start; any other name is a task of the user's own."""


def find_task(name: str) -> Task:
    """Return a known task, or the user's own with the column ``<name>_state``."""
    for task in TASKS:
        if name in (task.name, task.column):
            return task
    return Task(name, f"{name}_state")


def task_of_column(column: str) -> Task | None:
    """Return the task that a column of an annotation table belongs to, or None."""
    for task in TASKS:
        if column == task.column:
            return task
    name = column.removesuffix("_state")
    return Task(name, column) if name and name != column else None
