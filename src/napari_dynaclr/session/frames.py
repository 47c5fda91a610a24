"""Images for a viewer: read chunk by chunk, each once, and kept while there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.fov import UNREADABLE
from napari_dynaclr.core.multiscale import AXES, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import DTypeLike, NDArray

    from napari_dynaclr.core.fov import Fov

_NDIM = 4
"""Axes of an image as viewers have it: t, z, y and x."""

ROOM = 2_000_000_000
"""Bytes of decoded chunks that are kept for one viewer."""


class ChunkCache:
    """Decoded chunks, the least recently used dropped first; for several threads at once.

    Parameters
    ----------
    room
        Bytes to keep. The newest chunk is kept whatever its size.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._held: OrderedDict[Any, NDArray[Any]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._reading: dict[Any, threading.Event] = {}

    def get(self, key: Any, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return a chunk, reading it if it is not held; nobody reads it a second time."""
        while True:
            with self._lock:
                if key in self._held:
                    self._held.move_to_end(key)
                    return self._held[key]
                waiting = self._reading.get(key)
                if waiting is None:
                    self._reading[key] = threading.Event()
                    break
            waiting.wait()
        try:
            chunk = read()
            with self._lock:
                self._held[key] = chunk
                self._bytes += chunk.nbytes
                while self._bytes > self._room and len(self._held) > 1:
                    _, dropped = self._held.popitem(last=False)
                    self._bytes -= dropped.nbytes
            return chunk
        finally:
            with self._lock:
                self._reading.pop(key).set()

    def __contains__(self, key: Any) -> bool:
        return key in self._held

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()
            self._bytes = 0


class FovImage:
    """One channel of a FOV as an array (T, Z, Y, X), for napari.

    Reads whole chunks into a cache that all channels of a viewer share, so that
    scrubbing through time or z meets each chunk once.

    Parameters
    ----------
    fov
        The FOV.
    channel
        Name of the channel.
    cache
        Where chunks are kept.
    damaged
        Told of a chunk that cannot be read, on the thread that reads; its pixels are 0
        then. By default, reading raises.
    """

    ndim = _NDIM

    def __init__(
        self,
        fov: Fov,
        channel: str,
        cache: ChunkCache,
        damaged: Callable[[InvalidInput], object] | None = None,
    ) -> None:
        self._damaged = damaged
        self._source, self._channel = fov.find(channel)
        self._name = f"FOV {fov.name}, channel {channel}"
        self._cache = cache
        self.shape = self._source.shape
        sizes = dict(zip(self._source.axes, self._source.array.chunks, strict=True))
        self._step = (sizes.get("t", 1), sizes.get("z", 1))
        self._channels = sizes.get("c", 1)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels."""
        return self._source.array.dtype

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :, :, :], dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        keys = per_axis(key)
        rows, planes = (
            np.atleast_1d(np.arange(size)[one])
            for size, one in zip(self.shape[:2], keys[:2], strict=True)
        )
        if len(rows) == len(planes) == 1:  # one plane, as a viewer shows it: no copy
            t, z = int(rows[0]), int(planes[0])
            block = self._block(t // self._step[0], z // self._step[1])
            t, z = t % self._step[0], z % self._step[1]
            return np.asarray(block[t : t + 1, z : z + 1][(*_dropped(keys), *keys[2:])])
        pixels = np.empty((len(rows), len(planes), *self.shape[2:]), self.dtype)
        for block, (t, z) in self._blocks(rows, planes):
            inside_t, inside_z = rows // self._step[0] == t, planes // self._step[1] == z
            pixels[np.ix_(inside_t, inside_z)] = block[
                np.ix_(rows[inside_t] % self._step[0], planes[inside_z] % self._step[1])
            ]
        return np.asarray(pixels[(*_dropped(keys), *keys[2:])])

    def _blocks(
        self, rows: NDArray[np.intp], planes: NDArray[np.intp]
    ) -> Iterable[tuple[NDArray[Any], tuple[int, int]]]:
        for t, z in product(np.unique(rows // self._step[0]), np.unique(planes // self._step[1])):
            yield self._block(int(t), int(z)), (int(t), int(z))

    def _block(self, t: int, z: int) -> NDArray[Any]:
        """One chunk in t and z of this channel, whole in y and x."""
        group = self._channel // self._channels
        place = (self._source, t, z, group)
        chunk = self._cache.get(place, lambda: self._read(t, z, group))
        return np.asarray(chunk[self._channel % self._channels])

    def _read(self, t: int, z: int, group: int) -> NDArray[Any]:
        """Read (C, T, Z, Y, X) of one chunk in c, t and z."""
        starts = {"t": (t, self._step[0]), "z": (z, self._step[1]), "c": (group, self._channels)}
        index = tuple(
            slice(starts[axis][0] * starts[axis][1], (starts[axis][0] + 1) * starts[axis][1])
            if axis in starts
            else slice(None)
            for axis in self._source.axes
        )
        try:
            data = np.asarray(self._source.array[index])
        except UNREADABLE as error:
            told = InvalidInput(
                f"Cannot read {self._name}, time point {t * self._step[0]}: a chunk is damaged or "
                f"unreadable ({first_line(error)}). Restore it from the original data."
            )
            if self._damaged is None:
                raise told from error
            self._damaged(told)
            sizes = zip(index, self._source.array.shape, strict=True)
            data = np.zeros([len(range(*part.indices(size))) for part, size in sizes], self.dtype)
        for axis, name in enumerate(AXES):
            if name not in self._source.axes:
                data = np.expand_dims(data, axis)
        return np.moveaxis(data, 1, 0)

    def holds(self, t: int, z: int) -> bool:
        """Whether a plane can be shown without reading it."""
        group = self._channel // self._channels
        return (self._source, t // self._step[0], z // self._step[1], group) in self._cache

    def load(self, t: int, z: int) -> None:
        """Have the chunk of a plane read, if it is not held; in a job."""
        if 0 <= t < self.shape[0] and 0 <= z < self.shape[1]:
            self._block(t // self._step[0], z // self._step[1])


def per_axis(key: Any) -> list[Any]:
    """Return an index into (T, Z, Y, X) as one key for each axis."""
    keys = list(key) if isinstance(key, tuple) else [key]
    # By identity: an array among the keys would be compared number by number.
    for place in [i for i, one in enumerate(keys) if one is Ellipsis]:
        keys[place : place + 1] = [slice(None)] * (_NDIM - len(keys) + 1)
    return keys + [slice(None)] * (_NDIM - len(keys))


def _dropped(keys: list[Any]) -> list[Any]:
    """Index for t and z after they were picked: an integer takes its axis away, as in numpy."""
    return [slice(None) if isinstance(one, slice) or np.ndim(one) else 0 for one in keys[:2]]
