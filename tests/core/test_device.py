from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from napari_dynaclr.core.device import (
    Device,
    available_devices,
    choose_device,
    device_memory,
    is_out_of_memory,
)
from napari_dynaclr.core.errors import InvalidInput, MissingExtra


@pytest.fixture
def torch(monkeypatch):
    """A torch of straw; returns a function that says what the machine has."""
    released = []

    def machine(*, cuda=False, mps=False):
        fake = SimpleNamespace(
            cuda=SimpleNamespace(
                is_available=lambda: cuda, empty_cache=lambda: released.append("cuda")
            ),
            mps=SimpleNamespace(empty_cache=lambda: released.append("mps")),
            backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: mps)),
        )
        monkeypatch.setitem(sys.modules, "torch", fake)
        return released

    return machine


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for function in (available_devices, choose_device):
        with pytest.raises(MissingExtra, match=r"napari-dynaclr\[torch\]"):
            function()


@pytest.mark.parametrize(
    ("has", "found"),
    [
        ({}, [Device.CPU]),
        ({"mps": True}, [Device.MPS, Device.CPU]),
        ({"cuda": True}, [Device.CUDA, Device.CPU]),
        ({"cuda": True, "mps": True}, [Device.CUDA, Device.MPS, Device.CPU]),
    ],
)
def test_devices_stand_the_fastest_first_and_auto_takes_it(torch, has, found):
    torch(**has)
    assert available_devices() == found
    assert choose_device() is found[0]
    for device in found:
        assert choose_device(device) is device


@pytest.mark.parametrize("wanted", [Device.CUDA, Device.MPS])
def test_a_device_that_is_not_there_is_refused_with_the_choice(torch, wanted):
    torch()
    with pytest.raises(InvalidInput) as caught:
        choose_device(wanted)
    assert str(caught.value) == (
        f"Device '{wanted.value}' is not available on this machine: choose auto or cpu."
    )


@pytest.mark.parametrize(
    ("device", "expected"),
    [(Device.CUDA, ["cuda"]), (Device.MPS, ["mps"]), (Device.CPU, [])],
)
def test_memory_is_released_when_the_job_ends(torch, device, expected):
    released = torch(cuda=True, mps=True)
    with device_memory(device):
        assert released == []
    assert released == expected


def test_memory_is_released_when_the_job_fails(torch):
    released = torch(cuda=True)
    with pytest.raises(KeyError), device_memory(Device.CUDA):
        raise KeyError("x")
    assert released == ["cuda"]


def test_the_cpu_needs_no_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with device_memory(Device.CPU):
        pass


class _Fake(RuntimeError):
    """Stands for torch's own."""


_Fake.__name__ = "OutOfMemoryError"


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"), True),
        (RuntimeError("Invalid buffer size: 20.00 GB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"), True),
        (_Fake(), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_all_ways_to_say_that_memory_was_short(error, short):
    assert is_out_of_memory(error) is short
