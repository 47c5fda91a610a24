"""TIFF stacks and folders of TIFFs to an OME-Zarr plate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tifffile
from pydantic import Field

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_dynaclr.core.job import Job

_SUFFIXES = (".tif", ".tiff")
_AXES = "TCZYX"


class TiffParams(Params):
    """Settings of the conversion from TIFF."""

    pixel_size: float = Field(
        0.0,
        title="Pixel size (um)",
        description="Size of a pixel; 0 takes it from the file, or 1 if it does not say.",
        ge=0,
    )
    z_step: float = Field(
        0.0,
        title="Z step (um)",
        description="Distance of slices; 0 takes it from the file, or 1 if it does not say.",
        ge=0,
    )
    frame_interval: float = Field(
        0.0,
        title="Frame interval (minutes)",
        description="Time between frames; 0 takes it from the file, or leaves it unknown.",
        ge=0,
    )
    axes: str = Field(
        "",
        title="Axes",
        description="Axes of each file, such as TCYX or ZYX, where the file does not say; "
        "an axis without a name counts as time.",
        pattern=r"^[TCZYXtczyx]*$",
    )
    pattern: str = Field(
        "",
        title="File name pattern",
        description="Regular expression with the groups fov, t, c or z that says what a file "
        "holds, such as '(?P<fov>\\w+)_t(?P<t>\\d+)_(?P<c>\\w+)'. Without one, a folder of "
        "single images is one movie in the order of the names, and every stack is a FOV.",
    )
    channels: tuple[str, ...] = Field(
        (), title="Channels", description="Channel names, in the order of the files."
    )
    version: Literal["0.4", "0.5"] = Field(
        "0.5", title="OME-Zarr version", description="0.4 is read by older tools too."
    )


@dataclass(frozen=True)
class _Plane:
    """One file and where it belongs: indices into T, C and Z at which it starts."""

    file: Path
    t: int = 0
    c: int = 0
    z: int = 0


def write(source: Path, target: Path, params: TiffParams, job: Job) -> None:
    """Write the plate at ``target``.

    Raises
    ------
    InvalidInput
        If the files cannot be read, or do not fit together.
    """
    if _by_iohub(source):
        _convert_by_iohub(source, target, params, job)
        return
    files = _files(source)
    groups, channels = _groups(files, params)
    from iohub.ngff import TransformationMeta, open_ome_zarr
    from iohub.ngff.models import ChannelAxisMeta, SpaceAxisMeta, TimeAxisMeta

    with open_ome_zarr(
        target,
        layout="hcs",
        mode="w-",
        channel_names=channels,
        axes=[
            TimeAxisMeta(name="T", unit="second"),
            ChannelAxisMeta(name="C"),
            *(SpaceAxisMeta(name=name, unit="micrometer") for name in "ZYX"),
        ],
        version=params.version,
        disable_path_checking=True,
    ) as plate:
        for number, (name, planes) in enumerate(job.track(groups.items(), "convert")):
            first = _info(planes[0].file, params)
            shape, count = _fov_shape(planes, first)
            if len(channels) != shape[1]:
                raise InvalidInput(
                    f"{name} has {shape[1]} channels, but {len(channels)} are named: "
                    f"{', '.join(channels)}."
                )
            position = plate.create_position(*_position(name, number))
            array = position.create_zeros(
                "0",
                shape=shape,
                dtype=first.dtype,
                chunks=(1, 1, shape[2], min(shape[3], 1024), min(shape[4], 1024)),
                transform=[TransformationMeta(type="scale", scale=first.scale(params))],
            )
            for plane in job.track(planes, f"convert {name}"):
                for t, block in _blocks(plane.file, params, first.shape):
                    c, z = plane.c, plane.z
                    array[plane.t + t, c : c + count[1], z : z + count[2]] = block


# -- Micro-Manager, through iohub ------------------------------------------


def _by_iohub(source: Path) -> bool:
    if source.suffix.lower() == ".nd2" or (source.is_dir() and (source / "NDTiff.index").exists()):
        return True
    files = [p for p in source.iterdir() if _is_tiff(p)] if source.is_dir() else []
    if not files:
        return False
    try:
        with tifffile.TiffFile(min(files)) as tiff:
            return bool(tiff.is_micromanager and tiff.is_ome)
    except tifffile.TiffFileError:
        return False


def _convert_by_iohub(source: Path, target: Path, params: TiffParams, job: Job) -> None:
    from iohub.convert import TIFFConverter

    job.report("convert with iohub")
    try:
        converter = TIFFConverter(source, target, version=params.version)
        converter()
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise InvalidInput(f"{source} cannot be converted by iohub: {error}.") from error
    job.check()


# -- what belongs where ------------------------------------------------------


def _is_tiff(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in _SUFFIXES


def _files(source: Path) -> list[Path]:
    if _is_tiff(source):
        return [source]
    files = [p for p in source.rglob("*") if _is_tiff(p)] if source.is_dir() else []
    if not files:
        raise InvalidInput(f"{source} holds no TIFF files (.tif, .tiff): check the path.")
    return sorted(files, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order t2 before t10."""
    parts = re.split(r"(\d+)", path.as_posix())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _groups(files: list[Path], params: TiffParams) -> tuple[dict[str, list[_Plane]], list[str]]:
    """Files of each FOV, and the channel names."""
    first = _info(files[0], params)
    groups: dict[str, list[_Plane]] = {}
    if params.pattern:
        found = _parse_names(files, params.pattern)
        axes = {axis: sorted({row[axis] for row in found}, key=_order) for axis in "tcz"}
        for file, row in zip(files, found, strict=True):
            t, c, z = (axes[axis].index(row[axis]) for axis in "tcz")
            groups.setdefault(row["fov"], []).append(_Plane(file, t, c, z))
        if axes["c"] != [""]:
            return groups, list(params.channels) or axes["c"]
    elif len(files) > 1 and first.shape[0] == 1:
        groups["0"] = [_Plane(file, t) for t, file in enumerate(files)]
    else:
        groups = {file.stem: [_Plane(file)] for file in files}
    names = list(params.channels) or [f"channel_{i}" for i in range(first.shape[1])]
    return groups, names


def _parse_names(files: list[Path], pattern: str) -> list[dict[str, str]]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InvalidInput(f"pattern = {pattern!r} is no regular expression: {error}.") from None
    unknown = set(compiled.groupindex) - {"fov", "t", "c", "z"}
    if unknown or not compiled.groupindex:
        raise InvalidInput(f"pattern = {pattern!r} may have the groups fov, t, c and z only.")
    rows = []
    for file in files:
        match = compiled.search(file.name)
        if match is None:
            raise InvalidInput(f"The pattern {pattern!r} does not fit the file {file.name}.")
        rows.append({"fov": "0", "t": "", "c": "", "z": "", **match.groupdict("")})
    return rows


def _order(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdigit() else (-1, text)


def _position(name: str, number: int) -> tuple[str, str, str]:
    """Name a FOV in the plate: as it is called where that says row, column and FOV."""
    parts = re.split(r"[_\-/]", name)
    if len(parts) == 3 and all(part.isalnum() for part in parts):
        return parts[0], parts[1], parts[2]
    return "A", "1", str(number)


def _fov_shape(
    planes: list[_Plane], info: _Info
) -> tuple[tuple[int, int, int, int, int], tuple[int, ...]]:
    """Shape (T, C, Z, Y, X) of the FOV, and (T, C, Z) of one file of it."""
    t, c, z, y, x = info.shape
    whole = (
        max(p.t for p in planes) + t,
        max(p.c for p in planes) + c,
        max(p.z for p in planes) + z,
        y,
        x,
    )
    return whole, (t, c, z)


# -- reading -----------------------------------------------------------------


@dataclass(frozen=True)
class _Info:
    """Shape (T, C, Z, Y, X), data type and metadata of a file."""

    shape: tuple[int, int, int, int, int]
    dtype: np.dtype[Any]
    pixel: float
    step: float
    interval: float

    def scale(self, params: TiffParams) -> list[float]:
        pixel = params.pixel_size or self.pixel or 1.0
        interval = params.frame_interval * 60 or self.interval or 1.0
        return [interval, 1.0, params.z_step or self.step or 1.0, pixel, pixel]


def _open(file: Path) -> tifffile.TiffFile:
    try:
        return tifffile.TiffFile(file)
    except (tifffile.TiffFileError, OSError) as error:
        raise InvalidInput(f"{file} is not a readable TIFF: {error}.") from None


def _axes(series: tifffile.TiffPageSeries, file: Path, params: TiffParams) -> str:
    axes = params.axes.upper() or series.axes
    if len(axes) != series.ndim:
        raise InvalidInput(
            f"{file.name} has {series.ndim} axes of sizes {series.shape}: axes={axes} does not fit."
        )
    if "S" in axes and "C" not in axes:
        axes = axes.replace("S", "C")
    # tifffile calls what it does not know Q, I or R: in a time-lapse that is time.
    for unknown in [axis for axis in axes if axis not in _AXES]:
        free = [axis for axis in "TZC" if axis not in axes]
        if not free:
            raise InvalidInput(f"{file.name} has axes {axes}: say what they are with axes=.")
        axes = axes.replace(unknown, free[0], 1)
    if "Y" not in axes or "X" not in axes or len(set(axes)) != len(axes):
        raise InvalidInput(f"{file.name} has axes {axes}: Y and X are needed, each axis once.")
    return axes


def _info(file: Path, params: TiffParams) -> _Info:
    with _open(file) as tiff:
        series = tiff.series[0]
        sizes = dict(zip(_axes(series, file, params), series.shape, strict=True))
        t, c, z, y, x = (int(sizes.get(axis, 1)) for axis in _AXES)
        about = tiff.imagej_metadata or {}
        pixel = _ome(tiff, "PhysicalSizeX") or _imagej_pixel(tiff, about)
        step = _ome(tiff, "PhysicalSizeZ") or float(about.get("spacing") or 0)
        interval = _ome(tiff, "TimeIncrement") or float(about.get("finterval") or 0)
        return _Info((t, c, z, y, x), np.dtype(series.dtype), pixel, step, interval)


def _ome(tiff: tifffile.TiffFile, name: str) -> float:
    found = re.search(rf'{name}="([0-9.eE+-]+)"', tiff.ome_metadata or "")
    return float(found.group(1)) if found else 0.0


def _imagej_pixel(tiff: tifffile.TiffFile, about: dict[str, Any]) -> float:
    tag = tiff.pages.first.tags.get("XResolution")
    if tag is None or str(about.get("unit", "")) not in ("um", "micron", "\\u00B5m", "µm"):
        return 0.0
    count, length = tag.value
    return length / count if count else 0.0


def _blocks(
    file: Path, params: TiffParams, expected: tuple[int, ...]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (t, array (C, Z, Y, X)) of a file, holding one time point in memory."""
    import zarr

    with _open(file) as tiff:
        series = tiff.series[0]
        axes = _axes(series, file, params)
        sizes = dict(zip(axes, series.shape, strict=True))
        shape = tuple(int(sizes.get(axis, 1)) for axis in _AXES)
        if shape != expected:
            raise InvalidInput(
                f"{file.name} has shape {shape} (T, C, Z, Y, X), the first file has "
                f"{tuple(expected)}: convert files of one shape at a time."
            )
        store = series.aszarr(level=0)
        array = zarr.open_array(store, mode="r")
        for t in range(shape[0]):
            index = tuple(t if axis == "T" else slice(None) for axis in axes)
            block = np.asarray(array[index])
            rest = axes.replace("T", "")
            order = [rest.index(axis) for axis in "CZYX" if axis in rest]
            yield t, block.transpose(order).reshape(shape[1:])
        store.close()
