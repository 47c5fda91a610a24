"""Fov: one field of view over time, read lazily and read-only."""

from __future__ import annotations

import lzma
import math
import zlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Never

import numpy as np

from napari_dynaclr.core.errors import EmptyFrame, InvalidInput, UnreadablePixels
from napari_dynaclr.core.multiscale import Multiscale, first_line, ome_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import dask.array as da
    from numpy.typing import NDArray


# What the codecs raise on a damaged chunk; zlib's and lzma's errors are plain exceptions.
UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, zlib.error, lzma.LZMAError)


_SLAB = 32 << 20
"""Bytes of slices that are read at a time."""

_GRID = 16
"""Spacing of the pixels that are looked at first, to see whether a frame is empty."""


class Fov:
    """One field of view (position) over time, read lazily.

    Parameters
    ----------
    path
        Folder of the multiscale image.
    name
        ``row/column/fov``.
    extra
        Further channels of the same FOV kept elsewhere (virtual stain), looked up
        when the image itself has no channel of that name.
    """

    is_only = False
    """Whether its dataset holds no other FOV."""

    def __init__(self, path: Path, name: str, extra: Fov | None = None) -> None:
        self.path = path
        self.name = name
        self._extra = extra

    def __repr__(self) -> str:
        return f"Fov({self.name!r})"

    @property
    def well(self) -> str:
        """``row/column`` of the FOV."""
        return self.name.rpartition("/")[0]

    @property
    def file_name(self) -> str:
        """The name as a file name: ``row_column_fov``."""
        return self.name.replace("/", "_")

    @cached_property
    def _multiscale(self) -> Multiscale:
        return Multiscale.open(self.path, self.name, self.attributes)

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """All metadata of the position, OME keys unwrapped."""
        return ome_attributes(self.path)

    @property
    def ome_version(self) -> Literal["0.4", "0.5"]:
        """OME-Zarr version of the source: "0.4" or "0.5"."""
        return "0.5" if "ome" in self.attributes else "0.4"

    @property
    def channels(self) -> list[str]:
        """Channel names: the source's own, then those made by virtual staining."""
        own = self.source_channels
        return own if self._extra is None else own + self._extra.channels

    @property
    def source_channels(self) -> list[str]:
        """Names of the source's own channels."""
        return self._multiscale.channels

    @property
    def stained(self) -> list[str]:
        """Names of the channels made by virtual staining; those that it can be asked for."""
        if self._extra is None:
            return []
        return [name for name in self._extra.channels if name not in self._multiscale.channels]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, Z, Y, X)."""
        return self._multiscale.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels."""
        return self._multiscale.array.dtype

    @property
    def fingerprint(self) -> str:
        """Hash of the first chunk as it lies on disk: another movie has another one."""
        return self._multiscale.fingerprint(self.path)

    @property
    def scale(self) -> tuple[float, float, float]:
        """Voxel size (z, y, x) in um."""
        return self._multiscale.scale

    @property
    def frame_interval(self) -> float | None:
        """Seconds between time points; None where the file does not say."""
        return self._multiscale.frame_interval

    def find(self, channel: str) -> tuple[Multiscale, int]:
        """Return the image that holds a channel, and the channel's index there.

        Raises
        ------
        InvalidInput
            If there is no such channel.
        """
        if channel in self._multiscale.channels:
            return self._multiscale, self._multiscale.channels.index(channel)
        if self._extra is not None and channel in self._extra.channels:
            return self._extra.find(channel)
        raise InvalidInput(
            f"FOV {self.name} has no channel '{channel}': choose one of {', '.join(self.channels)}."
        )

    def image(self, channel: str) -> da.Array:
        """One channel as a lazy (T, Z, Y, X) array, chunked as on disk.

        Raises
        ------
        InvalidInput
            If there is no such channel.
        """
        source, index = self.find(channel)
        return source.lazy(index)

    def frames(
        self,
        channels: Sequence[str],
        times: Iterable[int] | None = None,
        *,
        allow_empty: bool = False,
        fill_nan: bool = True,
        slices: slice = slice(None),
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Read time points in order, each source chunk once.

        Time points that share a chunk are read together; memory holds one such
        block at a time, however long the movie.

        Parameters
        ----------
        channels
            Channels to read, in this order.
        times
            Ascending time points; all by default.
        allow_empty
            Let frames through that hold nothing but zeros or NaN.
        fill_nan
            Set stray NaN to the frame's median.
        slices
            Slices to read.

        Yields
        ------
        tuple
            (t, array of shape (C, Z, Y, X)).

        Raises
        ------
        InvalidInput
            For an unknown channel or time point, a frame of nothing but zeros or
            NaN, or a damaged chunk.
        """
        sources = [self.find(channel) for channel in channels]
        wanted = list(range(self.shape[0])) if times is None else list(times)
        outside = [t for t in wanted if not 0 <= t < self.shape[0]]
        if outside:
            raise InvalidInput(
                f"FOV {self.name} has no time point {outside[0]}: it has 0 to {self.shape[0] - 1}."
            )
        step = math.lcm(*(source.time_chunk for source, _ in sources))
        position = 0
        while position < len(wanted):
            block = wanted[position] // step
            here = [t for t in wanted[position:] if t // step == block]
            data = self._read(sources, channels, here[0], here[-1] + 1, slices)
            for t in here:
                frame = data[:, t - here[0]]
                if not allow_empty:
                    self._refuse_empty(frame, channels, t)
                yield t, fill_gaps(frame) if fill_nan else frame
            position += len(here)

    def reads_apart(self, channels: Sequence[str]) -> bool:
        """Whether time points lie in chunks of their own.

        Parameters
        ----------
        channels
            Channels concerned.
        """
        return all(self.find(channel)[0].time_chunk == 1 for channel in channels)

    def slabs(
        self, channels: Sequence[str], t: int, most: int = _SLAB
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Read one time point a few slices at a time, each source chunk once, as it is.

        Parameters
        ----------
        channels
            Channels to read, in this order.
        t
            The time point.
        most
            Bytes to read at a time, or as many as one chunk in Z holds.

        Yields
        ------
        tuple
            (first slice, array of shape (C, slices, Y, X)); NaN and empty slices are left.

        Raises
        ------
        InvalidInput
            For an unknown channel or time point, or a damaged chunk.
        """
        sources = [self.find(channel) for channel in channels]
        count, depth, height, width = self.shape
        if not 0 <= t < count:
            raise InvalidInput(f"FOV {self.name} has no time point {t}: it has 0 to {count - 1}.")
        whole = math.lcm(*(source.depth_chunk for source, _ in sources))
        each = sum(source.array.dtype.itemsize for source, _ in sources) * height * width
        step = whole * max(1, most // (whole * each))
        for start in range(0, depth, step):
            slices = slice(start, min(start + step, depth))
            yield start, self._read(sources, channels, t, t + 1, slices)[:, 0]

    def _read(
        self,
        sources: list[tuple[Multiscale, int]],
        names: Sequence[str],
        start: int,
        stop: int,
        slices: slice = slice(None),
    ) -> NDArray[Any]:
        """Read (C, T, Z, Y, X); channels of one array in one request."""
        found: list[NDArray[Any]] = []
        places: list[int] = []
        for source in {id(s): s for s, _ in sources}.values():
            here = [i for i, (s, _) in enumerate(sources) if s is source]
            try:
                found.append(source.read(start, stop, [sources[i][1] for i in here], slices))
            except UNREADABLE as error:
                until = f"-{stop - 1}" if stop - start > 1 else ""
                raise UnreadablePixels(
                    f"Cannot read FOV {self.name}, time point {start}{until}, channel "
                    f"{', '.join(names[i] for i in here)}: a chunk is damaged or unreadable "
                    f"({first_line(error)}). Restore it from the original data.",
                    range(start, stop),
                ) from error
            places += here
        if len(found) == 1:
            return found[0]
        return np.concatenate(found)[np.argsort(places)]

    def _refuse_empty(self, frame: NDArray[Any], channels: Sequence[str], t: int) -> None:
        for name, image in zip(channels, frame, strict=True):
            if what := nothing_but(image):
                self.refuse_empty(name, t, what)

    def refuse_empty(self, channel: str, t: int, what: str) -> Never:
        """Say that a frame is empty.

        Parameters
        ----------
        channel, t
            Which.
        what
            From :func:`nothing_but`.

        Raises
        ------
        EmptyFrame
            Always.
        """
        raise EmptyFrame(
            f"FOV {self.name}, channel {channel}, time point {t} holds nothing but {what}"
        )


def nothing_but(image: NDArray[Any]) -> str:
    """Return "zeros" or "NaN" where an image holds nothing else, "" where it is one.

    Parameters
    ----------
    image
        Pixels, (Z, Y, X).
    """
    few = image[:, ::_GRID, ::_GRID]
    if (np.isfinite(few) & (few != 0)).any():
        return ""
    finite = image[np.isfinite(image)] if image.dtype.kind == "f" else image
    return "NaN" if not finite.size else "" if finite.any() else "zeros"


def fill_gaps(frame: NDArray[Any]) -> NDArray[Any]:
    """Set NaN and infinite pixels to the median of the others, in place.

    Parameters
    ----------
    frame
        Images, one a channel: (C, ...).
    """
    if frame.dtype.kind != "f" or np.isfinite(frame).all():
        return frame
    for image in frame:
        good = np.isfinite(image)
        image[~good] = np.median(image[good]) if good.any() else 0.0
    return frame
