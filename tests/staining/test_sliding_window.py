from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from napari_dynaclr.staining.resampling import Restack, resize  # noqa: E402
from napari_dynaclr.staining.sliding_window import Plan, slide  # noqa: E402


def stack(slices, channels=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((slices, channels, 4, 5), generator=generator)


def uneven(pixels):
    """A network of two channels that gives every place of its window something else."""
    depth = pixels.shape[2]
    place = torch.arange(1.0, depth + 1).view(1, 1, -1, 1, 1)
    mixed = pixels.sum(dim=2, keepdim=True) * place
    return torch.cat([pixels * place, mixed], dim=1)


def viscy_blend(images, depth, predict):
    """The running mean of VisCy's ``_blend_in``, whose factors it counts from Z alone."""
    count = len(images)
    whole = images.movedim(0, 1)[None]
    found = torch.zeros((1, 2, count, *images.shape[-2:]))
    for start in range(count - depth + 1):
        new = predict(whole[:, :, start : start + depth])
        here = slice(start, start + depth)
        if start:
            most = min(start + 1, depth)
            factors = torch.tensor([float(min(depth - j, most)) for j in range(depth)])
            factors = factors.view(1, 1, -1, 1, 1)
            new = found[:, :, here] * (factors - 1) / factors + new / factors
        found[:, :, here] = new
    return found[0].movedim(1, 0)


@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize(("slices", "depth"), [(5, 5), (6, 5), (7, 5), (30, 5), (9, 1), (40, 15)])
def test_at_stride_1_the_mean_is_what_viscy_blends(slices, depth, batch):
    images = stack(slices)
    found = list(slide(images, Plan(slices, depth, depth), uneven, batch))
    assert [z for z, _ in found] == list(range(slices))
    expected = viscy_blend(images, depth, uneven)
    torch.testing.assert_close(torch.stack([one for _, one in found]), expected)


@settings(deadline=None, max_examples=200)
@given(
    slices=st.integers(1, 40),
    depth=st.integers(1, 9),
    fewer=st.integers(0, 8),
    stride=st.integers(1, 12),
    batch=st.integers(1, 5),
)
def test_every_slice_is_predicted_once_and_in_order(slices, depth, fewer, stride, batch):
    out = max(depth - fewer, 1)
    plan = Plan(slices, depth, out, stride)
    before = (depth - out) // 2

    def middle(pixels):
        return pixels[:, :, before : before + out]

    images = stack(slices)
    found = list(slide(images, plan, middle, batch))
    assert [z for z, _ in found] == list(range(slices))
    # What is predicted of a slice is the slice, so the mean is, too, wherever windows lie.
    torch.testing.assert_close(torch.stack([one for _, one in found]), images)
    assert all(b - a <= stride for a, b in zip(plan.starts, plan.starts[1:], strict=False))
    assert len(plan.starts) <= -(-max(slices - out, 0) // min(stride, out)) + 1


def test_larger_strides_end_with_the_stack():
    assert Plan(10, 5, 5, 3).starts == [0, 3, 5]
    assert Plan(11, 5, 5, 3).starts == [0, 3, 6]
    assert Plan(11, 5, 5, 50).starts == [0, 5, 6]
    assert Plan(5, 5, 5, 2).starts == [0]


def test_a_thin_stack_is_continued_by_reflection():
    plan = Plan(3, 5, 5)
    assert plan.is_continued
    (start,) = plan.starts
    assert plan.seen(start) == [1, 0, 1, 2, 1]
    assert plan.predicted(start) == [(1, 0), (2, 1), (3, 2)]


def test_a_network_of_few_slices_out_sees_the_ends_reflected():
    plan = Plan(6, 5, 1)
    assert [plan.seen(start) for start in plan.starts][:2] == [[2, 1, 0, 1, 2], [1, 0, 1, 2, 3]]
    assert plan.seen(plan.starts[-1]) == [3, 4, 5, 4, 3]


@pytest.mark.parametrize("slices", [40, 160])
def test_slices_leave_when_no_window_needs_them(slices):
    """Count those that are held, whatever the length of the stack."""
    read = 0
    most = 0

    def images():
        nonlocal read
        for image in stack(slices):
            read += 1
            yield image

    for z, _ in slide(images(), Plan(slices, 5, 5), uneven):
        most = max(most, read - z)
    assert read == slices
    assert most == 5


@settings(deadline=None)
@given(before=st.integers(1, 30), after=st.integers(1, 30))
def test_restacked_slices_keep_level_and_slope(before, after):
    flat = torch.ones((before, 1, 2, 2))
    assert len(list(Restack(before, after)(flat))) == after
    torch.testing.assert_close(torch.stack(list(Restack(before, after)(flat)))[:, 0, 0, 0],
                               torch.ones(after))  # fmt: skip
    rising = torch.arange(float(before)).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    found = torch.stack(list(Restack(before, after)(rising)))[:, 0, 0, 0].numpy()
    assert (np.diff(found) >= -1e-5).all()
    assert 0 <= found.min() <= found.max() <= before - 1


def test_restacking_along_z_is_what_resizing_is_along_y():
    columns = torch.rand((1, 12, 4), generator=torch.Generator().manual_seed(0))
    for after in (5, 7, 12, 31):
        expected = resize(columns, (after, 4))[0, :, 0]
        slices = columns[0, :, 0].view(12, 1, 1, 1)
        found = torch.stack(list(Restack(12, after)(slices)))[:, 0, 0, 0]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
