"""The tasks people annotate, with napari-iohub's names for columns and states."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_dynaclr.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UNKNOWN = "unknown"
"""State of a cell that someone looked at and could not decide."""

PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#F0E442",
)
"""Okabe and Ito's colours, which colour-blind readers can tell apart; the negative's first."""

GREY = "#999999"
"""Colour of what is unknown."""


@dataclass(frozen=True)
class State:
    """One of the states of a task.

    Attributes
    ----------
    name
        As in tables: "infected".
    colour
        As ``#rrggbb``.
    key
        The key that gives it to a cell, such as "1"; empty for none.
    """

    name: str
    colour: str
    key: str = ""


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
        Possible states, the negative first; none where they are not known.
    carry_forward
        Whether a mark holds for the rest of the track, until the next one.
    inherit
        Whether daughters inherit what their mother ended with, and theirs from them;
        of a task that is carried forward.
    """

    name: str
    column: str
    states: tuple[State, ...] = ()
    carry_forward: bool = False
    inherit: bool = False

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the states, in order."""
        return tuple(state.name for state in self.states)

    @property
    def choices(self) -> tuple[State, ...]:
        """What can be said of a cell: the states, then "unknown", on key 0 if that is free."""
        taken = any(state.key == "0" for state in self.states)
        return (*self.states, State(UNKNOWN, GREY, "" if taken else "0"))

    def colour(self, state: str) -> str:
        """Colour of a state; grey if it is none of the task's."""
        return next((one.colour for one in self.states if one.name == state), GREY)


def new_states(*names: str) -> tuple[State, ...]:
    """Make states with the colours of :data:`PALETTE` and the keys 1, 2, ... in turn."""
    return tuple(
        State(name, PALETTE[i % len(PALETTE)], str(i + 1) if i < 9 else "")
        for i, name in enumerate(names)
    )


TASKS: tuple[Task, ...] = (
    Task(
        "infection",
        "infection_state",
        new_states("uninfected", "infected"),
        carry_forward=True,
        inherit=True,
    ),
    Task("division", "cell_division_state", new_states("interphase", "mitosis")),
    Task("organelle", "organelle_state", new_states("noremodel", "remodel")),
    Task("death", "cell_death_state", new_states("alive", "dead"), carry_forward=True),
)
"""Tasks known from the start; any other name is a task of the user's own."""


def find_task(name: str, tasks: Sequence[Task] = TASKS) -> Task:
    """Return a known task, or a new one with the column ``<name>_state``.

    Parameters
    ----------
    name
        Of the task or of its column.
    tasks
        The known ones, such as those of a dataset.
    """
    for task in tasks:
        if name in (task.name, task.column):
            return task
    return Task(name, f"{name}_state")


def task_of_column(column: str, tasks: Sequence[Task] = TASKS) -> Task | None:
    """Return the task that a column of an annotation table belongs to, or None."""
    for task in tasks:
        if column == task.column:
            return task
    name = column.removesuffix("_state")
    return Task(name, column) if name and name != column else None


def refuse_typos(states: Iterable[str], task: Task, source: object) -> None:
    """Check that no state is a misspelt one of a task; other states are one's own.

    Raises
    ------
    InvalidInput
        Naming the state and the one that was probably meant.
    """
    known = {name.casefold(): name for name in task.state_names}
    for state in dict.fromkeys(states):
        if state in (*known.values(), UNKNOWN):
            continue
        near = difflib.get_close_matches(state.strip().casefold(), known, n=1, cutoff=0.85)
        if near:
            raise InvalidInput(
                f"{source}: '{state}' is no state of {task.name}: did you mean '{known[near[0]]}'?"
            )
