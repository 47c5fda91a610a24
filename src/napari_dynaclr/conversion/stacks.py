"""What a TIFF file holds, and its pixels time point by time point."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.multiscale import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

AXES = "TCZYX"

_MICROMETERS = {"µm": 1.0, "um": 1.0, "micron": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "mm": 1e3}
_SECONDS = {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class StackInfo:
    """What a file says about itself.

    Attributes
    ----------
    shape
        (T, C, Z, Y, X).
    dtype
        Data type of the pixels.
    pixel, step, interval
        Size of a pixel and distance of slices in um, seconds between frames; 0 where
        the file does not say.
    channels
        Names, empty where the file does not say.
    """

    shape: tuple[int, int, int, int, int]
    dtype: np.dtype[Any]
    pixel: float
    step: float
    interval: float
    channels: tuple[str, ...]


def read_info(file: Path, axes: str) -> StackInfo:
    """Read a file's shape and metadata.

    Parameters
    ----------
    file
        A TIFF.
    axes
        Its axes, where the file does not say.

    Raises
    ------
    InvalidInput
        If it is no readable TIFF, or the axes do not fit.
    """
    with _open(file) as tiff:
        if len(tiff.series) > 1:
            raise InvalidInput(
                f"{file.name} holds {len(tiff.series)} image series: save each as its own file."
            )
        series = tiff.series[0]
        sizes = dict(zip(_axes(series, file, axes), series.shape, strict=True))
        t, c, z, y, x = (int(sizes.get(axis, 1)) for axis in AXES)
        pixel, step, interval, names = _described(tiff)
        names = names if len(names) == c else ()
        return StackInfo((t, c, z, y, x), np.dtype(series.dtype), pixel, step, interval, names)


def read_frames(
    file: Path, axes: str, expected: tuple[int, ...]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (t, array (C, Z, Y, X)) of a file, holding one time point in memory.

    Raises
    ------
    InvalidInput
        If the file is cut short or has another shape than expected.
    """
    import zarr

    with _open(file) as tiff:
        series = tiff.series[0]
        names = _axes(series, file, axes)
        sizes = dict(zip(names, series.shape, strict=True))
        shape = tuple(int(sizes.get(axis, 1)) for axis in AXES)
        if shape != expected:
            raise InvalidInput(
                f"{file.name} has shape {shape} (T, C, Z, Y, X), the first file has "
                f"{tuple(expected)}: convert files of one shape at a time."
            )
        _refuse_cut_short(series, file)
        store = series.aszarr(level=0)
        array: zarr.Array[Any] = zarr.open_array(store, mode="r")
        rest = names.replace("T", "")
        order = [rest.index(axis) for axis in "CZYX" if axis in rest]
        for t in range(shape[0]):
            index = tuple(t if axis == "T" else slice(None) for axis in names)
            try:
                block = np.asarray(array[index])
            except (ValueError, RuntimeError, OSError, IndexError) as error:
                raise _unreadable(file, error) from error
            yield t, block.transpose(order).reshape(shape[1:])
        store.close()


def _open(file: Path) -> tifffile.TiffFile:
    with _complaints() as said:
        try:
            tiff = tifffile.TiffFile(file)
        except (tifffile.TiffFileError, ValueError, OSError) as error:
            raise _unreadable(file, error) from None
        empty = not tiff.series
    # A page that should be there and is not: tifffile would leave out the rest of the movie.
    cut_short = any("page offset" in text for text in said)
    if empty or cut_short:
        tiff.close()
        what = "there is no image in it" if empty else "it was cut short"
        raise InvalidInput(f"{file} is not a readable TIFF: {what}.")
    return tiff


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect what tifffile would log, on this thread, instead of printing it."""
    said: list[str] = []
    thread = threading.get_ident()

    def collect(record: logging.LogRecord) -> bool:
        if record.thread == thread:
            said.append(record.getMessage())
        return record.thread != thread

    logger = logging.getLogger("tifffile")
    logger.addFilter(collect)
    try:
        yield said
    finally:
        logger.removeFilter(collect)


def _unreadable(file: Path, error: Exception) -> InvalidInput:
    return InvalidInput(f"{file} is not a readable TIFF: {first_line(error)}.")


def _refuse_cut_short(series: tifffile.TiffPageSeries, file: Path) -> None:
    """Check that all pages are there; tifffile would give zeros for those that are not."""
    missing = sum(page is None for page in series)
    start = series.dataoffset
    if missing or (start is not None and start + series.nbytes > file.stat().st_size):
        what = f"{missing} of {len(series)} planes are missing" if missing else "it was cut short"
        raise InvalidInput(f"{file} is not a readable TIFF: {what}.")


def _axes(series: tifffile.TiffPageSeries, file: Path, given: str) -> str:
    axes = given.upper() or series.axes
    if len(axes) != series.ndim:
        raise InvalidInput(
            f"{file.name} has {series.ndim} axes of sizes {series.shape}: axes={axes} does not fit."
        )
    if "S" in axes and "C" not in axes:
        axes = axes.replace("S", "C")
    # tifffile calls what it does not know Q, I or R: in a time-lapse that is time.
    for unknown in [axis for axis in axes if axis not in AXES]:
        free = [axis for axis in "TZC" if axis not in axes]
        if not free:
            raise InvalidInput(f"{file.name} has axes {axes}: say what they are with axes=.")
        axes = axes.replace(unknown, free[0], 1)
    if "Y" not in axes or "X" not in axes or len(set(axes)) != len(axes):
        raise InvalidInput(f"{file.name} has axes {axes}: Y and X are needed, each axis once.")
    return axes


def _described(tiff: tifffile.TiffFile) -> tuple[float, float, float, tuple[str, ...]]:
    """Pixel size and z step in um, interval in seconds, channel names; 0 and () if unknown."""
    if tiff.ome_metadata:
        return _described_by_ome(tiff.ome_metadata)
    about = tiff.imagej_metadata or {}
    tag = tiff.pages.first.tags.get("XResolution")
    unit = _MICROMETERS.get(str(about.get("unit", "")), 0.0)
    count, length = tag.value if tag is not None else (0, 0)
    pixel = unit * length / count if count else 0.0
    step = unit * float(about.get("spacing") or 0)
    return pixel, step, float(about.get("finterval") or 0), ()


def _described_by_ome(text: str) -> tuple[float, float, float, tuple[str, ...]]:
    try:
        pixels = ElementTree.fromstring(text).find(".//{*}Pixels")
    except ElementTree.ParseError:
        pixels = None
    if pixels is None:
        return 0.0, 0.0, 0.0, ()
    found = pixels.attrib

    def value(name: str, default: str, units: dict[str, float]) -> float:
        return float(found.get(name, 0)) * units.get(found.get(f"{name}Unit", default), 0.0)

    names = tuple(channel.get("Name", "") for channel in pixels.findall("{*}Channel"))
    return (
        value("PhysicalSizeX", "µm", _MICROMETERS),
        value("PhysicalSizeZ", "µm", _MICROMETERS),
        value("TimeIncrement", "s", _SECONDS),
        names if all(names) else (),
    )
