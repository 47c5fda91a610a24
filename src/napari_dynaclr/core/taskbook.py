"""The tasks of one dataset: ``tasks.json`` in its workspace."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from napari_dynaclr.core.atomic import write_text
from napari_dynaclr.core.errors import InvalidInput, storage_errors
from napari_dynaclr.core.tables import ANNOTATION_COLUMNS
from napari_dynaclr.core.tasks import (
    PALETTE,
    TASKS,
    UNKNOWN,
    State,
    Task,
    find_task,
    task_of_column,
)
from napari_dynaclr.core.workspace import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from napari_dynaclr.core.workspace import Workspace

VERSION = 1
"""Version of the file's form."""

_NAME = re.compile(r"\w[\w-]*")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_BLANK = frozenset(("na", "n/a", "#n/a", "#na", "<na>", "nan", "-nan", "null", "none"))
"""What readers of CSV files take for a blank, in small letters."""


class _State(BaseModel):
    name: str
    colour: str
    key: str = ""


class _Task(BaseModel):
    name: str
    carry_forward: bool = False
    inherit: bool = False
    states: list[_State]


class _Book(BaseModel):
    version: int
    tasks: list[_Task]


def tasks_file(workspace: Workspace) -> Path:
    """Where the tasks of a dataset are kept."""
    return workspace.path / "tasks.json"


def read_tasks(workspace: Workspace) -> tuple[Task, ...]:
    """Return the tasks of a dataset: its own, or the default ones if it has no file.

    Raises
    ------
    InvalidInput
        If the file is damaged, or written by a newer version.
    """
    file = tasks_file(workspace)
    cure = "restore it from a backup, or delete it to get the default tasks"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return TASKS
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is damaged (no text): {cure}.") from None
    try:
        version = json.loads(text)["version"]
        if isinstance(version, int) and version > VERSION:
            raise InvalidInput(
                f"{file} was written by a newer version of napari-dynaclr (format {version}, "
                f"this one knows {VERSION}): update napari-dynaclr."
            )
        book = _Book.model_validate_json(text)
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(map(str, detail["loc"]))
        raise InvalidInput(f"{file} is damaged ({place}: {detail['msg']}): {cure}.") from None
    except (ValueError, KeyError, TypeError):
        raise InvalidInput(f"{file} is damaged (no list of tasks): {cure}.") from None
    tasks = tuple(
        Task(
            task.name,
            find_task(task.name).column,
            tuple(State(state.name, state.colour, state.key) for state in task.states),
            task.carry_forward,
            task.inherit,
        )
        for task in book.tasks
    )
    try:
        check_tasks(tasks)
    except InvalidInput as error:
        raise InvalidInput(f"{file} is damaged ({str(error).rstrip('.')}): {cure}.") from None
    return tasks


def write_tasks(workspace: Workspace, tasks: Sequence[Task]) -> None:
    """Keep the tasks of a dataset, atomically.

    Raises
    ------
    InvalidInput
        If :func:`check_tasks` refuses them; what was there stays.
    StorageError
        If the workspace cannot be written to.
    """
    from napari_dynaclr.core.dataset import open_dataset

    check_tasks(tasks)
    book = {
        "version": VERSION,
        "tasks": [
            {
                "name": task.name,
                "carry_forward": task.carry_forward,
                "inherit": task.inherit,
                "states": [vars(state) for state in task.states],
            }
            for task in tasks
        ],
    }
    # A folder with nothing but tasks in it would not be known as a workspace again.
    if not (workspace.path / "workspace.json").exists():
        workspace.prepare(open_dataset(workspace.source).channels)
    with storage_errors(f"write to {workspace.path}", ELSEWHERE):
        write_text(tasks_file(workspace), json.dumps(book, indent=2, ensure_ascii=False) + "\n")


def check_tasks(tasks: Sequence[Task]) -> None:
    """Check tasks before they are kept.

    Names of tasks become names of files and columns; names of states become text in
    tables; keys are pressed.

    Raises
    ------
    InvalidInput
        Naming the first thing that cannot be used, and what to do.
    """
    if not tasks:
        raise InvalidInput("There is no task: add one.")
    for task in tasks:
        if not _NAME.fullmatch(task.name):
            raise InvalidInput(
                f"'{task.name}' cannot be the name of a task: use letters, digits, - and _."
            )
        column = find_task(task.name).column
        owner = task_of_column(column)
        if owner is None or not task.name == owner.name == find_task(task.name).name:
            raise InvalidInput(
                f"Task '{task.name}': its column {column} is that of the task "
                f"'{find_task(column).name}': choose another name."
            )
        if task.column != column:
            raise InvalidInput(f"Task '{task.name}': its column must be called {column}.")
        _check_states(task)
    twice = _twice(task.name.casefold() for task in tasks)  # files of one name on some disks
    if twice is not None:
        raise InvalidInput(f"Two tasks are called '{twice}': choose another name for one.")


def _check_states(task: Task) -> None:
    where = f"Task '{task.name}'"
    if len(task.states) < 2:
        raise InvalidInput(f"{where} needs two states at least: add one.")
    for state in task.states:
        name, key = state.name, state.key
        if not name.isprintable() or name != name.strip() or not name:
            raise InvalidInput(f"{where}: '{name!r}' cannot be a state: use printable text.")
        if name.casefold() == UNKNOWN or name.casefold() in _BLANK:
            raise InvalidInput(
                f"{where}: a state cannot be called '{name}', tables would take it for no state: "
                "choose another name."
            )
        if not _COLOUR.fullmatch(state.colour):
            raise InvalidInput(
                f"{where}: the colour '{state.colour}' of '{name}' is none: write it as #D55E00."
            )
        if key and (len(key) != 1 or not key.isprintable() or key.isspace()):
            raise InvalidInput(
                f"{where}: the key '{key}' of '{name}' is not one printable character: choose "
                "another, or none."
            )
    twice = _twice(name.casefold() for name in task.state_names)
    if twice is not None:
        raise InvalidInput(f"{where}: two states are called '{twice}': choose another name.")
    twice = _twice(state.key.casefold() for state in task.states if state.key)
    if twice is not None:
        raise InvalidInput(f"{where}: two states have the key '{twice}': choose another for one.")


def _twice(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


def with_states(task: Task, found: Iterable[str]) -> Task:
    """Add the states found in data to those of a task, with free colours and keys.

    Parameters
    ----------
    task
        The task; its own states stay as they are, and first.
    found
        Names of states; blanks and "unknown" are none.

    Returns
    -------
    Task
        The same object if there is nothing to add. A task of which one state only is
        known gets its contrary before it: cells are annotated as "not" too.
    """
    new = [
        name
        for name in dict.fromkeys(found)
        if name and name != UNKNOWN and name not in task.state_names
    ]
    if not new:
        return task
    if not task.states and len(new) == 1:
        new.insert(0, f"not {new[0]}")
    states = list(task.states)
    for name in new:
        colours, keys = {state.colour.upper() for state in states}, {state.key for state in states}
        colour = next((one for one in PALETTE if one not in colours), None)
        states.append(
            State(
                name,
                colour or PALETTE[len(states) % len(PALETTE)],
                next((key for key in "123456789" if key not in keys), ""),
            )
        )
    return replace(task, states=tuple(states))


def complete_tasks(tasks: Sequence[Task], found: Mapping[str, Iterable[str]]) -> tuple[Task, ...]:
    """Add the tasks and states found in data, imported ones for instance, to the known ones.

    Parameters
    ----------
    tasks
        The known tasks; they stay in order.
    found
        Names of states by name of task, as from :func:`found_states`.
    """
    known = {task.name: task for task in tasks}
    for name, states in found.items():
        task = with_states(known.get(name) or find_task(name), states)
        if task.states:
            known[name] = task
    return tuple(known.values())


def found_states(annotations: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count the states of each task in a table of annotations.

    Parameters
    ----------
    annotations
        As from :func:`~napari_dynaclr.core.annotations.current_annotations`.

    Returns
    -------
    dict
        Number of cells by state, by name of task; blanks are left out.
    """
    counts: dict[str, dict[str, int]] = {}
    for column in annotations.columns.drop(ANNOTATION_COLUMNS, errors="ignore"):
        task = task_of_column(str(column))
        if task is not None:
            states = annotations[column].dropna().astype(str)
            found = states[states != ""].value_counts()
            counts[task.name] = {str(state): int(count) for state, count in found.items()}
    return counts
