"""Maps of a whole movie: every frame represented once, every pair of frames compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.errors import InvalidInput, UnreadablePixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_dynaclr.core.fov import Fov
    from napari_dynaclr.core.job import Job
    from napari_dynaclr.core.plate_writer import FovWriter
    from napari_dynaclr.embedding.events import Finder

EMPTY = "empty"
"""Note of a time point whose map is zeros because a frame of the pair has no picture."""


def make_maps(fov: Fov, finder: Finder, writers: Mapping[str, FovWriter], job: Job) -> None:
    """Write what is missing of a FOV's maps, and publish them.

    Frames are read in order and represented once each. Representations of as many frames as a
    pair is apart wait: one in memory, several on disk.

    Parameters
    ----------
    fov
        The movie.
    finder
        The method at work.
    writers
        Of ``attribution`` and ``features``, or of one of them.
    job
        Progress and cancelling.

    Raises
    ------
    InvalidInput
        If the movie is too short, or no pair of frames shows anything.
    """
    frames, step, channel = fov.shape[0], finder.step(fov), finder.channel(fov)
    pairs, features = writers.get("attribution"), writers.get("features")
    firsts = set(pairs.missing) if pairs else set()
    wanted = set(features.missing) if features else set()
    compared = {t for t in firsts if t + step < frames}
    times = sorted(compared | {t + step for t in compared} | wanted)
    scratch = pairs.scratch if pairs and step > 1 else None
    held = _Held(scratch)
    lost: dict[int, UnreadablePixels] = {}
    empty: list[int] = []
    read = read_each(fov, channel, times)
    done = len(range(frames)) - len(times)
    for t, frame in job.track(read, fov.name, total=frames, done=done):
        z: NDArray[Any] | None = None
        if isinstance(frame, UnreadablePixels):
            lost[t] = frame
        elif is_constant(frame):
            empty.append(t)
        else:
            z = finder.represent(frame, job)
        if features and t in wanted:
            _write_features(features, t, z, t in lost)
        first = t - step
        if pairs and first in compared:
            before = held.get(first)
            if z is None or before is None:
                _pass_over(pairs, first, unreadable=bool({first, t} & lost.keys()))
            else:
                pairs.write(first, finder.attribute(before, z, job)[None])
            del before
            held.drop(first)
        if z is not None and t in compared:
            held.put(t, _halved(z))
    if pairs:
        for t in sorted(firsts - compared):  # the last frames: there is no later one
            _pass_over(pairs, t, unreadable=False)
    _tell(fov, lost, empty, job)
    if pairs and all(note in (None, EMPTY) for note in pairs.notes):
        raise InvalidInput(
            f"FOV {fov.name}, channel {channel}: no two frames {step} apart show anything. Choose "
            "another channel, or leave this FOV out."
        )
    for writer in writers.values():
        writer.publish(without=True)


def read_each(
    fov: Fov, channel: str, times: Sequence[int]
) -> Iterator[tuple[int, NDArray[Any] | UnreadablePixels]]:
    """Read frames in order, each chunk once; give the error where one cannot be read.

    Parameters
    ----------
    fov
        The movie.
    channel
        What to read.
    times
        Ascending time points.

    Yields
    ------
    tuple
        Time point, and its pixels (Z, Y, X) or why there are none.
    """
    rest = list(times)
    while rest:
        try:
            for t, frame in fov.frames([channel], rest, allow_empty=True):
                rest = [one for one in rest if one > t]
                yield t, frame[0]
        except UnreadablePixels as error:
            bad = [t for t in rest if t in error.times]
            rest = [t for t in rest if t not in error.times]
            for t in bad:
                yield t, error


def is_constant(frame: NDArray[Any]) -> bool:
    """Whether a frame (Z, Y, X) shows nothing but one value."""
    return not np.isfinite(frame).any() or bool(np.ptp(frame) == 0)


class _Held:
    """Representations that wait for a later frame: in memory, or in a folder if there is one."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: dict[int, NDArray[Any]] = {}

    def put(self, t: int, z: NDArray[Any]) -> None:
        if self._folder is None:
            self._kept[t] = z
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        np.save(self._file(t), z)

    def get(self, t: int) -> NDArray[Any] | None:
        if self._folder is None:
            return self._kept.get(t)
        file = self._file(t)
        found: NDArray[Any] | None = None
        if file.exists():
            found = np.load(file, mmap_mode="r", allow_pickle=False)
        return found

    def drop(self, t: int) -> None:
        if self._folder is None:
            self._kept.pop(t, None)
        else:
            self._file(t).unlink(missing_ok=True)

    def _file(self, t: int) -> Path:
        if self._folder is None:
            raise ValueError("kept in memory")
        return self._folder / f"{t:06d}.npy"


def _write_features(writer: FovWriter, t: int, z: NDArray[Any] | None, unreadable: bool) -> None:
    if unreadable:
        writer.leave_out(t)
    elif z is None:
        writer.finish(t, EMPTY)  # zeros, as the array was made
    else:
        writer.write(t, _halved(z))


def _halved(z: NDArray[Any]) -> NDArray[np.float16]:
    """Keep a representation in half the memory."""
    limit = float(np.finfo(np.float16).max)
    found: NDArray[np.float16] = np.clip(z, -limit, limit).astype(np.float16)
    return found


def _pass_over(writer: FovWriter, t: int, *, unreadable: bool) -> None:
    """Leave zeros, as the array was made; what could not be read is tried again."""
    if unreadable:
        writer.leave_out(t)
    else:
        writer.finish(t, EMPTY)


def _tell(fov: Fov, lost: Mapping[int, UnreadablePixels], empty: Sequence[int], job: Job) -> None:
    for said in dict.fromkeys(str(error) for error in lost.values()):
        job.note(f"{said} No events are looked for there.")
    if empty:
        said = ", ".join(map(str, empty))
        job.note(
            f"FOV {fov.name}: the same everywhere at time point {said}; no events are looked for "
            "there."
        )
