from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from napari_dynaclr.staining.training.losses import (  # noqa: E402
    masked_error,
    mixed_loss,
    ms_ssim,
)


def pair(depth, side):
    """Two smooth stacks, (2, 2, depth, side, side)."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    z = torch.arange(depth)[:, None, None]
    target = torch.stack([torch.sin(x / 9 + z) * torch.cos(y / 7), torch.cos((x + y) / 11 + z)])
    target = target[None] * 2 + 1
    target = torch.cat([target, target.flip(-1) * 0.5])
    prediction = target * 0.8 + 0.3 * torch.sin(x / 3.0)
    return prediction.float(), target.float()


# From viscy_utils.losses.MixedLoss (VisCy), its means in float32 rather than bfloat16.
@pytest.mark.parametrize(
    ("depth", "side", "similarity", "loss"),
    [(1, 256, 0.9216271639, 0.1696359962), (5, 192, 0.9385323524, 0.1624795496)],
)
def test_the_loss_is_that_of_viscy(depth, side, similarity, loss):
    prediction, target = pair(depth, side)
    assert float(ms_ssim(prediction, target)) == pytest.approx(similarity, abs=3e-5)
    assert float(mixed_loss(prediction, target)) == pytest.approx(loss, abs=3e-5)


def test_what_is_right_has_no_loss_and_what_is_wrong_has_more():
    prediction, target = pair(1, 128)
    assert float(mixed_loss(target, target)) == pytest.approx(0, abs=1e-6)
    near = mixed_loss(target + 0.1 * (prediction - target), target)
    assert 0 < near < mixed_loss(prediction, target) < mixed_loss(-target, target)


def test_either_part_can_be_had_alone():
    prediction, target = pair(1, 64)
    absolute = (prediction - target).abs().mean()
    torch.testing.assert_close(mixed_loss(prediction, target, 1.0), absolute)
    alone = 1 - ms_ssim(prediction, target)
    torch.testing.assert_close(mixed_loss(prediction, target, 0.0), alone)


@pytest.mark.parametrize("side", [4, 16, 32, 64, 96, 128, 176])
def test_patches_of_any_size_have_a_loss_and_a_gradient(side):
    prediction, target = pair(1, side)
    prediction.requires_grad_(True)
    loss = mixed_loss(prediction, target)
    loss.backward()
    assert 0 < float(loss.detach()) < 2
    assert torch.isfinite(prediction.grad).all()
    assert prediction.grad.abs().sum() > 0


def test_empty_and_opposite_pictures_have_a_loss_and_a_gradient():
    for target in (torch.zeros(2, 1, 1, 64, 64), -pair(1, 64)[1]):
        prediction = torch.zeros_like(target, requires_grad=True)
        loss = mixed_loss(prediction + 0.1, target)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(prediction.grad).all()


def test_only_what_was_hidden_counts():
    target = torch.zeros(2, 1, 3, 8, 8)
    prediction = torch.ones_like(target)
    mask = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    mask[:, :, :4] = True
    prediction[:, :, :, 4:] = 100.0
    prediction[:, :, :, :2] = 3.0
    assert float(masked_error(prediction, target, mask)) == pytest.approx(5.0)


def test_the_loss_is_as_exact_in_mixed_precision():
    prediction, target = pair(1, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = mixed_loss(prediction + 50, target + 50)
    torch.testing.assert_close(mixed, mixed_loss(prediction + 50, target + 50))
