"""Files of weights: which kind they are and whether they are whole, without torch.

Nothing here unpickles anything.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from enum import Enum
from typing import TYPE_CHECKING, Any

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.job import Job

if TYPE_CHECKING:
    from pathlib import Path

METADATA = "napari_dynaclr"
"""Name in a safetensors file of what it says of itself, as JSON."""

_BLOCK = 1 << 22


class WeightKind(Enum):
    """Forms in which weights are kept."""

    ZIP = "PyTorch archive"
    PICKLE = "PyTorch file of before 1.6"
    SAFETENSORS = "safetensors"


def weight_kind(path: Path) -> WeightKind:
    """Tell the form of a file by how it begins; its name does not matter.

    Raises
    ------
    InvalidInput
        If it is no file of weights, or there is none.
    """
    if not path.is_file():
        raise InvalidInput(f"There is no weights file {path}: check the path.")
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"PK\x03\x04"):
        return WeightKind.ZIP
    if head[8:9] == b"{":
        return WeightKind.SAFETENSORS
    if head[:1] == b"\x80":
        return WeightKind.PICKLE
    raise InvalidInput(
        f"{path} is no checkpoint: choose a .ckpt or .pt of PyTorch, or a .safetensors."
    )


def check_whole(path: Path, *, contents: bool = False, job: Job | None = None) -> WeightKind:
    """Check that nothing is missing from a file of weights.

    Parameters
    ----------
    path
        The file.
    contents
        Also read it all and compare the checksums that an archive holds.
    job
        For cancelling.

    Returns
    -------
    WeightKind
        Its form.

    Raises
    ------
    InvalidInput
        If it is cut short, damaged, or no file of weights.
    """
    kind = weight_kind(path)
    whole = True
    if kind is WeightKind.ZIP:
        whole = _whole_archive(path, contents, job or Job())
    elif kind is WeightKind.SAFETENSORS:
        whole = _safetensors_size(path) == path.stat().st_size
    if not whole:
        raise InvalidInput(
            f"{path} is cut short or damaged: delete it and get it again from where it came."
        )
    return kind


def _whole_archive(path: Path, contents: bool, job: Job) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist() if contents else ():
                with archive.open(name) as member:
                    while member.read(_BLOCK):
                        job.check()
    except (zipfile.BadZipFile, EOFError):
        return False
    return True


def _safetensors_size(path: Path) -> int:
    """Size that a safetensors file should have by its header; -1 if that cannot be read."""
    try:
        length, header = _safetensors_header(path)
        ends = [int(e["data_offsets"][1]) for n, e in header.items() if n != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        return -1
    return 8 + length + max(ends, default=0)


def _safetensors_header(path: Path) -> tuple[int, dict[str, Any]]:
    """Length of the header of a safetensors file, and what it says.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError("cut short")
        return length, dict(json.loads(file.read(length)))


def about_weights(path: Path) -> dict[str, Any]:
    """Return what a safetensors file of this project says of itself, read off its header.

    Returns
    -------
    dict
        Shape of the network and what it takes; empty for other files, and for none.
    """
    try:
        metadata = _safetensors_header(path)[1]["__metadata__"]
        return dict(json.loads(metadata[METADATA]))
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def sha256(path: Path, job: Job | None = None) -> str:
    """Hash a file.

    Parameters
    ----------
    path
        The file.
    job
        For cancelling.

    Raises
    ------
    InvalidInput
        If there is no such file.
    """
    job = job or Job()
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                job.check()
                found.update(block)
    except (FileNotFoundError, IsADirectoryError):
        raise InvalidInput(f"There is no weights file {path}: check the path.") from None
    return found.hexdigest()
