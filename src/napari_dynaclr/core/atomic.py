"""Atomic writes: a file or folder appears whole under its name, or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; rename it to ``path`` if all went well.

    Parameters
    ----------
    path
        The file to make or replace; its folder is created.

    Yields
    ------
    Path
        A hidden name beside ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: savers such as skops and matplotlib choose the format by it.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a small text file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV atomically, without its index."""
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False)


def replace_folder(source: Path, target: Path) -> None:
    """Move the folder ``source`` to ``target``, in place of what was there.

    A reader sees the old folder or the new one; a crash between the two renames
    leaves the old one under a hidden name and the new one at ``source``, from
    where the next run publishes it again.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    old = target.with_name(f".{target.name}.old")
    remove(old)
    if target.exists():
        target.rename(old)
    source.rename(target)
    remove(old)


def remove(path: Path) -> None:
    """Delete a file or folder if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
