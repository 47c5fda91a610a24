"""Planes of a movie that come one by one, as an array for a viewer that asks at any time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

ROOM = 256_000_000
"""Bytes of planes that are kept for one layer."""


class PlaneStack:
    """Planes of a FOV as an array (T, Z, Y, X) or (T, Z, Y, X, C); zeros where none is held.

    Parameters
    ----------
    shape
        Of the array.
    dtype
        Of its pixels.
    room
        Bytes to keep; the newest plane is kept whatever its size.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, room: int = ROOM) -> None:
        self.shape, self.ndim = tuple(shape), len(shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._room = room
        self._held: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def holds(self, t: int, z: int) -> bool:
        """Whether a plane is there."""
        return (t, z) in self._held

    def put(self, t: int, z: int, plane: NDArray[Any]) -> None:
        """Keep a plane; those that were not looked at for longest make room for it.

        Parameters
        ----------
        t, z
            Which.
        plane
            (Y, X) or (Y, X, C) as the array; of another number of pixels, it is stretched.
        """
        plane = _stretched(np.asarray(plane), self.shape[2:4]).astype(self.dtype, copy=False)
        with self._lock:
            self._held[t, z] = plane
            self._held.move_to_end((t, z))
            while len(self._held) > 1 and len(self._held) * plane.nbytes > self._room:
                self._held.popitem(last=False)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :], dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        keys = list(key) if isinstance(key, tuple) else [key]
        for place in [i for i, one in enumerate(keys) if one is Ellipsis]:
            keys[place : place + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        keys += [slice(None)] * (self.ndim - len(keys))
        rows, planes = (np.arange(n)[one] for n, one in zip(self.shape, keys[:2], strict=False))
        pixels = np.zeros((np.size(rows), np.size(planes), *self.shape[2:]), self.dtype)
        for i, t in enumerate(np.atleast_1d(rows)):
            for k, z in enumerate(np.atleast_1d(planes)):
                with self._lock:
                    plane = self._held.get((int(t), int(z)))
                    if plane is not None:
                        self._held.move_to_end((int(t), int(z)))
                        pixels[i, k] = plane
        first = [0 if np.ndim(one) == 0 else slice(None) for one in (rows, planes)]
        return np.asarray(pixels[(*first, *keys[2:])])


def _stretched(plane: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """Repeat pixels, so that a plane covers as many as the image has."""
    if plane.shape[:2] == tuple(size):
        return plane
    index = (np.arange(n) * m // n for n, m in zip(size, plane.shape[:2], strict=True))
    return plane[np.ix_(*index)]
