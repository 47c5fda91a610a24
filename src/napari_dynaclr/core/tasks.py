"""The tasks people annotate, with napari-iohub's names for columns and states."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN = "unknown"
"""State of a cell that someone looked at and could not decide."""


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


def refuse_typos(states: Iterable[str], task: str, source: object) -> None:
    """Check that no state is a misspelt one of a known task; other states are one's own.

    Raises
    ------
    InvalidInput
        Naming the state and the one that was probably meant.
    """
    known = find_task(task).states
    for state in dict.fromkeys(states):
        if not known or state in (*known, UNKNOWN):
            continue
        near = difflib.get_close_matches(state.strip().casefold(), known, n=1, cutoff=0.85)
        if near:
            raise InvalidInput(
                f"{source}: '{state}' is no state of {task}: did you mean '{near[0]}'?"
            )
