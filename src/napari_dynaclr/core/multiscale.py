"""The full-resolution array of one OME-Zarr image, seen as (T, Z, Y, X) a channel."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.buffer.cpu import NDBuffer
from zarr.errors import ContainsArrayError, GroupNotFoundError

from napari_dynaclr.core.chunks import open_chunks
from napari_dynaclr.core.errors import InvalidInput, StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import dask.array as da
    from numpy.typing import NDArray

AXES = "tczyx"

_MICROMETERS = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "nm": 1e-3,
    "micrometer": 1.0,
    "um": 1.0,
    "\u00b5m": 1.0,  # micro sign
    "\u03bcm": 1.0,  # Greek mu
    "micron": 1.0,
    "millimeter": 1e3,
    "mm": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}
_SECONDS = {
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "ms": 1e-3,
    "second": 1.0,
    "s": 1.0,
    "minute": 60.0,
    "min": 60.0,
    "hour": 3600.0,
    "h": 3600.0,
    "day": 86400.0,
}


def ome_attributes(path: Path) -> dict[str, Any]:
    """Read the OME metadata of the Zarr group at ``path``; 0.5 is unwrapped.

    Raises
    ------
    InvalidInput
        If nothing is there, or it is no Zarr group.
    """
    if not path.exists():
        raise InvalidInput(f"{path} does not exist: check the path.")
    try:
        attributes = zarr.open_group(path, mode="r").attrs.asdict()
    except PermissionError:
        raise StorageError(f"{path} cannot be read: permission denied.") from None
    except (ContainsArrayError, GroupNotFoundError, FileNotFoundError, NotADirectoryError) as error:
        # Of a Zarr 2 array, zarr says only that there is no group.
        if isinstance(error, ContainsArrayError) or (path / ".zarray").exists():
            raise InvalidInput(
                f"{path} is a bare Zarr array without OME metadata: open the image group that "
                "holds it, or make one with 'napari-dynaclr convert'."
            ) from None
        raise InvalidInput(
            f"{path} is not an OME-Zarr dataset: choose a folder written as OME-Zarr, "
            "or make one from TIFF with 'napari-dynaclr convert'."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path} has damaged Zarr metadata: {first_line(error)}.") from None
    ome = attributes.get("ome")
    return {**attributes, **ome} if isinstance(ome, dict) else attributes


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


@dataclass(frozen=True, eq=False)
class Multiscale:
    """Level 0 of a multiscale image, whatever axes it has.

    Attributes
    ----------
    array
        The Zarr array, with the axes in ``axes``.
    axes
        Lower-case axis names in the array's order, a subset of "tczyx".
    channels
        One name per channel.
    scale
        Voxel size (z, y, x) in um.
    frame_interval
        Seconds between time points, or None where unknown.
    level
        Path of the array below the image.
    """

    array: zarr.Array[Any]
    axes: str
    channels: list[str]
    scale: tuple[float, float, float]
    frame_interval: float | None
    level: str = "0"

    @classmethod
    def open(cls, path: Path, name: str, attributes: dict[str, Any]) -> Multiscale:
        """Interpret the OME metadata of the image at ``path``.

        Raises
        ------
        InvalidInput
            If axes are unknown, repeated, out of order or do not fit the array.
        """
        where = f"FOV {name} ({path})"
        try:
            image = attributes["multiscales"][0]
            level = image["datasets"][0]
            folder = str(level["path"])
            axes = [_axis(axis) for axis in image.get("axes") or list(AXES)]
        except (KeyError, IndexError, TypeError):
            raise InvalidInput(f"{where} has no multiscales metadata: it is no image.") from None
        try:
            array = open_chunks(path / folder)
        except (OSError, ValueError, KeyError):
            raise InvalidInput(
                f"{where} lacks its image array '{folder}': the dataset is incomplete."
            ) from None
        names = "".join(axis[0] for axis in axes)
        ordered = "".join(axis for axis in AXES if axis in names)
        if names != ordered or "yx" not in names or len(names) != array.ndim:
            raise InvalidInput(
                f"{where} has axes '{names or 'none'}' for an array of {array.ndim} dimensions: "
                f"expected some of '{AXES}' in this order, with y and x."
            )
        if 0 in array.shape:
            raise InvalidInput(f"{where} is empty: its shape is {array.shape}.")
        factors = _scale(image, level, array.ndim)
        units = {axis[0]: (axis[1], factor) for axis, factor in zip(axes, factors, strict=True)}
        z, y, x = (_length(*units.get(axis, (None, 1.0))) for axis in "zyx")
        count = array.shape[names.index("c")] if "c" in names else 1
        return cls(
            array,
            names,
            _channels(attributes, count),
            (z, y, x),
            _interval(units),
            str(level["path"]),
        )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, Z, Y, X)."""
        size = dict(zip(self.axes, self.array.shape, strict=True))
        return (size.get("t", 1), size.get("z", 1), size["y"], size["x"])

    @property
    def time_chunk(self) -> int:
        """Time points in one chunk, to be read together."""
        return int(self.array.chunks[0]) if self.axes.startswith("t") else 1

    @property
    def depth_chunk(self) -> int:
        """Slices in one chunk, to be read together."""
        return int(self.array.chunks[self.axes.index("z")]) if "z" in self.axes else 1

    def fingerprint(self, path: Path) -> str:
        """Hash the first chunk file of the image at ``path``; "" if it is not stored."""
        key = self.array.metadata.encode_chunk_key((0,) * self.array.ndim)
        try:
            first = (path / self.level / key).read_bytes()
        except OSError:
            return ""
        return hashlib.sha256(first).hexdigest()[:16]

    def read(
        self, start: int, stop: int, channels: Sequence[int], slices: slice = slice(None)
    ) -> NDArray[Any]:
        """Read time points ``start`` to ``stop`` of some channels and slices: (C, T, Z, Y, X)."""
        wanted = {"t": slice(start, stop), "z": slices}
        index = [wanted.get(axis, slice(None)) for axis in self.axes]
        unique = sorted(set(channels))
        if "c" in self.axes:
            data = self._read_channels(index, self.axes.index("c"), unique)
        else:
            data = np.asarray(self.array[tuple(index)])
        for place, axis in enumerate(AXES):
            if axis not in self.axes:
                data = np.expand_dims(data, place)
        data = np.moveaxis(data, 1, 0)
        if list(channels) == unique:
            return data
        return data[[unique.index(channel) for channel in channels]]

    def _read_channels(self, index: list[slice], axis: int, channels: list[int]) -> NDArray[Any]:
        """Read ascending channels, each chunk once; the result has the array's axes."""
        first, end = channels[0], channels[-1] + 1
        here = (slice(None),) * axis
        if channels == list(range(first, end)):
            return np.asarray(self.array[(*index[:axis], slice(first, end), *index[axis + 1 :])])
        if self.array.chunks[axis] > 1:
            some: list[Any] = list(index)
            some[axis] = np.asarray(channels)
            return np.asarray(self.array.oindex[tuple(some)])
        # zarr takes a third longer for a list of channels than for each by itself.
        shape = [
            len(range(*one.indices(n))) for one, n in zip(index, self.array.shape, strict=True)
        ]
        shape[axis] = len(channels)
        data = np.empty(shape, self.array.dtype)

        def fill(place: int) -> None:
            one = slice(channels[place], channels[place] + 1)
            self.array.get_basic_selection(
                (*index[:axis], one, *index[axis + 1 :]),
                out=NDBuffer.from_numpy_array(data[(*here, slice(place, place + 1))]),
            )

        with ThreadPoolExecutor(len(channels)) as pool:
            list(pool.map(fill, range(len(channels))))
        return data

    def lazy(self, channel: int) -> da.Array:
        """One channel as a lazy (T, Z, Y, X) array."""
        import dask.array as da

        data: da.Array = da.from_zarr(self.array)
        if "c" in self.axes:
            data = da.take(data, channel, axis=self.axes.index("c"))
        rest = self.axes.replace("c", "")
        for place, axis in enumerate("tzyx"):
            if axis not in rest:
                data = da.expand_dims(data, place)
        return data


def _axis(axis: Any) -> tuple[str, str | None]:
    """Name and unit; OME-Zarr 0.3 gives plain names."""
    if isinstance(axis, str):
        return axis.lower(), None
    return str(axis["name"]).lower(), axis.get("unit")


def _scale(image: dict[str, Any], level: dict[str, Any], ndim: int) -> list[float]:
    factors = np.ones(ndim)
    for holder in (level, image):
        for transform in holder.get("coordinateTransformations") or []:
            values = transform.get("scale")
            if values is not None and len(values) == ndim:
                factors = factors * np.asarray(values, dtype=float)
    return [float(factor) for factor in factors]


def _length(unit: str | None, factor: float) -> float:
    return factor * _MICROMETERS.get(unit or "micrometer", 1.0)


def _interval(units: dict[str, tuple[str | None, float]]) -> float | None:
    """Seconds per frame; a scale of 1 is what writers put when they do not know."""
    unit, factor = units.get("t", (None, 1.0))
    if factor == 1.0 and unit in (None, "second", "s"):
        return None
    return factor * _SECONDS.get(unit or "second", 1.0)


def _channels(attributes: dict[str, Any], count: int) -> list[str]:
    described = (attributes.get("omero") or {}).get("channels") or []
    names = [str(channel.get("label") or f"channel_{i}") for i, channel in enumerate(described)]
    return names[:count] + [f"channel_{i}" for i in range(len(names), count)]
