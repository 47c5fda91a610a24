"""Dense features and attribution: a frame in blocks as in one piece, against plain computations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_dynaclr import Job
from napari_dynaclr.core.device import Device
from napari_dynaclr.core.errors import Cancelled, InvalidInput
from napari_dynaclr.embedding.tap import dense
from napari_dynaclr.embedding.tap.attribution import attribution, attribution_of
from napari_dynaclr.embedding.tap.checkpoint import LoadedTap
from napari_dynaclr.embedding.tap.colours import pca_colours
from napari_dynaclr.embedding.tap.dense import Extractor, frame_features

SIZES = [(16, 16), (1, 7), (201, 170), (45, 330)]


def image(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def loaded(arrow):
    return LoadedTap(arrow(maps=4, features=5, seed=1))


@pytest.fixture
def small(loaded):
    """An extractor whose blocks are as small as they may be."""
    return Extractor(loaded, Device.CPU, block=1)


@pytest.mark.parametrize("size", SIZES)
def test_features_in_blocks_are_those_of_the_frame_in_one_piece(loaded, small, size):
    plane = image(*size)
    with torch.no_grad():
        expected = loaded.network.represent(torch.from_numpy(plane)[None, None])[0].numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(small.plane(plane, Job()), expected, atol=1e-5)
    whole = frame_features(loaded, plane[None])
    assert whole.shape == (5, 1, *size)
    np.testing.assert_allclose(whole[:, 0], expected, atol=1e-5)


def test_every_pixel_is_in_one_tile(small):
    count = np.zeros((301, 170), int)
    tiles = 0
    for y, x, z in small.tiles(image(301, 170), Job()):
        count[y, x] += 1
        assert z.shape == (5, y.stop - y.start, x.stop - x.start)
        tiles += 1
    assert (count == 1).all()
    assert tiles > 4


def test_slices_are_images_by_themselves(loaded):
    stack = image(3, 20, 24)
    found = frame_features(loaded, stack)
    assert found.shape == (5, 3, 20, 24)
    np.testing.assert_allclose(found[:, 1:2], frame_features(loaded, stack[1:2]), atol=1e-6)


def grad_cam(network, first, second):
    """Grad-CAM written down plainly, of the frame in one piece, at the head's last features."""
    pair = torch.from_numpy(np.stack([first, second]))[None, :, None]
    head = network.classification_head
    last = head.layers(network.represent(pair[0])[None]).detach().requires_grad_()
    forward, backward = head.head(last)[0]
    (forward - backward).backward()
    weights = last.grad[0].sum((-2, -1))
    return torch.einsum("tc,tcyx->yx", weights, last.detach()[0]).clamp_min(0).numpy()


def test_the_mean_lead_of_all_pixels_is_that_of_the_logits(loaded):
    pair = torch.from_numpy(np.stack([image(20, 30), image(20, 30, seed=1) + 1]))[None, :, None]
    with torch.no_grad():
        logits, z = loaded.network.both(pair)
        leads = loaded.network.leads(z)
    assert leads.shape == (1, 20, 30)
    assert abs(float(leads.mean() - (logits[0, 0] - logits[0, 1]))) < 1e-5
    assert torch.allclose(loaded.network.leads(z.flip(1)), -leads, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_attribution_in_blocks_is_that_of_the_frame_in_one_piece(loaded, small, size, monkeypatch):
    monkeypatch.setattr("napari_dynaclr.embedding.tap.attribution._BAND", 999)
    first, second = image(*size), image(*size, seed=1) + 1
    expected = grad_cam(loaded.network, first, second)
    assert expected.max() > 1e-3
    found = attribution(loaded, first, second)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    features, other = small.plane(first, Job()), small.plane(second, Job())
    np.testing.assert_allclose(attribution_of(loaded.network, features, other), expected, atol=1e-6)
    half = attribution_of(loaded.network, features.astype(np.float16), other.astype(np.float16))
    np.testing.assert_allclose(half, expected, atol=2e-3 * expected.max())


def test_attribution_of_a_stack_is_that_of_its_slices(loaded):
    first, second = image(2, 20, 24), image(2, 20, 24, seed=1)
    found = attribution(loaded, first, second)
    assert found.shape == first.shape
    np.testing.assert_allclose(found[1], attribution(loaded, first[1], second[1]), atol=1e-7)


def test_attribution_leaves_the_network_as_it_was(arrow):
    loaded = LoadedTap(arrow(seed=1))
    before = {name: value.clone() for name, value in loaded.network.state_dict().items()}
    attribution(loaded, image(16, 16), image(16, 16, seed=1))
    assert all(torch.equal(before[n], v) for n, v in loaded.network.state_dict().items())
    assert all(one.grad is None for one in loaded.network.parameters())


def test_blocks_are_divided_where_memory_is_short(loaded, small, monkeypatch):
    extractor = Extractor(loaded, Device.CPU)
    plane = image(400, 300)
    expected = extractor.plane(plane, Job())
    forward, sides = extractor._forward, []

    def short(pixels, mixed):
        sides.append(max(pixels.shape[-2:]))
        if sides[-1] > 200:
            raise RuntimeError("can't allocate memory: you tried to allocate 9 bytes")
        return forward(pixels, mixed)

    monkeypatch.setattr(extractor, "_forward", short)
    np.testing.assert_allclose(extractor.plane(plane, Job()), expected, atol=1e-5)
    assert max(sides) == 400
    sides.clear()
    extractor.plane(plane, Job())
    assert max(sides) <= 200  # it has learned


def test_too_little_memory_and_wrong_numbers_are_said_in_one_line(loaded, monkeypatch):
    extractor = Extractor(loaded, Device.CPU)

    def fail(_pixels, _mixed):
        raise MemoryError

    monkeypatch.setattr(extractor, "_forward", fail)
    with pytest.raises(InvalidInput, match="does not fit into the memory of 'cpu'"):
        extractor.plane(image(100, 100), Job())
    extractor = Extractor(loaded, Device.CPU)
    with pytest.raises(InvalidInput, match="gives NaN or infinite values"):
        extractor.plane(np.full((30, 30), np.nan, np.float32), Job())
    with pytest.raises(RuntimeError, match="something else"):
        monkeypatch.setattr(extractor, "_forward", raising(RuntimeError("something else")))
        extractor.plane(image(30, 30), Job())


def raising(error):
    def fail(*_arguments):
        raise error

    return fail


def test_mixed_precision_is_close_and_recomputed_where_it_overflows(loaded, monkeypatch):
    plane = image(40, 40)
    expected = Extractor(loaded, Device.CPU).plane(plane, Job())
    mixed = Extractor(loaded, Device.CPU, "mixed")
    found = mixed.plane(plane, Job())
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    forward = mixed._forward

    def overflowing(pixels, mixed):
        return forward(pixels, mixed) * (np.inf if mixed else 1)

    monkeypatch.setattr(mixed, "_forward", overflowing)
    np.testing.assert_array_equal(mixed.plane(plane, Job()), expected)


def test_it_can_be_cancelled_between_blocks(small):
    job = Job()
    tiles = small.tiles(image(200, 200), job)
    next(tiles)
    job.cancel()
    with pytest.raises(Cancelled):
        next(tiles)


def test_memory_of_a_block_does_not_grow_with_the_frame(loaded):
    extractor = Extractor(loaded, Device.CPU)
    assert dense._BYTES * 4 * extractor._side**2 <= dense._BUDGET
    assert extractor._side >= 1000


def test_colours_stay_the_same_over_a_movie(small):
    first = small.plane(image(60, 60), Job())
    colours, basis = pca_colours(first)
    assert colours.shape == (60, 60, 3)
    assert colours.dtype == np.float32
    assert colours.min() == 0
    assert colours.max() == 1
    again, same = pca_colours(first[:, 10:20], basis)
    assert same is basis
    np.testing.assert_allclose(again, colours[10:20], atol=1e-5)
    flipped, _ = pca_colours(first[:, ::-1])
    np.testing.assert_allclose(flipped, colours[::-1], atol=1e-3)


def test_red_is_what_differs_most():
    y, x = np.mgrid[:50, :60]
    features = np.stack([0.1 * y, 5.0 * x, 0 * x, 1e-3 * x * y])
    colours, _ = pca_colours(features)
    assert np.corrcoef(colours[..., 0].ravel(), x.ravel())[0, 1] > 0.99
    assert np.abs(np.corrcoef(colours[..., 1].ravel(), y.ravel())[0, 1]) > 0.9


@pytest.mark.parametrize("count", [1, 2, 5])
def test_features_that_do_not_differ_are_black(count):
    colours, _ = pca_colours(np.ones((count, 8, 8)))
    assert not colours.any()
