from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from napari_dynaclr.learning.augment import (  # noqa: E402
    FLUORESCENCE,
    LABEL_FREE,
    Augmentation,
    Ranges,
    _sample,
    deep_side,
    wide_side,
)

NOTHING = Ranges(
    zoom=0, rotation=0, shear=(0, 0), affine=0, contrast=0, intensity=0, blur=(0, 0), noisy=0
)
QUIET = (replace(LABEL_FREE, noise=0.0), replace(FLUORESCENCE, noise=0.0))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def patches(count=3, depth=2, side=24, seed=0):
    return torch.randn(count, 2, depth, side, side, generator=generator(seed))


def test_without_any_augmentation_the_middle_comes_out():
    given = patches(side=24)
    found = Augmentation(QUIET, 16, NOTHING)(given, generator())
    torch.testing.assert_close(found, given[..., 4:20, 4:20], atol=2e-5, rtol=0)


@pytest.mark.parametrize("side", [16, 31, 64])
@pytest.mark.parametrize("ranges", [Ranges(), Ranges(rotation=0.2, zoom=0.1)])
def test_a_wide_crop_leaves_no_padding(side, ranges):
    only = replace(ranges, contrast=0, intensity=0, noisy=0, affine=1.0)
    given = torch.ones(200, 1, 1, wide_side(side, ranges), wide_side(side, ranges))
    found = Augmentation(QUIET[:1], side, only)(given, generator())
    assert found.shape == (200, 1, 1, side, side)
    torch.testing.assert_close(found, torch.ones_like(found), atol=1e-4, rtol=0)
    narrow = torch.ones(200, 1, 1, side, side)
    assert (Augmentation(QUIET[:1], side, only)(narrow, generator()) < 0.5).any()


def test_all_channels_and_planes_of_a_patch_are_moved_alike_and_patches_differently():
    one = torch.randn(1, 1, 1, 40, 40, generator=generator())
    given = one.expand(6, 2, 3, 40, 40).clone()
    only = replace(NOTHING, zoom=0.3, rotation=math.pi, shear=(0, 0.01), affine=1.0)
    found = Augmentation(QUIET, 20, only)(given, generator())
    torch.testing.assert_close(found, found[:, :1, :1].expand_as(found))
    for i in range(5):
        assert (found[i] - found[i + 1]).abs().max() > 0.1


def test_a_quarter_turn_is_a_quarter_turn():
    given = patches(1, 1, 21)
    turned = _with_angle(Augmentation(QUIET, 21, NOTHING), given, math.pi / 2)
    either = torch.rot90(given, 1, (3, 4)), torch.rot90(given, -1, (3, 4))
    assert min((turned - one).abs().max() for one in either) < 1e-3


def _with_angle(augmentation, given, angle):
    class Fixed:
        def uniform(self, low, high):
            return torch.full((len(given),), angle if high == augmentation.ranges.rotation else 0.0)

        def coin(self, chance):
            return torch.ones(len(given))

    augmentation.ranges = replace(augmentation.ranges, rotation=angle)
    return augmentation._move(given, Fixed())


@pytest.mark.parametrize(("shape", "side"), [((40, 40), 24), ((41, 33), 16), ((24, 24), 31)])
def test_patches_are_moved_as_monai_moves_them(shape, side):
    from monai.networks.layers import AffineTransform

    given = torch.randn(5, 3, *shape, generator=generator())
    move = torch.eye(2) + 0.6 * torch.randn(5, 2, 2, generator=generator(1))
    theta = torch.eye(3).repeat(5, 1, 1)
    theta[:, :2, :2] = move
    middle = (torch.tensor(shape) - 1) / 2
    theta[:, :2, 2] = middle - move @ torch.full((2,), (side - 1) / 2)
    known = AffineTransform((side, side), zero_centered=False, align_corners=True)
    torch.testing.assert_close(_sample(given, move, side), known(given, theta), atol=1e-4, rtol=0)


def test_nothing_is_computed_in_double_precision():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watcher(TorchDispatchMode):
        """Apple's GPUs (MPS) have no float64."""

        seen: ClassVar[set[torch.dtype]] = set()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            found = func(*args, **(kwargs or {}))
            for one in found if isinstance(found, tuple | list) else [found]:
                if isinstance(one, torch.Tensor):
                    self.seen.add(one.dtype)
            return found

    ranges = Ranges(flip=0.5, zoom_z=0.2)
    with Watcher() as watcher:
        augmentation = Augmentation((LABEL_FREE, FLUORESCENCE), 16, ranges, depth=2)
        augmentation(patches(depth=3, side=wide_side(16, ranges)), generator())
    assert torch.float32 in watcher.seen
    assert torch.float64 not in watcher.seen


def test_contrast_keeps_the_lowest_and_the_highest():
    given = patches(50, 1, 8)
    found = Augmentation(QUIET, 8, replace(NOTHING, contrast=1.0))(given, generator())
    for end in ("amin", "amax"):
        torch.testing.assert_close(
            getattr(found, end)((2, 3, 4)), getattr(given, end)((2, 3, 4)), atol=1e-4, rtol=0
        )
    assert (found - given).abs().max() > 0.02


def test_intensity_and_noise_are_as_likely_and_as_strong_as_the_table_says():
    given = torch.ones(4000, 2, 1, 4, 4)
    scaled = Augmentation(QUIET, 4, replace(NOTHING, intensity=0.5))(given, generator())[
        ..., 0, 0, 0
    ]
    for channel, chance in ((0, 0.5), (1, 0.7)):
        changed = (scaled[:, channel] - 1).abs() > 1e-4
        assert abs(changed.float().mean() - chance) < 0.03
        assert 0.5 - 1e-5 <= scaled[:, channel].min() <= 0.52
        assert 1.48 <= scaled[:, channel].max() <= 1.5 + 1e-5
    noisy = Augmentation((LABEL_FREE, FLUORESCENCE), 4, replace(NOTHING, noisy=0.5))
    spread = noisy(given, generator()).flatten(2).std(dim=2)
    for channel, most in ((0, 0.2), (1, 0.5)):
        assert abs((spread[:, channel] > 1e-4).float().mean() - 0.5) < 0.03
        assert 0.8 * most < spread[:, channel].max() < 2 * most


def test_blur_is_a_gaussian_of_the_width_that_was_drawn():
    given = torch.zeros(2, 2, 1, 15, 15)
    given[..., 7, 7] = 1.0
    found = Augmentation(QUIET, 15, replace(NOTHING, blur=(0.7, 0.7)))(given, generator())
    torch.testing.assert_close(found.sum((3, 4)), torch.ones(2, 2, 1), atol=1e-3, rtol=0)
    place = torch.arange(15) - 7.0
    variance = (found.sum(3) * place**2).sum(3)
    assert (variance.sqrt() - 0.7).abs().max() < 0.1


def test_the_same_seed_gives_the_same_patches():
    augmentation = Augmentation((LABEL_FREE, FLUORESCENCE), 16)
    given = patches(side=wide_side(16))
    torch.testing.assert_close(augmentation(given, generator(3)), augmentation(given, generator(3)))
    assert not torch.equal(augmentation(given, generator(3)), augmentation(given, generator(4)))


def test_channels_behind_those_that_change_are_only_moved():
    given = torch.rand(4, 1, 1, wide_side(16), wide_side(16), generator=generator())
    both = given.expand(-1, 2, -1, -1, -1).clone()
    strong = Ranges(contrast=1.0, noisy=1.0, flip=0.5)
    found = Augmentation((LABEL_FREE,), 16, strong)(both, generator(1))
    assert (found[:, 0] - found[:, 1]).abs().amax((1, 2, 3)).min() > 0.01
    still = replace(NOTHING, zoom=0.3, rotation=math.pi, shear=(0, 0.01), affine=0.8, flip=0.5)
    moved = Augmentation((replace(LABEL_FREE, intensity=0, noise=0.0),), 16, still)
    found = moved(both, generator(1))
    torch.testing.assert_close(found[:, 0], found[:, 1])


def test_reflections_come_as_often_as_they_should_and_leave_no_padding():
    given = torch.zeros(400, 1, 1, 9, 9)
    given[..., 1, 2] = 1.0
    found = Augmentation(QUIET[:1], 9, replace(NOTHING, flip=0.5))(given, generator())
    for place in ((1, 2), (1, 6), (7, 2), (7, 6)):
        assert 0.15 < (found[:, 0, 0, place[0], place[1]] > 0.99).float().mean() < 0.35


def test_a_stack_is_scaled_along_z_without_padding():
    ranges = replace(NOTHING, zoom_z=0.2)
    deep = deep_side(5, ranges)
    assert deep == 6
    place = torch.arange(deep, dtype=torch.float32) - (deep - 1) / 2
    given = place[None, None, :, None, None].expand(300, 1, deep, 8, 8)
    found = Augmentation(QUIET[:1], 8, ranges, depth=5)(given, generator())[:, 0, :, 0, 0]
    assert found.shape == (300, 5)
    torch.testing.assert_close(found, -found.flip(1), atol=1e-5, rtol=0)  # about the middle
    step = found.diff(dim=1)
    torch.testing.assert_close(step, step[:, :1].expand_as(step), atol=1e-5, rtol=0)
    assert step.min() < 0.85
    assert 1.15 < step.max() <= 1.2 + 1e-5
    # Where there are no more slices, it is not made smaller.
    few = Augmentation(QUIET[:1], 8, ranges, depth=6)(given, generator())[:, 0, :, 0, 0]
    assert few.diff(dim=1).max() <= 1 + 1e-5


def test_the_middle_is_what_comes_out_unchanged():
    given = patches(side=24, depth=6).half()
    found = Augmentation(QUIET, 16, NOTHING, depth=4).middle(given)
    torch.testing.assert_close(found, given[:, :, 1:5, 4:20, 4:20].float())
