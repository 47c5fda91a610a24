"""Conversion: what a microscope or another program wrote, as OME-Zarr."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_dynaclr.core.errors import InvalidInput, storage_errors
from napari_dynaclr.core.job import Job
from napari_dynaclr.core.registry import resolve

if TYPE_CHECKING:
    from napari_dynaclr.core.params import Params


def convert(
    source: str | Path, target: str | Path, params: Params | None = None, job: Job | None = None
) -> Path:
    """Write an OME-Zarr HCS plate from TIFF files.

    Parameters
    ----------
    source
        A TIFF stack, a folder of TIFF files, or a Micro-Manager acquisition.
    target
        The plate to make; appears when it is complete.
    params
        Settings of a conversion method; the default method if omitted.
    job
        Progress and cancelling.

    Returns
    -------
    pathlib.Path
        The plate.

    Raises
    ------
    InvalidInput
        If the source cannot be read as images, or the target exists.
    """
    from napari_dynaclr.core.atomic import remove, replace_folder

    job = job or Job()
    method, params = resolve("convert", params)
    source, target = Path(source).expanduser(), Path(target).expanduser()
    if not source.exists():
        raise InvalidInput(f"{source} does not exist: check the path.")
    if target.suffix != ".zarr":
        raise InvalidInput(f"{target}: the name of an OME-Zarr dataset ends in .zarr.")
    if target.exists():
        raise InvalidInput(f"{target} exists already: choose another name or delete it.")
    temporary = target.with_name(f".{target.stem}.partial.zarr")
    with storage_errors(f"write {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove(temporary)
        try:
            method.load().write(source, temporary, params, job)
            replace_folder(temporary, target)
        finally:
            remove(temporary)
    return target
