from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from napari_dynaclr.embedding.tap.training.augment import TapAugmentation, TapRanges

SIDE = 32
RANGES = TapRanges()
NOTHING = replace(
    RANGES, **{one.name: 0.0 for one in fields(TapRanges) if one.name not in ("chance", "bend")}
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pairs(count=8, equal=False):
    made = torch.rand(count, 2, 1, RANGES.wide(SIDE), RANGES.wide(SIDE), generator=generator(9))
    smooth = torch.nn.functional.avg_pool2d(made.flatten(0, 1), 5, 1, 2).reshape(made.shape)
    return torch.stack([smooth[:, 0]] * 2, 1) if equal else smooth


def same(one, two):
    return [torch.allclose(a, b, atol=1e-5) for a, b in zip(one, two, strict=True)]


def test_equal_draws_give_equal_pairs_and_others_others():
    augment = TapAugmentation(SIDE, RANGES)
    one, two = (augment(pairs(), generator(1)) for _ in range(2))
    assert one.shape == (8, 2, 1, SIDE, SIDE)
    assert torch.equal(one, two)
    assert not torch.equal(one, augment(pairs(), generator(2)))


def test_without_augmentation_the_middle_is_cut_out():
    wide = pairs()
    start = (wide.shape[-1] - SIDE) // 2
    expected = wide[..., start : start + SIDE, start : start + SIDE]
    assert torch.equal(TapAugmentation(SIDE, None)(wide, generator()), expected)


def test_nothing_is_changed_where_all_ranges_are_0_but_by_quarter_turns_and_flips():
    wide = pairs()
    still = TapAugmentation(SIDE, replace(NOTHING, chance=0.0))(wide, generator())
    assert torch.allclose(still, TapAugmentation(SIDE, None)(wide, generator()), atol=1e-5)


@pytest.mark.parametrize("name", ["zoom", "elastic", "contrast", "brightness"])
def test_both_frames_are_changed_alike(name):
    ranges = replace(NOTHING, chance=1.0, **{name: getattr(RANGES, name)})
    found = TapAugmentation(SIDE, ranges)(pairs(equal=True), generator(3))
    assert all(same(found[:, 0], found[:, 1]))
    still = TapAugmentation(SIDE, replace(NOTHING, chance=1.0))(pairs(equal=True), generator(3))
    assert not any(same(found[:, 0], still[:, 0]))


@pytest.mark.parametrize(
    "name", ["zoom_apart", "shift", "contrast_apart", "brightness_apart", "noise", "noise_apart"]
)
def test_each_frame_is_changed_by_itself(name):
    ranges = replace(NOTHING, chance=1.0, **{name: getattr(RANGES, name)})
    found = TapAugmentation(SIDE, ranges)(pairs(equal=True), generator(3))
    assert not any(same(found[:, 0], found[:, 1]))


def test_half_of_the_pairs_are_left_by_each_change():
    ranges = replace(NOTHING, chance=0.5, brightness=RANGES.brightness)
    wide = pairs(equal=True)[:1].expand(400, -1, -1, -1, -1)
    # Rotations and flips leave the mean of a constant image, of which a step of brightness shows.
    found = TapAugmentation(SIDE, ranges)(torch.ones_like(wide), generator(4))
    left = (found - 1).abs().flatten(1).amax(1) < 1e-5
    assert 0.4 < left.float().mean() < 0.6


def test_a_shift_is_of_so_many_pixels_and_a_patch_never_runs_over_the_edge():
    """A ramp says where each pixel comes from."""
    wide = RANGES.wide(SIDE)
    ramp = torch.arange(wide, dtype=torch.float32) - (wide - 1) / 2
    image = torch.stack([ramp[:, None].expand(wide, wide), ramp[None].expand(wide, wide)])
    given = image[None, None].expand(200, 2, 2, wide, wide)
    geometry = replace(NOTHING, chance=1.0, zoom=RANGES.zoom, zoom_apart=RANGES.zoom_apart,
                       shift=RANGES.shift, elastic=RANGES.elastic)  # fmt: skip
    found = TapAugmentation(SIDE, geometry)(given, generator(5))
    assert found.abs().max() < (wide - 1) / 2  # nothing was reflected, which would be less steep
    moved = TapAugmentation(SIDE, replace(NOTHING, chance=1.0, shift=4.0))(given, generator(6))
    middle = moved[..., SIDE // 2 - 1 : SIDE // 2 + 1, SIDE // 2 - 1 : SIDE // 2 + 1].mean((-1, -2))
    assert 3.5 < middle.abs().max() <= 4.0 + 1e-3
    assert not torch.allclose(middle[:, 0], middle[:, 1])


def test_the_order_of_time_is_drawn_alike_for_both_frames():
    """No change may tell which frame is the later one: their means over many draws are the same."""
    augment = TapAugmentation(SIDE, RANGES)
    found = augment(pairs(equal=True)[:1].expand(2000, -1, -1, -1, -1), generator(7))
    level = found.mean((2, 3, 4))
    spread = found.flatten(3).std(-1).mean(2)
    for one in (level, spread):
        difference = one[:, 0] - one[:, 1]
        assert abs(difference.mean()) < 4 * difference.std() / 2000**0.5
