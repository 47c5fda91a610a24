"""Running the command line in tests, and comparing folders before and after."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from napari_dynaclr.cli import main

PROGRAM = Path(sys.executable).with_name("napari-dynaclr")


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def run(*args: object) -> Ran:
    """Run a command as the terminal would, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(arg) for arg in args])
    code = left.value.code
    return Ran(
        code if isinstance(code, int) else int(code is not None), out.getvalue(), err.getvalue()
    )


def succeed(*args: object) -> Ran:
    """Run a command that must go well, without a word on stderr."""
    ran = run(*args)
    assert (ran.code, ran.err) == (0, "")
    return ran


def refused(*args: object, code: int = 2) -> str:
    """Run a command that must be refused: return its one line without "Error: "."""
    ran = run(*args)
    assert ran.code == code, ran
    assert ran.out == ""
    assert ran.err.startswith("Error: ")
    assert ran.err.endswith("\n")
    assert ran.err.count("\n") == 1, ran.err
    message = ran.err.removeprefix("Error: ").removesuffix("\n")
    assert "Traceback" not in message
    assert message.rstrip().endswith((".", "?", '"')), message
    return message


def digest(folder: Path) -> dict[str, str]:
    """Hash every published file of a folder: hidden ones and the record of runs are left out."""
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        if (folder / name).is_file()
        and not any(part.startswith(".") and part not in _ZARR for part in name.split("/"))
        and name != "runs.jsonl"
    }


_ZARR = (".zarray", ".zattrs", ".zgroup", ".zmetadata")


def strays(folder: Path) -> list[str]:
    """Name the hidden leftovers of a folder, but for the locks."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob(".*")
        if path.name not in (*_ZARR, ".locks") and ".partial/" not in path.as_posix()
    )


def killed_at(path: str, number: int, args: list[str]) -> None:
    """Run a command and kill this process, as ``kill -9`` does, at a file operation.

    For a process of its own (see ``tests/test_kill.py``).

    Parameters
    ----------
    path
        Only operations on files below this folder count.
    number
        Which operation; 0 lets the command end, and writes their count to ``path``.count.
    args
        The command.
    """
    count = 0

    def watch(event: str, details: tuple[object, ...]) -> None:
        nonlocal count
        if event in _OPERATIONS and details and str(details[0]).startswith(path):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    ran = run(*args)
    if ran.code == 0 and not number:
        Path(f"{path}.count").write_text(str(count))
    sys.exit(ran.code)


_OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")
