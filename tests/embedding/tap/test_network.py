"""The TAP network against what is known of the public one, and against the paper's symmetry."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.embedding.tap.architecture import TapConfig
from napari_dynaclr.embedding.tap.network import TimeArrowNet

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def public_keys():
    """The names that the public code saves its weights under, for "unet"."""
    blocks = [f"l_conv.{level}" for level in range(4)] + [f"r_conv.{level}" for level in range(3)]
    for block in blocks:
        for place in (0, 3):
            yield from (f"backbone.{block}.conv_block.{place}.{n}" for n in ("weight", "bias"))
            yield from (f"backbone.{block}.conv_block.{place + 1}.{n}" for n in BATCH_NORM)
    yield from (f"backbone.head.{name}" for name in ("weight", "bias"))
    yield from (f"projection_head.layers.0.{name}" for name in ("weight", "bias"))
    yield from (f"projection_head.layers.1.{name}" for name in BATCH_NORM)
    for layer in ("layers.0.layers.0", "layers.1.layers.0", "head.1.layers.0"):
        head = f"classification_head.{layer}"
        yield from (f"{head}.{one}.{n}" for one in "LG" for n in ("weight", "bias"))
        if not layer.startswith("head"):
            yield from (f"{head}.norm.{name}" for name in BATCH_NORM)


def test_weights_are_named_as_in_the_public_code():
    state = TimeArrowNet().state_dict()
    assert set(state) == set(public_keys())
    assert len(state) == 129
    assert state["backbone.r_conv.0.conv_block.0.weight"].shape == (32, 96, 3, 3)
    assert state["backbone.l_conv.3.conv_block.0.weight"].shape == (256, 128, 3, 3)
    assert state["classification_head.head.1.layers.0.G.weight"].shape == (1, 32)


@pytest.mark.parametrize(
    ("config", "count"), [(TapConfig(), 1_955_682), (TapConfig(features=16, maps=16), 490_162)]
)
def test_there_are_as_many_parameters_as_in_the_public_code(config, count):
    assert sum(one.numel() for one in TimeArrowNet(config).parameters()) == count


def reference(state, pair):
    """What the public network computes, in eval mode and written down apart from ours."""

    def batch_norm(x, at):
        mean, var = state[f"{at}.running_mean"], state[f"{at}.running_var"]
        shape = (1, -1) + (1,) * (x.ndim - 2)
        scale = (state[f"{at}.weight"] / (var + 1e-5).sqrt()).view(shape)
        return (x - mean.view(shape)) * scale + state[f"{at}.bias"].view(shape)

    def block(x, at):
        for place in (0, 3):
            x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
            x = functional.conv2d(x, state[f"{at}.{place}.weight"], state[f"{at}.{place}.bias"])
            x = functional.leaky_relu(batch_norm(x, f"{at}.{place + 1}"), 0.01)
        return x

    def u(x, level):
        left = block(x, f"backbone.l_conv.{level}.conv_block")
        if level == 3:
            return left
        below = u(functional.max_pool2d(left, 2, 2), level + 1)
        below = below.repeat_interleave(2, -1).repeat_interleave(2, -2)
        return block(torch.cat([left, below], 1), f"backbone.r_conv.{level}.conv_block")

    def equivariant(z, at):  # (B, 2, H, W, F)
        own = z @ state[f"{at}.L.weight"].T + state[f"{at}.L.bias"]
        shared = z @ state[f"{at}.G.weight"].T + state[f"{at}.G.bias"]
        return own + shared.mean(1, keepdim=True)

    represented = []
    for x in pair.unbind(1):
        height, width = x.shape[-2:]
        more = [(8 - size % 8) % 8 for size in (width, height)]
        edges = [more[0] // 2, (more[0] + 1) // 2, more[1] // 2, (more[1] + 1) // 2]
        x = u(functional.pad(x, edges, mode="replicate"), 0)
        x = functional.conv2d(x, state["backbone.head.weight"], state["backbone.head.bias"])
        x = x[..., edges[2] : edges[2] + height, edges[0] : edges[0] + width]
        at = "projection_head.layers"
        x = functional.conv2d(x, state[f"{at}.0.weight"], state[f"{at}.0.bias"])
        represented.append(batch_norm(x, f"{at}.1"))
    z = torch.stack(represented, 1)
    out = z.permute(0, 1, 3, 4, 2)
    for layer in range(2):
        at = f"classification_head.layers.{layer}.layers.0"
        out = equivariant(out, at)
        out = batch_norm(out.permute(0, 4, 1, 2, 3), f"{at}.norm").permute(0, 2, 3, 4, 1)
        out = functional.leaky_relu(out, 0.01)
    pooled = out.mean((2, 3), keepdim=True)
    return z, equivariant(pooled, "classification_head.head.1.layers.0").flatten(1)


@pytest.mark.parametrize("size", [(32, 32), (17, 30)])
def test_it_computes_what_the_public_network_does(arrow, size):
    network = arrow(maps=32, features=32, seed=3).double()
    generator = torch.Generator().manual_seed(1)
    pair = torch.randn(2, 2, 1, *size, generator=generator, dtype=torch.float64)
    with torch.inference_mode():
        z, logits = reference(network.state_dict(), pair)
        found, represented = network.both(pair)
    assert logits.std() > 1e-3
    assert z.std() > 1e-2
    torch.testing.assert_close(represented, z, atol=1e-10, rtol=1e-8)
    torch.testing.assert_close(found, logits, atol=1e-10, rtol=1e-8)


@given(
    height=st.integers(1, 41),
    width=st.integers(1, 41),
    batch=st.integers(1, 3),
    seed=st.integers(0, 1000),
    training=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_swapping_the_frames_swaps_the_logits(arrow, height, width, batch, seed, training):
    network = arrow(seed=seed, channels=2).train(training)
    generator = torch.Generator().manual_seed(seed)
    pair = torch.randn(batch, 2, 2, height, width, generator=generator)
    with torch.no_grad():
        forward, backward = network(pair), network(pair.flip(1))
    assert forward.shape == (batch, 2)
    torch.testing.assert_close(backward, forward.flip(1), atol=1e-5, rtol=1e-4)
    network.eval()


def test_a_pair_of_two_equal_frames_has_no_direction(arrow):
    frame = torch.randn(1, 1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        first, second = arrow()(frame.expand(1, 2, 1, 24, 24))[0]
    assert float(first) == pytest.approx(float(second), abs=1e-6)


def test_training_moves_its_statistics_and_reaches_every_parameter(arrow):
    network = arrow(seed=5).train()
    before = network.projection_head.layers[1].running_mean.clone()
    pairs = torch.randn(3, 2, 1, 19, 24, generator=torch.Generator().manual_seed(0))
    logits, z = network.both(pairs)
    assert z.shape == (3, 2, 5, 19, 24)
    functional.cross_entropy(logits, torch.tensor([0, 1, 0])).backward()
    assert not torch.equal(before, network.projection_head.layers[1].running_mean)
    for name, one in network.named_parameters():
        assert one.grad is not None, name
        assert bool(torch.isfinite(one.grad).all()), name


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_feature_depends_on_nothing_beyond_its_reach(arrow, depth):
    network = arrow(maps=2, features=2, depth=depth)
    reach = network.config.reach
    size = 2 * reach + 4 * network.config.stride
    size += -size % network.config.stride
    found = 0
    for place in range(size // 2, size // 2 + network.config.stride):
        image = torch.randn(1, 1, 16, size, requires_grad=True)
        network.represent(image)[0, :, 8, place].sum().backward()
        seen = torch.nonzero(image.grad[0, 0].abs().sum(0))[:, 0]
        found = max(found, place - int(seen.min()), int(seen.max()) - place)
    # A pooling passes one pixel of four on, so that the last one need not be reached.
    assert reach - 2**depth <= found <= reach


@pytest.mark.parametrize("changes", [{"features": 0}, {"maps": 0}, {"depth": 0}, {"channels": 0}])
def test_a_shape_that_cannot_be_is_refused(changes):
    with pytest.raises(InvalidInput, match=f"needs {next(iter(changes))} of at least 1"):
        TapConfig(**changes)
