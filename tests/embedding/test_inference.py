"""A network over batches: sizes, memory, what is not finite, and the threads behind it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from napari_dynaclr import Job  # noqa: E402
from napari_dynaclr.core.device import Device  # noqa: E402
from napari_dynaclr.core.errors import Cancelled, InvalidInput  # noqa: E402
from napari_dynaclr.embedding.cell_patches import CellPatches  # noqa: E402
from napari_dynaclr.embedding.inference import Inference, embed_cells  # noqa: E402


class Sums(torch.nn.Module):
    """Embeds a patch as its sum; knows which batches it saw, and may fail on some."""

    def __init__(self, room=10_000, seconds=0.0, error=None):
        super().__init__()
        self.room, self.seconds, self.seen = room, seconds, []
        self.error = error or torch.OutOfMemoryError("no room")

    def forward(self, patches):
        self.seen.append(len(patches))
        if len(patches) > self.room:
            raise self.error
        time.sleep(self.seconds * len(patches))
        total = patches.sum(dim=(1, 2, 3, 4))[:, None]
        return total, -total


def pieces(sizes):
    """Patches of so many cells, a time point each, in pixels that tell cell and time."""
    for t, n in enumerate(sizes):
        rows = np.arange(n)
        pixels = np.ones((n, 1, 1, 1, 1), np.float32) * (1000 * t + rows).reshape(-1, 1, 1, 1, 1)
        yield CellPatches(t, rows, pixels, rows % 2 == 0, rows == 1)


def run(network, sizes, job=None, **options):
    infer = Inference(network, Device.CPU, **options)
    found = dict(embed_cells(pieces(sizes), infer, dict(enumerate(sizes)), job or Job()))
    for t, n in enumerate(sizes):
        frame = found[t]
        assert frame.rows.tolist() == list(range(n))
        np.testing.assert_array_equal(frame.vectors[:, 0], 1000 * t + np.arange(n))
        np.testing.assert_array_equal(frame.projections, -frame.vectors)
        np.testing.assert_array_equal(frame.at_border, np.arange(n) % 2 == 0)
        np.testing.assert_array_equal(frame.has_nan, np.arange(n) == 1)
    assert list(found) == list(range(len(sizes)))
    return infer


@pytest.mark.parametrize("sizes", [[1], [3, 1, 4, 1, 5], [50, 1, 1, 70], [2] * 40])
@pytest.mark.parametrize("batch_size", [None, 1, 3, 64])
def test_every_cell_comes_back_at_its_place(sizes, batch_size):
    network = Sums()
    run(network, sizes, batch_size=batch_size)
    assert sum(network.seen) == sum(sizes)
    if batch_size:
        assert max(network.seen) <= batch_size


def test_batches_grow_while_they_are_quick_and_shrink_when_they_are_slow():
    quick = Sums()
    assert run(quick, [100] * 8).batch_size > 32
    slow = Sums(seconds=0.3)
    assert run(slow, [4, 4]).batch_size < 4


@pytest.mark.parametrize("error", [None, RuntimeError("MPS backend out of memory")])
def test_a_batch_that_does_not_fit_is_halved_until_it_does(error):
    network = Sums(room=6, error=error)
    infer = run(network, [40, 40])
    assert infer.batch_size <= 6
    assert max(n for n in network.seen if n <= 6) > 1
    with pytest.raises(InvalidInput, match="A single patch does not fit into the memory of cpu"):
        run(Sums(room=0, error=error), [3])
    with pytest.raises(RuntimeError, match="shapes"):
        run(Sums(room=6, error=RuntimeError("shapes do not match")), [40])


def test_what_is_not_finite_is_one_line():
    class Broken(torch.nn.Module):
        def forward(self, patches):
            return patches.sum(dim=(1, 2, 3, 4))[:, None] * torch.nan

    with pytest.raises(InvalidInput, match="gives NaN or infinite values for some patches"):
        run(Broken(), [3])


def test_an_overflow_in_mixed_precision_is_computed_again_in_full():
    seen = []

    class Narrow(Sums):
        def forward(self, patches):
            seen.append(patches.dtype)
            total, negative = super().forward(patches)
            if patches.dtype != torch.float32:
                total = total * torch.inf
            return total, negative

    run(Narrow(), [3], precision="mixed")
    assert seen == [torch.bfloat16, torch.float32]


def test_threads_end_with_the_run_also_when_it_fails():
    before = set(threading.enumerate())
    job = Job()
    with pytest.raises(Cancelled) as caught:
        network = Sums(seconds=0.01)
        infer = Inference(network, Device.CPU)
        for t, _ in embed_cells(pieces([10] * 50), infer, dict.fromkeys(range(50), 10), job):
            if t == 3:
                job.cancel()
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not set(threading.enumerate()) - before
    assert caught.value is not None  # a kept error keeps no thread alive
