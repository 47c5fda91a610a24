from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from napari_dynaclr.embedding.profiler.training.views import (
    Crops,
    Elastic,
    Jitter,
    Looks,
    MicroscopeNoise,
    Views,
    crop_places,
    displacements,
    jitter,
    microscope_noise,
    sample,
)

STILL = Looks(Crops(locals_=3), Elastic(chance=0), Jitter(chance=0), MicroscopeNoise(chance=0))


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


# brightness and contrast (3.2.2)


def test_contrast_is_about_the_mean_of_the_channel_before_its_brightness(generator):
    images = torch.rand(200, 3, 8, 8, generator=generator)
    found = jitter(images, Jitter(0.4, 0.3, chance=1), generator)
    mean = images.mean(dim=(2, 3))
    # I' = (beta I - mean) gamma + mean is a line in I: its slope is beta gamma, and at I = 0 it
    # is (1 - gamma) mean.
    x = images.flatten(2) - mean[..., None]
    y = found.flatten(2)
    slope = (x * y).sum(-1) / (x * x).sum(-1)
    gamma = 1 - (y.mean(-1) - slope * mean) / mean
    beta = slope / gamma
    assert 0.6 - 1e-3 < float(beta.min()) < 0.62
    assert 1.38 < float(beta.max()) < 1.4 + 1e-3
    assert 0.7 - 1e-3 < float(gamma.min()) < 0.72
    assert 1.28 < float(gamma.max()) < 1.3 + 1e-3
    again = (beta[..., None, None] * images - mean[..., None, None]) * gamma[..., None, None]
    torch.testing.assert_close(found, again + mean[..., None, None], atol=1e-4, rtol=0)
    # Every channel and image has factors of its own.
    for one in (beta, gamma):
        together = np.corrcoef(one.T.numpy())
        assert np.abs(together[np.triu_indices(3, 1)]).max() < 0.25
    assert abs(np.corrcoef(beta.flatten(), gamma.flatten())[0, 1]) < 0.15


def test_factors_are_never_negative_and_some_images_stay(generator):
    images = torch.rand(400, 1, 4, 4, generator=generator) + 0.1
    found = jitter(images, Jitter(2.0, 0.0, chance=1), generator)
    assert float(found.min()) >= 0
    same = (jitter(images, Jitter(chance=0.8), generator) == images).flatten(1).all(dim=1)
    assert float(same.float().mean()) == pytest.approx(0.2, abs=0.06)


# noise (6.1)


@pytest.mark.parametrize("level", [0.0, 0.2, 0.6])
def test_noise_has_the_mean_and_variance_of_the_papers_formula(level, generator):
    images = torch.full((40, 1, 64, 64), level)
    how = MicroscopeNoise(dark=0.3, chance=1)  # so dark that little is cut off at 0
    found = microscope_noise(images, how, generator)
    inner = found[found < 1]
    if level < 0.5:
        assert float(found.mean()) == pytest.approx(level + 0.3, abs=0.01)
        # Poisson(I / s) s has variance s I.
        assert float(found.var()) == pytest.approx(0.1 * level + 0.01**2, rel=0.1)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    # But for the read noise, values are multiples of sigma_shot above the dark current.
    steps = (inner - 0.3) / 0.1
    assert float((steps - steps.round()).abs().mean()) < 0.12


def test_the_papers_noise_is_cut_off_and_some_images_stay(generator):
    how = MicroscopeNoise()
    assert (how.shot, how.dark, how.read) == (0.1, 0.05, 0.01)
    images = torch.full((300, 2, 16, 16), 0.9)
    found = microscope_noise(images, how, generator)
    same = (found == images).flatten(1).all(dim=1)
    assert float(same.float().mean()) == pytest.approx(0.5, abs=0.1)
    assert float((found[~same] == 1).float().mean()) > 0.2


# elastic deformation (6.2)


@pytest.mark.parametrize(("alpha", "sigma", "side"), [(60.0, 3.0, 64), (1200.0, 40.0, 128)])
def test_displacements_are_smoothed_noise_times_alpha(alpha, sigma, side, generator):
    found = displacements(400, side, alpha, sigma, generator)
    assert found.shape == (400, side, side, 2)
    # White noise smoothed by a Gaussian of two dimensions has variance 1 / (4 pi sigma^2).
    expected = alpha / (2 * math.sqrt(math.pi) * sigma)
    assert float(found.std()) == pytest.approx(expected, rel=0.05)
    assert float(found.mean()) == pytest.approx(0, abs=0.2 * expected)
    # Its autocorrelation at a distance d is exp(-d^2 / (4 sigma^2)).
    d = round(sigma)
    near = np.corrcoef(found[:, :-d].flatten(), found[:, d:].flatten())[0, 1]
    assert near == pytest.approx(math.exp(-0.25), abs=0.04)
    along = np.corrcoef(found[..., 0].flatten(), found[..., 1].flatten())[0, 1]
    assert abs(along) < 0.1


def test_small_views_are_deformed_in_proportion():
    how = Elastic()
    assert (how.alpha, how.sigma, how.chance) == (1200, 40, 0.5)
    assert how.at(518) == (1200, 40)
    alpha, sigma = how.at(259)
    assert sigma == 20
    assert alpha / sigma == pytest.approx(1200 / 40 / 2)


def test_only_some_images_are_deformed_and_turning_takes_the_deformation_along(generator):
    images = torch.rand(60, 1, 64, 64, generator=generator)
    moved = Views(32, 16, None, Looks(Crops(1, 1), Elastic(chance=1), STILL.jitter, STILL.noise))
    still = Views(32, 16, None, Looks(Crops(1, 1), STILL.elastic, STILL.jitter, STILL.noise))
    one = moved.whole(images, torch.Generator().manual_seed(3))
    other = still.whole(images, torch.Generator().manual_seed(3))
    assert (one - other).abs().flatten(1).mean(dim=1).min() > 0.01


# parts of an image


def test_crops_lie_inside_and_have_the_areas_asked_for(generator):
    places = crop_places(500, 16, (0.25, 1.0), 64, (64, 64), generator)
    corners = places[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    width = (corners[:, 0] - corners[:, 1]).norm(dim=-1) * 16 / 15
    height = (corners[:, 0] - corners[:, 2]).norm(dim=-1) * 16 / 15
    torch.testing.assert_close(width, height, rtol=1e-3, atol=1e-3)  # squares
    area = (width / 64) ** 2
    assert 0.25 - 1e-3 <= float(area.min()) < 0.27
    assert 0.97 < float(area.max()) <= 1 + 1e-3
    assert float(area.mean()) == pytest.approx(0.625, abs=0.03)
    # Before it is turned about its middle, each lies inside: its middle tells.
    middle = corners.mean(dim=1).abs().amax(dim=1)
    assert (middle + width / 2 <= 32 + 1e-3).all()
    # Nothing of a turned one is outside the circle through the corners of the whole.
    assert float(corners.norm(dim=-1).max()) <= 32 * math.sqrt(2) + 1e-3


def test_crops_are_turned_to_all_sides_and_half_are_mirrored(generator):
    places = crop_places(800, 8, (1.0, 1.0), 8, (8, 8), generator)
    right = places[:, 0, -1] - places[:, 0, 0]
    down = places[:, -1, 0] - places[:, 0, 0]
    handed = right[:, 1] * down[:, 0] - right[:, 0] * down[:, 1]
    assert float((handed < 0).float().mean()) == pytest.approx(0.5, abs=0.06)
    angle = torch.atan2(down[:, 0], down[:, 1])
    assert np.histogram(angle, bins=8, range=(-math.pi, math.pi))[0].min() > 70


def test_a_view_that_is_not_changed_is_the_image_turned():
    images = torch.rand(30, 2, 32, 32, generator=torch.Generator().manual_seed(1))
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    straight = torch.stack([y, x], dim=-1)[None].repeat(30, 1, 1, 1) - 15.5
    torch.testing.assert_close(sample(images, straight), images, atol=1e-5, rtol=0)
    quarter = torch.stack([x, -y], dim=-1)[None].repeat(30, 1, 1, 1) + torch.tensor([-15.5, 15.5])
    turned = torch.rot90(images, 1, (2, 3))
    torch.testing.assert_close(sample(images, quarter), turned, atol=1e-5, rtol=0)


def test_turned_views_of_the_inside_see_real_pixels_only(generator):
    # What is beyond the wide patch would be a reflection: mark the patch's middle by its place.
    images = torch.linspace(-1, 1, 94)[None, None, :, None].repeat(50, 1, 1, 94)
    views = Views(64, 24, (64, 64), Looks(Crops(1, 1), *vars_of(STILL)))
    found = views.whole(images, generator)
    # A plane stays a plane under turning; a reflection would bend it.
    bend = found[:, :, 1:-1] * 2 - found[:, :, :-2] - found[:, :, 2:]
    assert float(bend.abs().max()) < 1e-4


def vars_of(looks):
    return looks.elastic, looks.jitter, looks.noise


def test_local_views_are_small_parts_and_every_draw_is_another(generator):
    images = torch.rand(4, 3, 64, 64, generator=generator)
    views = Views(32, 16, None, STILL)
    parts = views.parts(images, generator)
    assert [one.shape for one in parts] == [(4, 3, 16, 16)] * 3
    assert not torch.equal(parts[0], parts[1])
    assert Views(32, 16, None, Looks(Crops(locals_=0))).parts(images, generator) == []


def test_views_are_the_same_for_the_same_numbers():
    images = torch.rand(4, 3, 64, 64)
    one, other = (Views(32, 16).whole(images, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, other)
