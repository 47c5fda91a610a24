"""Our networks for virtual staining against viscy-models', weight for weight."""

from __future__ import annotations

import inspect
import socket
import warnings

import pytest
import torch

from napari_dynaclr.core.errors import InvalidInput
from napari_dynaclr.core.weights import PRESETS
from napari_dynaclr.staining.architecture import BACKBONES, StainerConfig
from napari_dynaclr.staining.fcmae import random_mask, spread_mask
from napari_dynaclr.staining.network import build
from napari_dynaclr.staining.viscy import config_of

DEEP = (5, 4, 4)
SMALL = {"in_channels": 1, "out_channels": 2, "dims": (16, 32, 64), "encoder_blocks": (2, 1, 2)}
PUBLISHED = {
    name: (preset.network, dict(preset.settings))
    for name, preset in PRESETS.items()
    if preset.use == "stain" and preset.url.startswith("https:")
}
OTHERS = {
    "pre-training": ("fcmae", {**SMALL, "stem_kernel_size": DEEP, "in_stack_depth": 5}),
    "flat": (
        "fcmae",
        {**SMALL, "stem_kernel_size": (1, 2, 2), "in_stack_depth": 1, "pretraining": False},
    ),
    "convolved head": (
        "fcmae",
        {
            **SMALL,
            "stem_kernel_size": DEEP,
            "in_stack_depth": 10,
            "in_channels": 2,
            "out_channels": 3,
            "head_conv": True,
            "head_conv_expansion_ratio": 2,
            "pretraining": False,
        },
    ),
    "uneven depth": (
        "fcmae",
        {**SMALL, "stem_kernel_size": DEEP, "in_stack_depth": 11, "head_conv": True},
    ),
    "one slice of three": (
        "UNeXt2",
        {
            "backbone": "convnextv2_atto",
            "in_channels": 2,
            "out_channels": 1,
            "in_stack_depth": 3,
            "out_stack_depth": 1,
            "stem_kernel_size": (3, 4, 4),
            "decoder_conv_blocks": 1,
            "head_expansion_ratio": 2,
        },
    ),
    "convolved upsampling": (
        "UNeXt2",
        {
            "backbone": "convnext_tiny",
            "in_stack_depth": 5,
            "decoder_upsample_pre_conv": True,
            "decoder_conv_blocks": 1,
            "head_pool": True,
        },
    ),
}


@pytest.fixture(scope="module")
def oracle():
    """Return a function that makes viscy-models' network of some arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = pytest.importorskip("viscy_models", reason="viscy-models is not installed")
    classes = {
        "fcmae": models.FullyConvolutionalMAE,
        "unext2": models.UNeXt2,
        "UNeXt2": models.UNeXt2,
    }

    def make(architecture, arguments):
        made = classes[architecture]
        known = inspect.signature(made).parameters
        return made(**{name: value for name, value in arguments.items() if name in known})

    return make


def images(config, seed=1, side=64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, config.in_channels, config.depth, side, side, generator=generator)


def compare(ours, theirs, pixels):
    with torch.inference_mode():
        found, expected = ours.eval()(pixels), theirs.eval()(pixels)
    expected = expected[0] if isinstance(expected, tuple) else expected
    assert found.shape == expected.shape
    assert found.std() > 1e-3
    assert (found - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("name", [*PUBLISHED, *OTHERS])
def test_weights_of_viscy_models_load_strictly_both_ways_and_give_the_same(oracle, shake, name):
    architecture, arguments = (PUBLISHED | OTHERS)[name]
    theirs = oracle(architecture, arguments)
    config = config_of(architecture, arguments, name)
    ours = build(config)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert config.reference_stride == 2**theirs.num_blocks
    pixels = images(config)
    shake(theirs, 1)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    compare(ours, theirs, pixels)
    shake(ours, 2)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    compare(ours, theirs, pixels)


@pytest.mark.parametrize(
    ("name", "weights", "millions"),
    [
        ("VSCyto2D", 252, 31.16),
        ("VSCyto3D", 252, 34.98),
        ("VSCyto3D-UNeXt2", 273, 32.04),
        ("VSNeuromast", 273, 40.04),
    ],
)
def test_the_published_networks_have_their_sizes(name, weights, millions):
    with torch.device("meta"):
        network = build(config_of(*PUBLISHED[name], name))
    assert len(network.state_dict()) == weights
    assert sum(one.numel() for one in network.parameters()) / 1e6 == pytest.approx(millions, 1e-3)


@pytest.mark.parametrize("stem", [(5, 4, 4), (1, 2, 2)])
@pytest.mark.parametrize("ratio", [0.25, 0.5])
def test_what_is_hidden_is_filled_in_as_viscy_models_does_it(
    oracle, shake, monkeypatch, stem, ratio
):
    arguments = {**SMALL, "stem_kernel_size": stem, "in_stack_depth": stem[0], "out_channels": 1}
    theirs = shake(oracle("fcmae", arguments))
    config = config_of("fcmae", arguments, "x")
    assert config.pretraining
    ours = build(config).eval()
    ours.load_state_dict(theirs.state_dict())
    pixels = images(config, side=96)
    mask = random_mask(pixels.shape, config.stride, ratio, torch.Generator().manual_seed(3))
    module = inspect.getmodule(type(theirs))
    monkeypatch.setattr(module, "generate_mask", lambda *_arguments, **_options: mask)
    with torch.inference_mode():
        expected, spread = theirs(pixels, mask_ratio=ratio)
        found, whole = ours(pixels, mask), ours(pixels)
    assert torch.equal(spread, spread_mask(mask, pixels.shape))
    assert (found - expected).abs().max() <= 1e-5
    assert (found - whole).abs().max() > 1e-2


def test_nothing_of_what_is_hidden_is_seen(small):
    network = small(stem=(1, 2, 2), out_channels=1)
    pixels = images(network.config)
    mask = random_mask(pixels.shape, network.config.stride, 0.5, torch.Generator().manual_seed(0))
    other = torch.where(spread_mask(mask, pixels.shape)[:, :, None], 100.0, pixels)
    with torch.inference_mode():
        assert torch.equal(network(pixels, mask), network(other, mask))
        shown = spread_mask(~mask, pixels.shape)[:, :, None]
        other = torch.where(shown, 100.0, pixels)
        assert not torch.equal(network(pixels, mask), network(other, mask))


def test_what_is_hidden_of_one_image_says_nothing_of_another(small):
    network = small(stem=(1, 2, 2), out_channels=1)
    pixels = images(network.config)
    generator = torch.Generator().manual_seed(4)
    mask = random_mask(pixels.shape, network.config.stride, 0.5, generator)
    with torch.inference_mode():
        both = network(pixels, mask)
        for i in range(2):
            one = network(pixels[i : i + 1], mask[i : i + 1])
            assert torch.allclose(both[i : i + 1], one, atol=1e-6)
    mask[0] = True
    with pytest.raises(ValueError, match="as much must be hidden"):
        network(pixels, mask)


def test_larger_squares_than_the_stride_can_be_hidden(small):
    network = small(stem=(1, 2, 2), out_channels=1).train()
    pixels = images(network.config)
    mask = random_mask(pixels.shape, 4 * network.config.stride, 0.5)
    assert mask.shape[-1] == 2
    with torch.autocast("cpu", torch.bfloat16):
        network(pixels, mask).square().mean().backward()
    gradient = network.encoder.stages[2].blocks[0].mlp.fc1.weight.grad
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("ratio", [0.01, 0.5, 0.99])
def test_a_mask_hides_a_square_at_least_and_leaves_one(ratio):
    mask = random_mask((3, 1, 5, 32, 64), 32, ratio, torch.Generator().manual_seed(0))
    assert mask.sum(dim=(1, 2, 3)).tolist() == [1] * 3
    with pytest.raises(ValueError, match="of one square"):
        random_mask((3, 1, 5, 32, 32), 32, ratio)


def test_a_mask_hides_its_share_and_follows_its_generator():
    def make(seed):
        return random_mask((4, 1, 5, 96, 128), 32, 0.5, torch.Generator().manual_seed(seed))

    mask = make(0)
    assert mask.shape == (4, 1, 3, 4)
    assert mask.dtype == torch.bool
    assert mask.sum(dim=(1, 2, 3)).tolist() == [6] * 4
    assert torch.equal(mask, make(0))
    assert not torch.equal(mask, make(1))
    assert not torch.equal(mask[0], mask[1])
    assert 0.4 < torch.cat([make(i) for i in range(50)]).float().mean(0).min() < 0.6
    with pytest.raises(ValueError, match="mask of 3 x 4 does not fit on 91 x 128"):
        spread_mask(mask, (91, 128))


def test_a_unext2_hides_nothing(small):
    network = small(kind="unext2")
    with pytest.raises(ValueError, match="only an FCMAE"):
        network(images(network.config), torch.zeros(2, 1, 2, 2, dtype=torch.bool))


def kinds():
    return [{"kind": "fcmae"}, {"kind": "fcmae", "stem": DEEP, "depth": 5}, {"kind": "unext2"}]


@pytest.mark.parametrize("shape", kinds(), ids=str)
def test_features_are_those_of_every_stage(small, shape):
    network = small(**shape)
    config = network.config
    with torch.inference_mode():
        found = network.features(images(config))
    sides = [64 // config.stem[2] // 2**i for i in range(len(config.dims))]
    expected = {
        f"encoder_{i}": (2, width, side, side)
        for i, (width, side) in enumerate(zip(config.dims, sides, strict=True))
    }
    widths = (*config.dims[-2:0:-1], config.decoded)
    for i, (width, side) in enumerate(zip(widths, sides[-2::-1], strict=True)):
        expected[f"decoder_{i}"] = (2, width, side, side)
    assert {name: tuple(one.shape) for name, one in found.items()} == expected
    with torch.inference_mode():
        assert torch.equal(network.head(list(found.values())[-1]), network(images(config)))


@pytest.mark.parametrize("shape", kinds(), ids=str)
def test_only_the_decoder_learns_with_the_encoder_frozen(small, shape):
    network = small(**shape).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.freeze_encoder()
    learning = [value for value in network.parameters() if value.requires_grad]
    network(images(network.config, side=32)).square().mean().backward()
    torch.optim.SGD(learning, 1.0).step()
    changed = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    encoder = set(network.encoder_state())
    heads = ("decoder.", "head.")
    assert changed
    assert all(name.startswith(heads) for name in changed)
    assert encoder | {n for n in before if n.startswith(heads)} == before.keys()
    network.freeze_encoder(False)
    assert all(value.requires_grad for value in network.parameters())


@pytest.mark.parametrize("shape", kinds(), ids=str)
def test_every_weight_of_a_stainer_learns(small, shape):
    network = small(**shape).train()
    network(images(network.config, side=32)).square().mean().backward()
    still = {name for name, one in network.named_parameters() if one.grad is None}
    # An FCMAE has two stems, of which it needs one or the other.
    unused = "encoder.stem.conv3d." if network.config.depth == 1 else "encoder.stem.conv2d."
    assert all(name.startswith(unused) for name in still)


@pytest.mark.parametrize("shape", kinds(), ids=str)
def test_half_precision_and_the_order_of_channels_in_memory_change_little(small, shape):
    network = small(**shape)
    pixels = images(network.config)
    with torch.inference_mode():
        expected = network(pixels)
        network.to_channels_last()
        assert torch.allclose(network(pixels), expected, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = network(pixels).float()
        half = network.to(torch.bfloat16)(pixels.to(torch.bfloat16)).float()
    for found in (mixed, half):
        assert found.isfinite().all()
        assert torch.corrcoef(torch.stack([found.ravel(), expected.ravel()]))[0, 1] > 0.99


@pytest.mark.parametrize("shape", kinds(), ids=str)
def test_the_true_stride_is_enough_and_the_least(small, shape):
    network = small(**shape)
    config = network.config
    side = 3 * config.stride
    with torch.inference_mode():
        found = network(images(config, side=side))
        assert found.shape == (2, config.out_channels, config.out_depth, side, side)
        with pytest.raises(RuntimeError):
            network(images(config, side=side + config.stride // 2))


def test_upsampling_starts_without_a_pattern_of_checks():
    """What becomes one square of pixels is the same at first, in every stage and head."""
    torch.manual_seed(0)
    network = build(StainerConfig(stem=(1, 4, 4), dims=(8, 16, 32), blocks=(1, 1, 1)))
    last = network.decoder.decoder_stages[-1].conv.blocks[-1].mlp.fc2.weight
    groups = last.unflatten(0, (-1, 16))
    assert torch.equal(groups, groups[:, :1].expand_as(groups))
    assert groups.std(dim=0).min() > 0


def test_a_small_network_for_laptops_is_small():
    config = StainerConfig(dims=(16, 32, 64, 128), blocks=(2, 2, 2, 2), decoder_blocks=1)
    network = build(config)
    assert 4 * sum(one.numel() for one in network.parameters()) < 5e6
    assert (config.stride, config.reference_stride) == (16, 16)
    assert network(torch.zeros(1, 1, 1, 48, 32)).shape == (1, 2, 1, 48, 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "unet"}, "no network 'unet': choose fcmae or unext2"),
        ({"kind": "unext2", "backbone": "resnet50"}, "no backbone 'resnet50': choose one of"),
        ({"out_channels": 0}, "numbers must be 1 or more"),
        ({"dims": (8, 16), "blocks": (1,)}, "2 stages with channels, 1 with blocks"),
        ({"dims": (8, 16, 48), "blocks": (1, 1, 1)}, "twice the channels of the one before"),
        ({"dims": (3, 6), "blocks": (1, 1)}, "even number of channels, not 3"),
        ({"stem": (5, 4, 4), "depth": 3}, "a stem of 5 slices does not fit into 3"),
        ({"stem": (1, 4, 4), "depth": 7}, "96 channels cannot be divided among the 7 levels"),
        ({"stem": (1, 2, 4)}, "as high as wide, not 2 x 4"),
        ({"stem": (1, 3, 3)}, "must be even, not 3"),
        ({"head_conv": True}, "the stem must be 4 x 4 pixels, not 2 x 2"),
        ({"kind": "unext2", "stem": (5, 4, 4), "depth": 11}, "a whole number of times into 11"),
        ({"out_depth": 1, "depth": 5, "stem": (5, 4, 4)}, "gives as many slices as it takes"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(changes, message):
    with pytest.raises(InvalidInput, match=message):
        StainerConfig(**changes)


def test_the_backbones_are_as_timm_has_them():
    import timm

    with torch.device("meta"):
        for name, backbone in BACKBONES.items():
            network = timm.create_model(name, features_only=True)
            assert tuple(network.feature_info.channels()) == backbone.dims
            blocks = tuple(len(getattr(network, f"stages_{i}").blocks) for i in range(4))
            assert blocks == backbone.blocks


def test_making_a_network_needs_no_network_connection(monkeypatch, small):
    def refuse(*_arguments, **_options):
        raise AssertionError("asked for a connection")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for shape in kinds():
        small(**shape)
