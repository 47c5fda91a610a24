"""What all trainings share needs PyTorch and Lightning."""

import pytest

for package in ("torch", "monai", "timm", "lightning"):
    pytest.importorskip(package)
