"""Download a file so that it can be cancelled and goes on where it stopped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from napari_dynaclr.core.atomic import write_text
from napari_dynaclr.core.background import read_ahead
from napari_dynaclr.core.errors import InvalidInput, MissingExtra, storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_dynaclr.core.job import Job

_BLOCK = 1 << 16
_MEGABYTE = 1 << 20
_TIMEOUT = (10.0, 20.0)
"""Seconds to wait for a connection, and for the next bytes."""
_ATTEMPTS = 3


class _Start(NamedTuple):
    """What a server says before the bytes: where they begin, and of which file they are."""

    offset: int
    total: int
    version: str


def download(url: str, target: Path, job: Job, what: str, sha256: str | None = None) -> None:
    """Download a file with pooch.

    What an interrupted download left is used again if the server has the same file
    still. Other processes wait until the first one has it.

    Parameters
    ----------
    url
        Where from.
    target
        Where to; nothing is done if it is there.
    job
        Progress in MB, and cancelling.
    what
        Name of it for the user.
    sha256
        What the file must be; not checked if omitted.

    Raises
    ------
    InvalidInput
        If there is no connection, the server refuses, or the file is another one.
    MissingExtra
        If pooch is not installed.
    """
    pooch = load_pooch()
    pooch.get_logger().setLevel("WARNING")  # it would print what our progress says

    def fetch(_url: str, output: str, _pooch: object) -> None:
        part = target.with_name(f"{target.name}.part")
        _fetch(url, part, job, what)
        part.replace(output)
        _note(part).unlink(missing_ok=True)

    with storage_errors(f"write to {target.parent}", "set NAPARI_DYNACLR_CACHE to another folder"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target, job, what):
            if target.exists():
                return
            try:
                pooch.retrieve(url, sha256, target.name, target.parent, downloader=fetch)
            except ValueError as error:
                if "hash" not in str(error):
                    raise
                raise InvalidInput(
                    f"{what} at {url} is another file than on first use (sha256 {sha256}): it was "
                    "changed there or damaged on the way, and not kept. Try again; if it stays so, "
                    "ask its publisher."
                ) from None


def load_pooch() -> Any:
    """Import pooch.

    Raises
    ------
    MissingExtra
        If it is not installed.
    """
    try:
        import pooch
    except ModuleNotFoundError:
        raise MissingExtra("pooch", "torch") from None
    return pooch


class _alone:
    """Let one process at a time download a file; the others can be cancelled as they wait."""

    def __init__(self, target: Path, job: Job, what: str) -> None:
        self._lock = FileLock(target.with_name(f".{target.name}.lock"))
        self._job, self._what = job, what

    def __enter__(self) -> None:
        while True:
            try:
                self._lock.acquire(timeout=0.2)
            except Timeout:
                self._job.report(f"wait for another download of {self._what}")
            else:
                return

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


def _fetch(url: str, part: Path, job: Job, what: str) -> None:
    """Bring the unfinished file to its full size, in a few attempts if need be."""
    import requests

    for attempt in range(_ATTEMPTS):
        before = _size(part)
        try:
            _go_on(url, part, job, what)
        except requests.RequestException as error:
            last = attempt == _ATTEMPTS - 1
            if last or _size(part) <= before:  # nothing came: it will not come now either
                raise InvalidInput(_no_connection(url, part, what, error)) from None
        else:
            return


def _no_connection(url: str, part: Path, what: str, error: Exception) -> str:
    if size := _size(part):
        return (
            f"The download of {what} broke off after {size / _MEGABYTE:.1f} MB: run it again to "
            "go on from there."
        )
    slow = "timed out" in str(error)  # not all such errors are requests' Timeout
    reason = "does not answer" if slow else "cannot be reached"
    return (
        f"{what} cannot be downloaded: {urlsplit(url).hostname} {reason}. Get {url} on a machine "
        "that is online, and name the file as weights file (weights=)."
    )


def _go_on(url: str, part: Path, job: Job, what: str) -> None:
    """Ask for what is missing and write it down here, where nobody else writes."""
    import requests

    have, note = _size(part), _read_note(part)
    if note.get("url") != url:
        have = 0
    if have and have == note.get("total"):
        return
    blocks = read_ahead(_receive(url, have, str(note.get("version", ""))), job, depth=32)
    start = next(blocks)
    assert isinstance(start, _Start)
    about = {"url": url, "version": start.version, "total": start.total}
    write_text(_note(part), json.dumps(about))
    done, text = start.offset, f"download {what} (MB)"
    with part.open("ab" if start.offset else "wb") as file:
        for block in blocks:
            assert isinstance(block, bytes)
            file.write(block)
            done += len(block)
            job.report(text, done // _MEGABYTE, start.total // _MEGABYTE)
    if start.total and done != start.total:
        raise requests.ConnectionError("fewer bytes than announced")


def _receive(url: str, have: int, version: str) -> Iterator[_Start | bytes]:
    """Yield what a server sends, from a position on if it still has the same file.

    Raises
    ------
    InvalidInput
        If it refuses.
    """
    import requests

    # Compressed on the way, a file's length would not be that of its bytes.
    headers = {"Accept-Encoding": "identity"}
    if have and version:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            yield from _receive(url, 0, "")
            return
        if not answer.ok:
            raise InvalidInput(
                f"{url} cannot be downloaded: the server says {answer.status_code} "
                f"{answer.reason}. Name a file of your own as weights file (weights=)."
            )
        goes_on = answer.status_code == requests.codes.partial_content
        goes_on = goes_on and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        offset = have if goes_on else 0
        length = int(answer.headers.get("Content-Length", 0))
        known = answer.headers.get("ETag", "")
        if not known or known.startswith("W/"):  # a weak one does not promise the same bytes
            known = answer.headers.get("Last-Modified", "")
        yield _Start(offset, offset + length if length else 0, known)
        yield from answer.iter_content(_BLOCK)


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_note(part: Path) -> dict[str, object]:
    try:
        return dict(json.loads(_note(part).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
