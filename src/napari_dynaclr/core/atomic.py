"""Atomic writes: a file or folder appears whole under its name, or not at all."""

from __future__ import annotations

import glob
import os
import re
import shutil
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd


STALE_SECONDS = 10.0
"""An unfinished file that has not grown for this long belongs to a run that was killed."""

TEMPORARY = re.compile(r"^\..+\.[0-9a-f]{8}(\.\w+)?$")
"""Names that :func:`atomic_file` writes under."""


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
    _sweep(path)
    # The suffix stays: savers such as skops and matplotlib choose the format by it.
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Delete what killed runs left of earlier writes of a file; a fresh one may be in use."""
    name = f".{glob.escape(path.stem)}.{'[0-9a-f]' * 8}{glob.escape(path.suffix)}"
    for left in path.parent.glob(name):
        try:
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()
        except FileNotFoundError:  # another process was faster
            continue


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

    A reader sees the old folder, for an instant none, then the new one; a crash
    between the two renames leaves the old one under a hidden name and the new one at
    ``source``, from where the next run publishes it again.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    old = _old(target)
    if target.exists():
        remove(old)
        target.rename(old)
    source.rename(target)
    remove(old)


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder, in place of what was there, without a copy of its files where possible.

    The files are the same on disk where it allows that (hard links). That is safe for what
    only ever replaces files and never writes into them, as all that this project writes is.
    """
    new = target.with_name(f".{target.name}.new")
    remove(new)
    if source.exists():
        shutil.copytree(source, new, copy_function=_link)
        replace_folder(new, target)
    else:
        remove(target)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one that has no links
        shutil.copy2(source, target)


def recover_folder(source: Path, target: Path) -> None:
    """Finish :func:`replace_folder` where a crash left neither the old nor the new in place."""
    if not target.exists() and source.exists() and _old(target).exists():
        replace_folder(source, target)


def clear_replaced(target: Path) -> None:
    """Remove what :func:`replace_folder` had replaced when it was killed, if it got so far.

    Only for who keeps others from the folder.
    """
    if target.exists():
        remove(_old(target))


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def remove(path: Path) -> None:
    """Delete a file or folder if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
