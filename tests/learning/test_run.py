from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("lightning", reason="the extra 'train' is not installed")

from napari_dynaclr import Job  # noqa: E402
from napari_dynaclr.core.errors import InvalidInput  # noqa: E402
from napari_dynaclr.learning.run import _train  # noqa: E402


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
    ],
)
def test_a_training_that_does_not_fit_into_memory_says_what_to_do(tmp_path, error):
    def fit(_learner, ckpt_path):
        raise error

    place = SimpleNamespace(last=tmp_path / "last.ckpt")
    params = SimpleNamespace(batch_size=16)
    with pytest.raises(InvalidInput, match=r"not enough memory: choose a smaller batch_size"):
        _train(SimpleNamespace(fit=fit), None, place, params, Job())


def test_other_errors_of_a_training_are_left_as_they_are(tmp_path):
    def fit(_learner, ckpt_path):
        raise RuntimeError("shapes do not match")

    place = SimpleNamespace(last=tmp_path / "last.ckpt")
    with pytest.raises(RuntimeError, match="shapes do not match"):
        _train(SimpleNamespace(fit=fit), None, place, SimpleNamespace(batch_size=16), Job())
