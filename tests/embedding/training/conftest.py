"""What the tests of training share; they need PyTorch and Lightning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from napari_dynaclr.core.registry import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_dynaclr.core.params import Params

for package in ("torch", "monai", "timm", "lightning"):
    pytest.importorskip(package)


@pytest.fixture
def quick() -> Callable[..., Params]:
    """Return a function that makes settings of a training of seconds."""

    def make(**values: Any) -> Params:
        usual = {"channels": ("Phase", "Sensor"), "patch_size": 32, "epochs": 2, "batch_size": 16,
                 "border": "reflect", "tau": 1, "device": "cpu"}  # fmt: skip
        return parse("train", "dynaclr", usual | values)

    return make
