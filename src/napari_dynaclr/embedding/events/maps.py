"""Maps of a whole movie: every frame represented once, every pair of frames compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.errors import UnreadablePixels
from napari_dynaclr.core.half import halved

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

_MEMORY = 1 << 30
"""Bytes of representations that may wait in memory."""


def make_maps(fov: Fov, finder: Finder, writers: Mapping[str, FovWriter], job: Job) -> bool:
    """Write what is missing of a FOV's maps; whoever calls publishes them.

    Frames are read in order and represented once each, slice by slice. Representations of as many
    frames as a pair is apart wait: in memory if they are small, else on disk. So memory is that of
    a slice, and of a frame as it is on disk.

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

    Returns
    -------
    bool
        Whether any pair of frames shows anything.

    Raises
    ------
    InvalidInput
        If the movie is too short.
    """
    frames, step, channel = fov.shape[0], finder.step(fov), finder.channel(fov)
    pairs, features = writers.get("attribution"), writers.get("features")
    firsts = set(pairs.missing) if pairs else set()
    wanted = set(features.missing) if features else set()
    compared = {t for t in firsts if t + step < frames}
    times = sorted(compared | {t + step for t in compared} | wanted)
    held = _Held(pairs.scratch if pairs and _waiting(fov, finder, step) > _MEMORY else None)
    lost: dict[int, UnreadablePixels] = {}
    empty: list[int] = []
    read = read_each(fov, channel, times)
    done = frames - len(times)
    for t, frame in job.track(read, fov.name, total=frames, done=done):
        first, seen = t - step, False
        both = first in compared and held.has(first)
        if isinstance(frame, UnreadablePixels):
            lost[t] = frame
        elif is_constant(frame):
            empty.append(t)
        else:
            seen = True
            for z, plane in enumerate(finder.represent(frame, job)):
                kept = halved(plane)
                if features and t in wanted:
                    features.write_slices(t, z, kept[:, None])
                if pairs and both:
                    found = finder.attribute(held.get(first, z), plane, job)
                    pairs.write_slices(first, z, found[None, None])
                    held.drop(first, z)
                if t in compared:
                    held.put(t, z, kept)
        if features and t in wanted:
            _finish(features, t, seen=seen, unreadable=t in lost)
        if pairs and first in compared:
            _finish(pairs, first, seen=both and seen, unreadable=bool({first, t} & lost.keys()))
            held.drop(first)
    if pairs:
        for t in sorted(firsts - compared):  # the last frames: there is no later one
            _finish(pairs, t, seen=False, unreadable=False)
    _tell(fov, lost, empty, job)
    return not pairs or any(note not in (None, EMPTY) for note in pairs.notes)


def _waiting(fov: Fov, finder: Finder, step: int) -> int:
    """Return how many bytes wait at most for the later frames of their pairs."""
    _, depth, height, width = fov.shape
    planes = 1 if finder.projects else depth
    return step * planes * finder.features * height * width * np.dtype(np.float16).itemsize


def read_each(
    fov: Fov, channel: str, times: Sequence[int]
) -> Iterator[tuple[int, NDArray[Any] | UnreadablePixels]]:
    """Read frames in order, each chunk once; give the error where one cannot be read.

    NaN stay as they are: what is put in their place is the method's matter.

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
            for t, frame in fov.frames([channel], rest, allow_empty=True, fill_nan=False):
                rest = [one for one in rest if one > t]
                yield t, frame[0]
        except UnreadablePixels as error:
            bad = [t for t in rest if t in error.times]
            rest = [t for t in rest if t not in error.times]
            for t in bad:
                yield t, error


def is_constant(frame: NDArray[Any]) -> bool:
    """Whether a frame (Z, Y, X) shows nothing but one value, or none."""
    seen = frame[np.isfinite(frame)] if frame.dtype.kind == "f" else frame
    return not seen.size or bool(np.ptp(seen) == 0)


class _Held:
    """Representations that wait for a later frame: in memory, or in a folder if there is one."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: dict[tuple[int, int], NDArray[np.float16] | None] = {}

    def put(self, t: int, z: int, plane: NDArray[np.float16]) -> None:
        if self._folder is None:
            self._kept[t, z] = plane
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        np.save(_file(self._folder, t, z), plane)
        self._kept[t, z] = None

    def has(self, t: int) -> bool:
        """Whether a time point waits, that was put here in this run."""
        return (t, 0) in self._kept

    def get(self, t: int, z: int) -> NDArray[np.float16]:
        plane = self._kept[t, z]
        if plane is None and self._folder is not None:
            plane = np.load(_file(self._folder, t, z), mmap_mode="r", allow_pickle=False)
        if plane is None:
            raise ValueError(f"time point {t} does not wait")
        return plane

    def drop(self, t: int, z: int | None = None) -> None:
        """Let go of a slice, or of all that is left of a time point."""
        for one in [key for key in self._kept if key[0] == t and z in (None, key[1])]:
            del self._kept[one]
            if self._folder is not None:
                _file(self._folder, *one).unlink(missing_ok=True)


def _file(folder: Path, t: int, z: int) -> Path:
    return folder / f"{t:06d}-{z:05d}.npy"


def _finish(writer: FovWriter, t: int, *, seen: bool, unreadable: bool) -> None:
    """Note a time point as done; what shows nothing is left zeros, as the array was made."""
    if unreadable:
        writer.leave_out(t)  # tried again by the next run
    else:
        writer.finish(t, 0 if seen else EMPTY)


def _tell(fov: Fov, lost: Mapping[int, UnreadablePixels], empty: Sequence[int], job: Job) -> None:
    for said in dict.fromkeys(str(error) for error in lost.values()):
        job.note(f"{said} No events are looked for there.")
    if empty:
        said = ", ".join(map(str, empty))
        job.note(
            f"FOV {fov.name}: the same everywhere at time point {said}; no events are looked for "
            "there."
        )
