"""What can go wrong on real input, each as one clear line.

Every message says what is wrong and what to do about it. The command line prints
it and exits with :attr:`DynaclrError.exit_code`; the GUI shows it as a
notification. Programming errors are not caught: they keep their traceback.
"""

from __future__ import annotations

import errno
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class DynaclrError(Exception):
    """Base of all errors meant for the user: one line, no traceback."""

    exit_code = 2


class InvalidInput(DynaclrError):
    """The user's data or settings cannot be used as they are."""


class UnreadablePixels(InvalidInput):
    """Part of an image cannot be read; the rest can.

    Parameters
    ----------
    message
        The line for the user.
    times
        Time points concerned.
    """

    def __init__(self, message: str, times: range) -> None:
        self.times = times
        super().__init__(message)


class EmptyFrame(InvalidInput):
    """A frame of an image holds nothing.

    Parameters
    ----------
    what
        Which, and what it holds.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        super().__init__(f"{what}: restore the frame, or leave this FOV out.")

    def offer_to_skip(self) -> None:
        """Say that the setting ``empty_frames`` of whoever reads it helps."""
        self.args = (f"{self._what}: restore the frame, or pass over it (empty_frames=skip).",)


class MissingInput(DynaclrError):
    """A stage needs the result of another stage that has not been run.

    Parameters
    ----------
    what
        What is missing, in the user's words ("tracks").
    made_by
        The stage that makes it ("track"), so that the GUI can offer to run it.
    where
        The FOV concerned, if it is missing for one only.
    old
        Whether it is there, but made from something that has been made anew since.
    behind
        Whether it is there, but without the corrections that people have made since.
    """

    def __init__(
        self, what: str, made_by: str, where: str = "", *, old: bool = False, behind: bool = False
    ) -> None:
        self.what, self.made_by, self.where = what, made_by, where
        place = f" for FOV {where}" if where else ""
        super().__init__(
            f"Corrections are not in the {what}{place} yet: run '{made_by}' first."
            if behind
            else f"Out of date{place}: {what}, for an earlier stage has been run again since. "
            f"Run '{made_by}' again."
            if old
            else f"No {what} found{place}: run '{made_by}' first."
        )


class MissingExtra(DynaclrError):
    """An optional engine is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f'{package} is not installed: run  pip install "napari-dynaclr[{extra}]"')


class StorageError(DynaclrError):
    """The disk refused to be read or written."""


class Cancelled(Exception):
    """The user asked a job to stop. Cancelled is not failed."""


_STORAGE_REASONS = {
    errno.ENOSPC: "the disk is full: free some space, then run again to resume",
    errno.EDQUOT: "the disk quota is used up: free some space, then run again to resume",
    errno.EROFS: "the disk is read-only: {elsewhere}",
    errno.EACCES: "permission denied: {elsewhere}",
    errno.EPERM: "permission denied: {elsewhere}",
    errno.ENOTDIR: "part of the path is a file: {elsewhere}",
    errno.EEXIST: "a file stands where a folder should be: {elsewhere}",
}


def _errno(error: OSError | RuntimeError) -> int:
    """Return the operating system's number of an error, 0 if there is none."""
    if isinstance(error, OSError):
        return error.errno or 0
    # The Rust library that iohub writes with wraps it: "No space left (os error 28)".
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found.group(1)) if found else 0


@contextmanager
def storage_errors(doing: str, elsewhere: str = "choose another folder") -> Iterator[None]:
    """Turn operating-system errors into a :class:`StorageError`.

    Parameters
    ----------
    doing
        What was being done, as in "write tracks of A/1/0".
    elsewhere
        What to do where that place cannot be written to.

    Raises
    ------
    StorageError
        In place of an :class:`OSError` with a known cause; others pass through.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = _STORAGE_REASONS.get(_errno(error))
        if reason is None:
            raise
        raise StorageError(f"Cannot {doing}: {reason.format(elsewhere=elsewhere)}.") from error
