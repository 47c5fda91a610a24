"""TIFF stacks and folders of TIFFs to an OME-Zarr plate."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from napari_dynaclr.conversion.micromanager import convert_acquisition, is_acquisition
from napari_dynaclr.conversion.stacks import StackInfo, read_frames, read_info
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.params import Params

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_dynaclr.core.job import Job

_SUFFIXES = (".tif", ".tiff")


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
        json_schema_extra={"advanced": True},
    )
    pattern: str = Field(
        "",
        title="File name pattern",
        description="Regular expression with the groups fov, t, c or z that says what a file "
        "holds, such as '(?P<fov>\\w+)_t(?P<t>\\d+)_(?P<c>\\w+)'. Without one, a folder of "
        "single images is one movie in the order of the names, and every stack is a FOV.",
        json_schema_extra={"advanced": True},
    )
    channels: tuple[str, ...] = Field(
        (),
        title="Channels",
        description="Channel names, in the order of the files; those that the files give if none "
        "is named.",
    )
    version: Literal["0.4", "0.5"] = Field(
        "0.5",
        title="OME-Zarr version",
        description="0.4 is read by older tools too.",
        json_schema_extra={"advanced": True},
    )


@dataclass(frozen=True)
class _File:
    """A file, and the indices into T, C and Z at which its pixels start."""

    path: Path
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
    here = [p for p in source.iterdir() if _is_tiff(p)] if source.is_dir() else []
    if is_acquisition(source, here):
        convert_acquisition(source, target, params.version, job)
        return
    files = _files(source)
    info = read_info(files[0], params.axes)
    groups, channels = _groups(files, info, params)
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
        positions = _positions(list(groups))
        for (name, group), position in zip(
            job.track(groups.items(), "convert"), positions, strict=True
        ):
            first = read_info(group[0].path, params.axes)
            shape = _fov_shape(group, first)
            if len(channels) != shape[1]:
                raise InvalidInput(
                    f"{name} has {shape[1]} channels, but {len(channels)} are named: "
                    f"{', '.join(channels)}."
                )
            array = plate.create_position(*position).create_zeros(
                "0",
                shape=shape,
                dtype=first.dtype,
                chunks=(1, 1, shape[2], min(shape[3], 1024), min(shape[4], 1024)),
                transform=[TransformationMeta(type="scale", scale=_scale(first, params))],
            )
            _, c, z = first.shape[:3]
            frames = (
                (file, t, frame)
                for file in group
                for t, frame in read_frames(file.path, params.axes, first.shape)
            )
            total = len(group) * first.shape[0]
            for file, t, frame in job.track(frames, f"convert {name}", total=total):
                array[file.t + t, file.c : file.c + c, file.z : file.z + z] = frame


def _scale(info: StackInfo, params: TiffParams) -> list[float]:
    pixel = params.pixel_size or info.pixel or 1.0
    interval = params.frame_interval * 60 or info.interval or 1.0
    return [interval, 1.0, params.z_step or info.step or 1.0, pixel, pixel]


def _is_tiff(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in _SUFFIXES


def _files(source: Path) -> list[Path]:
    if source.is_file():
        if not _is_tiff(source):
            raise InvalidInput(f"{source} is no TIFF file (.tif, .tiff): check the path.")
        return [source]
    files = [p for p in source.rglob("*") if _is_tiff(p)]
    if not files:
        raise InvalidInput(f"{source} holds no TIFF files (.tif, .tiff): check the path.")
    return sorted(files, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order t2 before t10."""
    parts = re.split(r"(\d+)", path.as_posix())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _named(files: list[Path]) -> dict[str, Path]:
    """Name files by their stems, with their folder where two have the same."""
    stems = [file.stem for file in files]
    return {
        file.stem if stems.count(file.stem) == 1 else f"{file.parent.name}-{file.stem}": file
        for file in files
    }


def _groups(
    files: list[Path], info: StackInfo, params: TiffParams
) -> tuple[dict[str, list[_File]], list[str]]:
    """Files of each FOV, and the channel names."""
    groups: dict[str, list[_File]] = {}
    names = list(params.channels) or list(info.channels)
    if params.pattern:
        found = _parse_names(files, params.pattern)
        axes = {axis: sorted({row[axis] for row in found}, key=_order) for axis in "tcz"}
        steps = dict(zip("tcz", info.shape, strict=False))
        for file, row in zip(files, found, strict=True):
            starts = {axis: axes[axis].index(row[axis]) * steps[axis] for axis in "tcz"}
            groups.setdefault(row["fov"], []).append(_File(file, **starts))
        _refuse_holes(groups, axes, steps)
        if axes["c"] != [""] and not params.channels:
            names = axes["c"]
    elif len(files) > 1 and info.shape[0] == 1:
        groups["0"] = [_File(file, t) for t, file in enumerate(files)]
    else:
        groups = {name: [_File(file)] for name, file in _named(files).items()}
    return groups, names or [f"channel_{i}" for i in range(info.shape[1])]


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


def _refuse_holes(
    groups: dict[str, list[_File]], axes: dict[str, list[str]], steps: dict[str, int]
) -> None:
    """Check that each FOV has one file for each place; zeros would look like an image."""
    for name, group in groups.items():
        known: dict[tuple[int, ...], _File] = {}
        for file in group:
            place = tuple(getattr(file, axis) // steps[axis] for axis in "tcz")
            if place in known:
                raise InvalidInput(
                    f"The pattern gives {known[place].path.name} and {file.path.name} the same "
                    "place: tell them apart with the groups fov, t, c and z."
                )
            known[place] = file
        for place in itertools.product(*(range(len(axes[axis])) for axis in "tcz")):
            if place not in known:
                values = zip("tcz", place, strict=True)
                where = ", ".join(f"{a}={axes[a][i]}" for a, i in values if axes[a] != [""])
                raise InvalidInput(
                    f"FOV {name} has no file for {where}: add it, or convert this FOV by itself."
                )


def _positions(names: list[str]) -> list[tuple[str, str, str]]:
    """Name the FOVs in the plate: as they are called where that says row, column and FOV."""
    parts = [tuple(re.split(r"[_\-/]", name)) for name in names]
    if len(set(parts)) == len(parts) and all(_is_position(part) for part in parts):
        return [(row, column, fov) for row, column, fov in parts]
    return [("A", "1", str(number)) for number in range(len(names))]


def _is_position(parts: tuple[str, ...]) -> bool:
    return len(parts) == 3 and all(part.isalnum() for part in parts)


def _fov_shape(group: Iterable[_File], info: StackInfo) -> tuple[int, int, int, int, int]:
    """Shape (T, C, Z, Y, X) of the FOV that some files make."""
    t, c, z, y, x = info.shape
    starts = [(file.t, file.c, file.z) for file in group]
    ends = [max(start) for start in zip(*starts, strict=True)]
    return ends[0] + t, ends[1] + c, ends[2] + z, y, x
