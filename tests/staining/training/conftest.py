"""What the tests of training stainers share; they need PyTorch and Lightning."""

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

    def make(method: str = "staining", **values: Any) -> Params:
        usual = {"patch_size": 64, "epochs": 2, "patches": 8, "batch_size": 4, "device": "cpu"}
        return parse("train", method, usual | values)

    return make
