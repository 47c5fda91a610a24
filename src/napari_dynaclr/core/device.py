"""Choice of the device that networks run on."""

from __future__ import annotations

from contextlib import contextmanager
from enum import Enum
from importlib.util import find_spec
from typing import TYPE_CHECKING

from napari_dynaclr.core.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Iterator


class Device(Enum):
    """Where to compute; ``auto`` takes CUDA, else Apple's MPS, else the CPU."""

    AUTO = "auto"
    CUDA = "cuda"
    MPS = "mps"
    CPU = "cpu"


def available_devices() -> list[Device]:
    """Devices that torch can use on this machine, the fastest first.

    Raises
    ------
    MissingExtra
        If torch is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise MissingExtra("torch", "torch") from None
    found = [Device.CUDA] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        found.append(Device.MPS)
    return [*found, Device.CPU]


def choose_device(wanted: Device = Device.AUTO) -> Device:
    """Settle on a device that is there.

    Raises
    ------
    InvalidInput
        If the wanted device is not available.
    MissingExtra
        If torch is not installed.
    """
    found = available_devices()
    if wanted is Device.AUTO:
        return found[0]
    if wanted not in found:
        raise InvalidInput(
            f"Device '{wanted.value}' is not available on this machine: "
            f"choose {' or '.join(device.value for device in [Device.AUTO, *found])}."
        )
    return wanted


def require_networks(*more: str) -> None:
    """Check that what networks need is installed, before anything is downloaded for them.

    Parameters
    ----------
    *more
        Packages that are needed beside torch, timm and safetensors.

    Raises
    ------
    MissingExtra
        If one of them is not there.
    """
    for package in ("torch", "timm", "safetensors", *more):
        if find_spec(package) is None:
            raise MissingExtra(package, "torch")


_SHORT = ("out of memory", "alloc_failed", "allocate memory", "not enough memory", "buffer size")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was short, of the computer or of a device.

    torch has an exception of its own for CUDA's allocator only. Apple's MPS ("MPS backend out
    of memory", "Invalid buffer size"), CUDA's driver ("CUDA error: out of memory"), cuDNN and
    cuBLAS ("CUDNN_STATUS_ALLOC_FAILED") and the CPU's allocator ("can't allocate memory",
    "not enough memory") say so in a RuntimeError.

    Parameters
    ----------
    error
        What was raised.
    """
    if isinstance(error, MemoryError):
        return True
    if any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in _SHORT)


def empty_cache(kind: str) -> None:
    """Give memory back that torch keeps of a device, and nothing uses.

    Parameters
    ----------
    kind
        "cuda", "mps" or "cpu".
    """
    import torch

    if kind == "cuda":
        torch.cuda.empty_cache()
    elif kind == "mps":
        torch.mps.empty_cache()


@contextmanager
def device_memory(device: Device) -> Iterator[None]:
    """Release the device's cached memory when a job ends, however it ends."""
    try:
        yield
    finally:
        if device in (Device.CUDA, Device.MPS):
            import gc

            gc.collect()
            empty_cache(device.value)
