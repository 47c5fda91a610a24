"""What the command line shows: progress, tables, and one line per error."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.job import Job, JobState, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pandas as pd
    from rich.table import Table

_IDS = ("id", "track_id", "parent_id", "parent_track_id")
"""Columns in which -1 stands for none."""


@contextmanager
def terminal_job(reword: Callable[[str], str] = str) -> Iterator[Job]:
    """Give a job that shows its progress, stops at Ctrl-C, and tells its notes at the end.

    Parameters
    ----------
    reword
        Makes of a note what is told.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        transient=True,
        # A library that keeps the stream it finds would write into the bars at exit.
        redirect_stdout=False,
        # Of the processes that share a training, the first one speaks.
        disable=not console.is_terminal or os.environ.get("LOCAL_RANK", "0") != "0",
    )
    tasks: dict[int, Any] = {}

    def show(progress: Progress) -> None:
        for level in [level for level in tasks if level > progress.level]:
            bars.remove_task(tasks.pop(level))
        text = "  " * progress.level + progress.text
        if progress.level not in tasks:
            tasks[progress.level] = bars.add_task(text)
        bars.update(
            tasks[progress.level],
            description=text,
            completed=progress.done,
            total=progress.total or None,
        )

    job = Job(show)

    def stop(number: int, frame: object) -> None:
        if job.state is not JobState.RUNNING:
            raise KeyboardInterrupt
        job.cancel()
        console.print("Stopping after this item; Ctrl-C again to stop at once.")

    before = signal.signal(signal.SIGINT, stop)
    try:
        with bars:
            yield job
    finally:
        signal.signal(signal.SIGINT, before)
    for note in job.notes:
        console.print(f"Note: {reword(note)}", soft_wrap=True, markup=False)


def one_line(text: str) -> str:
    """Return a message without line breaks, as errors are shown."""
    return " ".join(text.split())


def show_table(
    table: pd.DataFrame, limit: int = 20, *, total: int | None = None, place: Path | None = None
) -> None:
    """Print the first rows of a data frame.

    Nothing is printed of an empty one. Columns that a terminal is too narrow for are
    left out from the middle, and named below.

    Parameters
    ----------
    table
        What to print; of no cell, a number of -1 says so in columns of ids and is left blank.
    limit
        Rows at most.
    total
        Rows that there are, if not all are in the table.
    place
        Where all rows are, to be told if not all are printed.
    """
    from rich.console import Console

    if table.empty:
        return
    console = Console(width=None if sys.stdout.isatty() else 160)
    names = [str(column) for column in table.columns]
    cells = [
        [_cell(name, value) for name, value in zip(names, row, strict=True)]
        for row in table.head(limit).itertuples(index=False)
    ]
    widths = [
        max(map(len, column)) + 3 for column in zip(names, *cells, strict=True)
    ]  # with the line and a blank on either side
    hidden: list[int] = []
    kept = list(range(len(names)))
    while len(kept) > 2 and sum(widths[i] for i in kept) + 1 > console.width:
        hidden.append(kept.pop(len(kept) // 2))
    console.print(_grid([names[i] for i in kept], [[row[i] for i in kept] for row in cells]))
    if hidden:
        left_out = ", ".join(names[i] for i in sorted(hidden))
        console.print(f"not shown here: {left_out}", soft_wrap=True)
    count = len(table) if total is None else total
    if count > min(limit, len(table)):
        where = f": {place}" if place is not None else ""
        console.print(f"... {count} rows in all{where}", soft_wrap=True, markup=False)


def _cell(name: str, value: object) -> str:
    import pandas as pd

    if value is pd.NA:  # of whole numbers, which have no NaN; it equals nothing
        return ""
    if isinstance(value, float):
        return "" if value != value and name in _IDS else f"{value:.4g}"
    return "" if value == -1 and name in _IDS else str(value)


def _grid(names: list[str], rows: list[list[str]]) -> Table:
    from rich.table import Table

    shown = Table(*names)
    for row in rows:
        shown.add_row(*row)
    return shown
