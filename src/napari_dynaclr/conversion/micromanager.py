"""Micro-Manager and Nikon acquisitions, which iohub converts."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import tifffile

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.multiscale import first_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from napari_dynaclr.core.job import Job


def is_acquisition(source: Path, tiffs: list[Path]) -> bool:
    """Whether iohub knows the layout better: ND2, NDTiff, or a Micro-Manager OME-TIFF.

    Parameters
    ----------
    source
        File or folder.
    tiffs
        The TIFF files directly in it.
    """
    if source.suffix.lower() == ".nd2" or (source / "NDTiff.index").exists():
        return True
    if not source.is_dir() or not tiffs:
        return False
    try:
        with tifffile.TiffFile(min(tiffs)) as tiff:
            return bool(tiff.is_micromanager and tiff.is_ome)
    except (tifffile.TiffFileError, IndexError):
        return False


def convert_acquisition(source: Path, target: Path, version: str, job: Job) -> None:
    """Write the plate at ``target`` with iohub; it puts every position into a well of its own.

    Raises
    ------
    InvalidInput
        If iohub cannot read the acquisition.
    """
    from iohub.convert import TIFFConverter

    job.report("convert with iohub")
    try:
        with _progress(job):
            TIFFConverter(source, target, version=version)()
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InvalidInput(
            f"{source} cannot be converted by iohub: {first_line(error)}."
        ) from error


@contextmanager
def _progress(job: Job) -> Iterator[None]:
    """Let iohub report to the job, which can cancel it, in place of bars of its own."""
    from iohub import convert

    def track(items: Iterable[Any], total: int = 0, **_: object) -> Iterator[Any]:
        return job.track(items, "convert with iohub", total=total)

    def product(*items: Iterable[Any], **_: object) -> Iterator[Any]:
        return itertools.product(*items)

    before = convert.tqdm, convert.product
    convert.tqdm, convert.product = track, product
    try:
        yield
    finally:
        convert.tqdm, convert.product = before
