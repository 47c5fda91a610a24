"""Take label images made elsewhere, as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from napari_dynaclr.core.dataset import open_dataset
from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.fov import Fov
from napari_dynaclr.core.multiscale import first_line
from napari_dynaclr.core.params import Params
from napari_dynaclr.core.runs import source_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_dynaclr.core.dataset import Dataset

_TIFF = (".tif", ".tiff")


class ImportParams(Params):
    """Where the label images are."""

    path: str = Field(
        "",
        title="Label images",
        description="An OME-Zarr plate or image with the same FOVs, a TIFF stack (T, Z, Y, X), "
        "or a folder of TIFF files named row_column_fov.tif; "
        "if empty, the dataset's own OME-Zarr labels.",
        json_schema_extra={"path": "any", "filter": "TIFF stack (*.tif *.tiff)"},
    )
    name: str = Field(
        "",
        title="Name",
        description="Channel of the label plate, or name of the OME-Zarr label; "
        "the first if empty.",
    )


def input_key(dataset: Dataset, fov: Fov, params: ImportParams) -> str:
    """Identify the labels by place and date, so that edited labels are taken anew."""
    place = Path(params.path).expanduser().resolve() if params.path else fov.path
    if not params.path:
        place = fov.path / "labels"
    own = [place / fov.name, *(place / f"{fov.file_name}{suffix}" for suffix in _TIFF)]
    inside = next((path for path in own if path.exists()), place)
    files = [place, inside, *inside.rglob("*")]
    newest = max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)
    return "|".join([source_key(fov), str(place), str(len(files)), str(newest)])


def channels_read(_fov: Fov, _params: ImportParams) -> list[str]:
    """Return the channels that are segmented: none."""
    return []


def segment_fov(fov: Fov, start: int, params: ImportParams) -> Iterator[NDArray[np.uint32]]:
    """Yield the label image (Z, Y, X) of each time point from ``start`` on."""
    place = Path(params.path).expanduser() if params.path else None
    if place is not None and not place.exists():
        raise InvalidInput(f"{place} does not exist: check the path of the label images.")
    if place is not None and (place.suffix.lower() in _TIFF or _tiffs(place)):
        frames = _from_tiff(fov, place, start)
    else:
        frames = _from_zarr(fov, place, params.name, start)
    for t, labels in enumerate(frames, start=start):
        yield _as_labels(labels, fov, t)


def _from_zarr(fov: Fov, place: Path | None, name: str, start: int) -> Iterator[NDArray[Any]]:
    source = _own_labels(fov, name) if place is None else _matching_fov(fov, place)
    if source.shape != fov.shape:
        raise _shape_error(fov, source.shape)
    channel = name if place is not None and name else source.channels[0]
    for _, frame in source.frames([channel], range(start, fov.shape[0]), allow_empty=True):
        yield frame[0]


def _own_labels(fov: Fov, name: str) -> Fov:
    folder = fov.path / "labels"
    names = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    if not names:
        raise InvalidInput(
            f"FOV {fov.name} has no OME-Zarr labels: give path= of the label images."
        )
    if name and name not in names:
        raise InvalidInput(f"FOV {fov.name} has no label '{name}': choose {' or '.join(names)}.")
    return Fov(folder / (name or names[0]), fov.name)


def _matching_fov(fov: Fov, place: Path) -> Fov:
    labels = open_dataset(place)
    if fov.name not in labels.fov_names and len(labels.fov_names) == 1 and fov.is_only:
        return labels.fovs[0]
    return labels[fov.name]


def _tiffs(place: Path) -> list[Path]:
    if not place.is_dir() or place.suffix == ".zarr":
        return []
    return sorted(p for p in place.iterdir() if p.suffix.lower() in _TIFF)


def _from_tiff(fov: Fov, place: Path, start: int) -> Iterator[NDArray[Any]]:
    import tifffile

    file = place
    if place.is_dir():
        found = [p for p in _tiffs(place) if p.stem == fov.file_name]
        if not found:
            raise InvalidInput(f"{place} holds no {fov.file_name}.tif for FOV {fov.name}.")
        file = found[0]
    elif not fov.is_only:
        raise InvalidInput(
            f"{place} is one file, but the dataset has several FOVs: give a folder of files named "
            "row_column_fov.tif, or open one position of the plate."
        )
    try:
        with tifffile.TiffFile(file) as tiff:
            shape = [n for n in tiff.series[0].shape if n > 1]
            if shape != [n for n in fov.shape if n > 1]:
                raise _shape_error(fov, tiff.series[0].shape)
            # Some writers put the whole movie into one page: it cannot be read in parts.
            one_page = len(tiff.series[0].pages) == 1
            whole = tiff.series[0].asarray().reshape(fov.shape) if one_page else None
            pages = fov.shape[1]
            for t in range(start, fov.shape[0]):
                if whole is not None:
                    yield whole[t]
                else:
                    keys = range(t * pages, (t + 1) * pages)
                    yield tiff.asarray(key=list(keys)).reshape(fov.shape[1:])
    except (tifffile.TiffFileError, ValueError, IndexError) as error:  # cut short: the latter two
        raise InvalidInput(f"{file} is not a readable TIFF: {first_line(error)}.") from None


def _shape_error(fov: Fov, shape: tuple[int, ...]) -> InvalidInput:
    return InvalidInput(
        f"The label image of FOV {fov.name} has shape {tuple(shape)}, the FOV has {fov.shape} "
        "(T, Z, Y, X): give labels made from this FOV."
    )


def _as_labels(labels: NDArray[Any], fov: Fov, t: int) -> NDArray[np.uint32]:
    # Before the conversion, which would wrap numbers that do not fit; NaN compares as false.
    valid = (labels >= 0) & (labels <= np.iinfo(np.uint32).max)
    if labels.dtype.kind == "f":
        valid &= labels == np.floor(labels)
    if not valid.all():
        raise InvalidInput(
            f"FOV {fov.name}, time point {t}: pixels that are negative, beyond 32 bits or no "
            "whole numbers: this is no label image."
        )
    return labels.astype(np.uint32)
